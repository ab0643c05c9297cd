"""A dark of another exposure is scaled to a frame, and never where that would do harm."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray

from scripts.lightstack.calibration.scaling import Scaled, Turned, scale
from scripts.lightstack.calibration.subtraction import RowsInMemory
from scripts.lightstack.planning.dark_scaling import Scaling, scale_darks
from scripts.lightstack.raw.exposure import Exposure
from scripts.lightstack.simulator import (
    EXPTIME_S,
    GAIN_E_PER_ADU,
    READ_NOISE_ADU,
    Camera,
    Light,
    add_star,
    make_camera,
    make_night,
    make_sky,
    render_bias,
    render_dark,
    render_light,
    write_night,
)
from tests.conftest import SMALL_SETTINGS, snakemake, write_settings

SHAPE = (512, 768)
WHOLE = (slice(0, None), slice(0, None))
N_DARKS, N_BIAS = 15, 20

Image = NDArray[np.float32]


class Sensor:
    """A simulated sensor: its darks, bias frames and a light, and what the light truly shows."""

    def __init__(self, dark_s: float, *, warmer: float = 1.0, glow: float = 0.0) -> None:
        rng = np.random.default_rng(3)
        sky = make_sky(rng, SHAPE, 400)
        self.camera = make_camera(rng, SHAPE)
        self.camera.dark[:] += np.linspace(0, glow, SHAPE[1], dtype=np.float32)
        self.dark_s = dark_s
        self.bias = mean(render_bias(rng, self.camera) for _ in range(N_BIAS))
        self.dark = mean(render_dark(rng, self.camera, dark_s) for _ in range(N_DARKS))
        self.current = self.camera.dark * np.float32(warmer)
        light = Light(sky_adu=800.0)
        camera = Camera(SHAPE, self.current)
        self.light = render_light(rng, sky, camera, light).astype(np.float32)
        self.truth = np.full(SHAPE, light.sky_adu, np.float32)
        for (x, y), flux in zip(sky.xy, sky.flux, strict=True):
            add_star(self.truth, x, y, flux, light)

    def scaled(self, *, optimize: bool, **changes: Any) -> Scaled:
        """Scale the mean dark to the light."""
        given = {
            "data": self.light,
            "dark": RowsInMemory(self.dark),
            "by_exposure": EXPTIME_S / self.dark_s,
            "saturation": 65535.0,
            **changes,
        }
        bias = RowsInMemory(self.bias)
        return scale(bias=bias, region=WHOLE, optimize=optimize, period=1, **given)

    def residuals(self, scaled: Scaled) -> tuple[Image, NDArray[np.bool_]]:
        """Errors over their noise by the photons, the readout and the masters; which are hot."""
        left = self.light - scaled.pixels.read_rows(0, SHAPE[0]) - self.truth
        of_dark = self.camera.dark * (self.dark_s / EXPTIME_S)
        variance = READ_NOISE_ADU**2 + (self.truth + self.current) / GAIN_E_PER_ADU
        variance += scaled.factor**2 * (READ_NOISE_ADU**2 + of_dark / GAIN_E_PER_ADU) / N_DARKS
        variance += (1 - scaled.factor) ** 2 * READ_NOISE_ADU**2 / N_BIAS
        hot = (self.camera.dark > 100) & (self.light < 60000) & np.isfinite(left)
        return (left / np.sqrt(variance)).astype(np.float32), hot


def mean(images: Any) -> Image:
    return np.asarray(np.mean([*images], axis=0), np.float32)


@pytest.mark.parametrize("dark_s", [30.0, 120.0, 300.0])
@pytest.mark.parametrize("optimize", [False, True])
def test_what_is_left_is_the_true_sky_within_the_noise(dark_s: float, optimize: bool) -> None:
    sensor = Sensor(dark_s)
    scaled = sensor.scaled(optimize=optimize)
    assert (scaled.worse, scaled.doubts) == ([], [])
    assert scaled.factor == pytest.approx(EXPTIME_S / dark_s, rel=0.01)
    errors, hot = sensor.residuals(scaled)
    assert np.count_nonzero(hot) > 50
    assert abs(np.median(errors[hot])) < 0.35
    assert 0.75 < 1.4826 * np.median(np.abs(errors[hot])) < 1.25
    assert 0.98 < 1.4826 * np.nanmedian(np.abs(errors)) < 1.02


@pytest.mark.parametrize("dark_s", [60.0, 120.0])
def test_the_factor_of_least_noise_knows_a_warmer_sensor(dark_s: float) -> None:
    sensor = Sensor(dark_s, warmer=1.3)
    scaled = sensor.scaled(optimize=True)
    assert scaled.factor == pytest.approx(1.3 * EXPTIME_S / dark_s, rel=0.01)
    assert (scaled.worse, scaled.doubts) == ([], [])
    errors, hot = sensor.residuals(scaled)
    assert abs(np.median(errors[hot])) < 0.35
    # The exposures do not, and the hot pixels tell.
    by_exposure = sensor.scaled(optimize=False)
    (doubt,) = by_exposure.doubts
    factor = EXPTIME_S / dark_s
    assert doubt == f"its hot pixels tell a factor of {1.3 * factor:.2f}, exposures {factor:.2f}"
    assert np.median(sensor.residuals(by_exposure)[0][hot]) > 5


def test_a_dark_is_not_multiplied_by_more_than_two() -> None:
    scaled = Sensor(30.0, warmer=1.3).scaled(optimize=True)
    assert scaled.worse == ["its factor would be 2.60, and 2 at most"]


def test_a_glow_is_not_scaled() -> None:
    sensor = Sensor(120.0, glow=400.0)
    (text,) = sensor.scaled(optimize=False).worse
    assert text.startswith("its glow of ")
    assert 600 < float(text.split()[3]) < 820
    # One dark as long as the frame has the glow that is the frame's.
    assert Sensor(60.0, glow=400.0).scaled(optimize=True).worse == []
    assert Sensor(120.0, glow=5.0).scaled(optimize=False).worse == []


def test_saturated_pixels_of_a_dark_do_not_scale() -> None:
    sensor = Sensor(120.0)
    level = float(np.quantile(sensor.dark, 0.9999))
    scaled = sensor.scaled(optimize=True, saturation=level)
    assert scaled.worse == []
    rows = scaled.pixels.read_rows(0, SHAPE[0])
    np.testing.assert_array_equal(np.isnan(rows), sensor.dark >= level)
    level = float(np.quantile(sensor.dark, 0.99))
    (text,) = sensor.scaled(optimize=False, saturation=level).worse
    assert text == "1.0% of it is saturated, which does not scale"


def test_without_hot_pixels_the_exposures_tell() -> None:
    sensor = Sensor(120.0)
    sensor.dark = np.minimum(sensor.dark, 420)
    scaled = sensor.scaled(optimize=True)
    assert scaled.factor == 0.5
    assert scaled.doubts == [
        "it has too few hot pixels to tell its factor, which is that of exposures"
    ]


def test_a_bias_brighter_than_the_dark_is_told() -> None:
    sensor = Sensor(120.0)
    sensor.bias += np.float32(200)
    (doubt,) = sensor.scaled(optimize=False).doubts
    assert doubt == "the bias is 160 ADU brighter than it: of another offset or gain"


def test_rows_of_another_order_and_regions_count_alike() -> None:
    sensor = Sensor(120.0)
    turned = Turned(RowsInMemory(sensor.dark[::-1]))
    whole = sensor.scaled(optimize=True)
    assert sensor.scaled(optimize=True, dark=turned).factor == whole.factor
    np.testing.assert_array_equal(turned.read_rows(3, 9), sensor.dark[3:9])
    region = (slice(100, 400), slice(50, 700))
    part = scale(
        sensor.light[region], turned, RowsInMemory(sensor.bias), region, by_exposure=0.5,
        optimize=True, period=2, saturation=65535.0,
    )  # fmt: skip
    assert part.factor == pytest.approx(whole.factor, rel=0.02)
    assert (part.pixels.read_rows(0, 512) == whole.pixels.read_rows(0, 512)).mean() < 1


LIGHT = Exposure((10, 20), exptime=60.0, gain=1.0, temperature=-10.0)
BIAS = replace(LIGHT, exptime=0.0)


def scaling(
    darks: dict[str, Exposure],
    mode: str = "exposure",
    light: Exposure = LIGHT,
    bias: dict[str, Exposure] | None = None,
) -> Scaling:
    return scale_darks({"a": light}, darks, {"b": BIAS} if bias is None else bias, mode, 1.0)


def of(**seconds: float) -> dict[str, Exposure]:
    return {name: replace(LIGHT, exptime=value) for name, value in seconds.items()}


def test_the_nearest_exposure_is_scaled_where_there_is_none_that_fits() -> None:
    found = scaling(of(long=600.0, near=90.0, short=48.0))
    assert (found.frames["a"].exptime, found.factors) == (48.0, {"a": 1.25})
    assert scaling(of(same=60.0, near=90.0)).factors == {}
    assert scaling(of(same=60.0, near=90.0), "optimize").factors == {"a": 1.0}
    assert scaling(of(near=90.0), "none").factors == {}
    other = {**of(near=90.0), "warm": replace(LIGHT, exptime=60.0, temperature=5.0)}
    assert scaling(other).frames["a"].exptime == 90.0
    assert (found.told, found.refused) == ([], {})


@pytest.mark.parametrize(
    ("darks", "changes", "told"),
    [
        (
            of(d=300.0),
            {"bias": {}},
            "1 without a dark that could be scaled: no bias fits.",
        ),
        (
            of(d=300.0),
            {"bias": {"b": replace(BIAS, gain=2.0)}},
            "1 without a dark that could be scaled: no bias fits.",
        ),
        (
            of(d=20.0),
            {},
            "1 without a dark that could be scaled: darks of 20 s times 3, and 2 at most.",
        ),
        (
            of(d=20.0, e=300.0),
            {"light": replace(LIGHT, exptime=None)},
            "1 without a dark that could be scaled: its exposure is not stated.",
        ),
        ({"d": replace(LIGHT, exptime=300.0, temperature=5.0)}, {}, ""),
        (
            of(d=60.0),
            {"mode": "optimize", "bias": {}},
            "1 with a dark as it is: dark_scaling needs bias frames that fit.",
        ),
    ],
)
def test_no_dark_is_scaled_where_that_would_do_harm(
    darks: dict[str, Exposure], changes: dict[str, Any], told: str
) -> None:
    found = scaling(darks, **changes)
    assert found.factors == {}
    assert found.frames["a"].exptime in (60.0, None)
    assert found.told == ([told] if told else [])


@pytest.mark.parametrize("mode", ["exposure", "optimize"])
def test_a_night_with_darks_of_another_exposure(tmp_path: Path, mode: str) -> None:
    tidy = make_night(tmp_path / "other", shape=(256, 384), n_lights=5, n_stars=130, seed=4)
    write_night(tmp_path, replace(tidy, n_bias=9, dark_exptime_s=200.0))
    write_settings(tmp_path, **SMALL_SETTINGS, modes=["mean"], dark_scaling=mode)
    run = snakemake(tmp_path)
    assert run.returncode == 0, run.output
    assert "without a dark" not in run.output
    for frame, row in run.ledger.items():
        assert float(row["dark_factor"]) == pytest.approx(0.3, rel=0.05)
        assert row["dark"].startswith("master of 5: 200 s")
        assert row["bias"].startswith("master of 9")
        header = fits.getheader(tmp_path / "work" / "cleaned" / f"{frame}.fits")
        assert header["DARKFAC"] == pytest.approx(float(row["dark_factor"]))
    write_settings(tmp_path, **SMALL_SETTINGS, modes=["mean"])
    dry = snakemake(tmp_path, "--dry-run")
    assert "5 without a dark: exposure 60 s, darks of 200 s." in dry.output
