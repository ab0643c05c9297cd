"""The skies of frames are matched in the stack: gradients go, extended light stays."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from scripts.lightstack.alignment.transform import Transform
from scripts.lightstack.files.frame_file import Frame, PixelFile, read_header, write_frame
from scripts.lightstack.simulator import Light, add_star
from scripts.lightstack.sky.surface import Surface
from scripts.lightstack.stacking import gradients
from scripts.lightstack.stacking.aligned import AlignedFrame
from scripts.lightstack.stacking.bands import Bands
from scripts.lightstack.stacking.gradients import match_skies, read_skies, write_skies
from scripts.lightstack.stacking.odd_skies import note_odd_skies, told_of_odd_skies
from tests.conftest import snakemake

SHAPE = (420, 640)

NOISE = 8.0


def nebula() -> np.ndarray:
    y, x = np.indices(SHAPE)
    return 300 * np.exp(-((x - 320) ** 2 + (y - 200) ** 2) / 2 / 40**2)


def night(
    folder: Path,
    light: np.ndarray,
    count: int = 6,
    shift: int = 9,
    uneven: float = 1.0,
    lost: float = 0.0,
    height: int = SHAPE[0],
) -> list[AlignedFrame]:
    """Frames of the same light under uneven skies of their own, shifted by whole pixels.

    On its left side the first has lost some light, to some height.
    """
    rng, frames = np.random.default_rng(3), []
    for number in range(count):
        step = (number - count // 2) * shift
        scale = uneven * np.array([20, 40, 40, 15, 15, 15, 5, 5, 5, 5])
        sky = Surface(SHAPE, rng.normal(0, scale)).rows(0, SHAPE[0])
        data = np.roll(light, step, axis=1) + sky + rng.normal(0, NOISE, SHAPE)
        if number == 0:
            data[:height, : SHAPE[1] // 3] -= lost
        header = fits.Header([("NOISEADU", NOISE), ("SATURATE", 6e4)])
        path = folder / f"{number}.fits"
        write_frame(path, Frame(data.astype(np.float32), header, np.zeros(SHAPE, bool)))
        matrix = np.eye(3)
        matrix[0, 2] = -step
        transform = Transform(matrix, SHAPE, SHAPE)
        frames.append(
            AlignedFrame(str(number), PixelFile(path), read_header(path), transform, 1.0)
        )
    return frames


def matched(frames: list[AlignedFrame], threads: int = 1) -> list[AlignedFrame]:
    (skies,) = match_skies([frames], threads)
    return [replace(frame, sky=sky) for frame, sky in zip(frames, skies, strict=True)]


def stacked(frames: list[AlignedFrame], mode: str, memory_mb: int = 500) -> np.ndarray:
    bands = Bands([frames], [mode], memory_mb, 2)
    return np.concatenate([band.images[mode] for _, band in bands])


@pytest.mark.parametrize("most_bytes", [gradients.MOST_BYTES, 1])
def test_frames_are_left_without_differences(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most_bytes: int
) -> None:
    """Of few rows too, as where there are thousands of frames."""
    monkeypatch.setattr(gradients, "MOST_BYTES", most_bytes)
    frames = night(tmp_path, nebula())
    assert np.nanmedian(stacked(frames, "std")) > 3 * NOISE
    assert np.nanmedian(stacked(matched(frames), "std")) < 1.02 * NOISE


@pytest.mark.parametrize("mode", ["mean", "median"])
def test_extended_light_is_kept_and_the_sky_is_flat(tmp_path: Path, mode: str) -> None:
    light = nebula()
    left = stacked(matched(night(tmp_path, light)), mode) - light
    inside = light > 20
    assert abs(left[inside].sum()) < 0.03 * light[inside].sum()
    beside = (light < 0.3) & np.isfinite(left)
    blocks = [
        np.mean(left[y : y + 70, x : x + 80][beside[y : y + 70, x : x + 80]])
        for y in range(0, 420, 70)
        for x in range(0, 640, 80)
        if beside[y : y + 70, x : x + 80].mean() > 0.8
    ]
    assert len(blocks) > 10
    assert np.sqrt(np.mean(np.square(blocks))) < 0.1 * NOISE


def test_wings_of_stars_are_no_sky(tmp_path: Path) -> None:
    rng, light = np.random.default_rng(1), np.zeros(SHAPE, np.float32)
    for x, y, flux in zip(
        rng.uniform(0, SHAPE[1], 400),
        rng.uniform(0, SHAPE[0], 400),
        10 ** rng.uniform(3, 5, 400),
        strict=True,
    ):
        add_star(light, x, y, flux, Light(fwhm=5.0))
    left = stacked(matched(night(tmp_path, light, shift=0, uneven=0.02)), "mean") - light
    assert abs(left.mean()) < 0.03 * NOISE


def test_no_step_is_left_where_frames_end(tmp_path: Path) -> None:
    left = stacked(matched(night(tmp_path, np.zeros(SHAPE), shift=40)), "mean")
    steps = [
        left[:, edge - 20 : edge].mean() - left[:, edge : edge + 20].mean()
        for edge in range(40, 640, 40)
    ]
    known = np.isfinite(steps)
    assert known.sum() >= 13
    error = NOISE * np.sqrt(2 / (20 * SHAPE[0]))  # of a single frame
    assert np.abs(steps)[known].max() < 3 * error


@pytest.mark.parametrize("count", [3, 6])
def test_a_sky_that_is_unlike_the_others_is_told(tmp_path: Path, count: int) -> None:
    """As where a dome covers a part of the sky, or an amplifier has another offset."""
    frames = night(tmp_path, nebula(), count)
    header = fits.Header()
    note_odd_skies(header, [matched(frames)])
    assert not told_of_odd_skies(header)
    assert len(header) == 0
    covered = matched(night(tmp_path, nebula(), count, lost=10 * NOISE))
    note_odd_skies(header, [covered])
    assert header["NSKYODD"] == 1
    assert "the other frames, beside any gradient: 0 (by" in told_of_odd_skies(header)
    skies = tmp_path / "skies.fits"
    write_skies(skies, [[frame.sky for frame in covered]])
    for read, frame in zip(read_skies(skies, SHAPE, 1)[0], covered, strict=True):
        assert read is not None
        assert frame.sky is not None
        assert read.unlike == frame.sky.unlike
        assert read.coefficients.tobytes() == frame.sky.coefficients.tobytes()


@pytest.mark.parametrize(("lost", "height"), [(-1e5, 60), (2000.0, SHAPE[0])])
def test_what_shines_into_a_frame_or_covers_it_bends_no_other_sky(
    tmp_path: Path, lost: float, height: int
) -> None:
    frames = matched(night(tmp_path, nebula(), lost=lost, height=height))
    left = stacked(frames, "median") - nebula()
    assert np.nanstd(left) < 0.6 * NOISE
    header = fits.Header()
    note_odd_skies(header, [frames])
    assert header["NSKYODD"] == 1
    assert header["SKYODDBY"] == pytest.approx(abs(lost), rel=0.1)


def test_a_run_and_its_report_tell_of_a_sky_unlike_the_others(
    small_night: Callable[..., Path],
) -> None:
    folder = small_night()
    with fits.open(folder / "data" / "light_0002.fits", mode="update") as hdus:
        hdus[0].data[:66] = 0.8 * hdus[0].data[:66]
    run = snakemake(folder)
    assert run.returncode == 0, run.output
    told = "beside any gradient: light_0002 (by "
    assert told in run.output
    assert told in (folder / "results" / "report.html").read_text()


def test_matched_stacks_are_the_same_for_any_threads_and_memory(tmp_path: Path) -> None:
    frames = night(tmp_path, nebula(), count=3)
    one = stacked(matched(frames, threads=1), "mean")
    assert one.tobytes() == stacked(matched(frames, threads=3), "mean", 60).tobytes()


def test_a_stack_without_data_has_no_sky(tmp_path: Path) -> None:
    frames = night(tmp_path, np.full(SHAPE, np.nan), count=2)
    assert match_skies([frames]) == [[None, None]]
