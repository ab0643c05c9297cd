"""The workflow as a user runs it, against the simulator's truth."""

import html
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from astropy.io import fits
from PIL import Image

from scripts.lightstack.alignment.transform import Transform
from scripts.lightstack.detection.quality import stars
from scripts.lightstack.files.frame_file import PixelFile
from scripts.lightstack.files.ledger import COLUMNS
from scripts.lightstack.files.records import read_json
from scripts.lightstack.files.table_file import read_table
from scripts.lightstack.resampling.plane import resample
from scripts.lightstack.simulator import Night
from scripts.lightstack.stacking import modes
from tests.conftest import (
    ROOT,
    SMALL_SETTINGS,
    Run,
    copy_checkout,
    older_processor,
    planned_jobs,
    snakemake,
    write_settings,
)

MODES = ("mean", "median", "max", "min", "std", "sigma_clip")


WITNESS = """\
import atexit, os, pathlib, sys

HERE = pathlib.Path(__file__).parent
with (HERE / "started").open("a") as file:
    file.write(pathlib.Path(sys.orig_argv[1 if sys.orig_argv[1] != "-m" else 2]).name + "\\n")
if "snakemake" in sys.orig_argv:
    PID = os.getpid()
    atexit.register(
        lambda: os.getpid() == PID and (HERE / "imported").write_text("\\n".join(sys.modules))
    )
"""
"""Tells in files which processes of Python were started, and what the main one has imported."""


def test_files_keep_the_times_that_their_scripts_gave_them(simulated: tuple[Run, Night]) -> None:
    # Or no step would be handed the pixels that the one before it has in memory.
    for path in (simulated[0].folder / "work" / "cleaned").iterdir():
        status = path.stat()
        assert status.st_mtime_ns != status.st_ctime_ns, path


def test_bad_frames_are_rejected_for_the_right_reason_and_no_good_one(
    simulated: tuple[Run, Night],
) -> None:
    run, night = simulated
    assert run.returncode == 0, run.output
    assert list(run.ledger) == list(night.lights)
    reasons = {
        "clouded": "stars < min_star_count",
        "trailed": "ellipticity",
        "star-less": "stars <",
    }
    for frame, row in run.ledger.items():
        if frame in night.bad:
            assert row["status"] == "rejected"
            assert reasons[night.bad[frame]] in row["reasons"]
        else:
            assert row["status"] == "stacked", row


def test_summary_tells_the_rejected_frames_and_the_count(simulated: tuple[Run, Night]) -> None:
    run, night = simulated
    told = [line for line in run.output.splitlines() if re.search(r"\brejected: ", line)]
    assert len(told) <= len(night.bad)
    for frame in night.bad:
        assert sum(frame in line for line in told) == 1
    assert "12 of 15 frames stacked; 3 rejected" in run.output
    assert f"Preview: {run.folder / 'results' / 'preview.png'}" in run.output


def test_ledger_has_the_columns_of_the_contract(simulated: tuple[Run, Night]) -> None:
    run, _ = simulated
    header = (run.folder / "results" / "frames.csv").read_text().splitlines()[0]
    assert tuple(header.split(",")) == COLUMNS
    row = run.ledger["light_0002"]
    assert row["dark"].startswith("master of 5: 60 s")
    assert float(row["exptime_s"]) == 60
    assert row["date_obs"] == "2026-03-01T21:01:05"
    assert len(row["sha256"]) == 64


def test_transforms_are_true_to_a_tenth_of_a_pixel(simulated: tuple[Run, Night]) -> None:
    run, night = simulated
    alignment = read_json(run.folder / "results" / "alignment.json")
    reference = alignment["reference"]
    assert reference == "light_0001"
    assert len(alignment["frames"]) == 12
    ny, nx = night.camera.shape
    corners = np.array([[0, 0, 1], [nx - 1, 0, 1], [nx - 1, ny - 1, 1], [0, ny - 1, 1]])
    for frame, entry in alignment["frames"].items():
        assert int(run.ledger[frame]["n_stars"]) > 100
        truth = (corners @ night.transform(frame, reference).T)[:, :2]
        error = np.linalg.norm(np.array(entry["corners_px"]) - truth, axis=1)
        assert np.sqrt(np.mean(error**2)) < 0.1, frame


