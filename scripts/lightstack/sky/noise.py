"""The noise of the sky, from pixels that no star lights."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

SIDE = 9
"""Side of the squares in whose middle noise is measured, which have little light [pixels]."""

LAG = 4
"""Distance of the pixels that are compared where neighbours share their noise in some unknown
way [pixels]: beyond what demosaicing and interpolation correlate."""

PLACES = 200_000
"""So many are looked at, about: they leave an error of half a percent."""

CELLS, SMALLEST_CELL = 400, 64
"""About so many cells, each of which has a noise of its own, make an image; their least side
[pixels]."""

DARKEST = 0.06
"""Share of a cell's places that are looked at in any case: those with the least light.

More are, as far as the noise explains their light (tuned: ``benchmarks/sky_table.py``).
"""

ALIKE = 0.03
"""How far the two fine contrasts may be from the ratio that a known noise gives them."""

CLIP = 3.0
"""Contrasts further than this many standard deviations are no noise of the sky."""

CLIPPED_VARIANCE = 0.97334
"""Variance of a normal distribution of variance one without what is beyond `CLIP`."""

WITHIN_SIGMA = 0.6827
"""Share of a normal distribution within one standard deviation."""

UNUSUAL = 1.5
"""Noise of cells over the median's, from which on they do not tell whether neighbours share it."""

FEWEST = 8
"""Places in a cell of which a noise can be told."""


TINY = 1e-30
"""Pixels without noise have none of any kind."""

Floats = NDArray[np.float32]


class Contrast(NamedTuple):
    """A filter, along y and then along x, through which neither sky nor stars come."""

    along_y: tuple[int, ...]
    along_x: tuple[int, ...]


FINE = Contrast((1, -4, 6, -4, 1), (1, -1))
FINEST = Contrast((1, -4, 6, -4, 1), (1, -4, 6, -4, 1))
COARSE = Contrast((1, *[0] * (LAG - 1), -1), (1, *[0] * (LAG - 1), -1))

NEIGHBOURS = ((1.0, 0.0, 0.0), (1.0, 4 / 6, 1 / 6))
"""Correlation of pixels 0, 1 and 2 apart along an axis, for the kinds of noise that frames have by
themselves: of each pixel its own, and that of a mosaic made grey with the weights 1, 2, 1."""


