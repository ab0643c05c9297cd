"""The noise that a master has of its own and gives to each frame that it calibrates."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.sky.noise import noise_of_sky

ROWS = 64
"""Rows that are looked at, across the image: they leave an error of less than a percent."""

INNER_SHARE, INNER_VARIANCE = 0.98, 0.8735
"""Share of the differences that count, without those that cosmic rays make, and the variance of
this share of a normal distribution of variance one."""


def noise_of_master(
    images: Sequence[NDArray[np.float32]], variance: Callable[[int], float]
) -> float:
    """Measure the noise of what images of the same are combined to.

    Parameters
    ----------
    images : sequence of (ny, nx) ndarray of float32
        The images; NaN is no data.
    variance : callable
        Tells the variance of n of them combined, over that of one.

    Returns
    -------
    float
        Standard deviation of a pixel [unit of the images]; not a number if nothing tells it.

    Notes
    -----
    Two images that follow each other differ by the noise of both, whatever pattern they share, and
    by a level of each row, which is no noise of pixels. Of one image alone the pattern counts as
    noise, which makes it an upper limit.
    """
    if len(images) == 1:
        return noise_of_sky(np.asarray(images[0]))
    ny = len(images[0])
    rows = np.unique(np.linspace(0, ny - 1, ROWS).astype(int))
    variances = [
        found
        for one, other in pairwise(images)
        for row in rows
        if (found := _inner_variance(other[row] - one[row])) is not None
    ]
    if not variances:
        return math.nan
    return math.sqrt(float(np.median(variances)) / 2 * variance(len(images)))


def _inner_variance(differences: NDArray[np.float32]) -> float | None:
    """Variance of a row without its outliers; None if it has too few values."""
    known = differences[np.isfinite(differences)].astype(np.float64)
    count = int(INNER_SHARE * known.size)
    if count < 2:
        return None
    apart = known - np.median(known)
    inner = apart[np.argsort(np.abs(apart), kind="stable")[:count]]
    return float(inner.var()) / INNER_VARIANCE
