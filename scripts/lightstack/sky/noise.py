"""The noise of the sky, from pixels that no star lights."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.compiling import compiled, copy_line

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
"""How far the two fine contrasts may be from the ratio that a known noise gives them: twice as far
as in any of 74 frames of five cameras (docs/methods.md, "Noise")."""

CLIP = 3.0
"""Contrasts further than this many standard deviations are no noise of the sky."""

CLIPPED_VARIANCE = 0.97334
"""Variance of a normal distribution of variance one without what is beyond `CLIP`."""

WITHIN_SIGMA = 0.6827
"""Share of a normal distribution within one standard deviation."""

UNUSUAL = 1.5
"""Noise of cells over the median's, from which on they do not tell whether neighbours share it.
The tests of the sky hold from 1.25 to 3."""

FEWEST = 8
"""Places in a cell of which a noise can be told. The tests of the sky hold with 4 to 16."""

LANES = 16
"""Values that the widest processors add at a time."""

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
    limit = np.partition(light, n_darkest, axis=1)[:, n_darkest]
    known = np.isfinite(limit)
    if not known.any():
        return nothing
    light, limit = light[known], limit[known]

    def contrasts(of: Contrast) -> Floats:
        return _in_cells(_filtered(data, top, of), cell, apart)[0][known]

    fine, darkest = contrasts(FINE), _darkest(light, limit)
    first = _of_darkest(fine, darkest, n_darkest)
    ratio = _ratio(_of_darkest(contrasts(FINEST), darkest, n_darkest), first)
    for correlation in NEIGHBOURS:
        of_fine, of_finest = (_share(each, correlation) for each in (FINE, FINEST))
        if abs(ratio / (of_finest / of_fine) - 1) <= ALIKE:
            of_light = SIDE * (1 + 2 * sum(correlation[1:])) / of_fine
            sigma = _of_light_below(fine, light, limit, first, of_light)
            return places[known], sigma / np.float32(of_fine)
    coarse = contrasts(COARSE)
    first = _of_darkest(coarse, darkest, n_darkest)
    return places[known], _of_light_below(coarse, light, limit, first, float(SIDE))


def _ratio(finest: Floats, fine: Floats) -> float:
    """Tell how much noise one contrast shows over the other, in cells without much light."""
    usual = fine <= UNUSUAL * np.median(fine)
    of_finest, of_fine = (
        float((sigma[usual].astype(float) ** 2).mean()) for sigma in (finest, fine)
    )
    return math.sqrt((of_finest + TINY) / (of_fine + TINY))


@compiled
def _darkest(light: Floats, limit: Floats) -> NDArray[np.int32]:
    """Find the places (m, k) in each cell with no more light than its limit; -1 after the last."""
    found = np.empty(light.shape, np.int32)
    for cell in range(len(light)):
        n = 0
        for k in range(light.shape[1]):
            found[cell, n] = k
            n += light[cell, k] <= limit[cell]
        found[cell, n:] = -1
    return found


def _of_darkest(contrasts: Floats, darkest: NDArray[np.int32], n_darkest: int) -> Floats:
    """Find the standard deviation (m,) of the contrasts where there is least light."""
    sizes = _sizes_of_darkest(contrasts, darkest)
    rank = int(WITHIN_SIGMA * n_darkest)
    # Compiled by Numba, `partition` alone would take seconds to compile.
    return _of_sizes(sizes, np.partition(sizes, rank, axis=1)[:, rank].copy())


@compiled
def _sizes_of_darkest(contrasts: Floats, darkest: NDArray[np.int32]) -> Floats:
    """Collect absolute contrasts (m, k) where there is least light; infinite after the last."""
    most = 0
    for cell in range(len(darkest)):
        while most < darkest.shape[1] and darkest[cell, most] >= 0:
            most += 1
    sizes = np.empty((len(darkest), most), np.float32)
    for cell in range(len(darkest)):
        for k in range(most):
            place = darkest[cell, k]
            sizes[cell, k] = np.abs(contrasts[cell, place]) if place >= 0 else np.float32(np.inf)
    return sizes


@compiled
def _of_sizes(sizes: Floats, sigma: Floats) -> Floats:
    """Find the standard deviation (m,) of contrasts by their sizes and first guesses."""
    found = np.empty(len(sizes), np.float32)
    for cell in range(len(sizes)):
        found[cell] = _clipped(sizes[cell], sizes[cell], np.inf, sigma[cell])
    return found


@compiled
def _of_light_below(
    contrasts: Floats, light: Floats, limit: Floats, sigma: Floats, of_light: float
) -> Floats:
    """Find the standard deviation (m,) of the contrasts where noise explains the light.

    Parameters
    ----------
    contrasts, light : (m, k) ndarray of float32
    limit, sigma : (m,) ndarray of float32
        What the darkest have of light at most; a first standard deviation.
    of_light : float
        Standard deviation of the light over that of the contrasts.
    """
    found = sigma.copy()
    sizes = np.empty(light.shape[1], np.float32)
    for cell in range(len(light)):
        for k in range(sizes.size):
            sizes[k] = np.abs(contrasts[cell, k])
        for _ in range(4):
            most = limit[cell] + np.float32(of_light) * found[cell]
            found[cell] = _clipped(sizes, light[cell], most, found[cell])
    return found


@compiled
def _clipped(sizes: Floats, light: Floats, most: float, sigma: float) -> float:
    """Find the standard deviation of those with no more light, without what is far off.

    As many are added side by side as processors can, always in the same order.
    """
    totals, numbers = np.zeros(LANES), np.zeros(LANES)
    limit, brightest = np.float32(CLIP * sigma), np.float32(most)
    whole = sizes.size // LANES * LANES
    for first in range(0, whole, LANES):
        for k in range(LANES):
            size = sizes[np.uint64(first + k)]
            chosen = (light[np.uint64(first + k)] <= brightest) & (size <= limit)
            totals[k] += np.float64(size * size) if chosen else 0.0
            numbers[k] += 1.0 if chosen else 0.0
    for k in range(whole, sizes.size):
        chosen = (light[k] <= brightest) & (sizes[k] <= limit)
        totals[k - whole] += np.float64(sizes[k] * sizes[k]) if chosen else 0.0
        numbers[k - whole] += 1.0 if chosen else 0.0
    total, number = 0.0, 0.0
    for k in range(LANES):
        total += totals[k]
        number += numbers[k]
    return math.sqrt(total / number / CLIPPED_VARIANCE) * (1 + 0.5 / number)


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


@compiled
def _light(data: Floats, top: NDArray[np.intp]) -> Floats:
    """All light in squares with these top rows; infinite where it is unknown."""
    light = np.empty((top.size, data.shape[1] - SIDE + 1), np.float32)
    columns = np.empty(data.shape[1], np.float32)
    for j in range(top.size):
        copy_line(data[top[j]], columns)
        for k in range(1, SIDE):
            _add(data[top[j] + k], np.float32(1), columns)
        copy_line(columns, light[j])
        for k in range(1, SIDE):
            _add(columns[k:], np.float32(1), light[j])
        for i in range(light.shape[1]):
            light[j, i] = light[j, i] if np.isfinite(light[j, i]) else np.float32(np.inf)
    return light


def _filtered(data: Floats, top: NDArray[np.intp], contrast: Contrast) -> Floats:
    """Contrasts in the middle of squares with these top rows, of a variance of one pixel's."""
    return _correlated(data, top, *(_normed(weights) for weights in contrast))


