"""Exactly the work that is needed is done again."""

import os
import random
import shutil
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path

import pytest
from astropy.io import fits

from scripts.lightstack.simulator import make_night
from tests.conftest import (
    SMALL_SETTINGS,
    Run,
    copy_checkout,
    made_once,
    planned_jobs,
    snakemake,
    write_settings,
)

FRAME_JOBS = {"calibrate_frame", "subtract_background", "detect_sources", "grade_frame"}
AGGREGATES = {
    "select_frames",
    "align_frames",
    "list_frames",
    "stack_frames",
    "draw_preview",
    "write_report",
    "all",
}
REPORT = {"write_report": 1, "all": 1}

AFTER_STACK = {"stack_frames": 1, "draw_preview": 1, **REPORT}


IN_BANDS = {"measure_frames": 1, "stack_band": 3, "join_bands": 1, "draw_preview": 1, **REPORT}

INVENTORY = {"list_inventory": 1, **REPORT}
"""What any change of the files in the folders brings about."""


def jobs(frames: int = 0, *rules: str, aggregates: bool = True) -> dict[str, int]:
    """Count jobs: rules of this many frames, and aggregates once."""
    counts = dict.fromkeys(rules, frames) | (dict.fromkeys(AGGREGATES, 1) if aggregates else {})
    return {rule: count for rule, count in counts.items() if count}


