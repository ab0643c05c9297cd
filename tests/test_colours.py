"""Colours of a Bayer camera: true, on one scale, without a trace of the mosaic."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import sep
import tifffile
from astropy.io import fits
from numpy.typing import NDArray
from PIL import Image
from scipy.spatial import KDTree

from scripts import clean_colours
from scripts.lightstack.alignment.transform import Transform
from scripts.lightstack.colour.demosaicing import colour_of_mosaic
from scripts.lightstack.colour.planes import colour_file
from scripts.lightstack.detection.sources import SOURCE
from scripts.lightstack.files.colour_file import STAR, write_colours
from scripts.lightstack.files.frame_file import PixelFile
from scripts.lightstack.files.table_file import write_table
from scripts.lightstack.simulator import Light, Night, Sky, make_camera, write_night
from scripts.lightstack.sky.noise_map import noise_map_in
from scripts.lightstack.sky.surface import Surface
from scripts.lightstack.stacking.aligned import AlignedFrame
from scripts.lightstack.stacking.colours import planes_of
from tests.calibration import plain
from tests.conftest import (
    SMALL_SETTINGS,
    Run,
    made_once,
    planned_jobs,
    snakemake,
    write_settings,
)
from tests.dng import write_dng

SHAPE = (300, 400)
N_FRAMES = 8
SETTINGS = {**SMALL_SETTINGS, "background_box": 64, "modes": ["mean", "sigma_clip"]}
PER_FRAME = ("calibrate_frame", "subtract_background", "detect_sources", "grade_frame")


def bayer_night(folder: Path, pattern: str = "GRBG", **settings: object) -> Night:
    """Write frames of one dithered field; air takes ever more of the blue light, as it sets."""
    rng = np.random.default_rng(3)
    x, y = np.meshgrid(np.arange(-16, SHAPE[1] + 17, 33), np.arange(-16, SHAPE[0] + 17, 33))
    places = np.column_stack([x.ravel(), y.ravel()]) + rng.uniform(-6, 6, (x.size, 2))
    flux = 10 ** rng.uniform(4, 5, x.size)
    sky = Sky(places, flux, rng.uniform(0.4, 1.0, (x.size, 3)) * (0.9, 1.0, 0.7))
    camera = replace(make_camera(rng, SHAPE), pattern=pattern)
    lights = {}
    for k in range(N_FRAMES):
        shift = (float(rng.uniform(-8, 8)), float(rng.uniform(-8, 8))) if k else (0.0, 0.0)
        lost = k / N_FRAMES
        lights[f"light_{k + 1}"] = Light(
            shift=shift, colours=(1 - 0.04 * lost, 1 - 0.08 * lost, 1 - 0.2 * lost)
        )
    night = Night(sky, camera, lights)
    write_night(folder, night)
    write_settings(folder, **{**SETTINGS, "color": "rgb", **settings})
    return night


@pytest.fixture(scope="module")
def coloured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Night]:
    """Run the workflow on a night of a colour camera."""

    def make(folder: Path) -> tuple[Run, Night]:
        night = bayer_night(folder)
        run = snakemake(folder)
        assert run.returncode == 0, run.output
        return run, night

    return made_once(tmp_path_factory, "coloured", make)


def stack(run: Run, mode: str = "mean") -> tuple[NDArray[np.float32], fits.Header]:
    with fits.open(run.folder / "results" / f"stack_{mode}.fits") as hdus:
        return np.ascontiguousarray(hdus[0].data, np.float32), hdus[0].header


def within(night: Night) -> NDArray[np.bool_]:
    """Choose the stars that all frames show."""
    return np.asarray(((night.sky.xy > 24) & (night.sky.xy < (376, 276))).all(axis=1))


def light_of(plane: NDArray[np.float32], xy: NDArray[np.float64]) -> NDArray[np.float64]:
    light, _, _ = sep.sum_circle(plane, *xy.T, 7.0, bkgann=(9.0, 13.0))
    return np.asarray(light)


def test_stars_have_their_true_colours(coloured: tuple[Run, Night]) -> None:
    run, night = coloured
    image, header = stack(run)
    assert image.shape == (3, *SHAPE)
    assert header["PLANES"] == "RGB"
    assert "BAYERPAT" not in header
    chosen = within(night)
    sky = night.sky
    assert sky.colours is not None
    true = sky.flux[chosen, np.newaxis] * sky.colours[chosen]
    found = np.stack([light_of(plane, sky.xy[chosen]) for plane in image], axis=1) / true
    bright = true.min(axis=1) > 8000
    assert bright.sum() >= 10
    np.testing.assert_allclose(np.median(found[bright], axis=0), 0.985, atol=0.015)
    ratios = found[bright][:, [0, 2]] / found[bright][:, 1:2]
    np.testing.assert_allclose(np.median(ratios, axis=0), 1, atol=0.01)
    assert np.std(ratios, axis=0).max() < 0.03


def test_each_colour_has_the_light_that_its_own_air_took(coloured: tuple[Run, Night]) -> None:
    run, night = coloured
    with fits.open(run.folder / "results" / "stack_mean.fits") as hdus:
        table = hdus["FRAMES"].data
        weights = np.asarray(table["WEIGHT"])
        scales = np.asarray(table["FLUXSCAL"])
    true = [1 / np.array(light.colours) for light in night.lights.values()]
    np.testing.assert_allclose(scales, true, rtol=0.01)
    np.testing.assert_allclose(weights.sum(axis=0), 1)
    assert (weights[0] > weights[-1]).all()


def test_the_sky_is_gone_from_each_colour_and_its_noise_is_told(
    coloured: tuple[Run, Night],
) -> None:
    run, night = coloured
    image, header = stack(run)
    y, x = np.mgrid[14 : SHAPE[0] - 14 : 9, 14 : SHAPE[1] - 14 : 9]
    places = np.column_stack([x.ravel(), y.ravel()]).astype(float)
    empty = places[KDTree(night.sky.xy).query(places)[0] > 14]
    for plane, colour in zip(image, "RGB", strict=True):
        noise = header[f"NOISEAD{colour}"]
        assert abs(np.median(plane)) < noise / 2
        light, _, _ = sep.sum_circle(plane, *empty.T, 6.0)
        spread = np.std(light)
        # A little is lost at the aperture's border, where neighbours share their noise.
        assert 0.8 < spread / (noise * np.sqrt(np.pi * 36)) < 1.1
    assert "NOISEADU" not in header
    assert header["SATURATE"] == min(header[f"SATURAT{colour}"] for colour in "RGB")
    # As many electrons as frames times a quarter or half of the pixels caught.
    assert header["EGAINR"] == pytest.approx(1.5 * N_FRAMES / 4, rel=0.05)
    assert header["EGAING"] == pytest.approx(1.5 * N_FRAMES / 2, rel=0.05)


def test_nothing_is_left_of_the_mosaic(coloured: tuple[Run, Night]) -> None:
    image, _ = stack(coloured[0], "sigma_clip")
    for plane in image:
        # Squares of the pattern against each other: a checkerboard would be in their means.
        inner = plane[16:-16, 16:-16]
        noise = 1.4826 * np.median(np.abs(inner - np.median(inner)))
        sites = [np.median(inner[row::2, column::2]) for row, column in np.ndindex(2, 2)]
        assert np.ptp(sites) < 5 * 1.25 * noise / np.sqrt(inner.size / 4)


def test_counts_have_the_planes_of_the_stack(coloured: tuple[Run, Night]) -> None:
    with fits.open(coloured[0].folder / "results" / "stack_sigma_clip.fits") as hdus:
        hdus.verify("exception")
        coverage, rejected = hdus["COVERAGE"].data, hdus["REJECTED"].data
        assert coverage.shape == rejected.shape == hdus[0].data.shape
        assert coverage.max() == N_FRAMES
        assert (np.isnan(hdus[0].data) == (coverage == 0)).all()


def test_the_preview_has_a_grey_sky_and_white_stars(coloured: tuple[Run, Night]) -> None:
    run, night = coloured
    with Image.open(run.folder / "results" / "preview.png") as picture:
        assert picture.mode == "RGB"
        pixels = np.asarray(picture, float)[44 : 44 + SHAPE[0], 8 : 8 + SHAPE[1]][::-1]
    sky = np.median(pixels, axis=(0, 1))
    assert np.ptp(sky) <= 4
    x, y = np.rint(night.sky.xy[within(night)]).astype(int).T
    stars = np.median(pixels[y, x] - sky, axis=0)
    assert stars.min() > 30
    assert np.ptp(stars) < 0.15 * stars.max()
    assert (run.folder / "results" / "report.html").is_file()


def test_bands_and_cores_change_no_byte(coloured: tuple[Run, Night], tmp_path: Path) -> None:
    bayer_night(tmp_path, stack_bands=4, stack_memory_mb=1)
    run = snakemake(tmp_path, cores=1)
    assert run.returncode == 0, run.output
    for name, content in coloured[0].results.items():
        if name.endswith((".fits", "preview.png")):
            assert run.results[name] == content, name


def test_colours_of_finished_nights_are_stacked_where_they_lie(
    coloured: tuple[Run, Night], tmp_path: Path
) -> None:
    settings = {"nights": [str(coloured[0].folder)], "modes": SETTINGS["modes"]}
    write_settings(tmp_path, **settings, color="rgb")
    run = snakemake(tmp_path)
    assert run.returncode == 0, run.output
    np.testing.assert_array_equal(stack(run)[0], stack(coloured[0])[0])


def test_a_grey_night_has_no_job_for_colours(tmp_path: Path) -> None:
    bayer_night(tmp_path, color="gray")
    run = snakemake(tmp_path, "-n")
    assert "clean_colours" not in planned_jobs(run)


def test_colours_come_and_go_without_a_look_at_the_grey_frames(
    coloured: tuple[Run, Night],
) -> None:
    run, _ = coloured
    after = {"stack_frames": 1, "draw_preview": 1, "write_report": 1, "all": 1}
    assert planned_jobs(snakemake(run.folder, "-n")) == {}
    grey = planned_jobs(snakemake(run.folder, "-n", "--config", "color=gray"))
    assert grey == after
    box = planned_jobs(snakemake(run.folder, "-n", "--config", "background_box=48"))
    assert box["clean_colours"] == N_FRAMES


def in_three_planes(mosaic: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Develop a mosaic, as a camera or another program does."""
    pixels = mosaic.astype(np.float32)
    colours = [colour_of_mosaic(pixels, (0, SHAPE[0]), SHAPE, "GRBG", k) for k in range(3)]
    return np.clip(np.rint(np.stack(colours)), 0, 65535).astype(np.uint16)