def noise_of_sky(data: Floats) -> float:
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
    Contrasts between neighbours leave out the sky and nearly all of the stars, which no optics
    make as narrow as that. They are independent of the sum of a square about them, so the squares
    with the least light can be chosen without choosing the least noise. What two such contrasts
    have of a pixel's noise tells whether neighbours share it, and stars hardly touch that. The
    noise of the frame is the median over its cells.
    """
    _, sigma = noise_in_cells(data)
    return float(np.median(sigma)) if sigma.size else math.nan


def noise_in_cells(
    data: Floats,
) -> tuple[NDArray[np.float64], Floats]:
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
    ny, nx = data.shape
    if min(ny, nx) < SIDE:
        return nothing
    cell = max(SMALLEST_CELL, round((ny * nx / CELLS) ** 0.5))
    apart = max(1, min(cell // 4, (ny - SIDE + 1) * (nx - SIDE + 1) // PLACES))
    top = np.arange(0, ny - SIDE + 1, apart)
    light, places = _in_cells(_light(data, top), cell, apart)
    n_darkest = int(DARKEST * light.shape[1])
    if n_darkest < FEWEST:
        return nothing
    limit = np.partition(light, n_darkest, axis=1)[:, [n_darkest]]
    known = np.isfinite(limit[:, 0])
    if not known.any():
        return nothing
    light, limit = light[known], limit[known]

    def contrasts(of: Contrast) -> Floats:
        return _in_cells(_filtered(data, top, of), cell, apart)[0][known]

    fine = contrasts(FINE)
    first = _of_darkest(fine, light, limit, n_darkest)
    ratio = _ratio(_of_darkest(contrasts(FINEST), light, limit, n_darkest), first)
    for correlation in NEIGHBOURS:
        of_fine, of_finest = (_share(each, correlation) for each in (FINE, FINEST))
        if abs(ratio / (of_finest / of_fine) - 1) <= ALIKE:
            of_light = SIDE * (1 + 2 * sum(correlation[1:])) / of_fine
            sigma = _of_light_below(fine, light, limit, first, of_light)
            return places[known], sigma / np.float32(of_fine)
    coarse = contrasts(COARSE)
    first = _of_darkest(coarse, light, limit, n_darkest)
    return places[known], _of_light_below(coarse, light, limit, first, SIDE)


def _ratio(finest: Floats, fine: Floats) -> float:
    """Tell how much noise one contrast shows over the other, in cells without much light."""
    usual = fine <= UNUSUAL * np.median(fine)
    of_both = (float((sigma[usual].astype(float) ** 2).mean()) for sigma in (finest, fine))
    return math.sqrt((next(of_both) + TINY) / (next(of_both) + TINY))


def _of_darkest(contrasts: Floats, light: Floats, limit: Floats, n_darkest: int) -> Floats:
    """Find the standard deviation (m, 1) of the contrasts where there is least light."""
    darkest = np.where(light <= limit, np.abs(contrasts), np.float32(np.inf))
    rank = int(WITHIN_SIGMA * n_darkest)
    sigma = np.partition(darkest, rank, axis=1)[:, [rank]]
    return _clipped(darkest, darkest < np.inf, sigma)


def _of_light_below(
    contrasts: Floats, light: Floats, limit: Floats, sigma: Floats, of_light: float
) -> Floats:
    """Find the standard deviation (m,) of the contrasts where noise explains the light.

    Parameters
    ----------
    contrasts, light : (m, k) ndarray of float32
    limit, sigma : (m, 1) ndarray of float32
        What the darkest have of light at most; a first standard deviation.
    of_light : float
        Standard deviation of the light over that of the contrasts.
    """
    sizes = np.abs(contrasts)
    for _ in range(4):
        sigma = _clipped(sizes, light <= limit + np.float32(of_light) * sigma, sigma)
    return np.asarray(sigma[:, 0])


def _clipped(sizes: Floats, chosen: NDArray[np.bool_], sigma: Floats) -> Floats:
    """Find the standard deviation (m, 1) of the chosen ones without what is far off."""
    chosen = chosen & (sizes <= CLIP * sigma)
    number = chosen.sum(axis=1, keepdims=True)
    squares = np.where(chosen, sizes, np.float32(0)) ** 2
    mean = squares.sum(axis=1, keepdims=True) / number
    return np.asarray(np.sqrt(mean / CLIPPED_VARIANCE) * (1 + 0.5 / number), np.float32)


def _share(contrast: Contrast, correlation: tuple[float, ...]) -> float:
    """Compute the standard deviation of a contrast over that of a pixel."""
    variance = 1.0
    for weights in contrast:
        product = np.correlate(weights, weights, "full")[len(weights) - 1 :] / np.dot(
            weights, weights
        )
        near = product[: len(correlation)]
        variance *= near[0] + 2 * float((near[1:] * correlation[1 : len(near)]).sum())
    return math.sqrt(variance)


def _light(data: Floats, top: NDArray[np.intp]) -> Floats:
    """All light in squares with these top rows; infinite where it is unknown."""
    columns = data[top]
    for k in range(1, SIDE):
        columns += data[top + k]
    width = columns.shape[1] - SIDE + 1
    light = columns[:, :width].copy()
    for k in range(1, SIDE):
        light += columns[:, k : k + width]
    light[~np.isfinite(light)] = np.inf
    return light


def _filtered(data: Floats, top: NDArray[np.intp], contrast: Contrast) -> Floats:
    """Contrasts in the middle of squares with these top rows, of a variance of one pixel's."""
    along_y, along_x = (
        [np.float32(weight / math.sqrt(np.dot(weights, weights))) for weight in weights]
        for weights in contrast
    )
    first = (SIDE - len(along_y)) // 2
    rows = np.zeros((len(top), data.shape[1]), np.float32)
    for k, weight in enumerate(along_y, first):
        if weight:
            rows += weight * data[top + k]
    width = data.shape[1] - SIDE + 1
    first = (SIDE - len(along_x)) // 2
    result = np.zeros((len(top), width), np.float32)
    for k, weight in enumerate(along_x, first):
        if weight:
            result += weight * rows[:, k : k + width]
    return result


def _in_cells(values: Floats, cell: int, apart: int) -> tuple[Floats, NDArray[np.float64]]:
    """Put the values of each cell into a row, and tell its middle; what is left has no cell."""
    sides = cell // apart, cell
    n_y, n_x = (max(1, n // side) for n, side in zip(values.shape, sides, strict=True))
    height, width = values.shape[0] // n_y, values.shape[1] // n_x
    cells = values[: n_y * height, : n_x * width].reshape(n_y, height, n_x, width)
    y, x = np.mgrid[:n_y, :n_x].reshape(2, -1) + 0.5
    places = np.stack([x * width, y * height * apart], axis=1) + (SIDE - 1) / 2
    return cells.swapaxes(1, 2).reshape(n_y * n_x, height * width), places