def copy_of(dark: Path, path: Path) -> None:
    """Copy a dark, with another byte: twice the same file would count once."""
    shutil.copy(dark, path)
    fits.setval(path, "OBSERVER", value=path.stem)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a small night with a sixth light aside, run to its end.

    Two lights have a dark of their own; that of the fourth has another shape and cannot be used.
    """

    def make(folder: Path) -> Path:
        make_night(folder, shape=(200, 300), n_lights=6, n_stars=150, seed=4)
        (folder / "data" / "light_0006.fits").rename(folder / "another.fits")
        dark = folder / "darkfield" / "dark_01.fits"
        copy_of(dark, folder / "darkfield" / "light_0005.fits")
        fits.writeto(folder / "darkfield" / "light_0004.fits", fits.getdata(dark)[:100])
        write_settings(folder, **SMALL_SETTINGS)
        run = snakemake(folder)
        assert run.returncode == 0, run.output
        return folder

    return made_once(tmp_path_factory, "finished", make)


@pytest.fixture
def night(finished: Path, tmp_path: Path) -> Path:
    """Copy the finished night, times and all."""
    return shutil.copytree(finished, tmp_path / "night")


def planned(folder: Path, *config: str) -> dict[str, int]:
    arguments = ["--config", *config] if config else []
    return planned_jobs(snakemake(folder, "--dry-run", *arguments))


def all_files(folder: Path) -> list[Path]:
    hidden = folder / ".snakemake"
    return [path for path in folder.rglob("*") if path.is_file() and hidden not in path.parents]


def test_nothing_changed(night: Path) -> None:
    assert planned(night) == {}


@pytest.fixture(params=["contents count", "times would count"])
def limit(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """Return options by which Snakemake compares files with its records by content, or by time."""
    return () if request.param == "contents count" else ("--max-checksum-file-size", "0")


def in_any_order(folder: Path) -> None:
    """Give all files times within an hour, before and after now, as copies and clocks do."""
    rng = random.Random(3)
    for path in all_files(folder):
        moment = time.time() + rng.uniform(-1800, 1800)
        os.utime(path, (moment, moment))


def test_times_play_no_part(night: Path, limit: tuple[str, ...]) -> None:
    in_any_order(night)
    assert planned_jobs(snakemake(night, "--dry-run", *limit)) == {}


def test_what_a_run_has_measured_plays_no_part(night: Path, limit: tuple[str, ...]) -> None:
    measured = [night / "logs" / rule / "light_0002.tsv" for rule in FRAME_JOBS]
    measured += [night / "logs" / "stack_frames.tsv"]
    for path in measured[::2]:
        path.write_text("something else")
        os.utime(path, (1, 1))
    for path in measured[1::2]:
        path.unlink()
    assert planned_jobs(snakemake(night, "--dry-run", *limit)) == {}


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ("background_box=40", jobs(5, *FRAME_JOBS)),
        ("doubtful_darks=use", jobs(5, *FRAME_JOBS)),
        ("dark_scaling=exposure", jobs(5, *FRAME_JOBS)),
        ("fits_extension=1", {"combine_darks": 1, **jobs(5, *FRAME_JOBS)}),
        ("trim_section=none", {"combine_darks": 1, **jobs(5, *FRAME_JOBS)}),
        ("minarea=6", jobs(5, "detect_sources", "grade_frame")),
        ("normalize=none", jobs() | {"select_frames": 0}),
        ("sigma_clip=3", AFTER_STACK),
    ],
)
def test_settings_count_whatever_the_times(
    night: Path, limit: tuple[str, ...], config: str, expected: dict[str, int]
) -> None:
    in_any_order(night)
    run = snakemake(night, "--dry-run", "--config", config, *limit)
    assert planned_jobs(run) == {rule: n for rule, n in expected.items() if n}


@pytest.mark.parametrize("place", ["data", "darkfield", "work", "results"])
def test_files_from_the_future_do_not_stop_a_run(night: Path, place: str) -> None:
    for path in all_files(night / place):
        os.utime(path, (time.time() + 1e6,) * 2)
    changed = ("--config", "sigma_clip=3", "background_box=40", "--max-checksum-file-size", "0")
    run = snakemake(night, *changed)
    assert run.returncode == 0, run.output
    assert planned_jobs(snakemake(night, "--dry-run", *changed)) == {}


def test_a_copy_of_all_is_up_to_date(night: Path, tmp_path: Path, limit: tuple[str, ...]) -> None:
    copy = shutil.copytree(night, tmp_path / "copy", copy_function=shutil.copyfile)
    assert planned_jobs(snakemake(copy, "--dry-run", *limit)) == {}


def test_fresh_clone_over_existing_results(night: Path, tmp_path: Path) -> None:
    copy_checkout(tmp_path / "clone")
    run = snakemake(night, "--snakefile", str(tmp_path / "clone" / "Snakefile"), "--dry-run")
    assert "Nothing to be done" in run.output


def test_a_setting_counts_although_another_result_is_lost(night: Path) -> None:
    (night / "results" / "frames.csv").unlink()
    expected = {"list_frames": 1, **AFTER_STACK}
    assert planned(night, "sigma_clip=3") == expected


def test_a_frame_arrives(night: Path) -> None:
    (night / "another.fits").rename(night / "data" / "light_0006.fits")
    assert planned(night) == jobs(1, *FRAME_JOBS) | INVENTORY


def test_a_frame_is_removed(night: Path) -> None:
    (night / "data" / "light_0002.fits").unlink()
    assert planned(night) == jobs() | INVENTORY


@pytest.mark.parametrize("keep_time", [False, True])
def test_a_frame_is_replaced(night: Path, *, keep_time: bool) -> None:
    target = night / "data" / "light_0002.fits"
    before = target.stat()
    shutil.copyfile(night / "another.fits", target)
    if keep_time:
        os.utime(target, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert planned(night) == jobs(1, *FRAME_JOBS) | INVENTORY


def test_two_frames_swap_their_pixels(night: Path) -> None:
    one, two = night / "data" / "light_0001.fits", night / "data" / "light_0002.fits"
    one.rename(night / "aside")
    two.rename(one)
    (night / "aside").rename(two)
    assert planned(night) == jobs(2, *FRAME_JOBS) | INVENTORY


def test_a_dark_arrives_or_goes(night: Path) -> None:
    # The fifth light has a dark of its own, in whose place the master would come.
    expected = jobs(5, *FRAME_JOBS) | {"combine_darks": 1} | INVENTORY
    copy_of(night / "darkfield" / "dark_01.fits", night / "darkfield" / "dark_99.fits")
    assert planned(night) == expected
    (night / "darkfield" / "dark_99.fits").unlink()
    assert planned(night) == {}
    (night / "darkfield" / "dark_01.fits").unlink()
    assert planned(night) == expected


def test_a_dark_arrives_that_no_frame_uses(night: Path) -> None:
    dark = night / "darkfield" / "dark_99.fits"
    dark.write_text("no dark")
    assert planned(night) == INVENTORY
    shutil.copy(night / "darkfield" / "dark_01.fits", dark)
    fits.setval(dark, "EXPTIME", value=300.0)
    assert planned(night) == INVENTORY


def test_a_master_arrives_for_one_frame(night: Path) -> None:
    light = night / "data" / "light_0001.fits"
    fits.setval(light, "EXPTIME", value=300.0)
    run = snakemake(night)
    assert run.ledger["light_0001"]["dark"] == "none"
    assert "1 without a dark" in run.output
    dark = night / "darkfield" / "dark_99.fits"
    shutil.copy(night / "darkfield" / "dark_01.fits", dark)
    fits.setval(dark, "EXPTIME", value=300.0)
    assert planned(night) == jobs(1, *FRAME_JOBS) | {"combine_darks": 1} | INVENTORY


def test_a_same_name_dark_arrives(night: Path) -> None:
    shutil.copy(night / "darkfield" / "dark_01.fits", night / "darkfield" / "light_0003.fits")
    assert planned(night) == jobs(1, *FRAME_JOBS) | INVENTORY


@pytest.mark.parametrize(
    ("light", "without"), [("light_0004", REPORT), ("light_0005", jobs(1, *FRAME_JOBS))]
)
def test_a_same_name_dark_changes(night: Path, light: str, without: dict[str, int]) -> None:
    target = night / "darkfield" / f"{light}.fits"
    shutil.copy(night / "darkfield" / "dark_02.fits", target)
    assert planned(night) == jobs(1, *FRAME_JOBS) | INVENTORY
    target.write_text("no dark")
    assert planned(night) == without | INVENTORY
    target.unlink()
    assert planned(night) == without | INVENTORY


def test_a_dark_whose_frame_is_removed_serves_all_frames(night: Path) -> None:
    (night / "data" / "light_0005.fits").unlink()
    assert planned(night) == jobs(4, *FRAME_JOBS) | {"combine_darks": 1} | INVENTORY
    (night / "darkfield" / "light_0005.fits").unlink()
    assert planned(night) == jobs() | INVENTORY


@pytest.mark.parametrize(
    ("lost", "expected"),
    [
        ("work/cleaned/light_0002.fits", jobs(1, *FRAME_JOBS)),
        ("work/quality/light_0002.json", jobs(1, "grade_frame")),
        ("results/stack_max.fits", AFTER_STACK),
    ],
)
@pytest.mark.parametrize("rest", [None, b"", bytes(100)])
def test_a_result_whose_record_was_lost_is_made_again(
    night: Path, lost: str, expected: dict[str, int], rest: bytes | None
) -> None:
    record = night / ".snakemake" / "metadata" / urlsafe_b64encode(lost.encode()).decode()
    record.unlink()
    if rest is not None:
        record.write_bytes(rest)
    assert planned(night) == expected
    assert (night / lost).exists()


def test_calibrated_frames_can_be_kept(night: Path) -> None:
    run = snakemake(night, "--notemp", "--config", "background_box=40")
    assert run.returncode == 0, run.output
    rest = FRAME_JOBS - {"calibrate_frame"}
    assert planned(night) == jobs(5, *rest)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (["min_star_count=21"], jobs(5, "grade_frame")),
        (["ellip_max=0.45"], jobs(5, "grade_frame")),
        (["saturated_max_fraction=0.2"], jobs(5, "grade_frame")),
        (["threshold_sigma=6"], jobs(5, "detect_sources", "grade_frame")),
        (["minarea=6"], jobs(5, "detect_sources", "grade_frame")),
        (["background_box=40"], jobs(5, *FRAME_JOBS)),
        (["normalize=none"], jobs() | {"select_frames": 0}),
        (["sigma_clip=3"], AFTER_STACK),
        (["weights=none"], AFTER_STACK),
        (["uncertainty=true"], AFTER_STACK),
        (["modes=[mean,median]"], AFTER_STACK),
        (["minarea=6", "min_star_count=21"], jobs(5, "detect_sources", "grade_frame")),
        # The values of two settings change places.
        (["fwhm0=2.0", "fwhm_max_ratio=3.0"], jobs(5, "grade_frame")),
        (["stack_memory_mb=500"], {}),
        (["stack_bands=3"], {}),
        (["stack_bands=3", "sigma_clip=3"], IN_BANDS),
        (["stack_bands=3", "modes=[noise_clip]"], IN_BANDS),
        (["stack_bands=3", "uncertainty=true"], IN_BANDS),
        (["output_dir=elsewhere"], {"select_frames": 1, "all": 1}),
        (["dark_temperature_tolerance=2"], {}),
    ],
)
def test_a_setting_changes(night: Path, config: list[str], expected: dict[str, int]) -> None:
    assert planned(night, *config) == {rule: n for rule, n in expected.items() if n}


@pytest.fixture
def plan_with(
    night: Path, tmp_path: Path
) -> Callable[[str, Callable[[str], str]], dict[str, int]]:
    """Return the jobs that an edit of a script or module of a copied checkout plans."""
    clone = tmp_path / "clone"
    copy_checkout(clone)

    def plan(name: str, edit: Callable[[str], str]) -> dict[str, int]:
        path = clone / "scripts" / name
        path.write_text(edit(path.read_text()))
        return planned_jobs(snakemake(night, "--snakefile", str(clone / "Snakefile"), "--dry-run"))

    return plan


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("draw_preview.py", {"draw_preview": 1, **REPORT}),
        ("lightstack/alignment/registration.py", jobs() | {"select_frames": 0}),
        ("lightstack/resampling/plane.py", AFTER_STACK),
        ("lightstack/detection/quality.py", jobs(5, "grade_frame")),
        ("lightstack/files/stack_file.py", AFTER_STACK),
        ("join_bands.py", AFTER_STACK),
        ("lightstack/files/ledger.py", {"list_frames": 1, **REPORT}),
        # Modes that are not asked for.
        ("lightstack/stacking/winsorized.py", {}),
        ("lightstack/stacking/noise_clip.py", {}),
        ("lightstack/stacking/psf_matching.py", {}),
        # The frames stay the same.
        ("lightstack/planning/frames.py", {}),
        ("lightstack/simulator.py", {}),
    ],
)
def test_a_function_changes(
    plan_with: Callable[[str, Callable[[str], str]], dict[str, int]],
    module: str,
    expected: dict[str, int],
) -> None:
    changed = plan_with(module, lambda code: code + "\n\ndef new():\n    return 1\n")
    assert changed == {rule: n for rule, n in expected.items() if n}


def test_a_comment_or_docstring_changes(
    plan_with: Callable[[str, Callable[[str], str]], dict[str, int]],
) -> None:
    changed = plan_with(
        "lightstack/detection/quality.py",
        lambda code: "# A comment.\n" + code.replace('"""The verdict', '"""Our verdict'),
    )
    assert changed == {}


def results(run: Run) -> dict[str, bytes]:
    assert run.returncode == 0, run.output
    return run.results


def test_reruns_end_in_the_bytes_of_a_run_from_scratch(night: Path, tmp_path: Path) -> None:
    (night / "another.fits").rename(night / "data" / "light_0006.fits")
    snakemake(night, "--config", "threshold_sigma=7")
    (night / "data" / "light_0002.fits").unlink()
    (night / "darkfield" / "dark_02.fits").unlink()
    snakemake(night, "--config", "ellip_max=0.3", "reference=best")
    last = results(snakemake(night))
    fresh = tmp_path / "fresh"
    for name in ("data", "darkfield", "config"):
        shutil.copytree(night / name, fresh / name)
    scratch = results(snakemake(fresh))
    assert last.keys() == scratch.keys()
    for name, content in scratch.items():
        assert last[name] == content, name


def test_a_stack_in_bands_has_the_bytes_of_one_job(night: Path) -> None:
    before = results(snakemake(night))
    lost = night / "results" / "stack_max.fits"
    lost.unlink()
    assert planned(night, "stack_bands=3") == IN_BANDS
    assert results(snakemake(night, "--config", "stack_bands=3")) == before
    left = {path.name for path in (night / "work" / "stacks").iterdir()}
    assert not {name for name in left if "band" in name}
    assert planned(night) == {}


def test_ledger_follows_a_removed_frame(night: Path) -> None:
    (night / "another.fits").rename(night / "data" / "light_0006.fits")
    (night / "data" / "light_0002.fits").rename(night / "another.fits")
    run = snakemake(night)
    assert run.returncode == 0, run.output
    assert "light_0002" not in run.ledger
    assert not (night / "data_cleaned" / "light_0002.fits").exists()
    assert fits.getheader(night / "results" / "stack_mean.fits")["NCOMBINE"] == 2
    (night / "another.fits").rename(night / "data" / "light_0002.fits")
    assert planned(night) == jobs() | INVENTORY