def as_other_files(folder: Path, kind: str) -> None:
    """Replace the lights by files of another kind with the same light."""
    for light in sorted((folder / "data").iterdir()):
        mosaic, header = fits.getdata(light), fits.getheader(light)
        light.unlink()
        planes = in_three_planes(mosaic)
        match kind:
            case "planes.fits":
                header.remove("BAYERPAT")
                fits.writeto(light, planes, header)
            case "tif":
                tifffile.imwrite(light.with_suffix(".tif"), np.moveaxis(planes, 0, -1))
            case "png":
                pixels = np.ascontiguousarray(np.moveaxis(planes, 0, -1))
                light.with_suffix(".png").write_bytes(imagecodecs.png_encode(pixels))
            case "dng":
                write_dng(light.with_suffix(".dng"), mosaic, pattern="GRBG", black=0, white=65535)


@pytest.mark.parametrize("kind", ["planes.fits", "tif", "png", "dng"])
def test_colours_of_files_of_all_kinds_are_stacked(tmp_path: Path, kind: str) -> None:
    night = bayer_night(tmp_path, modes=["mean"])
    shutil.rmtree(tmp_path / "darkfield")
    as_other_files(tmp_path, kind)
    for light in sorted((tmp_path / "data").iterdir())[4:]:
        light.unlink()
    run = snakemake(tmp_path)
    assert run.returncode == 0, run.output
    image, _ = stack(run)
    chosen = within(night)
    sky = night.sky
    assert sky.colours is not None
    true = sky.flux[chosen, np.newaxis] * sky.colours[chosen]
    found = np.stack([light_of(plane, sky.xy[chosen]) for plane in image], axis=1) / true
    np.testing.assert_allclose(np.median(found, axis=0), 0.98, atol=0.03)
    with Image.open(tmp_path / "results" / "preview.png") as picture:
        assert picture.mode == "RGB"


