"""Cosmic rays are found in a single frame, and stars stay as they are."""

from collections.abc import Callable
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
    Sky,
    add_cosmic_ray,
    make_sky,
    render_light,
)
from tests.conftest import snakemake

SHAPE = (300, 400)


def exposed(fwhm: float) -> tuple[Sky, NDArray[np.float32]]:
    rng = np.random.default_rng(2)
    sky, camera = make_sky(rng, SHAPE, 250), Camera(SHAPE, np.full(SHAPE, 20, np.float32))
    return sky, render_light(rng, sky, camera, Light(fwhm=fwhm)).astype(np.float32)


@pytest.mark.parametrize("egain", [GAIN_E_PER_ADU, None])
@pytest.mark.parametrize("fwhm", [2.0, 3.0])
def test_cosmic_rays_are_found_and_stars_are_left_alone(fwhm: float, egain: float | None) -> None:
    sky, frame = exposed(fwhm)
    rays = np.zeros(SHAPE, np.float32)
    rng = np.random.default_rng(4)
    for _ in range(30):
        add_cosmic_ray(rng, rays)
    frame[10, 10] = np.nan
    for light in (frame, frame + rays):
        found = find_cosmic_rays(light, light >= 60000, egain)
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


def test_cosmic_rays_have_no_data_if_it_is_wanted(small_night: Callable[..., Path]) -> None:
    folder = small_night(cosmic_rays="lacosmic", modes=["mean"])
    run = snakemake(folder)
    assert run.returncode == 0, run.output
    path = next((run.folder / "data_cleaned").glob("*.fits"))
    with fits.open(path) as hdus:
        count = hdus[0].header["COSMICS"]
        assert 8 <= count == np.isnan(hdus[0].data).sum() < 400
    assert "COSMICS" not in fits.getheader(run.folder / "results" / "stack_mean.fits")