def test_fwhm_and_ellipticity_are_those_of_the_stars(simulated: tuple[Run, Night]) -> None:
    run, night = simulated
    for frame, light in night.lights.items():
        if frame in night.bad:
            continue
        quality = read_json(run.folder / "work" / "quality" / f"{frame}.json")
        table = stars(
            read_table(run.folder / "work" / "sources" / f"{frame}.fits"),
            quality["star_fwhm_px"],
        )
        bright = table[table["peak"] > 20 * quality["noise_adu"]]
        assert len(bright) > 50
        truth = light.fwhm * np.sqrt((1 + 1 / (1 - light.ellipticity) ** 2) / 2)
        assert np.median(bright["fwhm"]) == pytest.approx(truth, rel=0.05)
        assert np.median(bright["ellipticity"]) == pytest.approx(light.ellipticity, abs=0.03)
        assert quality["fwhm_px"] == pytest.approx(truth, rel=0.05)


def test_flux_scale_is_the_inverse_of_the_transparency(simulated: tuple[Run, Night]) -> None:
    run, night = simulated
    alignment = read_json(run.folder / "results" / "alignment.json")
    reference = night.lights[alignment["reference"]].transparency
    for frame, entry in alignment["frames"].items():
        truth = reference / night.lights[frame].transparency
        assert entry["flux_scale"] == pytest.approx(truth, rel=0.01)


def _aligned_frames(run: Run) -> np.ndarray:
    alignment = read_json(run.folder / "results" / "alignment.json")
    cleaned = {
        name: PixelFile(run.folder / "work" / "cleaned" / f"{name}.fits")
        for name in alignment["frames"]
    }
    shape = cleaned[alignment["reference"]].shape
    return np.stack(
        [
            resample(
                cleaned[name].read_rows(0, cleaned[name].shape[0]),
                0,
                Transform.from_json(entry, cleaned[name].shape, shape),
                (0, shape[0]),
                scale=entry["flux_scale"],
            )
            for name, entry in alignment["frames"].items()
        ]
    ).astype(np.float64)


def _weights(run: Run) -> np.ndarray:
    """Inverse variances of the frames' skies, on the reference's scale."""
    alignment = read_json(run.folder / "results" / "alignment.json")
    variances = []
    for name, entry in alignment["frames"].items():
        noise = read_json(run.folder / "work" / "quality" / f"{name}.json")["noise_adu"]
        scale = np.sqrt(np.linalg.det(entry["matrix"]))
        variances.append((noise * entry["flux_scale"] / scale**2) ** 2)
    return 1 / np.array(variances)


def _weighted_mean(cube: np.ndarray, weights: np.ndarray) -> np.ndarray:
    weight = np.where(np.isfinite(cube), weights[:, np.newaxis, np.newaxis], 0)
    total = weight.sum(axis=0)
    mean = (np.nan_to_num(cube) * weight).sum(axis=0) / np.where(total, total, np.nan)
    return np.asarray(mean)


def _clipped_mean(cube: np.ndarray, sigma: float, weights: np.ndarray) -> np.ndarray:
    mean, std = np.nanmean(cube, axis=0), np.nanstd(cube, axis=0)
    kept = np.where(np.abs(cube - mean) <= sigma * std, cube, np.nan)
    return _weighted_mean(kept, weights)


@pytest.mark.filterwarnings("ignore:.*(empty slice|All-NaN|Degrees of freedom).*:RuntimeWarning")
def test_stacks_equal_plain_numpy(simulated: tuple[Run, Night], tmp_path: Path) -> None:
    """Of frames whose skies are not brought to each other's."""
    folder = shutil.copytree(simulated[0].folder, tmp_path / "night")
    run = snakemake(folder, "--config", "background=plane")
    assert run.returncode == 0, run.output
    cube, weights = _aligned_frames(run), _weights(run)
    expected = {
        "mean": _weighted_mean(cube, weights),
        "median": np.nanmedian(cube, axis=0),
        "max": np.nanmax(cube, axis=0),
        "min": np.nanmin(cube, axis=0),
        "std": np.nanstd(cube, axis=0),
        "sigma_clip": _clipped_mean(cube, 2.5, weights),
    }
    coverage = np.isfinite(cube).sum(axis=0)
    assert coverage.min() < 8 < coverage.max() == 12
    for mode in MODES:
        with fits.open(run.folder / "results" / f"stack_{mode}.fits") as hdus:
            assert hdus[0].data.dtype == np.dtype(">f4")
            np.testing.assert_allclose(hdus[0].data, expected[mode], rtol=2e-6, atol=2e-4)
            np.testing.assert_array_equal(hdus["COVERAGE"].data, coverage)
            if mode == "sigma_clip":
                assert 0 < hdus["REJECTED"].data.sum() < 0.01 * cube.size


