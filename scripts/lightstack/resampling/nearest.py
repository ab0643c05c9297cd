"""The nearest pixels of a frame on the reference's grid, where levels of the sky are wanted."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.alignment.transform import Transform
from scripts.lightstack.compiling import compiled
from scripts.lightstack.resampling.backward_map import RowMaps, locate, measure_areas, row_maps
from scripts.lightstack.resampling.kernel import PHASE_BITS, PHASES


def sample(
    source: NDArray[np.float32],
    first_row: int,
    transform: Transform,
    rows: NDArray[np.int64],
    *,
    scales: Sequence[float],
    out: Sequence[NDArray[np.float32]],
) -> None:
    """Take the nearest pixels of a frame, on the scale that `plane.resample` gives them.

    Parameters
    ----------
    source : (n_colours, k, frame nx) ndarray of float32
        Rows of one or more colours of the frame, of any memory layout: all that `source_rows`
        names from the first to the last of these rows.
    first_row, transform
        As in `plane.resample`.
    rows : (n_rows,) ndarray of int64
        Rows of the reference to compute, in their order.
    scales : n_colours floats
        Of each colour, as in `plane.resample`.
    out : n_colours (n_rows, reference nx) ndarrays of float32, C-contiguous
        Where the colours are written; NaN is no data.
    """
    maps, factors = row_maps(transform, rows), np.array(scales, np.float32)
    _take_nearest(source, first_row, transform.frame_shape[0], maps, factors, tuple(out))


@compiled
def _take_nearest(
    source: NDArray[np.float32],
    first_row: int,
    ny: int,
    maps: RowMaps,
    scales: NDArray[np.float32],
    out: tuple[NDArray[np.float32], ...],
) -> None:
    n_colours, _, nx = source.shape
    n, half = out[0].shape[1], PHASES // 2
    steps, areas = np.empty((2, n), np.int64), np.empty(n, np.float32)
    for row in range(maps.rows.size):
        locate(maps, row, steps)
        measure_areas(maps, row, areas)
        for k in range(n):
            x, y = (steps[0, k] + half) >> PHASE_BITS, (steps[1, k] + half) >> PHASE_BITS
            is_there = x >= 0 and y >= 0 and x < nx and y < ny
            for colour in range(n_colours):
                value = source[colour, y - first_row, x] if is_there else np.float32(np.nan)
                out[colour][row, k] = value * (areas[k] * scales[colour])
