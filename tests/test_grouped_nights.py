"""Two targets through two filters: each group has stacks of its own, and only its own frames."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from scripts.lightstack.files.records import read_csv, read_json
from scripts.lightstack.simulator import (
    Camera,
    Light,
    Night,
    make_camera,
    make_sky,
    write_night,
)
from tests.conftest import (
    SMALL_SETTINGS,
    Run,
    made_once,
    planned_jobs,
    snakemake,
    write_settings,
)

SHAPE = (200, 300)

FRAME_JOBS = {"calibrate_frame", "subtract_background", "detect_sources", "grade_frame"}

OF_THE_RUN = {"list_frames": 1, "write_report": 1, "all": 1}

GROUP_BY = ["OBJECT", "FILTER"]

SHARES = {"L": 1.0, "Ha": 0.4, "R": 0.7}
"""Share of the starlight that each filter lets through."""


def lights_of(target: str, name: str, count: int, *, clouded: bool = False) -> dict[str, Light]:
    """Lights of one target through one filter, each a little shifted."""
    rng = np.random.default_rng([*target.encode(), *name.encode()])
    return {
        f"{target}_{name}_{number}": Light(
            shift=(float(rng.uniform(-9, 9)), float(rng.uniform(-9, 9))),
            rotation_deg=float(rng.uniform(-1, 1)),
            transparency=0.0 if clouded else SHARES[name] * float(rng.uniform(0.85, 1)),
        )
        for number in range(1, count + 1)
    }


def make_nights(folder: Path) -> dict[str, Night]:
    """Write the frames of both targets below one folder."""
    camera: Camera = make_camera(np.random.default_rng(1), SHAPE)
    lights = {
        "A": lights_of("A", "L", 3) | lights_of("A", "Ha", 4),
        "B": lights_of("B", "L", 3)
        | lights_of("B", "Ha", 2, clouded=True)
        | lights_of("B", "R", 1),
    }
    nights = {}
    for number, (target, frames) in enumerate(lights.items(), 3):
        sky = make_sky(np.random.default_rng(number), SHAPE, 150)
        nights[target] = Night(sky, camera, frames, n_darks=0, seed=number)
        write_night(folder, nights[target])
        for name in frames:
            path = folder / "data" / f"{name}.fits"
            fits.setval(path, "OBJECT", value=f"Target {target}")
            fits.setval(path, "FILTER", value=name.split("_")[1])
    return nights


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, dict[str, Night]]:
    """Run the workflow on grouped frames; a fifth frame of a group lies aside."""

    def make(folder: Path) -> tuple[Run, dict[str, Night]]:
        truth = make_nights(folder)
        (folder / "data" / "A_Ha_4.fits").rename(folder / "another.fits")
        # A plane takes no light of wide stars, which the mesh of small frames does; and a frame
        # that goes is not to change the map of bad pixels of all others.
        settings = {"background": "plane", "bad_pixels": "none", "group_by": GROUP_BY}
        write_settings(folder, **SMALL_SETTINGS, **settings, modes=["mean", "median"])
        return snakemake(folder), truth

    return made_once(tmp_path_factory, "grouped", make)


@pytest.fixture
def night(nights: tuple[Run, dict[str, Night]], tmp_path: Path) -> Path:
    """Copy the finished run."""
    return shutil.copytree(nights[0].folder, tmp_path / "night")


def stack(folder: Path, group: str, mode: str = "mean") -> Path:
    return folder / "results" / group / f"stack_{mode}.fits"


def planned(folder: Path, *config: str) -> dict[str, int]:
    return planned_jobs(snakemake(folder, "--dry-run", *(["--config", *config] if config else [])))


def aggregates(aligned: int, stacked: int) -> dict[str, int]:
    """Jobs for so many references and groups, and those of the run."""
    per_group = {"align_frames": aligned, "stack_frames": stacked, "draw_preview": stacked}
    return {**per_group, "select_frames": 1, **OF_THE_RUN}


def test_each_group_has_its_own_products(nights: tuple[Run, dict[str, Night]]) -> None:
    run, _ = nights
    assert run.returncode == 0, run.output
    results = run.folder / "results"
    for group, count in (("Target_A_Ha", 3), ("Target_A_L", 3), ("Target_B_L", 3)):
        header = fits.getheader(stack(run.folder, group))
        assert (header["NCOMBINE"], header["FILTER"]) == (count, group.split("_")[2])
        assert header["OBJECT"] == " ".join(group.split("_")[:2])
        names = fits.getdata(stack(run.folder, group), "FRAMES")["NAME"]
        assert {name.rpartition("_")[0] for name in names} == {group.removeprefix("Target_")}
        assert (results / group / "preview.png").exists()
        assert f"{group}: 3 of 3 frames stacked; see results/{group}/preview.png" in run.output
    assert sorted(path.name for path in results.iterdir() if path.is_dir()) == [
        *("Target_A", "Target_A_Ha", "Target_A_L"),
        *("Target_B", "Target_B_Ha", "Target_B_L"),
    ]
    assert not list(results.glob("*.fits"))
    assert len(list((run.folder / "data_cleaned").iterdir())) == 11


def test_a_group_with_too_few_frames_is_told_and_takes_nothing_from_the_others(
    nights: tuple[Run, dict[str, Night]],
) -> None:
    run, _ = nights
    assert [path.name for path in (run.folder / "results" / "Target_B_Ha").iterdir()] == [
        "preview.png"
    ]
    sentence = "None of the 2 frames was accepted: 2 for too few stars"
    assert f"Target_B_Ha: no stacks. {sentence}" in run.output
    assert "Not stacked, alone in their groups: B_R_1 (Target_B_R)." in run.output
    assert run.ledger["B_R_1"]["reasons"] == "nothing to stack it with"
    page = (run.folder / "results" / "report.html").read_text()
    assert sentence in page
    for number, group in enumerate(["Target_A_Ha", "Target_A_L", "Target_B_Ha", "Target_B_L"], 1):
        assert f'<section id="group-{number}">\n<h2>{group}: ' in page
    assert page.count('<figure class="preview">') == 3


def test_ledger_and_inventory_tell_the_group(nights: tuple[Run, dict[str, Night]]) -> None:
    run, truth = nights
    assert len(run.ledger) == 12
    inventory = read_csv(run.folder / "results" / "inventory.csv")
    groups = {Path(row["file"]).stem: row["group"] for row in inventory}
    for name, row in run.ledger.items():
        target, color, _ = name.split("_")
        assert (row["object"], row["filter"]) == (f"Target {target}", color)
        assert row["group"] == groups[name] == f"Target_{target}_{color}"
    assert {row["status"] for name, row in run.ledger.items() if name[:4] != "B_Ha"} == {
        *("stacked", "unaligned")
    }
    assert set(truth["B"].lights) < set(run.ledger)


def test_the_filters_of_a_target_lie_on_one_grid(nights: tuple[Run, dict[str, Night]]) -> None:
    run, truth = nights
    ny, nx = SHAPE
    corners = np.array([[0, 0, 1], [nx - 1, 0, 1], [nx - 1, ny - 1, 1], [0, ny - 1, 1]])
    for target in "AB":
        found = read_json(run.folder / "results" / f"Target_{target}" / "alignment.json")
        frames = [name for name in run.ledger if name[0] == target and "B_Ha" not in name]
        assert [*found["frames"]] == frames
        for name, entry in found["frames"].items():
            to_reference = truth[target].transform(name, found["reference"])
            error = np.array(entry["corners_px"]) - (corners @ to_reference.T)[:, :2]
            assert np.sqrt((error**2).sum(axis=1).mean()) < 0.2, name


def test_fluxes_are_those_of_a_frame_of_the_group(nights: tuple[Run, dict[str, Night]]) -> None:
    run, truth = nights
    for group in ("Target_A_Ha", "Target_A_L", "Target_B_L"):
        target, color = group.split("_")[1:]
        night = truth[target]
        found = read_json(run.folder / "results" / f"Target_{target}" / "alignment.json")
        unit = found["flux_references"].get(group, found["reference"])
        assert unit.startswith(f"{target}_{color}")
        image = fits.getdata(stack(run.folder, group))
        xy = np.column_stack([night.sky.xy, np.ones(len(night.sky.xy))])
        xy = (xy @ night.lights[found["reference"]].matrix(SHAPE).T)[:, :2]
        inside = ((xy > 15) & (xy < np.array(SHAPE[::-1]) - 16)).all(axis=1)
        distances = np.hypot(*(xy[:, None] - xy[None]).transpose(2, 0, 1))
        alone = np.sort(distances, axis=1)[:, 1] > 14
        bright = (night.sky.flux > 8000) & (night.sky.flux < 150_000) & inside & alone
        assert bright.sum() >= 5
        y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
        ratios = []
        for at, flux in zip(xy[bright], night.sky.flux[bright], strict=True):
            distance = np.hypot(x - at[0], y - at[1])
            star, ring = image[distance < 7], image[(distance > 8) & (distance < 12)]
            measured = (star - np.nanmedian(ring)).sum()
            ratios.append(measured / (flux * night.lights[unit].transparency))
        assert np.median(ratios) == pytest.approx(1, abs=0.03), group


def test_nothing_runs_again(night: Path) -> None:
    assert planned(night) == {}


def test_a_frame_arrives(night: Path) -> None:
    (night / "another.fits").rename(night / "data" / "A_Ha_4.fits")
    expected = dict.fromkeys(FRAME_JOBS, 1) | {"list_inventory": 1} | aggregates(1, 2)
    assert planned(night) == expected
    before = stack(night, "Target_B_L").read_bytes()
    assert snakemake(night).returncode == 0
    assert fits.getheader(stack(night, "Target_A_Ha"))["NCOMBINE"] == 4
    assert stack(night, "Target_B_L").read_bytes() == before


def test_a_frame_is_removed_or_has_another_filter(night: Path) -> None:
    path = night / "data" / "B_L_1.fits"
    fits.setval(path, "FILTER", value="Ha")
    expected = {"list_inventory": 1} | aggregates(1, 2)
    assert planned(night) == dict.fromkeys(FRAME_JOBS, 1) | expected
    path.unlink()
    assert planned(night) == expected


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ("group_by=[FILTER,OBJECT]", aggregates(2, 4) | {"list_inventory": 1}),
        ("group_by=[FILTER]", aggregates(1, 2) | {"list_inventory": 1}),
        ("group_by=[]", aggregates(1, 1) | {"list_inventory": 1}),
        ("align_by=[OBJECT]", {"write_report": 1, "all": 1}),
        ("align_by=[]", aggregates(1, 4) | {"select_frames": 0}),
        ("align_by=[OBJECT,FILTER]", aggregates(5, 4) | {"select_frames": 0}),
        ("sigma_clip=3", {"stack_frames": 4, "draw_preview": 4, "write_report": 1, "all": 1}),
    ],
)
def test_a_setting_changes(night: Path, config: str, expected: dict[str, int]) -> None:
    assert planned(night, config) == {rule: count for rule, count in expected.items() if count}


def test_stacks_of_groups_in_bands_have_the_bytes_of_one_job(night: Path) -> None:
    before = Run(night, 0, "").results
    for path in (night / "results").glob("*/stack_median.fits"):
        path.unlink()
    run = snakemake(night, "--config", "stack_bands=3")
    assert run.returncode == 0, run.output
    assert len(list((night / "logs" / "stack_band").glob("*/*.log"))) == 9
    assert run.results == before
    assert not list((night / "work" / "stacks").glob("*/band_*"))
    assert planned(night) == {}


@pytest.mark.parametrize("damage", [None, b"", b"SIMPLE"])
def test_a_lost_stack_is_made_again(night: Path, damage: bytes | None) -> None:
    path = stack(night, "Target_A_L", "median")
    expected = path.read_bytes()
    path.unlink()
    if damage is not None:
        path.write_bytes(damage)
    one = {"stack_frames": 1, "draw_preview": 1, "write_report": 1, "all": 1}
    assert planned(night) == one
    assert snakemake(night).returncode == 0
    assert path.read_bytes() == expected


def test_what_an_earlier_grouping_left_is_told_and_stays(night: Path) -> None:
    kept = stack(night, "Target_A_L").read_bytes()
    run = snakemake(night, "--config", "group_by=[FILTER]")
    assert run.returncode == 0, run.output
    assert (
        "Of an earlier grouping of the frames, and left as they are: results/Target_A, "
        "results/Target_A_Ha, results/Target_A_L, results/Target_B, results/Target_B_Ha and 1 "
        "more."
    ) in run.output
    assert stack(night, "Target_A_L").read_bytes() == kept
    # Another target cannot be aligned, and says so.
    assert run.ledger["B_L_1"]["status"] == "unaligned"
    assert sorted(row["group"] for row in run.ledger.values()) == ["Ha"] * 5 + ["L"] * 6 + ["R"]


def test_where_no_group_can_be_stacked_the_run_fails_and_says_why(night: Path) -> None:
    run = snakemake(night, "--config", "min_star_count=5000")
    assert run.returncode == 1
    assert "write_report failed: No group could be stacked" in run.output
    assert "Target_A_L: no stacks. None of the 3 frames was accepted: 3 for too few" in run.output
    assert run.output.count(" was accepted: ") == run.output.count("no stacks. ")
    assert run.output.count("The last good stacks") == 1
    assert f"Report: {night / 'results' / 'report_without_stacks.html'}" in run.output
    assert (night / "results" / "Target_A_L" / "previous" / "stack_mean.fits").exists()
    assert not stack(night, "Target_A_L").exists()
    assert snakemake(night).returncode == 0
    assert stack(night, "Target_A_L").exists()
    assert not (night / "results" / "Target_A_L" / "previous").exists()


def test_one_group_has_the_stacks_of_all_frames(
    small_night: Callable[..., Path],
) -> None:
    plain = small_night("plain", modes=["mean"])
    grouped = small_night("grouped", modes=["mean"], group_by=["OBJECT", "folder"])
    for folder in (plain, grouped):
        for path in (folder / "data").iterdir():
            fits.setval(path, "OBJECT", value=".. / M 8")
        assert snakemake(folder).returncode == 0
    group = next(path for path in (grouped / "results").iterdir() if path.is_dir())
    assert group.name == "M_8_no_folder"
    assert (group / "stack_mean.fits").read_bytes() == (
        plain / "results" / "stack_mean.fits"
    ).read_bytes()
