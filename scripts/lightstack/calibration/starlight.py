"""Whether stars are in a dark, bias frame or flat: then it is a light, whatever they call it."""

import math

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.robust import MAD_TO_SIGMA

SIDE = 1024
"""Side of the square in the middle that is looked at [pixels]."""

CELL = 32
"""Side of the cells whose medians are the dark's own light [pixels]."""

PEAK, AROUND = 20.0, 5.0
"""Noise that a star's brightest pixel exceeds so many times, and all within two pixels of it."""

NEAR = [(-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)]
TWO_AWAY = [(-2, 0), (0, -2), (0, 2), (2, 0)]
FOUR_AWAY = [(-4, 0), (0, -4), (0, 4), (4, 0)]
"""Rows and columns from the brightest pixel: hot pixels are alone, or spread by one pixel where
colours were filled in, and the light of a glow is not less four pixels away."""

FEWEST = 10
"""Such pixels that are no chance: the darks of a real night, and simulated ones of 5 % of hot
pixels or with cosmic rays, have one at most."""


def has_stars(image: NDArray[np.float32], brighter: float = 0.0) -> bool:
    """Tell whether an image has stars.

    Parameters
    ----------
    image : (ny, nx) ndarray of float32
        Raw frame [ADU]; NaN is no data.
    brighter : float, optional
        Least light of the stars' brightest pixels [ADU].

    Returns
    -------
    bool
    """
    top, left = ((size - SIDE) // 2 if size > SIDE else 0 for size in image.shape)
    square = image[top : top + SIDE, left : left + SIDE]
    ny, nx = (size // CELL * CELL for size in square.shape)
    if not ny or not nx:
        return False
    cells = np.nan_to_num(square[:ny, :nx]).reshape(ny // CELL, CELL, nx // CELL, CELL)
    light = (cells - np.median(cells, axis=(1, 3), keepdims=True)).reshape(ny, nx)
    noise = max(MAD_TO_SIGMA * float(np.median(np.abs(light))), math.sqrt(1 / 12))
    margin = max(max(FOUR_AWAY))
    peak = light[margin:-margin, margin:-margin]

    def at(step: tuple[int, int]) -> NDArray[np.float32]:
        y, x = (margin + each for each in step)
        return light[y : y + peak.shape[0], x : x + peak.shape[1]]

    is_star = peak > max(PEAK * noise, brighter)
    for step in NEAR:
        is_star &= (at(step) <= peak) & (at(step) > AROUND * noise)
    for step in TWO_AWAY:
        is_star &= at(step) > AROUND * noise
    for step in FOUR_AWAY:
        is_star &= at(step) < peak / 2
    return bool(np.count_nonzero(is_star) >= FEWEST)
