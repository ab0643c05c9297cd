"""Darks and bias frames to one image: clipped mean, or the median of a few."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.calibration.median import median
from scripts.lightstack.compiling import compiled
from scripts.lightstack.robust import MAD_TO_SIGMA

FEWEST_FOR_MEAN = 5
"""With fewer, a median leaves out what a mean with so few values cannot tell."""

CLIPPED_FROM = 3.0
"""Values further from the median than this x the scatter are left out, which are 0.3 % of a normal
distribution's."""

TYPICAL_SHARE = 0.98
"""Share of a row's pixels that tell its scatter: the others may be hit by cosmic rays."""

WITHIN_SHARE = 2.326
"""Standard deviations within which that share of a normal distribution lies."""

SAMPLED = 1024
"""So many pixels of a row tell its scatter, within 2 %."""

LEVEL_PLACES = 50_000
"""So many pixels tell an image's level, within 0.6 % of their scatter."""

VARIANCE_OF_MEDIAN = {1: 1.0, 2: 0.5, 3: 0.4487, 4: 0.2982}
"""Of n values of a normal distribution of variance one (order statistics)."""

LOSS = 1.025
"""Variance of the clipped mean, over that of a mean: of normal values, 1.027 of five to 1.021 of
fifty (`tests/test_masters.py`). It would be 1.030 of very many, were all clipped at 3 standard
deviations, but where a pixel's own scatter is wider its values are clipped by that."""


def combined(cube: NDArray[np.float32]) -> NDArray[np.float32]:
    """Combine images of the same: from five on their clipped mean, else their median.

    Parameters
    ----------
    cube : (n, ny, nx) ndarray of float32, C-contiguous
        The images, of one level; NaN is no data.

    Returns
    -------
    (ny, nx) ndarray of float32
        NaN where no image has data.

    Notes
    -----
    A median has up to 1.57 times the variance of a mean, and of whole numbers whose noise is less
    than one it stays a whole number however many there are. Clipped is what is further from the
    pixel's median than 3 standard deviations: of its row, as told by the typical image, so that
    light in a few of them does not widen it; or, where a pixel is noisier than its row, of itself.
    """
    if len(cube) < FEWEST_FOR_MEAN:
        return median(cube)
    centre = median(cube)
    apart = np.abs(cube - centre)
    of_rows = _reach_of_rows(apart[:, :, :: -(-apart.shape[2] // SAMPLED)])
    reach = np.maximum(of_rows[:, np.newaxis], CLIPPED_FROM * MAD_TO_SIGMA * median(apart))
    image = np.empty_like(centre)
    _mean_within(cube, apart, reach, centre, image)
    return image


def levels(images: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Tell by how much images differ in their level, which drifts with the temperature.

    Parameters
    ----------
    images : sequence of (ny, nx) ndarray of float32

    Returns
    -------
    (n,) ndarray of float32
        What each has beyond the middle one; 0 for fewer than are averaged.
    """
    if len(images) < FEWEST_FOR_MEAN:
        return np.zeros(len(images), np.float32)
    apart = max(1, math.isqrt(images[0].size // LEVEL_PLACES))
    cube = np.stack([image[::apart, ::apart] for image in images])
    differences = cube - median(cube)
    found = np.array([_middle(each[~np.isnan(each)]) for each in differences], np.float32)
    return found - np.float32(np.median(found))


def _middle(values: NDArray[np.float32]) -> float:
    return float(np.median(values)) if values.size else 0.0


def variance_of_combined(n: int) -> float:
    """Tell the variance of n images combined by `combined`, over that of one."""
    return VARIANCE_OF_MEDIAN[n] if n < FEWEST_FOR_MEAN else LOSS / n


def _reach_of_rows(apart: NDArray[np.float32]) -> NDArray[np.float32]:
    """Tell how far from the median values of each row may be, of (n, ny, nx) distances.

    It is told by a high quantile, not by a median, which is 0 where most values are the same whole
    number.
    """
    counts = np.count_nonzero(~np.isnan(apart), axis=2)
    ranks = np.maximum(np.ceil(TYPICAL_SHARE * counts).astype(int) - 1, 0)
    high = np.take_along_axis(np.sort(apart, axis=2), ranks[..., np.newaxis], axis=2)
    typical = np.nan_to_num(median(np.ascontiguousarray(high))[:, 0])
    return np.float32(CLIPPED_FROM / WITHIN_SHARE) * typical


@compiled
def _mean_within(
    cube: NDArray[np.float32],
    apart: NDArray[np.float32],
    reach: NDArray[np.float32],
    centre: NDArray[np.float32],
    image: NDArray[np.float32],
) -> None:
    """Average each pixel's values that are no further apart than `reach`; if none is, `centre`."""
    n, height, width = cube.shape
    for y in range(height):
        total, count = np.zeros(width), np.zeros(width, np.int64)
        for i in range(n):
            for x in range(width):
                kept = apart[i, y, x] <= reach[y, x]
                total[x] += cube[i, y, x] if kept else np.float32(0)
                count[x] += kept
        for x in range(width):
            image[y, x] = total[x] / count[x] if count[x] else centre[y, x]
