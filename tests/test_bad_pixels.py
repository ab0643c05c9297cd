"""Bad pixels are found without a dark, leave no trails, and are no stars."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray

from scripts import map_bad_pixels
from scripts.lightstack.calibration.bad_pixels import find_bad_pixels
from scripts.lightstack.calibration.repair import repair, repaired, small_gaps
from scripts.lightstack.planning.bad_pixel_choice import choose_maps
from scripts.lightstack.planning.dark_choice import DarkChoice
from scripts.lightstack.raw.exposure import Exposure
from scripts.lightstack.simulator import (
    Camera,
    Light,
    Night,
    make_sky,
    render_light,
    write_night,
)
from tests.conftest import SMALL_SETTINGS, Run, planned_jobs, snakemake, write_settings

SHAPE = (256, 384)
N_HOT = 500


def hot_pixels(rng: np.random.Generator) -> NDArray[np.bool_]:
    hot = np.zeros(SHAPE, bool)
    hot.flat[rng.choice(hot.size, N_HOT, replace=False)] = True
    return hot


def camera(hot: NDArray[np.bool_], rng: np.random.Generator) -> Camera:
    dark = np.full(SHAPE, 20, np.float32)
    dark[hot] += rng.uniform(150, 3000, np.count_nonzero(hot)).astype(np.float32)
    return Camera(SHAPE, dark)


@pytest.mark.parametrize("dither", [0, 8])
@pytest.mark.parametrize("fwhm", [1.4, 2.0, 3.0, 5.0])
def test_hot_pixels_are_found_and_no_star_is(fwhm: float, dither: float, tmp_path: Path) -> None:
    rng = np.random.default_rng(round(10 * fwhm))
    sky, hot = make_sky(rng, SHAPE, 150), hot_pixels(rng)
    sensor = camera(hot, rng)
    paths = []
    for number in range(8):
        shift = (float(rng.uniform(-dither, dither)), float(rng.uniform(-dither, dither)))
        light = Light(shift=shift, fwhm=fwhm, sky_adu=800 + 20 * number)
        paths.append(tmp_path / f"{number}.fits")
        fits.writeto(paths[-1], render_light(rng, sky, sensor, light))
    map_bad_pixels.run(paths, None, tmp_path / "bad.fits")
    bad = fits.getdata(tmp_path / "bad.fits") > 0
    assert np.count_nonzero(bad & hot) > 0.97 * N_HOT
    assert np.count_nonzero(bad & ~hot) <= 5
    # Never the core of a star, where the frames are not dithered.
    x, y = np.rint(sky.xy[sky.flux > 20000]).astype(int).T
    inside = (x >= 0) & (x < SHAPE[1]) & (y >= 0) & (y < SHAPE[0])
    if dither == 0:
        assert not (bad & ~hot)[y[inside], x[inside]].any()


@pytest.mark.parametrize("is_mosaic", [False, True])
def test_cold_pixels_pairs_and_lines_are_found_and_nothing_in_noise(is_mosaic: bool) -> None:
    rng = np.random.default_rng(5)
    image = rng.normal(500, 5, SHAPE).astype(np.float32)
    if is_mosaic:
        image[0::2, 0::2] += 300
    expected = np.zeros(SHAPE, bool)
    assert not find_bad_pixels(image, is_mosaic=is_mosaic).any()
    for flaw, value in ((np.s_[30, 40], -200), (np.s_[60, 70:72], 400), (np.s_[:, 200], -60)):
        image[flaw] += value
        expected[flaw] = True
    found = find_bad_pixels(image, is_mosaic=is_mosaic)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("is_mosaic", [False, True])
def test_dead_columns_and_rows_side_by_side_are_found_in_the_sky(is_mosaic: bool) -> None:
    rng = np.random.default_rng(5)
    image = rng.normal(500, 5, SHAPE).astype(np.float32)
    if is_mosaic:
        image[0::2, 0::2] += 300
    assert not find_bad_pixels(image, is_mosaic=is_mosaic, shows_sky=True).any()
    dead = np.zeros(SHAPE, bool)
    dead[:, 100:102] = dead[:, 200:204] = dead[50:53] = True
    image[dead] = 400
    found = find_bad_pixels(image, is_mosaic=is_mosaic, shows_sky=True)
    assert np.count_nonzero(found & dead) > 0.95 * np.count_nonzero(dead)
    assert np.count_nonzero(found & ~dead) < 0.02 * np.count_nonzero(dead)


def test_small_gaps_are_filled_in_and_large_ones_stay() -> None:
    y, x = np.mgrid[:40, :60].astype(np.float32)
    plane = 100 + 3 * x + 2 * y
    data = plane.copy()
    data[5, 7], data[:, 20], data[10, 30:32] = np.nan, np.nan, np.nan
    small = np.isnan(data)
    data[20:30, 40:50], data[:, :3] = np.nan, np.nan
    np.testing.assert_array_equal(small_gaps(data), small)
    whole = repaired(data)
    np.testing.assert_allclose(whole[small][1:-1], plane[small][1:-1], atol=4)
    np.testing.assert_array_equal(np.isnan(whole), np.isnan(data) & ~small)
    assert repaired(plane) is plane
    # On a mosaic a pixel is filled in from those of its colour.
    mosaic = plane.copy()
    mosaic[0::2, 0::2] += 1000
    truth = mosaic.copy()
    mosaic[10, 12] = np.nan
    repair(mosaic, np.isnan(mosaic), step=2)
    np.testing.assert_allclose(mosaic, truth, atol=1e-3)


def names_of_map(count: int, **changes: Any) -> dict[str, list[str]]:
    lights = {f"{number}": Exposure(SHAPE, camera="A") for number in range(count)}
    lights = {name: replace(frame, **changes) for name, frame in lights.items()}
    same = {name: name for name in lights}
    return choose_maps(lights, same, DarkChoice(), same, "auto").files


def test_the_map_stays_when_frames_arrive() -> None:
    for before, after in ((16, 500), (8, 9), (8, 15), (4, 7)):
        assert names_of_map(before) == names_of_map(after)
    (files,) = names_of_map(40).values()
    assert files == [f"{number}" for number in range(16)]
    assert names_of_map(3) == names_of_map(20, calibrated="D") == {}


def test_later_frames_do_not_count_whatever_their_names() -> None:
    early = {f"m{number}": Exposure(SHAPE, date=f"2026-03-01T21:0{number}") for number in range(8)}
    late = {f"a{number}": Exposure(SHAPE, date=f"2026-03-02T21:0{number}") for number in range(7)}
    same = {name: name for name in (late | early)}
    for lights in (early, late | early):
        (files,) = choose_maps(lights, same, DarkChoice(), same, "auto").files.values()
        assert files == list(early)


def test_frames_with_darks_have_maps_only_if_it_is_wanted() -> None:
    lights = {name: Exposure(SHAPE) for name in "abcdef"}
    same = {name: name for name in lights}
    darks = DarkChoice(kind=dict.fromkeys("ab", "k"))
    auto, everything = (choose_maps(lights, same, darks, same, how) for how in ("auto", "all"))
    assert set(auto.kind) == set("cdef")
    assert auto.darks == {}
    assert set(everything.kind) == set("abcdef")
    assert everything.darks == {"dark_k": "k"}
    assert not choose_maps(lights, same, darks, same, "none").kind


def hot_night(folder: Path, *, with_flaws: bool) -> None:
    rng = np.random.default_rng(21)
    hot = hot_pixels(rng) & with_flaws
    lights = {
        f"l{number}": Light(
            shift=(2.0 * number, 1.3 * number), fwhm=2.8 + 0.05 * number, sky_adu=800 + number
        )
        for number in range(8)
    }
    sky = make_sky(np.random.default_rng(3), SHAPE, 60)
    write_night(folder, Night(sky, camera(hot, rng), lights, n_darks=0))


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    runs = {}
    for name, with_flaws, setting in (
        ("hot", True, "auto"),
        ("clean", False, "none"),
        ("left", True, "none"),
    ):
        folder = tmp_path_factory.mktemp(name)
        hot_night(folder, with_flaws=with_flaws)
        settings = {**SMALL_SETTINGS, "bad_pixels": setting, "modes": ["mean", "sigma_clip"]}
        write_settings(folder, **settings)
        runs[name] = snakemake(folder)
    return runs


def test_hot_pixels_leave_no_trails_and_cost_no_frame(nights: dict[str, Run]) -> None:
    assert nights["hot"].returncode == 0, nights["hot"].output
    rows = nights["hot"].ledger
    assert {row["status"] for row in rows.values()} == {"stacked"}
    assert all(480 <= int(row["bad_pixels"]) <= 510 for row in rows.values())
    assert all(float(row["no_data_fraction"]) == 0 for row in rows.values())
    stars = [int(run.ledger["l0"]["n_stars"]) for run in (nights["hot"], nights["clean"])]
    assert abs(stars[0] - stars[1]) <= 3
    stacks = {
        name: fits.getdata(run.folder / "results" / "stack_mean.fits")
        for name, run in nights.items()
        if run.returncode == 0
    }
    difference = stacks["hot"] - stacks["clean"]
    noise = 1.4826 * np.nanmedian(np.abs(stacks["clean"] - np.nanmedian(stacks["clean"])))
    trails = np.count_nonzero(np.abs(difference) > 8 * noise)
    # Beside the cores of bright stars a pixel less is a difference, too.
    assert trails < 60
    if "left" in stacks:
        assert np.count_nonzero(np.abs(stacks["left"] - stacks["clean"]) > 8 * noise) > 10 * trails
    for name, entry in nights["hot"].ledger.items():
        number = int(name.removeprefix("l"))
        assert float(entry["shift_x_px"]) == pytest.approx(-2.0 * number, abs=0.1)


def test_bad_pixels_have_no_data_in_what_is_stacked(nights: dict[str, Run]) -> None:
    folder = nights["hot"].folder
    (bad,) = (folder / "work" / "masters" / "bad_pixels").iterdir()
    frame = fits.getdata(folder / "data_cleaned" / "l3.fits")
    np.testing.assert_array_equal(np.isnan(frame), fits.getdata(bad) > 0)


def test_a_frame_more_runs_by_itself(nights: dict[str, Run]) -> None:
    folder = nights["hot"].folder
    with fits.open(folder / "data" / "l0.fits") as hdus:
        hdus[0].data[0, 0] += 1
        hdus[0].header["DATE-OBS"] = "2026-03-02T03:00:00"
        hdus.writeto(folder / "data" / "l8.fits")
    jobs = planned_jobs(snakemake(folder, "-n"))
    assert jobs["calibrate_frame"] == 1
    assert "map_bad_pixels" not in jobs


def test_the_map_of_a_dark_is_for_all_who_want_it(small_night: Callable[..., Path]) -> None:
    folder = small_night(bad_pixels="all", modes=["mean"])
    run = snakemake(folder)
    assert run.returncode == 0, run.output
    assert all(int(row["bad_pixels"]) > 5 for row in run.ledger.values())
