"""Halves that amplifiers of another gain or offset have read are told of."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray

from scripts.lightstack.calibration.amplifiers import doubt_of_halves
from scripts.lightstack.calibration.calibrating import calibrate
from tests.calibration import plain

SHAPE = (420, 500)


def sky(seed: int = 1) -> NDArray[np.float32]:
    """Expose a gradient, vignetting, a nebula with a bright rim, and stars."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    away = np.hypot(x - 250, y - 210)
    light = 800 * (1 + 0.2 * x / SHAPE[1]) * (1 - 0.4 * (away / 330) ** 2)
    light += 150 * (away < 120) + 100 * np.exp(-((away - 120) ** 2))
    light[rng.random(SHAPE) < 0.01] += 4000
    exposed: NDArray[np.float32] = rng.poisson(light).astype(np.float32)
    return exposed


@pytest.mark.parametrize(
    ("part", "gain", "offset", "line"),
    [
        (np.s_[:, 250:], 0.8, 0, "column 250"),
        (np.s_[210:, 250:], 0.9, 0, "column 250"),
        (np.s_[:210], 1, 60, "row 210"),
    ],
)
def test_a_step_in_the_middle_is_told(
    part: tuple[slice, ...], gain: float, offset: float, line: str
) -> None:
    image = sky()
    image[part] = image[part] * np.float32(gain) + np.float32(offset)
    image[100:104] = np.nan
    assert f"ADU at {line}, as where" in doubt_of_halves(image)


def test_skies_without_a_step_are_not_doubted() -> None:
    for seed in range(5):
        assert not doubt_of_halves(sky(seed))
    assert not doubt_of_halves(sky()[:60, :80])
    assert not doubt_of_halves(np.full(SHAPE, np.nan, np.float32))
    assert not doubt_of_halves(np.zeros(SHAPE, np.float32))


def test_the_ledger_is_told_of_it(tmp_path: Path) -> None:
    image = sky()
    image[:, 250:] *= 0.8
    raw = tmp_path / "a.fits"
    fits.writeto(raw, image.astype(np.uint16))
    settings = plain(unread=tmp_path / "unread")
    assert calibrate(raw, {}, **settings).names["flat"].startswith("none; the sky steps by ")
