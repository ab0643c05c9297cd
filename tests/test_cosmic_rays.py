"""Cosmic rays are found in a single frame, and stars stay as they are."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray

from scripts.lightstack.calibration.cosmic_rays import find_cosmic_rays
from scripts.lightstack.simulator import (
    GAIN_E_PER_ADU,
    Camera,
    Light,
    Night,
    Sky,
    add_cosmic_ray,
    make_camera,
    make_sky,
    render_light,
    write_night,
)
from tests.conftest import SMALL_SETTINGS, snakemake, write_settings

SHAPE = (300, 400)


def exposed(
    fwhm: float, pattern: str | None, n_stars: int = 250
) -> tuple[Sky, NDArray[np.float32]]:
    rng = np.random.default_rng(2)
    sky, camera = make_sky(rng, SHAPE, n_stars), Camera(SHAPE, np.full(SHAPE, 20, np.float32))
    if pattern:
        # Stars from blue to red, seen by a camera whose green is the most sensitive.
        colours = rng.uniform(0.5, 1, (len(sky.xy), 3)) * (0.6, 1.0, 0.7)
        sky, camera = replace(sky, colours=colours), replace(camera, pattern=pattern)
    return sky, render_light(rng, sky, camera, Light(fwhm=fwhm)).astype(np.float32)


@pytest.mark.parametrize("egain", [GAIN_E_PER_ADU, None])
@pytest.mark.parametrize("fwhm", [2.0, 3.0])
@pytest.mark.parametrize("pattern", [None, "GRBG"])
def test_cosmic_rays_are_found_and_stars_are_left_alone(
    fwhm: float, egain: float | None, pattern: str | None
) -> None:
    sky, frame = exposed(fwhm, pattern)
    rays = np.zeros(SHAPE, np.float32)
    rng = np.random.default_rng(4)
    for _ in range(30):
        add_cosmic_ray(rng, rays)
    frame[10, 10] = np.nan
    for light in (frame, frame + rays):
        found = find_cosmic_rays(light, light >= 60000, egain, is_mosaic=pattern is not None)
        hit = (rays > 400) & (light is not frame)
        if hit.any():
            assert found[hit].mean() > 0.9
        near = (rays > 0) | (light >= 60000)
        x, y = np.rint(sky.xy).astype(int).T
        inside = (x > 4) & (x < SHAPE[1] - 5) & (y > 4) & (y < SHAPE[0] - 5)
        for column, row in zip(x[inside], y[inside], strict=True):
            core = np.s_[row - 1 : row + 2, column - 1 : column + 2]
            around = np.s_[max(row - 3, 0) : row + 4, max(column - 3, 0) : column + 4]
            if not near[around].any():
                # Not a pixel of its core is lost: its flux is what it was.
                assert not found[core].any()
        assert not found[10, 10]


@pytest.mark.parametrize("seed", range(4))
def test_many_cosmic_rays_are_no_colour_of_few_stars(seed: int) -> None:
    sky, frame = exposed(3.0, "GRBG", n_stars=5)
    rays = np.zeros(SHAPE, np.float32)
    rng = np.random.default_rng(seed)
    for _ in range(30):
        add_cosmic_ray(rng, rays)
    found = find_cosmic_rays(frame + rays, frame >= 60000, GAIN_E_PER_ADU, is_mosaic=True)
    assert found[rays > 400].mean() > 0.9
    for column, row in np.rint(sky.xy).astype(int):
        near = np.s_[max(row - 3, 0) : row + 4, max(column - 3, 0) : column + 4]
        if not rays[near].any():
            assert not found[near].any()


def test_cosmic_rays_have_no_data_if_it_is_wanted(small_night: Callable[..., Path]) -> None:
    folder = small_night(cosmic_rays="lacosmic", modes=["mean"])
    run = snakemake(folder)
    assert run.returncode == 0, run.output
    path = next((run.folder / "data_cleaned").glob("*.fits"))
    with fits.open(path) as hdus:
        count = hdus[0].header["COSMICS"]
        assert 8 <= count == np.isnan(hdus[0].data).sum() < 400
    assert "COSMICS" not in fits.getheader(run.folder / "results" / "stack_mean.fits")


def test_cosmic_rays_of_a_mosaic_are_in_no_colour_of_its_stack(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    camera = replace(make_camera(rng, SHAPE, hot_share=0), pattern="RGGB")
    lights = {str(k): Light(shift=(1.3 * k, -0.7 * k)) for k in range(4)}
    write_night(tmp_path, Night(make_sky(rng, SHAPE, 150), camera, lights, n_darks=0))
    # A ray of one pixel: in a mosaic it has one colour.
    row, column = 97, 131
    path = tmp_path / "data" / "2.fits"
    with fits.open(path, mode="update") as hdus:
        hdus[0].data[row, column] = 60000
    settings = {**SMALL_SETTINGS, "color": "rgb", "modes": ["max"], "reference": "2"}
    write_settings(tmp_path, **settings, cosmic_rays="lacosmic")
    run = snakemake(tmp_path)
    assert run.returncode == 0, run.output
    near = np.s_[:, row - 3 : row + 4, column - 3 : column + 4]
    assert np.nanmax(fits.getdata(tmp_path / "results" / "stack_max.fits")[near]) < 5000
    for frame in run.ledger.values():
        assert frame["status"] == "stacked"
        assert float(frame["cosmic_ray_pixels"]) < 20
    assert float(run.ledger["2"]["cosmic_ray_pixels"]) >= 1
