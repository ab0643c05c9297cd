"""The variance of a frame's pixels on the reference's grid."""

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.alignment.transform import Transform
from scripts.lightstack.compiling import compiled
from scripts.lightstack.resampling.backward_map import (
    RowMaps,
    locate,
    measure_areas,
    row_maps,
    source_rows,
)
from scripts.lightstack.resampling.interpolation import (
    BEYOND,
    Frame,
    find_corners,
    interpolate,
)
from scripts.lightstack.resampling.kernel import PHASES, RADIUS, TAPS, WEIGHTS, correlated_with


def resample_variance(
    source: NDArray[np.float32],
    first_row: int,
    transform: Transform,
    rows: tuple[int, int],
    *,
    scale: float,
    out: NDArray[np.float32],
    of_grey: bool = False,
) -> None:
    """Find the variances of what `resample` makes of pixels of these variances.

    The clamp is left out, which lowers few of them.

    Parameters
    ----------
    source : (k, frame nx) ndarray of float32
        Variances of independent pixels [ADU of the frame, squared]; NaN is no data.
    first_row, transform, rows, scale
        As in `resample`.
    out : (n_rows, reference nx) ndarray of float32, C-contiguous
        Gets the variances [ADU of the reference, squared].
    of_grey : bool, optional
        Whether the frame was made grey of a mosaic: its pixels are not independent.
    """
    first, last = source_rows(transform, rows)
    if first == last:
        out.fill(np.nan)
        return
    source = np.ascontiguousarray(source, np.float32)
    frame = Frame(source.reshape(-1), first_row, *transform.frame_shape, np.float32(np.inf))
    maps = row_maps(transform, np.arange(*rows))
    squared = WEIGHTS * correlated_with(WEIGHTS) if of_grey else WEIGHTS**2
    _resample_variance_rows(frame, maps, float(scale), WEIGHTS.T, squared.T, out)


@compiled
def _resample_variance_rows(
    frame: Frame,
    maps: RowMaps,
    scale: float,
    weights: NDArray[np.float32],
    squared: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    n, nx = out.shape[1], np.uint64(frame.nx)
    steps, corners = np.empty((2, n), np.int64), np.empty(n, np.int64)
    areas = np.empty(n, np.float32)
    for row in range(maps.rows.size):
        locate(maps, row, steps)
        measure_areas(maps, row, areas)
        find_corners(frame, steps, corners)
        for k in range(n):
            value = np.float32(np.nan)
            if corners[k] >= 0:
                corner = np.uint64(corners[k])
                value = interpolate(frame.pixels, corner, nx, squared, steps[0, k], steps[1, k])
            if np.isnan(value) and corners[k] != BEYOND:
                value = _variance_of_incomplete(frame, weights, steps[0, k], steps[1, k])
            factor = areas[k] * np.float32(scale)
            out[row, k] = value * (factor * factor)


@compiled
def _variance_of_incomplete(
    frame: Frame, weights: NDArray[np.float32], step_x: int, step_y: int
) -> np.float32:
    """Find the variance of what `interpolate_incomplete` gives."""
    corner_x, corner_y = step_x // PHASES - RADIUS + 1, step_y // PHASES - RADIUS + 1
    total, total_weight = 0.0, 0.0
    for j in range(TAPS):
        for i in range(TAPS):
            x, y = corner_x + i, corner_y + j
            weight = weights[i, step_x % PHASES] * weights[j, step_y % PHASES]
            value = np.float32(np.nan)
            if x >= 0 and y >= 0 and x < frame.nx and y < frame.ny:
                value = frame.pixels[(y - frame.first_row) * frame.nx + x]
            if not np.isnan(value):
                total += weight * weight * value
                total_weight += weight
            elif weight != 0 and 2 <= i <= 3 and 2 <= j <= 3:
                return np.float32(np.nan)
    return np.float32(total / (total_weight * total_weight))
