"""Tests of `snakemake tune`: what other settings would find, and which are suggested."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scripts import tune
from scripts.lightstack.detection.tuning import REGION_PX, Trial, suggestion, try_settings
from scripts.lightstack.files.frame_file import Frame, write_frame
from scripts.lightstack.files.records import read_csv
from scripts.lightstack.job import JobError
from scripts.lightstack.planning.settings import complete_settings
from scripts.lightstack.raw.image import UnusableFrameError, central_region
from scripts.lightstack.report.tuning import advice_of
from tests.conftest import planned_jobs, snakemake

TRIAL = Trial(5.0, 5, 100.0, 0.0, 3.0, 0.1)


def sky(n_stars: int, seed: int = 3) -> np.ndarray:
    """Draw a frame of 200 x 240 pixels with noise of 10 ADU and stars of FWHM 3 px."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:200, :240]
    image = rng.normal(0, 10, y.shape)
    for _ in range(n_stars):
        x0, y0 = rng.uniform(10, 230), rng.uniform(10, 190)
        image += 600 * np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / (2 * 1.274**2))
    return np.asarray(image, np.float32)


def cleaned(folder: Path, n_stars: int) -> Path:
    from astropy.io import fits

    data = sky(n_stars)
    header = fits.Header({"NOISEADU": 10.0, "RAWSHA": "0"})
    path = folder / f"stars_{n_stars}.fits"
    write_frame(path, Frame(data, header, np.zeros(data.shape, bool)))
    return path


def test_the_middle_is_looked_at_or_all_of_a_small_frame() -> None:
    assert np.zeros((3000, 800))[central_region((3000, 800), REGION_PX)].shape == (1000, 800)
    assert central_region((3001, 5000), REGION_PX)[0] == slice(1000, 2000)


def test_stars_are_found_and_noise_is_known_as_such() -> None:
    data = sky(30)
    options = {"smoothing_sigma": 1.0, "outlier_mad_thresh": 3.0}
    nothing = np.zeros(data.shape, bool)
    sources, kept, n_false = try_settings(
        data, nothing, 10.0, threshold_sigma=5, minarea=5, **options
    )
    assert 25 <= kept.sum() <= len(sources) <= 31
    assert n_false == 0
    _, _, n_false = try_settings(data, nothing, 10.0, threshold_sigma=1, minarea=1, **options)
    assert n_false > 3
    # So low a threshold fills the frame.
    _, kept, n_false = try_settings(data, nothing, 90.0, threshold_sigma=0, minarea=1, **options)
    assert kept.sum() < n_false


def test_the_least_deep_settings_with_room_for_worse_frames_are_suggested() -> None:
    trials = [replace(TRIAL, minarea=n, n_stars=300.0 - n) for n in (3, 5, 20, 120)]
    few = replace(TRIAL, minarea=50, n_stars=20.0)
    noisy = replace(TRIAL, minarea=1, n_stars=205.0, n_false=30.0)
    assert suggestion([*trials, few, noisy], few, 100) == trials[2]
    assert suggestion([*trials, few], trials[0], 100) == trials[0]  # they are good as they are
    assert suggestion([*trials, few], few, 1000) == trials[0]
    assert suggestion([noisy], noisy, 10) is None


def test_what_is_suggested_is_said() -> None:
    found = replace(TRIAL, threshold_sigma=4.0, n_stars=210.0)
    assert advice_of(TRIAL, found, 100)[1:] == [
        "For 2 x min_star_count 100:",
        "  --config threshold_sigma=4 minarea=5",
        "  finds 210",
    ]
    assert "min_star_count=105" in advice_of(TRIAL, found, 1000)[2]
    assert advice_of(TRIAL, TRIAL, 50)[0].endswith("enough for min_star_count=50")
    assert "No settings find stars" in advice_of(TRIAL, None, 50)[1]


def test_the_frame_with_the_most_stars_is_looked_at(tmp_path: Path) -> None:
    frames = {path.stem: path for path in (cleaned(tmp_path, n) for n in (2, 40, 5))}
    settings = complete_settings({"min_star_count": 10, "threshold_sigma": 8})
    files = [(tmp_path / f"{k}.png", tmp_path / f"{k}.csv") for k in (1, 2)]
    for threads, (picture, table) in enumerate(files, start=1):
        tune.run(frames, picture, table, settings=settings, threads=threads)
    assert files[0][0].read_bytes() == files[1][0].read_bytes()
    rows = read_csv(files[0][1])
    assert {row["frame"] for row in rows} == {"stars_40"}
    assert len(rows) == 8 * 5
    (suggested,) = (row for row in rows if row["suggested"])
    assert 20 <= float(suggested["n_stars"]) <= 40
    with Image.open(files[0][0]) as image:
        assert image.mode == "RGB"
        assert max(image.size) < 4096


def test_frames_without_an_image_are_a_sentence(tmp_path: Path) -> None:
    from scripts.lightstack.files.frame_file import write_failure

    write_failure(tmp_path / "a.fits", UnusableFrameError("torn"), {"RAWSHA": "0"})
    with pytest.raises(JobError, match="None of a has an image"):
        tune.run(
            {"a": tmp_path / "a.fits"},
            tmp_path / "a.png",
            tmp_path / "a.csv",
            settings=complete_settings({}),
            threads=1,
        )


def test_tuning_needs_three_frames_and_says_what_to_set(small_night: Callable[..., Path]) -> None:
    folder = small_night()
    plan = planned_jobs(snakemake(folder, "--dry-run", "tune"))
    assert plan["calibrate_frame"] == plan["subtract_background"] == 3
    assert not {"grade_frame", "stack_frames"} & plan.keys()
    run = snakemake(folder, "tune")
    assert run.returncode == 0, run.output
    assert "As set, threshold_sigma=5 minarea=5: " in run.output
    assert f"Picture: {folder / 'results' / 'tune.png'}" in run.output
    assert "Not there yet" not in run.output
    assert planned_jobs(snakemake(folder, "--dry-run", "tune")) == {}
