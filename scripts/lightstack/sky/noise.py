"""The noise of the sky, from pixels that no star lights."""

import math

import numpy as np
from numpy.typing import NDArray

LAG = 4
"""Distance of the pixels that are compared [pixels]: beyond what demosaicing and interpolation
correlate."""

PLACES = 200_000
"""So many are looked at, about: they leave an error of half a percent."""

CELL = 64
"""Side of the cells, each of which has a noise of its own [pixels]."""

DARKEST = 0.06
"""Share of a cell's places that are looked at in any case: those with the least light.

More are, as far as the noise explains their light (tuned: ``benchmarks/sky_table.py``).
"""

CLIP = 3.0
"""Contrasts further than this many standard deviations are no noise of the sky."""

CLIPPED_VARIANCE = 0.97334
"""Variance of a normal distribution of variance one without what is beyond `CLIP`."""

WITHIN_SIGMA = 0.6827
"""Share of a normal distribution within one standard deviation."""

FEWEST = 8
"""Places in a cell of which a noise can be told."""


def noise_of_sky(data: NDArray[np.float32]) -> float:
    """Measure the standard deviation of pixels without stars.

    Parameters
    ----------
    data : (ny, nx) ndarray of float32
        Pixels [ADU], NaN where there is no data.

    Returns
    -------
    float
        [ADU]; not a number if no part of the image has enough pixels with data.

    Notes
    -----
    Of the pixels a, b, c, d at the corners of a square, ``(a - b - c + d) / 2`` has the noise of
    one pixel, and neither the sky's level nor its slope is in it. It is independent of their sum,
    so the squares with the least light can be chosen without choosing the least noise. The noise
    of the frame is the median over its cells.
    """
    _, sigma = noise_in_cells(data)
    return float(np.median(sigma)) if sigma.size else math.nan


def noise_in_cells(
    data: NDArray[np.float32],
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Measure the standard deviation of pixels without stars in each cell of an image.

    Parameters
    ----------
    data : (ny, nx) ndarray of float32
        Pixels [ADU], NaN where there is no data.

    Returns
    -------
    places : (m, 2) ndarray of float64
        Middles (x, y) of those cells that have enough pixels with data [pixels].
    sigma : (m,) ndarray of float32
        [ADU]
    """
    nothing = np.empty((0, 2)), np.empty(0, np.float32)
    contrasts, light, places = _squares(data)
    n_darkest = int(DARKEST * light.shape[1])
    if n_darkest < FEWEST or not light.size:
        return nothing
    limit = np.partition(light, n_darkest, axis=1)[:, [n_darkest]]
    known = np.isfinite(limit[:, 0])
    if not known.any():
        return nothing
    sizes, light, limit = np.abs(contrasts[known]), light[known], limit[known]
    darkest = np.where(light <= limit, sizes, np.float32(np.inf))
    rank = int(WITHIN_SIGMA * n_darkest)
    sigma = np.partition(darkest, rank, axis=1)[:, [rank]]
    for _ in range(4):
        chosen = (light <= limit + (LAG + 1) * sigma) & (sizes <= CLIP * sigma)
        squares = np.where(chosen, sizes, np.float32(0)) ** 2
        mean = squares.sum(axis=1, keepdims=True) / chosen.sum(axis=1, keepdims=True)
        sigma = np.sqrt(mean / CLIPPED_VARIANCE)
    return places[known], sigma[:, 0]


def _squares(
    data: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float64]]:
    """Contrast of the corners of squares, and all light in them: a row for each cell; its middle.

    What is unknown has infinite light.
    """
    ny, nx = data.shape
    n_rows, n_columns = max(ny - LAG, 1), max(nx - LAG, 1)
    apart = max(1, min(CELL // 4, n_rows * n_columns // PLACES))
    top = np.arange(0, ny - LAG, apart)
    above, below = data[top], data[top + LAG]
    difference = above - below
    contrasts = (difference[:, :-LAG] - difference[:, LAG:]) / np.float32(2)
    columns = above + below
    for k in range(1, LAG):
        columns += data[top + k]
    light = columns[:, :-LAG].copy()
    for k in range(1, LAG + 1):
        light += columns[:, k : k + light.shape[1]]
    light[~np.isfinite(light)] = np.inf
    n_y, n_x = _cells_along(light.shape, CELL // apart)
    y, x = np.mgrid[:n_y, :n_x].reshape(2, -1) + 0.5
    heights = light.shape[0] // n_y * apart, light.shape[1] // n_x
    places = np.stack([x * heights[1], y * heights[0]], axis=1) + (LAG - 1) / 2
    return _in_cells(contrasts, CELL // apart), _in_cells(light, CELL // apart), places


def _cells_along(shape: tuple[int, ...], height: int) -> tuple[int, int]:
    """Count the cells along y and x."""
    n_y, n_x = (max(1, n // side) for n, side in zip(shape, (height, CELL), strict=True))
    return n_y, n_x


def _in_cells(values: NDArray[np.float32], height: int) -> NDArray[np.float32]:
    """Put the values of each cell into a row; what is left at the end belongs to no cell."""
    n_y, n_x = _cells_along(values.shape, height)
    height, width = values.shape[0] // n_y, values.shape[1] // n_x
    cells = values[: n_y * height, : n_x * width].reshape(n_y, height, n_x, width)
    return cells.swapaxes(1, 2).reshape(n_y * n_x, height * width)