def _normed(weights: tuple[int, ...]) -> Floats:
    """Scale weights to the variance of one pixel, in the middle of `SIDE` of them."""
    norm = math.sqrt(np.dot(weights, weights))
    padded = np.zeros(SIDE, np.float32)
    first = (SIDE - len(weights)) // 2
    padded[first : first + len(weights)] = [weight / norm for weight in weights]
    return padded


@compiled
def _correlated(data: Floats, top: NDArray[np.intp], along_y: Floats, along_x: Floats) -> Floats:
    """Correlate with weights along y and then along x."""
    result = np.zeros((top.size, data.shape[1] - SIDE + 1), np.float32)
    row = np.empty(data.shape[1], np.float32)
    for j in range(top.size):
        row[:] = 0
        for k in range(SIDE):
            if along_y[k]:
                _add(data[top[j] + k], along_y[k], row)
        for k in range(SIDE):
            if along_x[k]:
                _add(row[k:], along_x[k], result[j])
    return result


@compiled
def _add(values: Floats, weight: np.float32, total: Floats) -> None:
    for i in range(total.size):
        total[i] += weight * values[i]


def _in_cells(values: Floats, cell: int, apart: int) -> tuple[Floats, NDArray[np.float64]]:
    """Put the values of each cell into a row, and tell its middle; what is left has no cell."""
    sides = cell // apart, cell
    n_y, n_x = (max(1, n // side) for n, side in zip(values.shape, sides, strict=True))
    height, width = values.shape[0] // n_y, values.shape[1] // n_x
    cells = values[: n_y * height, : n_x * width].reshape(n_y, height, n_x, width)
    y, x = np.mgrid[:n_y, :n_x].reshape(2, -1) + 0.5
    places = np.stack([x * width, y * height * apart], axis=1) + (SIDE - 1) / 2
    return cells.swapaxes(1, 2).reshape(n_y * n_x, height * width), places
