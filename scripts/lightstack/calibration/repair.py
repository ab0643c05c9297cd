"""Single pixels without data, filled in from those about them."""

import numpy as np
from numpy.typing import NDArray

NEIGHBOURS = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0)]

PASSES = 2
"""A line of two pixels is filled in from both sides."""


def small_gaps(data: NDArray[np.float32]) -> NDArray[np.bool_] | None:
    """Mark pixels without data where they fill no 3 x 3: single ones, and lines of up to two.

    Parameters
    ----------
    data : (ny, nx) ndarray of float32
        NaN is no data.

    Returns
    -------
    (ny, nx) ndarray of bool or None
        None if there are none.
    """
    no_data = np.isnan(data)
    if not no_data.any():
        return None
    from scipy.ndimage import maximum_filter, minimum_filter

    # Beyond the border all belongs to a gap that reaches it.
    core = minimum_filter(np.pad(no_data, 2, constant_values=True), 3)
    large = maximum_filter(core, 3)[2:-2, 2:-2]
    small = no_data & ~large
    return small if small.any() else None


def repair(data: NDArray[np.float32], gaps: NDArray[np.bool_], step: int = 1) -> None:
    """Fill gaps in with the mean of their neighbours, in place.

    Parameters
    ----------
    data : (ny, nx) ndarray of float32
        NaN is no data.
    gaps : (ny, nx) ndarray of bool
        What is to be filled in, as `small_gaps` marks it.
    step : int, optional
        Distance of the neighbours: 2 on a mosaic, where the next pixels have other colours.

    Notes
    -----
    Those beside a gap count twice as much as those at its corners, as in a parabola through them.
    """
    ny, nx = data.shape
    rows, columns = np.nonzero(gaps)
    for _ in range(PASSES):
        total, weights = np.zeros(len(rows)), np.zeros(len(rows))
        for dy, dx in NEIGHBOURS:
            y, x = rows + step * dy, columns + step * dx
            inside = (y >= 0) & (y < ny) & (x >= 0) & (x < nx)
            value = np.full(len(rows), np.nan)
            value[inside] = data[y[inside], x[inside]]
            known = np.isfinite(value)
            weight = 2.0 if 0 in (dy, dx) else 1.0
            total[known] += weight * value[known]
            weights[known] += weight
        filled = weights > 0
        data[rows[filled], columns[filled]] = total[filled] / weights[filled]
        rows, columns = rows[~filled], columns[~filled]


def repaired(data: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give an image without small gaps: itself if it has none, else a copy."""
    gaps = small_gaps(data)
    if gaps is None:
        return data
    whole = data.copy()
    repair(whole, gaps)
    return whole
