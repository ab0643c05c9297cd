"""A frame whose dark does harm gets the next best, and says so."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray

from scripts import calibrate_frame, combine_bias, combine_darks
from scripts.lightstack.files.frame_file import Frame, read_frame
from tests.calibration import plain
from tests.conftest import snakemake

SHAPE = (120, 160)


def hot(seed: int) -> NDArray[np.float64]:
    """Hot pixels of a sensor on its bias [ADU]."""
    rng = np.random.default_rng(seed)
    signal = np.full(SHAPE, 300.0)
    signal[rng.uniform(size=SHAPE) < 0.004] += 3000
    return signal


SENSOR, ANOTHER = hot(1), hot(2)


def write(path: Path, signal: NDArray[np.float64], seed: int = 3) -> Path:
    noisy = np.rint(signal + np.random.default_rng(seed).normal(0, 4, SHAPE))
    fits.writeto(path, noisy.astype(np.uint16), overwrite=True)
    return path


@pytest.fixture
def calibrated(tmp_path: Path) -> Callable[..., Frame]:
    """Give what becomes of a light with these of its own dark, a master dark, bias and map."""
    raw = write(tmp_path / "raw.fits", SENSOR + 500, 7)

    def calibrate(finds_sharp_pixels: bool = True, **signals: NDArray[np.float64]) -> Frame:
        masters = {}
        for noun, signal in signals.items():
            masters[noun] = write(tmp_path / f"{noun}.fits", signal)
            if noun in ("dark", "bias"):
                combine = combine_darks.run if noun == "dark" else combine_bias.run
                paths = [write(tmp_path / f"{noun}{k}.fits", signal, k) for k in range(5)]
                combine(paths, masters[noun])
            elif noun == "bad_pixels":
                header = fits.Header([("MASTER", "map"), ("NCOMBINE", 1)])
                pixels = signal.astype(np.float32)
                fits.writeto(masters[noun], pixels, header, overwrite=True)
        calibrate_frame.run(
            raw,
            tmp_path / "frame.fits",
            sha256="0",
            masters=masters,
            **plain(finds_sharp_pixels=finds_sharp_pixels, saturation_limit=60000),
        )
        return read_frame(tmp_path / "frame.fits")

    return calibrate


def test_a_master_takes_the_place_of_an_own_dark(calibrated: Callable[..., Frame]) -> None:
    frame = calibrated(own=ANOTHER, dark=SENSOR, bias=np.full(SHAPE, 300.0))
    name, not_used = frame.header["DARK"].split("; ")
    assert name == "master of 5: 160 x 120"
    assert not_used.startswith("not own.fits (")
    assert not_used.endswith("of the light of its hot pixels is in the frame)")
    assert "BIAS" not in frame.header
    assert "BADPIX" not in frame.header
    np.testing.assert_allclose(frame.data[SENSOR > 300].mean(), 500, atol=5)


def test_the_bias_takes_the_place_of_all_darks_and_hot_pixels_are_looked_for(
    calibrated: Callable[..., Frame],
) -> None:
    wrong_map = (ANOTHER > 300).astype(float)
    frame = calibrated(own=ANOTHER, dark=ANOTHER, bias=np.full(SHAPE, 300.0), bad_pixels=wrong_map)
    assert frame.header["DARK"].startswith("none; own.fits; ")
    assert "; master of 5: 160 x 120; " in frame.header["DARK"]
    assert frame.header["BIAS"] == "master of 5: 160 x 120"
    assert np.nanmedian(frame.data) == pytest.approx(500, abs=2)
    # Those of the frame itself, and not those of the dark that is not its own.
    bad = np.isnan(frame.data)
    assert frame.header["BADPIX"] == bad.sum()
    assert bad[SENSOR > 300].mean() > 0.9
    assert bad[SENSOR == 300].mean() < 0.001


def test_without_bad_pixels_wanted_none_are_looked_for(calibrated: Callable[..., Frame]) -> None:
    frame = calibrated(finds_sharp_pixels=False, dark=ANOTHER)
    assert frame.header["DARK"].startswith("none; master of 5")
    assert not np.isnan(frame.data).any()


def test_a_dark_that_suits_is_used_alone(calibrated: Callable[..., Frame]) -> None:
    frame = calibrated(own=SENSOR, dark=ANOTHER, bias=np.full(SHAPE, 300.0))
    assert frame.header["DARK"] == "own.fits"
    assert not np.isnan(frame.data).any()


def test_a_night_tells_which_dark_was_not_used(small_night: Callable[..., Path]) -> None:
    folder = small_night(modes=["mean"])
    own = folder / "darkfield" / "light_0001.fits"
    with fits.open(folder / "darkfield" / "dark_01.fits") as hdus:
        hdus[0].data[:60] += 500
        hdus.writeto(own)
    run = snakemake(folder)
    assert run.returncode == 0, run.output
    dark = run.ledger["light_0001"]["dark"]
    assert dark.startswith(
        "master of 5: 60 s -10.0 degC gain 1.5 300 x 200; not light_0001.fits ("
    )
    assert "Darks in doubt: 1, such as that of light_0001" in run.output
    # A dark of the master is the frame's as well.
    (folder / "darkfield" / "dark_05.fits").unlink()
    dry = snakemake(folder, "--dry-run")
    assert "calibrate_frame" in dry.output


@pytest.mark.parametrize(
    ("dark_factor", "told"),
    [(1.0, "own.fits; not scaled: "), (0.8, "none; own.fits; ")],
)
def test_a_dark_that_cannot_be_scaled_is_used_as_it_is_if_it_is_as_long(
    tmp_path: Path, dark_factor: float, told: str
) -> None:
    raw = write(tmp_path / "raw.fits", SENSOR + 500, 7)
    own = write(tmp_path / "own.fits", SENSOR)
    bias = [write(tmp_path / f"b{k}.fits", np.full(SHAPE, 300.0), k) for k in range(3)]
    combine_bias.run(bias, tmp_path / "bias.fits")
    calibrate_frame.run(
        raw,
        tmp_path / "frame.fits",
        sha256="0",
        masters={"own": own, "bias": tmp_path / "bias.fits"},
        # So many of the dark's pixels are saturated that it does not scale.
        **plain(dark_factor=dark_factor, saturation_limit=3200, dark_scaling="optimize"),
    )
    frame = read_frame(tmp_path / "frame.fits")
    assert frame.header["DARK"].startswith(told)
    assert "is saturated, which does not scale" in frame.header["DARK"]
    assert "DARKFAC" not in frame.header
    assert np.nanmedian(frame.data) == pytest.approx(500, abs=3)
    left = np.count_nonzero(frame.data > 2000)
    assert left == (0 if dark_factor == 1 else np.count_nonzero(SENSOR > 300))