def test_satellite_is_in_the_maximum_and_not_in_the_clipped_stack(
    simulated: tuple[Run, Night],
) -> None:
    run, night = simulated
    (satellite,) = [name for name, light in night.lights.items() if light.satellite]
    names = list(read_json(run.folder / "results" / "alignment.json")["frames"])
    cube = _aligned_frames(run)
    others = np.delete(cube, names.index(satellite), axis=0)
    noise = float(run.ledger[satellite]["noise_adu"])
    trail = cube[names.index(satellite)] - np.median(others, axis=0) > 8 * noise
    assert trail.sum() > 1000
    stack = {mode: fits.getdata(run.folder / "results" / f"stack_{mode}.fits") for mode in MODES}
    excess = {
        mode: np.nanmedian((image - np.median(others, axis=0))[trail])
        for mode, image in stack.items()
    }
    assert excess["max"] > 8 * noise
    assert excess["mean"] > 0.7 * noise
    assert abs(excess["sigma_clip"]) < 0.2 * noise


def test_stack_header_counts_exposures_and_dates(simulated: tuple[Run, Night]) -> None:
    run, _ = simulated
    header = fits.getheader(run.folder / "results" / "stack_sigma_clip.fits")
    assert header["NCOMBINE"] == 12
    assert header["EXPTIME"] == 60
    assert header["TOTEXP"] == 720
    assert header["DATE-OBS"] == "2026-03-01T21:00:00.000"
    assert header["DATE-END"] == "2026-03-01T21:16:10.000"
    assert header["CLIPSIG"] == 2.5
    assert "RAWSHA" not in header
    assert any("astroalign" in line for line in header["HISTORY"])


def test_cleaned_folder_holds_the_accepted_frames_with_their_metrics(
    simulated: tuple[Run, Night],
) -> None:
    run, night = simulated
    names = {path.stem for path in (run.folder / "data_cleaned").glob("*.fits")}
    assert names == set(night.lights) - set(night.bad)
    with fits.open(run.folder / "data_cleaned" / "light_0002.fits") as hdus:
        row = run.ledger["light_0002"]
        assert hdus[0].header["FWHM"] == pytest.approx(float(row["fwhm_px"]))
        assert hdus[0].header["NSTARS"] == int(row["n_stars"])
        assert hdus[0].header["EXPTIME"] == 60
        cleaned = fits.getdata(run.folder / "work" / "cleaned" / "light_0002.fits")
        np.testing.assert_array_equal(hdus[0].data, cleaned)


def test_preview_shows_all_modes_with_sky_and_stars(simulated: tuple[Run, Night]) -> None:
    run, _ = simulated
    with Image.open(run.folder / "results" / "preview.png") as picture:
        pixels = np.asarray(picture)
    # A wide picture: three panels side by side, two rows, black gaps between.
    assert pixels.shape[1] > pixels.shape[0] > 600
    panel = pixels[60:400, 20:480]
    assert 25 < np.median(panel) < 90
    assert np.percentile(panel, 99.9) > 240


def test_nothing_is_done_twice(simulated: tuple[Run, Night]) -> None:
    run, _ = simulated
    again = snakemake(run.folder)
    assert again.returncode == 0
    assert "Nothing to be done" in again.output
    assert "12 of 15 frames stacked; 3 rejected" in again.output
    assert f"Preview: {run.folder / 'results' / 'preview.png'}" in again.output


