"""A night is checked with artificial light: what the check tells is true."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from PIL import Image

from scripts.lightstack.checking.night import CHECK, MARK, CheckError, check_night
from scripts.lightstack.files.records import read_csv
from scripts.lightstack.planning.layout import PLAN
from scripts.lightstack.planning.plan import Plan
from scripts.lightstack.simulator import (
    Light,
    Night,
    make_camera,
    make_night,
    make_response,
    make_sky,
    write_night,
)
from tests.conftest import SMALL_SETTINGS, snakemake, write_settings


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checked") / "night"
    make_night(folder, shape=(400, 600), n_lights=6, n_stars=150, seed=4)
    write_settings(folder, **{**SMALL_SETTINGS, "modes": ["mean", "noise_clip"]})
    assert snakemake(folder).returncode == 0
    return folder


def rows_of(night: Path, mode: str, source: str) -> list[dict[str, str]]:
    rows = read_csv(night / CHECK / "check.csv")
    return [row for row in rows if row["mode"] == mode and row["source"] == source]


def states(folder: Path) -> dict[Path, tuple[int, bytes]]:
    return {
        path: (path.stat().st_mtime_ns, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file() and CHECK not in path.parts and ".snakemake" not in path.parts
    }


def test_a_check_tells_what_became_of_the_light(night: Path) -> None:
    before = states(night)
    lines = check_night(night, [], "2")
    assert states(night) == before
    assert not [line for line in lines if "not the same" in line]
    for mode in ("mean", "noise_clip"):
        stars = rows_of(night, mode, "star")
        assert len(stars) == 10
        bright = [row for row in stars if float(row["magnitude"]) < 17]
        assert len(bright) >= 4
        assert all(float(row["completeness"]) >= 0.8 for row in bright)
        assert all(97 < float(row["flux_percent"]) < 103 for row in bright)
        assert float(stars[0]["completeness"]) < 0.2
        (half,) = [re.findall(r"at magnitude ([\d.]+)", line) for line in lines if mode in line]
        assert 17 < float(half[0]) < 19
        assert 70 < float(rows_of(night, mode, "disc")[0]["flux_percent"]) < 110
    with Image.open(night / CHECK / "check.png") as picture:
        assert np.asarray(picture).std() > 10
    # Raw frames with light are copies; those that were not aligned are links.
    copies = sorted((night / CHECK / "after" / "data").iterdir())
    assert [path.name for path in copies] == [p.name for p in sorted((night / "data").iterdir())]
    assert [path.is_symlink() for path in copies].count(False) == 3
    whole = next(path for path in copies if not path.is_symlink())
    gained = fits.getdata(whole).astype(float) - fits.getdata(night / "data" / whole.name)
    assert gained.sum() > 1e5


def test_a_mesh_that_eats_the_disc_shows_up(night: Path) -> None:
    check_night(night, ["background=mesh"], "2")
    assert float(rows_of(night, "mean", "disc")[0]["flux_percent"]) < 50
    bright = [row for row in rows_of(night, "mean", "star") if float(row["magnitude"]) < 16]
    assert all(90 < float(row["flux_percent"]) < 103 for row in bright)


def test_flats_and_edges_of_frames_bias_nothing(tmp_path: Path) -> None:
    """The corners get 0.6 of the light, and stars lie beyond the edge of some frames."""
    rng, shape = np.random.default_rng(3), (300, 400)
    sky, camera = make_sky(rng, shape, 150), make_camera(rng, shape)
    camera = replace(camera, response=make_response(rng, shape, corner=0.6))
    lights = {
        f"light_{number}": Light(shift=(14 - 7.0 * number, 6.0 * number), fwhm=2.7 + 0.2 * number)
        for number in range(5)
    }
    folder = tmp_path / "flat"
    write_night(folder, Night(sky, camera, lights, n_flats=5, n_bias=5))
    write_settings(folder, **{**SMALL_SETTINGS, "modes": ["mean", "proper"]})
    assert snakemake(folder).returncode == 0
    check_night(folder, [], "2")
    for mode in ("mean", "proper"):
        bright = [row for row in rows_of(folder, mode, "star") if float(row["magnitude"]) < 17]
        assert len(bright) >= 4
        assert all(97 < float(row["flux_percent"]) < 103 for row in bright)


def test_a_night_without_a_finished_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(CheckError, match="no finished run to compare with"):
        check_night(tmp_path, [])


def test_a_folder_that_is_not_its_own_stays(night: Path) -> None:
    (night / CHECK).mkdir(exist_ok=True)
    mark = night / CHECK / MARK
    mark.unlink(missing_ok=True)
    (night / CHECK / "mine").touch()
    with pytest.raises(CheckError, match="was not made by a check"):
        check_night(night, [])
    assert (night / CHECK / "mine").exists()
    mark.touch()


def test_each_group_is_checked_by_itself(tmp_path: Path) -> None:
    rng, shape, folder = np.random.default_rng(3), (300, 400), tmp_path / "filters"
    lights = {
        f"light_{number}": Light(shift=(14 - 7.0 * number, 6.0 * number), fwhm=2.7)
        for number in range(6)
    }
    write_night(folder, Night(make_sky(rng, shape, 150), make_camera(rng, shape), lights))
    for number, path in enumerate(sorted((folder / "data").iterdir())):
        fits.setval(path, "FILTER", value="Ha" if number % 2 else "OIII")
    settings = {**SMALL_SETTINGS, "modes": ["mean"], "group_by": ["FILTER"]}
    write_settings(folder, **settings)
    assert snakemake(folder).returncode == 0
    lines = check_night(folder, [], "2")
    for group in ("Ha", "OIII"):
        assert f"{group}:" in lines
        assert (folder / CHECK / f"check_{group}.png").exists()
        rows = [row for row in rows_of(folder, "mean", "star") if row["group"] == group]
        bright = [row for row in rows if float(row["magnitude"]) < 17]
        assert len(bright) >= 3
        assert all(95 < float(row["flux_percent"]) < 105 for row in bright)


@pytest.mark.parametrize("setting", ["color=rgb", "debug_region=200"])
def test_what_cannot_be_checked_is_told(
    night: Path, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    key, _, value = setting.partition("=")
    plan = Plan.read(night / PLAN, None)
    told = int(value) if value.isdigit() else value
    other = replace(plan, settings={**plan.settings, key: told})
    monkeypatch.setattr(Plan, "read", lambda *_: other)
    with pytest.raises(CheckError, match=f"had {setting}. Run it so first: .* --config {key}="):
        check_night(night, [])
