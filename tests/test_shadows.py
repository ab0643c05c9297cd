"""A flat whose shadows a frame does not have is told of."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray

from scripts.lightstack.calibration.division import divide
from scripts.lightstack.calibration.subtraction import RowsInMemory
from scripts.lightstack.simulator import make_night, make_response, write_night
from tests.conftest import SMALL_SETTINGS, snakemake, write_settings

SHAPE = (800, 1200)
SKY = 500.0
WHOLE = np.s_[0:None, 0:None]
Image = NDArray[np.float32]


def response(n_dust: int = 5) -> Image:
    return make_response(np.random.default_rng(8), SHAPE, n_dust=n_dust)


def flat_of(light: Image) -> Image:
    noise = np.random.default_rng(1).normal(1, 0.002, SHAPE)
    return (light / np.median(light) * noise).astype(np.float32)


def frame_of(light: Image, sky: float = SKY, pedestal: float = 0) -> Image:
    """Expose a field of stars with a nebula in one half."""
    rng = np.random.default_rng(2)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    nebula = 2000 * np.exp(-(((x - 300) / 120) ** 2 + ((y - 400) / 150) ** 2))
    scene = sky * (1 + 0.3 * x / SHAPE[1]) + nebula
    scene[rng.random(SHAPE) < 0.02] += 4000
    exposed: Image = (rng.poisson(light * scene) + pedestal).astype(np.float32)
    return exposed


def doubt(frame: Image, flat: Image, *, is_turned: bool = False) -> str:
    return divide(frame.copy(), RowsInMemory(flat), WHOLE, is_turned=is_turned)


def test_a_flat_of_the_frames_own_shadows_is_not_doubted() -> None:
    light = response()
    assert not doubt(frame_of(light), flat_of(light))
    assert not doubt(frame_of(light), flat_of(light)[::-1], is_turned=True)


@pytest.mark.parametrize("turned", [np.s_[::-1], np.s_[:, ::-1], np.s_[::-1, ::-1]])
def test_shadows_at_other_places_are_told(turned: tuple[slice, ...]) -> None:
    light = response()
    told = doubt(frame_of(light), flat_of(light)[turned])
    assert "% of the depth of its shadows" in told
    assert float(told.split("shows ")[1].split("%")[0]) < 20


def test_small_frames_show_shadows_too() -> None:
    light = make_response(np.random.default_rng(8), (400, 600), n_dust=2)
    frame = np.random.default_rng(2).poisson(light * 800).astype(np.float32)
    flat = light / np.median(light)
    assert not doubt(frame, flat)
    told = doubt(frame, flat[:, ::-1])
    assert "% of the depth of its shadows" in told


def test_a_pedestal_left_in_the_frame_is_told() -> None:
    light = response()
    told = doubt(frame_of(light, pedestal=3 * SKY), flat_of(light))
    assert 15 < float(told.split("shows ")[1].split("%")[0]) < 40


def test_a_frame_that_was_divided_before_is_told() -> None:
    y, x = (np.linspace(-1, 1, n) for n in SHAPE)
    light = (1 - 0.2 * (x**2 + y[:, np.newaxis] ** 2)).astype(np.float32)
    scene = SKY * (1 + 0.3 * x) + np.zeros(SHAPE)
    scene[np.random.default_rng(6).random(SHAPE) < 0.02] += 4000

    def exposed(light: Image | float, pedestal: float = 0, dimmed: float = 1) -> Image:
        rng = np.random.default_rng(2)
        image: Image = (rng.poisson(light * scene * dimmed) + pedestal).astype(np.float32)
        return image

    told = doubt(exposed(1.0), flat_of(light))
    after, before = (float(part.split()[0]) for part in told.split(" by ")[1:])
    assert after > 10 * before
    assert "the sky is uneven" in doubt(exposed(light, pedestal=3000), flat_of(light))
    assert not doubt(exposed(light), flat_of(light))
    # A little of the bias that is left is less than the noise where the sky is dark.
    assert not doubt(exposed(light, pedestal=3, dimmed=0.005), flat_of(light))


@pytest.mark.parametrize(
    ("offset", "why"), [(0.5, "were left in the frame"), (-0.4, "had been taken off twice")]
)
def test_a_wrong_offset_is_told_by_the_vignetting(offset: float, why: str) -> None:
    light = response(n_dust=0)
    x, y = np.meshgrid(np.linspace(-1, 1, SHAPE[1]), np.linspace(-1, 1, SHAPE[0]))
    glow = 1 + 0.3 * x + 0.05 * (x**2 + y**2)
    rng = np.random.default_rng(2)
    frame = rng.poisson(light * glow * SKY).astype(np.float32)
    assert not doubt(frame, flat_of(light))
    told = doubt(frame + np.float32(offset * SKY), flat_of(light))
    assert told.endswith(f" ADU {why}")
    assert float(told.split("as if ")[1].split()[0]) == pytest.approx(abs(offset) * SKY, rel=0.3)


def test_a_flat_of_little_light_is_told() -> None:
    light = response()
    noise = np.random.default_rng(3).normal(1, 0.2, SHAPE).astype(np.float32)
    told = doubt(frame_of(light), flat_of(light) * noise)
    assert told.startswith("too little light in it: noise grew from 2")


def test_nothing_is_said_where_nothing_can_be_seen() -> None:
    light, clean = response(), response(n_dust=0)
    assert not doubt(frame_of(light, sky=2), flat_of(light)[::-1])
    assert not doubt(frame_of(light), flat_of(clean))
    assert not doubt(np.full(SHAPE, np.nan, np.float32), flat_of(light))
    assert not divide(np.ones((5, 7), np.float32), RowsInMemory(flat_of(light)[:5, :7]), WHOLE)


def test_the_run_tells_of_flats_and_darks_that_do_not_fit(tmp_path: Path) -> None:
    tidy = make_night(tmp_path / "other", shape=SHAPE, n_lights=5, n_stars=900, seed=4)
    night = tmp_path / "night"
    camera = replace(tidy.camera, response=response())
    write_night(night, replace(tidy, camera=camera, n_bias=3, n_flats=3))
    for path in (night / "flats").iterdir():
        with fits.open(path, mode="update") as hdus:
            hdus[0].data = hdus[0].data[:, ::-1].copy()
    leak = np.zeros(SHAPE, np.uint16)
    leak[:200, :300] = 150
    for path in (night / "darkfield").iterdir():
        with fits.open(path, mode="update") as hdus:
            hdus[0].data = hdus[0].data + leak
    write_settings(night, **{**SMALL_SETTINGS, "ellip_max": 1.0, "modes": ["mean"]})
    run = snakemake(night)
    assert run.returncode == 0
    assert "Flats in doubt: 5, such as that of light_0001 (master of 3:" in run.output
    for row in run.ledger.values():
        assert "of the depth of its shadows" in row["flat"]
        assert "that the dark has: light leaked into it" in row["dark"]