def test_a_run_starts_two_processes_and_the_main_one_compiles_nothing(
    small_night: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(WITNESS)
    run = snakemake(small_night(), env={"PYTHONPATH": str(tmp_path)}, forked=False)
    assert run.returncode == 0, run.output
    assert (tmp_path / "started").read_text() == "snakemake\nzygote.py\n"
    imported = set((tmp_path / "imported").read_text().split())
    assert "snakemake" in imported
    assert not {"numba", "scipy", "astropy", "sep"} & imported
    # One that finds nothing to do starts no other.
    (tmp_path / "started").unlink()
    again = snakemake(run.folder, env={"PYTHONPATH": str(tmp_path)}, forked=False)
    assert "Nothing to be done" in again.output
    assert (tmp_path / "started").read_text() == "snakemake\n"


def test_results_are_the_same_bytes_with_one_core_and_with_two(
    small_night: Callable[..., Path], small_run: Run
) -> None:
    one, two = snakemake(small_night(), cores=1), small_run
    assert one.returncode == 0, one.output
    assert one.results.keys() == two.results.keys()
    assert len(one.results) > 9
    for name, content in one.results.items():
        assert content == two.results[name], name


def test_results_are_the_same_bytes_on_an_older_processor(
    small_night: Callable[..., Path],
) -> None:
    # First, as nothing is compiled for it: meanwhile other tests have compiled for this one.
    older = small_night("older", modes=[*modes.MODES])
    # On one core, or two processes would compile the same.
    other = snakemake(older, cores=1, env=older_processor(), forked=False)
    this = snakemake(small_night("this", modes=[*modes.MODES]))
    assert this.returncode == other.returncode == 0, other.output
    assert this.results == other.results


def test_a_blind_clip_is_told(small_run: Run) -> None:
    assert "sigma_clip is blind with 3 frames" in small_run.output
    assert "fewer than 8" in small_run.output
    page = (small_run.folder / "results" / "report.html").read_text()
    assert "sigma_clip is blind with 3 frames" in page


def test_dry_run_lists_every_job_from_the_start(small_night: Callable[..., Path]) -> None:
    jobs = planned_jobs(snakemake(small_night(), "--dry-run"))
    per_frame = ("calibrate_frame", "subtract_background", "detect_sources", "grade_frame")
    aggregates = (
        "combine_darks",
        "select_frames",
        "align_frames",
        "list_frames",
        "list_inventory",
        "stack_frames",
        "draw_preview",
        "write_report",
        "all",
    )
    assert jobs == {**dict.fromkeys(per_frame, 5), **dict.fromkeys(aggregates, 1)}


def test_a_dry_run_forms_no_groups(small_night: Callable[..., Path]) -> None:
    # With thousands of frames they took most of its time, and it submits none.
    run = snakemake(small_night(), "--dry-run", "--verbose")
    assert "rule grade_frame" in run.output
    assert "Group job" not in run.output


def test_debug_region_works_on_the_central_pixels(small_run: Run, finished_night: Path) -> None:
    folder = finished_night
    run = snakemake(folder, "--config", "debug_region=120", "min_star_count=5", "modes=[mean]")
    assert run.returncode == 0, run.output
    assert fits.getdata(folder / "results" / "stack_mean.fits").shape == (120, 120)
    cut = fits.getdata(folder / "work" / "cleaned" / "light_0001.fits")
    whole = fits.getdata(small_run.folder / "work" / "cleaned" / "light_0001.fits")
    assert whole.shape == (200, 300)
    # The same stars, up to the background model.
    assert np.corrcoef(cut.ravel(), whole[40:160, 90:210].ravel())[0, 1] > 0.95


def test_command_line_overrides_files_and_files_the_defaults(
    finished_night: Path, tmp_path: Path
) -> None:
    folder = finished_night
    write_settings(folder, **{**SMALL_SETTINGS, "min_star_count": 30})
    extra = tmp_path / "my.yaml"
    extra.write_text(yaml.safe_dump({"ellip_max": 0.4, "fwhm0": 4}))
    run = snakemake(
        folder, "--configfile", str(extra), "--config", "fwhm0=0.5", "threshold_sigma=6"
    )
    assert run.returncode == 1
    told = " ".join(row["reasons"] for row in run.ledger.values())
    assert "min_star_count 30" in told
    assert "ellip_max 0.4" in told
    assert "fwhm0 0.5" in told


def test_bad_files_are_rows_and_do_not_stop_the_others(finished_night: Path) -> None:
    folder = finished_night
    data = folder / "data"
    good = (data / "light_0001.fits").read_bytes()
    (data / "a empty.fits").write_bytes(b"")
    (data / "b cut.fits").write_bytes(good[: len(good) // 2])
    (data / "c no image.png").write_text("these are no pixels")
    fits.writeto(data / "d line.fits", np.arange(100.0))
    fits.writeto(data / "e nan.fits", np.full((200, 300), np.nan))
    # With another pixel: a copy would count once.
    other = bytearray(good)
    other[2 * 2880] ^= 1
    (data / "f $(touch pwned); 'x\".fits").write_bytes(other)
    (data / "g\nline.fits").write_bytes(good)
    (data / "h dangling.fits").symlink_to("nowhere")
    (data / "notes.txt").write_text("not a frame")
    run = snakemake(folder)
    assert run.returncode == 0, run.output
    ledger = run.ledger
    assert (
        ledger["light_0001"]["status"] == ledger["f $(touch pwned); 'x\""]["status"] == "stacked"
    )
    for frame, cause in {
        "a empty": "empty",
        "b cut": "truncated",
        "c no image": "not a PNG",
        "d line": "no 2-D image",
        "e nan": "no pixel has data",
        "g\nline": "control character",
        "h dangling": "does not exist",
    }.items():
        assert ledger[frame]["status"] == "failed"
        assert cause in ledger[frame]["reasons"]
    assert len(ledger) == 13
    assert not list(folder.rglob("pwned"))
    assert "Traceback" not in run.output


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"min_star_count": 5000}, "too few stars (lower min_star_count"),
        ({"reference": "light_0003"}, "reference 'light_0003' is not among the accepted frames"),
        ({"min_star_count": 100}, "Fewer than two frames to stack"),
    ],
)
def test_too_few_frames_is_one_sentence_and_a_ledger(
    small_night: Callable[..., Path], change: dict[str, object], sentence: str
) -> None:
    run = snakemake(small_night(**change))
    assert run.returncode == 1
    assert sentence in run.output
    assert "Traceback" not in run.output
    assert len(run.ledger) == 5
    assert "stacked" not in {row["status"] for row in run.ledger.values()}
    page = run.folder / "results" / "report_without_stacks.html"
    assert f"Report: {page}" in run.output
    assert sentence in html.unescape(page.read_text())
    again = snakemake(run.folder, "--config", "min_star_count=20", "reference=first")
    assert again.returncode == 0, again.output
    assert not page.exists()
    assert f"Report: {run.folder / 'results' / 'report.html'}" in again.output


