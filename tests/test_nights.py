"""The frames of finished runs, stacked together where they lie."""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from scripts.lightstack.files.records import read_json, write_json
from scripts.lightstack.planning.joining import join_nights
from scripts.lightstack.planning.nights import names_of, run_meanwhile
from scripts.lightstack.planning.recovery import record_of
from scripts.lightstack.planning.settings import SettingsError
from scripts.lightstack.simulator import Light, Night, make_camera, make_sky, write_night
from tests.conftest import (
    SMALL_SETTINGS,
    Run,
    made_once,
    planned_jobs,
    snakemake,
    write_settings,
)

SHAPE = (200, 300)

# What a shell would make something of.
NIGHTS = ("n1", "n2 it's $(touch pwned)", "n3")

SETTINGS = {**SMALL_SETTINGS, "modes": ["mean", "median", "noise_clip"]}

OF_ALL_FRAMES = ("align_frames", "list_frames", "list_inventory", "stack_frames", "draw_preview")

AGGREGATES = dict.fromkeys((*OF_ALL_FRAMES, "write_report", "all"), 1)


def lights(night: int, count: int) -> dict[str, Light]:
    rng = np.random.default_rng(night)
    return {
        f"light_{number}": Light(
            shift=(float(rng.uniform(-9, 9)), float(rng.uniform(-9, 9))),
            rotation_deg=float(rng.uniform(-1, 1)),
            transparency=float(rng.uniform(0.85, 1)),
        )
        for number in range(1, count + 1)
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run three nights, and all their frames as one night.

    The second has a cloudy frame and a file that is none, the third a single frame: too few for
    a stack of its own.
    """

    def make(folder: Path) -> Path:
        camera = make_camera(np.random.default_rng(1), SHAPE)
        sky = make_sky(np.random.default_rng(2), SHAPE, 150)
        frames = [lights(1, 3), lights(2, 3) | {"cloudy": Light(transparency=0.0)}, lights(3, 1)]
        for number, (name, taken) in enumerate(zip(NIGHTS, frames, strict=True)):
            night = folder / name
            write_night(night, Night(sky, camera, taken, seed=number))
            if number == 1:
                (night / "data" / "bad.fits").write_bytes(b"no image")
                (night / "late.fits").write_bytes((night / "data" / "light_3.fits").read_bytes())
                (night / "data" / "light_3.fits").unlink()
            shutil.copytree(night / "data", folder / "one" / "data" / name)
            if number:
                shutil.rmtree(night / "darkfield")
                shutil.copytree(folder / NIGHTS[0] / "darkfield", night / "darkfield")
            write_settings(night, **SETTINGS)
            assert snakemake(night).returncode == (number == 2)
        shutil.copytree(folder / NIGHTS[0] / "darkfield", folder / "one" / "darkfield")
        write_settings(folder / "one", **SETTINGS)
        assert snakemake(folder / "one").returncode == 0
        nights = [f"../{name}" for name in NIGHTS]
        write_settings(folder / "joint", nights=nights, modes=SETTINGS["modes"])
        return folder

    return made_once(tmp_path_factory, "nights", make)


@pytest.fixture
def nights(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copy the nights, and stand in the folder that is to join them."""
    folder = shutil.copytree(finished, tmp_path / "nights", symlinks=True)
    monkeypatch.chdir(folder / "joint")
    return folder


@pytest.fixture
def told(nights: Path) -> Callable[..., str]:
    """Join nights that cannot be, and return what is said about it."""

    def message(**config: object) -> str:
        assert nights.is_dir()
        with pytest.raises(SettingsError) as caught:
            join_nights({"nights": [f"../{name}" for name in NIGHTS], **config})
        return str(caught.value)

    return message


def test_nights_without_colours_are_named(told: Callable[..., str]) -> None:
    message = told(color="rgb")
    assert "../n1 was run without colours" in message
    assert "Run it again with color: rgb." in message


def states(folder: Path) -> dict[str, tuple[int, int, int]]:
    return {
        str(path): (status.st_ino, status.st_size, status.st_mtime_ns)
        for path in folder.rglob("*")
        if (status := path.lstat())
    }


def test_a_stack_over_nights_has_the_bytes_of_one_run_over_their_frames(nights: Path) -> None:
    before = [states(nights / name) for name in NIGHTS]
    run = snakemake(nights / "joint")
    assert run.returncode == 0, run.output
    assert "Found 8 lights of 3 nights" in run.output
    whole, joined = Run(nights / "one", 0, "").results, run.results
    same = ["stack_mean.fits", "stack_median.fits", "stack_noise_clip.fits", "preview.png"]
    for name in (*same, "alignment.json", "frames.csv"):
        assert joined[f"results/{name}"] == whole[f"results/{name}"], name
    others = {name for name in whole if "data_cleaned" not in name} - joined.keys()
    assert others == {"results/selection.csv"}
    assert run.ledger[f"{NIGHTS[2]}/light_1"]["status"] == "stacked"

    # Nothing is written there, nothing copied here, and nothing done twice.
    assert [states(nights / name) for name in NIGHTS] == before
    assert not (nights / "joint" / "data_cleaned").exists()
    assert {path.parent.name for path in (nights / "joint" / "work").rglob("*.fits")} == {"stacks"}
    assert not list(nights.rglob("pwned"))
    assert "Nothing to be done" in snakemake(nights / "joint").output

    # A night gets a frame: of the others, nothing is aligned again.
    shutil.move(nights / NIGHTS[1] / "late.fits", nights / NIGHTS[1] / "data" / "light_3.fits")
    assert planned_jobs(snakemake(nights / "joint", "--dry-run")) == {}
    assert snakemake(nights / NIGHTS[1]).returncode == 0
    assert planned_jobs(snakemake(nights / "joint", "--dry-run")) == AGGREGATES
    assert snakemake(nights / "joint").returncode == 0
    log = (nights / "joint" / "logs" / "align_frames.log").read_text()
    assert "5 of 6 alignments are known." in log
    header = fits.getheader(nights / "joint" / "results" / "stack_mean.fits")
    assert header["NCOMBINE"] == 7

    # So does a night that goes.
    only = "nights=[../n1, ../n3]"
    assert planned_jobs(snakemake(nights / "joint", "--dry-run", "--config", only)) == AGGREGATES


@pytest.mark.usefixtures("nights")
def test_files_of_nights_are_listed_with_their_paths() -> None:
    plan, _, _ = join_nights({"nights": ["../n1", "../n3"]})
    files = [row["file"] for row in plan.inventory]
    assert {Path(file).parent.as_posix() for file in files} == {
        *("../n1/data", "../n1/darkfield", "../n3/data", "../n3/darkfield")
    }
    assert all(Path(file).is_file() for file in files)


def test_nights_can_be_grouped(nights: Path) -> None:
    folder = nights / "joint"
    grouped = {"group_by": ["folder"], "modes": SETTINGS["modes"]}
    write_settings(folder, nights=["../n1", f"../{NIGHTS[1]}"], **grouped)
    write_settings(nights / "one", **SETTINGS, group_by=["folder"])
    shutil.rmtree(nights / "one" / "data" / NIGHTS[2])
    joint, one = snakemake(folder, "--config", "stack_bands=3"), snakemake(nights / "one")
    assert joint.returncode == one.returncode == 0, joint.output + one.output
    stacks = [name for name in joint.results if re.fullmatch("results/n[12].*/stack_.*", name)]
    assert len(stacks) == 6
    assert all(joint.results[name] == one.results[name] for name in stacks)


def test_settings_of_nights_must_agree(nights: Path, told: Callable[..., str]) -> None:
    write_settings(nights / "n3", **{**SETTINGS, "min_star_count": 30})
    # What decides on stacks alone may differ.
    snakemake(nights / "n3", "--config", "sigma_clip=3", "reference=best", "modes=[max]")
    assert told() == (
        "min_star_count: 20 in ../n1, ../n2 it's $(touch pwned); 30 in ../n3. Frames are joined "
        "if they were made alike: run those nights again that differ."
    )
    assert told(nights=["../n1"], threshold_sigma=7) == (
        "threshold_sigma: 5 in ../n1; 7 in this run. Frames are joined if they were made alike: "
        "run those nights again that differ, or leave the setting out here."
    )
    plan, _, _ = join_nights({"nights": ["../n1"], "threshold_sigma": 5.0, "sigma_clip": 3})
    assert (plan.settings["min_star_count"], plan.settings["sigma_clip"]) == (20, 3)


def test_folders_that_are_no_nights_are_told(nights: Path, told: Callable[..., str]) -> None:
    here = nights / "joint"
    assert told(nights=["../n1", "../gone", "../n4"]) == (
        f"nights: there is no folder ../gone in {here}.\n"
        f"nights: there is no folder ../n4 in {here}."
    )
    (nights / "n 4").mkdir()
    assert told(nights=["../n 4"]) == (
        "nights: ../n 4 has no run that could be joined (no work/plan.json). Run it first: "
        "snakemake --directory '../n 4' --cores all"
    )
    (nights / "link").symlink_to("n1")
    assert told(nights=["../n1", "../link"]) == "nights: ../n1 and ../link are the same folder."
    shutil.copytree(nights / "n1", nights / "n1" / "n4")
    assert told(nights=["../n1", "../n1/n4"]) == "nights: ../n1/n4 lies inside ../n1."
    assert "is the folder of this run" in told(nights=["."])
    assert "must be separate folders" in told(nights=[".."])
    (here / "results").mkdir()
    shutil.copytree(nights / "n1", here / "results" / "n1")
    assert "must be separate folders" in told(nights=["results/n1"])
    shutil.copytree(nights / "n1" / "data", here / "data")
    assert "there are frames below data as well" in told()
    shutil.rmtree(here / "data")
    path = nights / "n3" / "work" / "plan.json"
    write_json(path, {**read_json(path), "joined": {"n1/light_1": ["../n1", "light_1"]}})
    assert told().endswith("../n3 is itself a run over nights: name those in its place.")


CLEANED = "work/cleaned/light_2.fits"


def lose_record(night: Path) -> None:
    (night / record_of("work/sources/light_2.fits", str(night))).unlink()


def lock(night: Path) -> None:
    path = night / ".snakemake" / "locks" / "0.input.lock"
    path.parent.mkdir(exist_ok=True)
    path.touch()


def change_plan(night: Path) -> None:
    plan = read_json(night / "work" / "plan.json")
    plan["recipes"]["grade_frame"]["light_2"] = "0" * 12
    write_json(night / "work" / "plan.json", plan)


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (
            lambda night: (night / CLEANED).unlink(),
            f"is not finished: {CLEANED} is not as planned",
        ),
        (lambda night: os.truncate(night / CLEANED, 5760), f"{CLEANED} is not as planned"),
        (lose_record, "work/sources/light_2.fits is not as planned. Run it first: snakemake"),
        (change_plan, "work/quality/light_2.json is not as planned"),
        (
            lambda night: shutil.rmtree(night / ".snakemake" / "metadata"),
            "work/cleaned/light_1.fits is not as planned, nor are 8 more",
        ),
        (lambda night: (night / ".snakemake/incomplete/x").touch(), "../n1 is not finished."),
        (lock, "../n1 is at work. Wait until it is done; if it was killed, unlock it"),
        (lambda night: (night / "work/plan.json").write_text("{"), "plan.json cannot be read"),
        (lambda night: (night / "work/plan.json").write_text("{}"), "of another version"),
        (lambda night: (night / "work/plan.json").write_text("[3]"), "of another version"),
    ],
)
def test_a_night_that_is_not_finished_is_refused(
    nights: Path, told: Callable[..., str], harm: Callable[[Path], object], sentence: str
) -> None:
    harm(nights / "n1")
    message = told()
    assert message.startswith("nights: ../n1")
    assert sentence in message