def test_a_frame_without_colours_is_named_and_the_others_are_stacked(tmp_path: Path) -> None:
    bayer_night(tmp_path)
    fits.delval(tmp_path / "data" / "light_3.fits", "BAYERPAT")
    run = snakemake(tmp_path)
    assert run.returncode == 0, run.output
    row = run.ledger["light_3"]
    assert row["status"] == "failed"
    assert "light_3.fits: no colours" in row["reasons"]
    assert "color to gray" in row["reasons"]
    assert stack(run)[1]["NCOMBINE"] == N_FRAMES - 1


def test_superpixels_have_half_the_size_and_the_colours_in_their_places(tmp_path: Path) -> None:
    night = bayer_night(tmp_path, color="superpixel", modes=["mean"], stack_bands=2)
    for light in (tmp_path / "data").iterdir():
        for key, value in {"CRPIX1": 200.5, "CRPIX2": 150.5, "CDELT1": -0.001}.items():
            fits.setval(light, key, value=value)
    run = snakemake(tmp_path)
    assert run.returncode == 0, run.output
    image, header = stack(run)
    assert image.shape == (3, SHAPE[0] // 2, SHAPE[1] // 2)
    assert (header["CRPIX1"], header["CRPIX2"], header["CDELT1"]) == (100.5, 75.5, -0.002)
    assert header["XBINNING"] == 2
    chosen = within(night)
    sky = night.sky
    assert sky.colours is not None
    places = (sky.xy[chosen] - 0.5) / 2
    for number, plane in enumerate(image):
        x, y, _ = sep.winpos(plane, *places.T, np.full(len(places), 0.8))
        shift = np.median(np.column_stack([x, y]) - places, axis=0)
        np.testing.assert_allclose(shift, 0, atol=0.03)
        light, _, _ = sep.sum_circle(plane, *places.T, 3.5, bkgann=(4.5, 6.5))
        true = sky.flux[chosen] * sky.colours[chosen, number] / 4
        assert np.median(light / true) == pytest.approx(0.98, abs=0.02)
    changed = snakemake(tmp_path, "-n", "--config", "color=rgb")
    assert "clean_colours" not in planned_jobs(changed)
    assert planned_jobs(changed)["join_bands"] == 1


def test_a_night_without_any_colour_is_told_before_a_job(
    small_night: Callable[..., Path],
) -> None:
    run = snakemake(small_night(color="rgb"))
    assert run.returncode != 0
    assert "color: no light below data has colours" in run.output
    assert "such as BAYERPAT = 'RGGB'" in run.output


def clean(folder: Path, **how: Any) -> fits.Header:
    """Write ``colours.fits`` of ``raw.fits``, which has no star; give its header."""
    write_table(folder / "sources.fits", np.empty(0, SOURCE), {"RAWSHA": "0"})
    clean_colours.run(
        folder / "raw.fits",
        folder / "sources.fits",
        folder / "colours.fits",
        sha256="0",
        masters={},
        background_box=64,
        **plain(saturation_limit=60000, **how),
    )
    header: fits.Header = fits.getheader(folder / "colours.fits")
    return header


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("region", [0, 101, 102])
@pytest.mark.parametrize("shape", [(160, 181), (163, 180)])
def test_the_pattern_follows_what_is_cut_off_and_turned(
    tmp_path: Path, shape: tuple[int, int], region: int, turned: bool
) -> None:
    rng = np.random.default_rng(1)
    mosaic = rng.normal(0, 3, shape)
    levels = {"R": 400, "G": 1000, "B": 80}
    for (row, column), colour in zip(np.ndindex(2, 2), "GBRG", strict=True):
        mosaic[row::2, column::2] += levels[colour]
    cards = fits.Header({"BAYERPAT": "RGGB", "XBAYROFF": 0, "YBAYROFF": 1})
    fits.writeto(tmp_path / "raw.fits", np.rint(mosaic).astype(np.uint16), cards)
    header = clean(tmp_path, turned=turned, debug_region=region)
    found = {colour: header[f"BKGADU{colour}"] for colour in "RGB"}
    assert found == pytest.approx(levels, abs=1)
    for number in range(3):
        plane = colour_file(tmp_path / "colours.fits", header, number).read_rows(0, 101)
        assert abs(np.median(plane)) < 1


@pytest.mark.parametrize("background", ["mesh", "plane"])
def test_noise_that_varies_is_told_of_each_colour(tmp_path: Path, background: str) -> None:
    shape = (1000, 1400)
    noise = 10 + np.linspace(0, 10, shape[1])
    mosaic = np.random.default_rng(2).normal(1000, np.tile(noise, (shape[0], 1)))
    cards = fits.Header({"BAYERPAT": "GRBG"})
    fits.writeto(tmp_path / "raw.fits", np.rint(mosaic).astype(np.uint16), cards)
    header = clean(tmp_path, background=background)
    for colour in "RGB":
        varies = noise_map_in(header, f"NOISEMA{colour}")
        told = header[f"NOISEAD{colour}"] * Surface(shape, varies).rows(0, shape[0])
        assert np.abs(told / noise - 1).max() < 0.1


@pytest.mark.parametrize("color", ["rgb", "superpixel"])
@pytest.mark.parametrize("pattern", ["GBRG", None])
def test_colours_that_are_read_together_are_those_read_one_by_one(
    tmp_path: Path, color: str, pattern: str | None
) -> None:
    rng = np.random.default_rng(4)
    pixels = rng.normal(0, 3, SHAPE if pattern else (3, *SHAPE)).astype(np.float32)
    pixels[rng.random(pixels.shape) < 0.002] = np.nan
    header = fits.Header({"MOSAIC": pattern} if pattern else {})
    for colour in "RGB":
        header.update({f"NOISEAD{colour}": 3.0, f"SATURAT{colour}": 6e4})
    path = tmp_path / "a.fits"
    write_colours(path, pixels, header, np.zeros(0, STAR))
    angle = np.radians(50)
    matrix = np.array(
        [[np.cos(angle), -np.sin(angle), 200], [np.sin(angle), np.cos(angle), -80], [0, 0, 1]]
    )
    transform = Transform(matrix, SHAPE, SHAPE)
    frame = AlignedFrame("a", PixelFile(path), header, transform, 1.2, (0.1, -0.05))
    planes = planes_of([frame], "a", {"a": path}, scaled=False, halved=color == "superpixel")
    ny, nx = planes[0][0].transform.reference_shape
    whole = np.empty((3, ny, nx), np.float32)
    for (one,), plane in zip(planes, whole, strict=True):
        one.fill((0, ny), plane)
    assert np.isfinite(whole).mean() > 0.5
    for rows in ((0, ny), (40, 61), (ny - 1, ny)):
        out = np.empty((3, rows[1] - rows[0], nx), np.float32)
        AlignedFrame.fill_colours([one for (one,) in planes], rows, list(out))
        assert out.tobytes() == np.ascontiguousarray(whole[:, slice(*rows)]).tobytes()