def test_a_stack_of_too_few_frames_is_not_tried_again(finished_night: Path) -> None:
    folder = finished_night
    write_settings(folder, **{**SMALL_SETTINGS, "min_star_count": 10_000})
    run = snakemake(folder, "--retries", "2", "--verbose")
    assert run.returncode == 1
    assert "Trying to restart job" not in run.output
    run = snakemake(folder, "--retries", "2", "--verbose", "--config", "stack_bands=2")
    assert run.returncode == 1
    assert "Trying to restart job" not in run.output


def test_snakemakes_own_report_has_what_people_look_at(simulated: tuple[Run, Night]) -> None:
    run, _ = simulated
    report = run.folder / "snakemake.html"
    assert snakemake(run.folder, "--report", str(report)).returncode == 0
    content = report.read_text()
    for result in ("report.html", "frames.csv", "preview.png"):
        assert f"results/{result}" in content
    for caption in (ROOT / "rules" / "captions").iterdir():
        assert caption.read_text().strip()[:40] in content


def test_mistakes_are_told_before_any_job(tmp_path: Path) -> None:
    def message(*config: str) -> str:
        run = snakemake(tmp_path, *(["--config", *config] if config else []))
        assert run.returncode == 1
        assert "Traceback" not in run.output
        return run.output

    assert "input_dir: there is no folder data" in message()
    (tmp_path / "data").mkdir()
    assert "no frame below data" in message()
    (tmp_path / "data" / "a.fits").touch()
    both = message("treshold_sigma=5", "minarea=many", "fwhm0=-1")
    assert "did you mean threshold_sigma?" in both
    assert "minarea: 'many' is not an integer" in both
    assert "fwhm0: -1 must be above 0" in both
    (tmp_path / "data" / "a.FIT").touch()
    twice = message()
    assert "data/a.FIT" in twice
    assert "data/a.fits" in twice


