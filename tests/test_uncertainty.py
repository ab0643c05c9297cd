"""The standard error in a stack is the scatter of stacks of the same stars."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData
from numpy.typing import NDArray

from benchmarks.uncertainty_table import (
    GAIN,
    READ_NOISE_E,
    SHAPE,
    frames_of,
    scatter_over_error,
)
from scripts.lightstack.alignment.transform import Transform
from scripts.lightstack.colour.demosaicing import colour_of_mosaic
from scripts.lightstack.planning.settings import SettingsError, complete_settings
from scripts.lightstack.planning.stack_memory import stack_memory
from scripts.lightstack.raw.bayer import GREY_NOISE, GREY_OF, grey_of_mosaic
from scripts.lightstack.resampling.plane import resample
from scripts.lightstack.resampling.variance import resample_variance
from scripts.lightstack.simulator import Night
from scripts.lightstack.sky.noise import noise_in_cells
from scripts.lightstack.stacking import bands
from scripts.lightstack.stacking.aligned import AlignedFrame
from scripts.lightstack.stacking.bands import Bands
from scripts.lightstack.stacking.blocks import WIDTH
from scripts.lightstack.stacking.combining import combine
from scripts.lightstack.stacking.measuring import measure
from scripts.lightstack.stacking.modes import MODES, WITH_ERROR, Measured
from scripts.lightstack.stacking.propagation import propagate
from scripts.lightstack.stacking.repeats import PIXELS, repeat, tell_errors
from scripts.lightstack.stacking.stacked import Stacked
from scripts.lightstack.stacking.uncertainty import (
    INTERPOLATED,
    FrameNoise,
    _shot_noise,
    gains_by_darks,
)
from tests.conftest import Run
from tests.stacking import stack, stack_in_bands


@pytest.fixture(scope="module")
def corner_stacks(corner: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return stack(corner, tmp_path_factory.mktemp("stacks"), uncertainty=True)


@pytest.mark.parametrize(("n", "kind"), [(6, "plain"), (6, "flat")])
def test_the_error_is_the_scatter_on_the_sky_and_in_stars(
    tmp_path: Path, n: int, kind: str
) -> None:
    found = scatter_over_error(tmp_path, n, kind, trials=20)
    assert set(found) == set(WITH_ERROR)
    for mode, ratios in found.items():
        sky, *in_stars = ratios
        assert sky == pytest.approx(1, abs=0.05), mode
        # Of the brightest stars, few pixels tell: in them chance decides which values are kept.
        tolerance = {"median": 0.08, "winsorized": 0.15}.get(mode, 0.06)
        assert in_stars == pytest.approx([1] * len(in_stars), abs=tolerance), mode


def test_variances_are_those_of_resampled_noise() -> None:
    """At the border and beside pixels without data as well."""
    rng = np.random.default_rng(1)
    angle = np.radians(12)
    matrix = np.array(
        [[np.cos(angle), -np.sin(angle), 3.3], [np.sin(angle), np.cos(angle), -9.4], [0, 0, 1]]
    )
    matrix[:2, :2] *= 1.1
    transform = Transform(matrix, (60, 80), (70, 90))
    variance = (4 + rng.uniform(0, 30, (60, 80))).astype(np.float32)
    variance[20, 30] = variance[40:42, 50] = np.nan
    # Far above zero, where the clamp does nothing.
    trials = [
        resample(
            rng.normal(0, np.sqrt(variance)).astype(np.float32), 0, transform, (0, 70), scale=1.3
        )
        for _ in range(600)
    ]
    expected = np.empty((70, 90), np.float32)
    resample_variance(variance, 0, transform, (0, 70), scale=1.3, out=expected)
    measured = np.var(trials, axis=0)
    np.testing.assert_array_equal(np.isnan(expected), np.isnan(measured))
    ratio = (measured / expected)[~np.isnan(expected)]
    assert np.mean(ratio) == pytest.approx(1, abs=0.02)
    assert np.std(ratio) < 1.3 * np.sqrt(2 / 600)


def test_the_error_of_weights_clipping_and_what_is_shared() -> None:
    cube = np.zeros((4, 1, 3), np.float32)
    cube[:, 0, 1] = [1, 1.1, 0.9, 500]
    cube[2:, 0, 2] = np.nan
    variances = np.broadcast_to(np.array([1.0, 4, 9, 16], np.float32)[:, None, None], cube.shape)
    weights = np.array([1.0, 0.5, 0.25, 0.125])
    made = combine(
        cube,
        ["mean", "median", "noise_clip", "max"],
        weights=weights,
        noise=np.sqrt([1, 4, 9, 16]),
        variances=np.ascontiguousarray(variances),
        shared_variance=0.25,
    )
    assert set(made.errors) == {"mean", "median", "noise_clip"}

    def error(*kept: int) -> float:
        w, v = weights[list(kept)], np.array([1.0, 4, 9, 16])[list(kept)]
        return float(np.sqrt((w**2 * v).sum() / w.sum() ** 2 + 0.25))

    np.testing.assert_allclose(made.errors["mean"][0], [error(0, 1, 2, 3)] * 2 + [error(0, 1)])
    np.testing.assert_allclose(made.errors["noise_clip"][0][1], error(0, 1, 2))
    even = np.sqrt(4 / (1 + 1 / 2 + 1 / 3 + 1 / 4) ** 2 * np.pi / 2 * 4 / (4 + 1.36) + 0.25)
    assert made.errors["median"][0][0] == pytest.approx(even)


def test_stacks_have_the_extension_and_else_the_bytes_of_before(
    simulated: tuple[Run, Night], stacks: dict[str, Path], tmp_path: Path
) -> None:
    without, stacks = stacks, stack(simulated[0].folder, tmp_path, uncertainty=True)
    for mode in MODES:
        with fits.open(stacks[mode], checksum=True) as hdus, fits.open(without[mode]) as others:
            names = [hdu.name for hdu in hdus]
            assert ("UNCERT" in names) == (mode in WITH_ERROR)
            assert [name for name in names if name != "UNCERT"] == [hdu.name for hdu in others]
            assert hdus[0].data.tobytes() == others[0].data.tobytes()
            if mode not in WITH_ERROR:
                assert stacks[mode].read_bytes() == without[mode].read_bytes()
                continue
            error, coverage = hdus["UNCERT"].data, hdus["COVERAGE"].data
            np.testing.assert_array_equal(np.isnan(error), coverage == 0)
            assert np.nanmin(error) > 0
            sky = (coverage == 12) & (np.abs(fits.getdata(stacks["median"])) < 20)
            noise = 1.4826 * np.median(np.abs(hdus[0].data[sky]))
            assert np.median(error[sky]) == pytest.approx(noise, rel=0.08), mode
            # Stars have more, and so have edges that few frames reach.
            bright = fits.getdata(stacks["mean"]) > 3000
            assert np.median(error[bright]) > 2 * np.median(error[sky])
            assert np.median(error[coverage == 2]) > 1.8 * np.median(error[sky])


def test_astropy_takes_it_for_the_standard_error(corner_stacks: dict[str, Path]) -> None:
    path = corner_stacks["mean"]
    image = CCDData.read(path)
    assert image.uncertainty.uncertainty_type == "std"
    np.testing.assert_array_equal(image.uncertainty.array, fits.getdata(path, "UNCERT"))


@pytest.mark.parametrize("options", [{"threads": 3}, {"stack_memory_mb": 3}])
def test_threads_and_memory_change_no_byte(
    corner: Path, corner_stacks: dict[str, Path], tmp_path: Path, options: dict[str, Any]
) -> None:
    others = stack(corner, tmp_path, uncertainty=True, **options)
    for mode in MODES:
        assert others[mode].read_bytes() == corner_stacks[mode].read_bytes(), mode
    assert not [path for path in tmp_path.iterdir() if path.name.startswith("tmp")]


def test_bands_of_several_jobs_give_the_bytes_of_one(
    corner: Path, corner_stacks: dict[str, Path], tmp_path: Path
) -> None:
    stack_in_bands(corner, tmp_path, 3, uncertainty=True)
    for path in corner_stacks.values():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes(), path.name


def test_its_memory_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = frames_of(tmp_path, 6, "plain", 0)
    noise = measure(frames, ["mean"], 1, uncertainty=True).noise

    def height(noise: FrameNoise | None = None) -> int:
        rows, _ = next(iter(Bands([frames], ["mean"], 1, 1, noise=[noise])))
        return rows[1] - rows[0]

    assert height(noise) <= 0.6 * height()
    monkeypatch.setattr(bands, "machine_bytes", lambda: 0.5e6 / bands.SHARE)
    assert 1 <= height(noise) < 0.5 * height() + 1
    assert stack_memory([48.0] * 5000, uncertainty=True) == pytest.approx(
        2 * stack_memory([48.0] * 5000), rel=0.01
    )


@pytest.mark.parametrize("kind", ["no gain", "few stars"])
def test_a_gain_that_is_not_stated_is_measured_or_missed_aloud(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    frames = frames_of(tmp_path, 8, kind, 0)
    found = measure(frames, ["mean"], 1, uncertainty=True)
    if kind == "no gain":
        expected = [GAIN / frame.brightening for frame in frames]
        assert 0.8 < np.median(found.gain / expected) < 2
        assert "UNCERT" not in caplog.text
    else:
        assert np.isinf(found.gain).all()
        assert re.search("UNCERT lacks the noise of starlight in 8 of 8 frames", caplog.text)


def test_darks_tell_a_gain_that_is_not_stated(tmp_path: Path) -> None:
    """To the percents that the noise is known to, and noise_clip does without."""
    frames = frames_of(tmp_path, 8, "no gain", 0)
    before = measure(frames, ["noise_clip"], 1, uncertainty=False)
    read = READ_NOISE_E / GAIN
    for frame in frames:
        frame.header.update(DARKNOIS=read / 4, NDARKS=16)
    found = measure(frames, ["noise_clip"], 1, uncertainty=True)
    expected = [GAIN / frame.brightening for frame in frames]
    np.testing.assert_allclose(found.noise.gain, expected, rtol=0.06)
    np.testing.assert_array_equal(found.gain, before.gain)
    # Where most of the noise is that of reading, they tell nothing.
    for frame in frames:
        frame.header["DARKNOIS"] = frame.header["NOISEADU"] / 4
    assert np.isinf(gains_by_darks(frames)).all()


def test_grey_of_a_mosaic_has_the_noise_of_its_nine_pixels() -> None:
    """Neighbours share theirs: interpolation hardly lowers it, and on large scales it is more."""
    rng = np.random.default_rng(1)
    header = fits.Header([("NOISEADU", 10 * GREY_NOISE), ("SATURATE", 6e4), (GREY_OF, "RGGB")])
    header["EGAIN"] = 2.0
    matrix = np.array([[1, 0, 0.5], [0, 1, 0.4], [0, 0, 1]])
    frames, cube = [], []
    for number in range(6):
        transform = Transform(matrix if number else np.eye(3), (400, 500), (400, 500))
        pixels = rng.normal(0, 10, (400, 500)).astype(np.float32)
        grey_of_mosaic(pixels)
        frames.append(AlignedFrame(str(number), pixels, header, transform, 1.0))  # type: ignore[arg-type]
        cube.append(resample(pixels, 0, transform, (0, 400)))
    inner = np.stack(cube)[:, 10:-10, 10:-10]
    found = np.empty((400, 500), np.float32)
    variance = np.full((400, 500), (10 * GREY_NOISE) ** 2, np.float32)
    resample_variance(variance, 0, transform, (0, 400), scale=1, out=found, of_grey=True)
    assert found[200, 250] == pytest.approx(inner[1:].var(), rel=0.03)
    mean = inner.mean(axis=0)
    blocks = mean.reshape(19, 20, 24, 20).mean(axis=(1, 3)) * 20
    factor = propagate(frames, np.ones(6)).factor
    assert blocks.std() / mean.std() == pytest.approx(factor, rel=0.1)
    assert factor > 2.5
    light = _shot_noise(frames[0], 2.0, variance[:1])
    assert light[0, 0] == pytest.approx(GREY_NOISE**2 / 2)


def test_the_noise_is_known_all_over_a_frame() -> None:
    rng = np.random.default_rng(1)
    noise = 5 + np.linspace(0, 5, 900) + np.linspace(0, 3, 700)[:, None]
    places, found = noise_in_cells(rng.normal(0, noise).astype(np.float32))
    x, y = np.round(places).astype(int).T
    assert x.min() < 64
    assert x.max() > 800
    assert np.mean(found / noise[y, x]) == pytest.approx(1, abs=0.02)
    assert np.std(found / noise[y, x]) < 0.08


def test_the_setting_is_true_or_false() -> None:
    assert complete_settings({})["uncertainty"] is False
    # As the command line gives them.
    assert complete_settings({"uncertainty": "true"})["uncertainty"] is True
    assert complete_settings({"uncertainty": "False"})["uncertainty"] is False
    with pytest.raises(SettingsError, match="uncertainty: 'perhaps' is not true or false"):
        complete_settings({"uncertainty": "perhaps"})


def test_edges_without_frames_have_no_error() -> None:
    nothing: NDArray[np.float32] = np.full((3, 2, 4), np.nan, np.float32)
    made = combine(nothing, ["mean", "median", "sigma_clip", "winsorized"], variances=nothing)
    for error in made.errors.values():
        assert np.isnan(error).all()


def test_stacks_without_it_are_not_measured(tmp_path: Path) -> None:
    frames = frames_of(tmp_path, 2, "plain", 0)
    assert measure(frames, ["mean", "winsorized"], 1, uncertainty=False) == Measured()
    assert "shared_variance" not in Stacked({}, (frames,), frames[0], 2.5, "noise", {}).options(
        frames
    )
    assert Stacked({}, (frames,), frames[0], 2.5, "noise", {}).shape == SHAPE


@pytest.mark.parametrize("colour", range(3))
def test_colours_that_were_filled_in_lose_less_noise_when_they_are_resampled(colour: int) -> None:
    rng = np.random.default_rng(colour)
    shape = (200, 300)
    measured, predicted = 0.0, 0.0
    for _ in range(20):
        mosaic = rng.normal(0, 1, shape).astype(np.float32)
        plane = colour_of_mosaic(mosaic, (0, shape[0]), shape, "GRBG", colour)
        matrix = np.eye(3)
        matrix[:2, 2] = rng.uniform(-5, 5, 2)
        transform = Transform(matrix, shape, shape)
        measured += float(np.nanvar(resample(plane, 0, transform, (0, shape[0]))))
        even = np.full(shape, plane.var(), np.float32)
        variance = np.empty(shape, np.float32)
        resample_variance(even, 0, transform, (0, shape[0]), scale=1.0, out=variance)
        predicted += INTERPOLATED * float(np.nanmean(variance))
    assert measured / predicted == pytest.approx(1, abs=0.04)


def test_errors_from_few_repeats_are_right_on_average() -> None:
    n, weights = 5, np.ones(5)
    values = np.random.default_rng(6).normal(0, 1000, (n, WIDTH)).astype(np.float32)
    blocks = values, np.ones((n, WIDTH), np.float32)
    chosen, spread = np.arange(PIXELS), np.full(WIDTH, 1e6)
    repeats, error = np.empty((n, WIDTH), np.float32), np.zeros(WIDTH)
    squares = []
    for x in range(0, 600 * WIDTH, WIDTH):
        repeat(*blocks, spread, x, chosen, repeats)
        tell_errors(repeats[2].astype(float), repeats, weights, blocks, 0.0, chosen, error)
        squares.append(error[chosen] ** 2)
    assert np.mean(squares) == pytest.approx(1, abs=0.025)


@pytest.mark.parametrize("n", [5, 12])
@pytest.mark.parametrize("light", [50.0, 500.0])
def test_errors_are_right_where_noise_decides_what_is_clipped(n: int, light: float) -> None:
    # Each pixel is one of a star of its own, as many seeings see it.
    rng = np.random.default_rng(8)
    shape, modes = (n, 24, WIDTH), ("median", "sigma_clip", "winsorized")
    width, radius = rng.uniform(2.6, 3.4, shape), rng.uniform(0, 3, shape[1:])
    profile = (3 / width) ** 2 * np.exp(-4 * np.log(2) * (radius / width) ** 2)
    noise = 1 / rng.uniform(0.7, 1, (n, 1, 1))
    signal = light * np.sqrt((noise**2).mean() / n) * profile / profile.mean(axis=0)
    variances = np.broadcast_to(noise**2, shape).astype(np.float32)
    weights = noise.ravel() ** -2
    stacks = []
    for _ in range(20):
        cube = (signal + noise * rng.normal(size=shape)).astype(np.float32)
        stacks.append(combine(cube, modes, weights=weights, variances=variances))
    for mode in modes:
        scatter = np.var([stack.images[mode] for stack in stacks], axis=0, ddof=1).mean()
        told = np.square([stack.errors[mode] for stack in stacks]).mean()
        assert np.sqrt(scatter / told) == pytest.approx(1, abs=0.05), mode
