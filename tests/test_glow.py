"""A dark with light that the frame lacks is told of."""

import numpy as np
import pytest
from numpy.typing import NDArray

from scripts.lightstack.calibration.glow import doubt_of_glow
from scripts.lightstack.simulator import make_response

SHAPE = (200, 300)
Y, X = np.mgrid[: SHAPE[0], : SHAPE[1]] / 300
LIGHT = make_response(np.random.default_rng(8), SHAPE, n_dust=0)
CORNER = 80 * np.exp(-(X**2 + Y**2) / 0.03)
Image = NDArray[np.floating]


def told(leak: Image | float, glow: Image | float = 0.0, nebula: Image | float = 0.0) -> str:
    """Calibrate a frame with this glow by a dark that has this leak, too."""
    rng = np.random.default_rng(2)
    dark = 300 + glow + leak + rng.normal(0, 4, SHAPE)
    dark[rng.random(SHAPE) < 0.002] += 2000
    scene = 800 * (1 + 0.3 * X) + 100 * Y**2 + nebula
    scene[rng.random(SHAPE) < 0.02] += 4000
    frame = rng.poisson(scene * LIGHT) + rng.normal(300, 8, SHAPE) + glow
    after = (frame - dark) / LIGHT
    return doubt_of_glow(*(each.astype(np.float32) for each in (after, dark, LIGHT)))


@pytest.mark.parametrize("nebula", [0, 40 * np.exp(-((X - 0.6) ** 2 + (Y - 0.3) ** 2) / 0.02)])
def test_light_that_only_the_dark_has_is_told(nebula: Image | float) -> None:
    doubt = told(CORNER, nebula=nebula)
    lacks = float(doubt.split("lacks ")[1].split("%")[0])
    assert lacks == pytest.approx(100, abs=15)
    assert "light leaked into it" in doubt


@pytest.mark.parametrize("nebula", [0, 3 * CORNER])
def test_a_glow_that_the_frame_has_is_none(nebula: Image | float) -> None:
    assert not told(0, glow=CORNER, nebula=nebula)
    assert not told(0, nebula=nebula)


def test_what_has_no_data_tells_nothing() -> None:
    nothing = np.full(SHAPE, np.nan, np.float32)
    assert not doubt_of_glow(nothing, LIGHT, LIGHT)
    assert not doubt_of_glow(LIGHT, nothing, LIGHT)
    assert not doubt_of_glow(LIGHT, LIGHT, nothing)