def test_files_of_others_in_the_output_folder_are_left_alone(
    small_night: Callable[..., Path],
) -> None:
    folder = small_night()
    (folder / "data_cleaned").mkdir()
    mine = folder / "data_cleaned" / "light_0001.fits"
    mine.write_text("mine")
    run = snakemake(folder)
    assert run.returncode == 1
    assert "holds files that the workflow did not write (light_0001.fits)" in run.output
    assert mine.read_text() == "mine"


def test_dark_of_the_same_name_goes_before_the_master(finished_night: Path) -> None:
    folder = finished_night
    shutil.copy(folder / "darkfield" / "dark_01.fits", folder / "darkfield" / "light_0002.fits")
    run = snakemake(folder)
    assert run.returncode == 0, run.output
    assert run.ledger["light_0002"]["dark"] == "light_0002.fits"
    assert run.ledger["light_0001"]["dark"].startswith("master of 5")
    raw, dark = (
        fits.getdata(folder / name / "light_0002.fits").astype(np.float32)
        for name in ("data", "darkfield")
    )
    snakemake(folder, "--notemp", "--forcerun", "calibrate_frame", "--until", "calibrate_frame")
    written = fits.getdata(folder / "work" / "calibrated" / "light_0002.fits")
    np.testing.assert_array_equal(written, raw - dark)


def test_without_a_dark_frames_go_on_and_the_ledger_says_so(
    small_night: Callable[..., Path],
) -> None:
    folder = small_night()
    shutil.rmtree(folder / "darkfield")
    run = snakemake(folder)
    assert run.returncode == 0, run.output
    assert {row["dark"] for row in run.ledger.values()} == {"none"}
    assert "without a dark" in run.output


def test_pictures_stack_like_fits_files(small_night: Callable[..., Path]) -> None:
    folder = small_night(modes=["mean"])
    shutil.rmtree(folder / "darkfield")
    for number, extension in ((1, "png"), (2, "tif"), (5, "TIFF")):
        raw = folder / "data" / f"light_000{number}.fits"
        pixels = fits.getdata(raw).astype(np.uint16)
        raw.unlink()
        Image.fromarray(pixels).save(raw.with_suffix(f".{extension}"))
    run = snakemake(folder)
    assert run.returncode == 0, run.output
    stacked = [frame for frame, row in run.ledger.items() if row["status"] == "stacked"]
    assert stacked == ["light_0001", "light_0002", "light_0005"]


def test_lint_finds_nothing(small_night: Callable[..., Path]) -> None:
    run = snakemake(small_night(), "--lint")
    assert run.returncode == 0, run.output
    assert "Congratulations" in run.output


def test_a_dark_that_does_not_fit_gives_way_to_the_master(finished_night: Path) -> None:
    folder = finished_night
    fits.writeto(folder / "darkfield" / "light_0001.fits", np.ones((20, 30), np.float32))
    (folder / "darkfield" / "light_0002.fits").write_text("no dark")
    run = snakemake(folder)
    assert run.returncode == 0, run.output
    assert run.ledger["light_0001"]["dark"].startswith("master of 5")
    assert run.ledger["light_0002"]["dark"].startswith("master of 5")


def test_results_of_other_settings_do_not_stay(finished_night: Path) -> None:
    folder = finished_night
    assert snakemake(folder, "--config", "modes=[mean]").returncode == 0
    assert [path.name for path in (folder / "results").glob("*.fits")] == ["stack_mean.fits"]
    failed = snakemake(folder, "--config", "min_star_count=5000")
    assert failed.returncode == 1
    assert failed.output.count("frames was accepted: 5 for too few stars") == 1
    assert "Not there yet" not in failed.output
    left = {path.name for path in (folder / "results").iterdir()}
    lists = {"inventory.csv", "selection.csv", "frames.csv"}
    assert left == {*lists, "alignment.json", "report_without_stacks.html", "previous"}
    assert {path.name for path in (folder / "results" / "previous").iterdir()} == {
        "stack_mean.fits",
        "preview.png",
        "report.html",
    }