@pytest.mark.parametrize("name", ["../../../joint/x", "/x", "a/../../x", "x{frame}", "x\ny"])
def test_frames_of_a_night_lie_below_it(nights: Path, told: Callable[..., str], name: str) -> None:
    path = nights / "n3" / "work" / "plan.json"
    plan = read_json(path)
    plan["frames"] = {name: plan["frames"]["light_1"]}
    for recipes in plan["recipes"].values():
        if "light_1" in recipes:
            recipes[name] = recipes.pop("light_1")
    write_json(path, plan)
    assert told(nights=["../n3"]) == (
        f"nights: ../n3/work/plan.json names a frame {name!r}, which cannot be one."
    )


def test_nights_are_told_by_the_command(nights: Path) -> None:
    run = snakemake(nights / "joint", "--config", "nights=[../n1, ../gone]")
    assert run.returncode == 1
    assert f"nights: there is no folder ../gone in {nights / 'joint'}." in run.output
    assert "Traceback" not in run.output
    run = snakemake(nights / "joint", "--config", 'nights=["../a{b}"]')
    assert "nights: '../a{b}' has one of { } < > or a control character." in run.output


def test_a_night_of_other_code_or_other_rows_is_told(nights: Path) -> None:
    path = nights / "n3" / "work" / "plan.json"
    plan = read_json(path)
    plan["code"] = "older"
    write_json(path, plan)
    for night, order in (("n1", "TOP-DOWN"), ("n3", "BOTTOM-UP")):
        for frame in (nights / night / "work" / "cleaned").iterdir():
            fits.setval(frame, "ROWORDER", value=order)
    _, lines, _ = join_nights({"nights": ["../n1", "../n3"]})
    assert any(re.match(r"\.\./n3: made by another version", line) for line in lines)
    assert any(re.match(r"\.\./n3: by ROWORDER, rows run the other way", line) for line in lines)


def test_a_night_that_is_run_meanwhile_is_told(nights: Path) -> None:
    _, _, runs = join_nights({"nights": ["../n1", "../n3"]})
    assert run_meanwhile(runs) == ""
    lock(nights / "n3")
    assert run_meanwhile(runs).startswith("../n3: run again while its frames were stacked")
    path = nights / "n1" / "work" / "plan.json"
    write_json(path, {**read_json(path), "run": "another"})
    assert run_meanwhile(runs).startswith("../n1, ../n3: run again")


@pytest.mark.parametrize(
    ("folders", "names"),
    [
        (["/a/monday", "/b/tuesday/"], ["monday", "tuesday"]),
        (["/a/1/run", "/a/2/run"], ["1/run", "2/run"]),
        (["/a/n", "/b/n", "/c"], ["a/n", "b/n", "c"]),
        (["/x/n"], ["n"]),
    ],
)
def test_nights_are_named_by_the_ends_of_their_paths(folders: list[str], names: list[str]) -> None:
    assert names_of(folders) == names
