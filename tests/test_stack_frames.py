"""The stack does not depend on how it is computed, and says what it is."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from scipy.stats import spearmanr

from scripts import stack_frames
from scripts.lightstack.alignment.transform import Transform
from scripts.lightstack.files.frame_file import read_frame
from scripts.lightstack.files.records import read_json, write_json
from scripts.lightstack.job import JobError
from scripts.lightstack.simulator import Night
from scripts.lightstack.stacking.combining import MODES
from scripts.lightstack.stacking.psf_matching import TERMS
from scripts.lightstack.stacking.resampling import resample
from scripts.stack_frames import AlignedFrame
from tests.conftest import Run


def stack(run: Run, out: Path, alignment: Path | None = None, **options: Any) -> dict[str, Path]:
    alignment = alignment or run.folder / "results" / "alignment.json"
    frames = read_json(alignment)["frames"]
    cleaned = {name: run.folder / "work" / "cleaned" / f"{name}.fits" for name in frames}
    stacks = {mode: out / f"stack_{mode}.fits" for mode in MODES}
    settings: dict[str, Any] = {
        "sigma_clip": 2.5,
        "weights": "none",
        "stack_memory_mb": 1000,
        "threads": 1,
    }
    stack_frames.run(alignment, cleaned, stacks, **{**settings, **options})
    return stacks


@pytest.fixture(scope="module")
def stacks(
    simulated: tuple[Run, Night], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    return stack(simulated[0], tmp_path_factory.mktemp("stacks"))


@pytest.mark.parametrize(
    "options", [{"threads": 3}, {"stack_memory_mb": 2}, {"threads": 2, "stack_memory_mb": 7}]
)
def test_threads_and_memory_change_no_byte(
    simulated: tuple[Run, Night],
    stacks: dict[str, Path],
    tmp_path: Path,
    options: dict[str, Any],
) -> None:
    others = stack(simulated[0], tmp_path, **options)
    for mode in MODES:
        assert others[mode].read_bytes() == stacks[mode].read_bytes(), mode


def test_noise_clip_removes_trails_and_keeps_the_stars(
    stacks: dict[str, Path],
) -> None:
    image = {mode: fits.getdata(stacks[mode]).astype(float) for mode in MODES}
    coverage = fits.getdata(stacks["mean"], "COVERAGE")
    sky = (coverage == 12) & (np.abs(image["median"]) < 30)
    noise = 1.4826 * np.median(np.abs(image["noise_clip"][sky]))
    left = (image["noise_clip"] - image["median"])[sky] / noise
    # Sixty pixels of cosmic rays and a trail of a thousand; noise alone reaches 5 of the
    # difference of two estimates.
    assert (image["mean"] - image["median"])[sky].max() > 20 * noise
    assert left.max() < 5
    stars = (coverage == 12) & (image["median"] > 100 * noise)
    assert stars.sum() > 500
    kept = image["noise_clip"][stars].sum() / image["mean"][stars].sum()
    assert kept == pytest.approx(1, abs=0.003)


def aligned(run: Run) -> list[AlignedFrame]:
    found = read_json(run.folder / "results" / "alignment.json")
    cleaned = run.folder / "work" / "cleaned"
    return stack_frames._aligned_frames(
        found, {name: cleaned / f"{name}.fits" for name in found["frames"]}
    )


def test_the_seeing_is_measured_on_the_frames(simulated: tuple[Run, Night]) -> None:
    frames = aligned(simulated[0])
    noise = np.array([frame.noise for frame in frames])
    seeing, _ = stack_frames._measure_seeing(frames, noise, 1)
    assert seeing is not None
    assert (seeing.errors < 0.05).all()
    stacked = [row for row in simulated[0].ledger.values() if row["status"] == "stacked"]
    fwhm = [float(row["fwhm_px"]) for row in stacked]
    sharpens = (seeing.kernels @ TERMS.T)[:, TERMS.shape[0] // 2]
    assert spearmanr(fwhm, sharpens).statistic < -0.9


def test_the_level_of_saturated_pixels_is_known(simulated: tuple[Run, Night]) -> None:
    for frame in aligned(simulated[0]):
        read = read_frame(frame.pixels.path)
        assert read.saturated.any()
        level = read.header["SATURATE"]
        assert read.data[read.saturated].max() == pytest.approx(level, rel=0.01)
        assert frame.linear_below == pytest.approx(0.6 * level * frame.flux_scale, rel=0.01)


def test_weights_follow_the_noise_before_resampling(
    simulated: tuple[Run, Night], stacks: dict[str, Path], tmp_path: Path
) -> None:
    weighted = stack(simulated[0], tmp_path, weights="noise")
    for mode in ("median", "max", "min", "std"):
        np.testing.assert_array_equal(fits.getdata(weighted[mode]), fits.getdata(stacks[mode]))
    header = fits.getheader(weighted["mean"])
    assert header["WEIGHTS"] == "noise"
    sky = np.abs(fits.getdata(stacks["median"])) < 20
    plain, noise = (np.nanstd(fits.getdata(path["mean"])[sky]) for path in (stacks, weighted))
    assert noise < plain


def test_a_stack_of_one_is_refused(simulated: tuple[Run, Night], tmp_path: Path) -> None:
    alignment = tmp_path / "alignment.json"
    write_json(alignment, {"reference": "a", "frames": {}, "problem": "Fewer than two frames."})
    with pytest.raises(JobError, match="Fewer than two frames"):
        stack(simulated[0], tmp_path, alignment)
    assert not list(tmp_path.glob("stack_*"))


def header(**cards: object) -> fits.Header:
    return fits.Header(list(cards.items()))


@pytest.mark.parametrize(
    ("cards", "begin", "end"),
    [
        ({"DATE-OBS": "2026-03-01T21:00:00", "EXPTIME": 60}, "2026-03-01T21:00:00", "T21:01:00"),
        ({"DATE-OBS": "2026-03-01", "TIME-OBS": "21:00:00"}, "2026-03-01T21:00:00", "T21:00:00"),
        ({"DATE-OBS": "2026-03-01T21:00:00+01:00"}, "2026-03-01T20:00:00", "T20:00:00"),
        ({"DATE-OBS": "9999-12-31T23:59:59", "EXPTIME": 60}, "9999-12-31T23:59:59", "T23:59:59"),
        (
            {"DATE-OBS": "2026-03-01T21:00:00", "EXPTIME": -1e15},
            "2026-03-01T21:00:00",
            "T21:00:00",
        ),
        ({"DATE-OBS": "yesterday", "EXPTIME": 60}, None, None),
    ],
)
def test_dates_and_exposures_of_any_kind(
    cards: dict[str, object], begin: str | None, end: str | None
) -> None:
    found = stack_frames._begin(header(**cards)), stack_frames._end(header(**cards))
    assert found == (begin and f"{begin}.000", end and f"{(begin or '')[:10]}{end}.000")


def test_noise_and_gain_follow_the_size_of_the_pixels() -> None:
    rng = np.random.default_rng(1)
    matrix = np.diag([0.8, 0.8, 1.0])
    transform = Transform(matrix, (300, 300), (240, 240))
    frame = AlignedFrame(None, header(NOISEADU=10.0, EGAIN=2.0), transform, 1.5)  # type: ignore[arg-type]
    # Noise without the averaging of interpolation: that of whole pixels, each brighter by area.
    source = rng.normal(0, 10, (300, 300)).astype(np.float32)
    resampled = resample(source, 0, transform, (0, 240), scale=1.5)
    assert np.nanstd(resampled) == pytest.approx(frame.noise, rel=0.15)
    assert frame.noise == pytest.approx(10 * 1.5 / 0.64)
    assert frame.gain == pytest.approx(2 / (1.5 / 0.64))