def test_the_last_good_stacks_stay_until_there_are_new_ones(finished_night: Path) -> None:
    folder = finished_night
    write_settings(folder, **SMALL_SETTINGS, modes=["mean", "max"])
    results, previous = folder / "results", folder / "results" / "previous"
    good = snakemake(folder).results
    for setting in ("min_star_count=5000", "reference=nobody"):
        assert snakemake(folder, "--config", setting).returncode == 1
        kept = {path.name: path.read_bytes() for path in previous.iterdir()}
        assert kept == {
            name: good[f"results/{name}"]
            for name in ("stack_mean.fits", "stack_max.fits", "preview.png", "report.html")
        }
        assert not list(results.glob("stack_*.fits"))
    assert snakemake(folder).results == good
    assert not previous.exists()


def test_a_failure_does_not_tell_the_story_of_an_earlier_run(finished_night: Path) -> None:
    folder = finished_night
    shutil.rmtree(folder / "data_cleaned")
    (folder / "data_cleaned").symlink_to("/dev/null")
    run = snakemake(folder, "--config", "min_star_count=21")
    assert run.returncode == 1
    assert "frames stacked" not in run.output


def test_the_end_of_a_run_says_what_is_there(small_night: Callable[..., Path]) -> None:
    folder = small_night(modes=["mean"])
    planned = snakemake(folder, "--dry-run")
    assert "Not there yet" not in planned.output
    run = snakemake(folder, "--omit-from", "stack_frames")
    assert run.returncode == 0, run.output
    assert "3 of 5 frames to be stacked; 2 rejected" in run.output
    assert "Not there yet: results/stack_mean.fits, results/preview.png" in run.output
    assert "Preview:" not in run.output
    run = snakemake(folder)
    assert "3 of 5 frames stacked; 2 rejected" in run.output
    assert "Not there yet" not in run.output
    run = snakemake(folder, "--config", "sigma_clip=3", "--until", "list_frames")
    assert "3 of 5 frames to be stacked; 2 rejected" in run.output
    earlier = "Of an earlier state of frames, settings or code: results/stack_mean.fits"
    assert earlier in run.output
    run = snakemake(folder, "--config", "minarea=6", "--until", "grade_frame")
    assert "frames stacked" not in run.output
    assert "Of an earlier state of frames, settings or code: results/frames.csv" in run.output


def test_a_checkout_may_lie_anywhere(small_night: Callable[..., Path], tmp_path: Path) -> None:
    checkout = tmp_path / "it's a (new) ü"
    copy_checkout(checkout)
    (checkout / ".venv").symlink_to(sys.prefix)
    python = checkout / ".venv" / "bin" / "python"
    command = [str(python), "-m", "snakemake", "--snakefile", str(checkout / "Snakefile")]
    for executor, n_stacked in (("warm", "3 of 5"), ("local", "2 of 2")):
        folder = small_night(f"my ({executor}) night", modes=["mean"])
        if executor == "local":  # each of its jobs imports all anew
            shutil.rmtree(folder / "darkfield")
            for number in (3, 4, 5):
                (folder / "data" / f"light_000{number}.fits").unlink()
            twin = shutil.copytree(folder, tmp_path / "twin")
        run = subprocess.run(
            [*command, "--directory", str(folder), "--cores", "2", "--executor", executor],
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, run.stdout + run.stderr
        assert f"{n_stacked} frames stacked" in run.stdout
        assert f"Preview: {folder / 'results' / 'preview.png'}" in run.stdout
    # Whichever executor runs the jobs, and wherever the checkout lies.
    assert Run(folder, 0, run.stdout).results == snakemake(twin).results


def test_lost_records_are_told(finished_night: Path) -> None:
    folder = finished_night
    shutil.rmtree(folder / ".snakemake")
    run = snakemake(folder)
    assert run.returncode == 1
    assert "The records of earlier runs (.snakemake/metadata) are gone" in run.output
    (folder / ".snakemake" / "metadata").mkdir(parents=True, exist_ok=True)
    assert snakemake(folder).output == run.output
