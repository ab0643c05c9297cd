"""A night is checked with artificial light: what the check tells is true."""

import math
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import imagecodecs
import numpy as np
import pytest
import tifffile
from astropy.io import fits
from numpy.typing import NDArray
from PIL import Image

from scripts.lightstack.checking import night as checking
from scripts.lightstack.checking.night import CHECK, MARK, check_night
from scripts.lightstack.checking.with_light import Added, CheckError, write_with_light
from scripts.lightstack.files.records import read_csv
from scripts.lightstack.planning.layout import PLAN
from scripts.lightstack.planning.plan import Plan
from scripts.lightstack.raw.colour import ALONE
from scripts.lightstack.raw.images import read_image
from scripts.lightstack.simulator import (
    Light,
    Night,
    make_camera,
    make_night,
    make_response,
    make_sky,
    write_night,
)
from tests.conftest import SMALL_SETTINGS, forked_snakemake, made_once, snakemake, write_settings


@pytest.fixture
def forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the runs of a check be forks that have imported Snakemake already."""

    def run(command: list[str], *, check: bool) -> subprocess.CompletedProcess[str]:
        assert command[1:3] == ["-m", "snakemake"]
        assert not check
        status, told = forked_snakemake().run(command[3:], Path.cwd(), dict(os.environ))
        assert status == 0, told
        return subprocess.CompletedProcess(command, status, told)

    monkeypatch.setattr(checking, "subprocess", SimpleNamespace(run=run))


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def make(folder: Path) -> Path:
        make_night(folder, shape=(400, 600), n_lights=6, n_stars=150, seed=4)
        write_settings(folder, **{**SMALL_SETTINGS, "modes": ["mean", "noise_clip"]})
        assert snakemake(folder).returncode == 0
        return folder

    made = made_once(tmp_path_factory, "checked", make)
    return shutil.copytree(made, tmp_path_factory.mktemp("checked") / "night")


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


@pytest.mark.usefixtures("forked")
def test_a_mesh_that_eats_the_disc_shows_up(night: Path) -> None:
    check_night(night, ["background=mesh"], "2")
    assert float(rows_of(night, "mean", "disc")[0]["flux_percent"]) < 50
    bright = [row for row in rows_of(night, "mean", "star") if float(row["magnitude"]) < 16]
    assert all(90 < float(row["flux_percent"]) < 103 for row in bright)


@pytest.mark.usefixtures("forked")
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


@pytest.mark.usefixtures("forked")
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


@pytest.mark.usefixtures("forked")
def test_colours_of_a_mosaic_are_checked_each_by_itself(tmp_path: Path) -> None:
    """Vignetted, and with stars of any colour, which have fluxes of their own in each."""
    rng, shape, folder = np.random.default_rng(3), (440, 640), tmp_path / "bayer"
    sky = make_sky(rng, shape, 100)
    sky = replace(sky, colours=rng.uniform(0.4, 1.0, (len(sky.flux), 3)))
    response = make_response(rng, shape, corner=0.6)
    camera = replace(make_camera(rng, shape), pattern="GBRG", response=response)
    lights = {
        f"light_{number}": Light(
            shift=(10 - 5.0 * number, 4.0 * number),
            fwhm=2.7 + 0.1 * number,
            colours=(1.0, 1 - 0.03 * number, 1 - 0.08 * number),
        )
        for number in range(5)
    }
    write_night(folder, Night(sky, camera, lights, n_flats=5, n_bias=5))
    write_settings(folder, **{**SMALL_SETTINGS, "modes": ["mean"], "color": "rgb"})
    assert snakemake(folder).returncode == 0
    for given, names in (
        ([], ("R", "G", "B")),
        (["color=superpixel"], ("R", "G", "B")),
        (["color=gray"], ("",)),
    ):
        check_night(folder, given, "2")
        rows = rows_of(folder, "mean", "star")
        assert {row["colour"] for row in rows} == set(names)
        for name in names:
            assert (folder / CHECK / ("_".join(filter(None, ["check", name])) + ".png")).exists()
            of_colour = [row for row in rows if row["colour"] == name]
            assert float(of_colour[0]["completeness"]) < 0.4
            assert all(float(row["completeness"]) == 1 for row in of_colour[-3:])
            assert all(97 < float(row["flux_percent"]) < 103 for row in of_colour[-3:])


def light_on(n_planes: int, shape: tuple[int, int] = (40, 60)) -> Added:
    rng = np.random.default_rng(2)
    light = np.arange(1, n_planes + 1)[:, None, None] * np.full(shape, 20.0)
    return Added(light, math.inf, 1.0, rng)


def as_uint8(colours: NDArray[np.uint16]) -> NDArray[np.uint8]:
    return (colours // 256).astype(np.uint8)


PICTURES: dict[str, Callable[[Path, NDArray[np.uint16]], object]] = {
    "deep.png": lambda path, colours: path.write_bytes(imagecodecs.png_encode(colours)),
    "deep.tif": lambda path, colours: tifffile.imwrite(path, colours, photometric="rgb"),
    "flat.png": lambda path, colours: Image.fromarray(as_uint8(colours)).save(path),
    "flat.jpg": lambda path, colours: Image.fromarray(as_uint8(colours)).save(path, quality=90),
}


@pytest.mark.parametrize("name", list(PICTURES))
def test_each_colour_of_a_picture_gets_its_light(tmp_path: Path, name: str) -> None:
    colours = np.random.default_rng(1).integers(3000, 40000, (40, 60, 3)).astype(np.uint16)
    raw, copy = tmp_path / name, tmp_path / "copy.fits"
    PICTURES[name](raw, colours)
    write_with_light(raw, copy, light_on(3))
    for number, weights in enumerate(ALONE):
        one, other = read_image(raw, weights=weights), read_image(copy, weights=weights)
        full = one.ceiling
        gained = np.minimum(one.data + 20 * (number + 1), full) - one.data
        np.testing.assert_array_equal(other.data - one.data, gained)
        assert (other.ceiling, other.step) == (full, one.step)
        assert dict(other.header) == dict(one.header)


@pytest.mark.parametrize("pattern", ["RGGB", "GBRG"])
def test_each_colour_of_a_mosaic_gets_its_light(tmp_path: Path, pattern: str) -> None:
    raw, copy = tmp_path / "raw.fits", tmp_path / "copy.fits"
    pixels = np.random.default_rng(1).integers(300, 4000, (40, 60)).astype(np.uint16)
    # Moved by a row, as by a camera's window.
    told = {"BAYERPAT": pattern[2:] + pattern[:2], "YBAYROFF": 1, "OBJECT": "M 42"}
    fits.writeto(raw, pixels, fits.Header(told))
    write_with_light(raw, copy, light_on(3))
    gained = fits.getdata(copy).astype(int) - pixels
    for (row, column), colour in zip(np.ndindex(2, 2), pattern, strict=True):
        assert (gained[row::2, column::2] == 20 * (1 + "RGB".index(colour))).all()
    assert fits.getheader(copy)["OBJECT"] == "M 42"


def test_light_is_added_on_the_scale_of_the_file(tmp_path: Path) -> None:
    """Counts that were divided by their range stay whole ones, and have the noise of the light."""
    raw, copy = tmp_path / "raw.fits", tmp_path / "copy.fits"
    pixels = np.random.default_rng(1).integers(300, 40000, (40, 60))
    fits.writeto(raw, (pixels / 65535).astype(np.float32))
    added = light_on(1)._replace(gain=0.2, scale=65535.0)
    write_with_light(raw, copy, added)
    gained = read_image(copy).data - read_image(raw).data
    assert read_image(copy).step == 1
    assert gained.mean() == pytest.approx(20, abs=1)
    assert gained.std() == pytest.approx(10, rel=0.1)


def test_raw_files_of_cameras_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckError, match="only a camera writes its raw files"):
        write_with_light(tmp_path / "IMG_1.CR2", tmp_path / "copy.fits", light_on(1))


def test_a_run_of_a_part_of_the_frames_is_not_checked(
    night: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = Plan.read(night / PLAN, None)
    other = replace(plan, settings={**plan.settings, "debug_region": 200})
    monkeypatch.setattr(Plan, "read", lambda *_: other)
    told = "had debug_region=200. Run it so first: .* --config debug_region="
    with pytest.raises(CheckError, match=told):
        check_night(night, [])


def test_light_below_half_a_number_of_the_file_is_not_lost(tmp_path: Path) -> None:
    raw, copy = tmp_path / "raw.fits", tmp_path / "copy.fits"
    fits.writeto(raw, np.full((40, 60), 900, np.uint16))
    added = light_on(1)
    write_with_light(raw, copy, added._replace(light=added.light / 100))
    assert fits.getdata(copy).mean() - 900 == pytest.approx(0.2, abs=0.03)
