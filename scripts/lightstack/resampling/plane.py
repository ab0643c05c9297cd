"""A frame's pixels on the reference's grid.

Each pixel of the reference is mapped back to a position on the frame, where the image is
interpolated from 6 x 6 pixels by a kernel that is fitted to stars: see `kernel_weights`. Three
rules complete it; `docs/methods.md` has the measurements behind them.

Clamp
    A result is never below the lowest of the inner 4 x 4 pixels by more than `UNDERSHOOT` of the
    range of the 6 x 6: the kernel's negative lobes dig no ring around a saturated star or a cosmic
    ray. Stars narrower than two pixels keep theirs, which their flux needs. There is no limit from
    above, as the peak of a star between two pixels is above both.
No data
    A pixel that is NaN or beyond the frame's edge is left out, and the weights of the others are
    raised to a sum of one; where one of the inner 2 x 2 is missing, the result is NaN. So a bad
    pixel costs four pixels and not 36, the frame's border stays, and no invented value enters.
Flux
    Results are multiplied by the area of a reference pixel on the frame (the determinant of the
    backward map's derivative), which keeps the total flux of a star under a change of scale.

A shift by whole pixels makes the kernel a delta: the reference frame itself passes through this
code and comes out unchanged, bit by bit. The difference to its neighbours in the stack is its
noise, as interpolation averages: see *Noise* in `docs/methods.md`.
"""

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
from scripts.lightstack.resampling.clamp import clamped, lowest_near
from scripts.lightstack.resampling.interpolation import (
    BEYOND,
    LANES,
    LONGEST_RUN,
    SHORTEST_RUN,
    Frame,
    count_run,
    count_without_run,
    find_corners,
    interpolate,
    interpolate_incomplete,
    reverse,
    sum_weighted,
    weigh,
)
from scripts.lightstack.resampling.kernel import F32, PHASES, STEP, TAPS, WEIGHTS


def resample(
    source: NDArray[np.float32],
    first_row: int,
    transform: Transform,
    rows: tuple[int, int],
    *,
    scale: float = 1.0,
    saturation: float = np.inf,
    out: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Interpolate rows of the reference's grid from a frame.

    The GIL is released: several frames, or several bands of one, can be resampled in threads. A
    pixel's value does not depend on the band that it is computed in.

    Parameters
    ----------
    source : (k, frame nx) ndarray of float32
        Rows ``first_row … first_row + k`` of the frame [ADU]; at least those that `source_rows`
        names. NaN is no data. Native byte order.
    first_row : int
        The frame's row with which `source` starts.
    transform : Transform
        Map between the frame and the reference.
    rows : (int, int)
        First row of the reference to compute, and the one after the last.
    scale : float
        Factor that brings the frame's fluxes to the reference's.
    saturation : float, optional
        Level of the frame's saturated pixels [ADU of the frame].
    out : (n_rows, reference nx) ndarray of float32, C-contiguous, optional
        Where the result is written.

    Returns
    -------
    (n_rows, reference nx) ndarray of float32
        The frame in units of the reference; NaN where it has no data. It is `out`, if given.

    Raises
    ------
    ValueError
        If `source` lacks rows or columns, or `out` has another shape, type or memory layout.
    """
    shape = (rows[1] - rows[0], transform.reference_shape[1])
    if out is None:
        out = np.empty(shape, np.float32)
    check_out(out, shape)
    if not reaches(source, first_row, transform, rows):
        out.fill(np.nan)
        return out
    source = np.ascontiguousarray(source, np.float32)
    level = np.float32(saturation)
    frame = Frame(source.reshape(-1), first_row, *transform.frame_shape, level)
    maps = row_maps(transform, np.arange(*rows))
    _resample_rows(frame, maps, float(scale), WEIGHTS.T, out)
    return out


def check_out(out: NDArray[np.float32], shape: tuple[int, int]) -> None:
    """Raise ValueError if compiled code cannot write what has this shape to an array."""
    if out.shape != shape or out.dtype != np.float32 or not out.flags.c_contiguous:
        raise ValueError(f"out must be a C-contiguous float32 array of shape {shape}")


def reaches(
    source: NDArray[np.float32], first_row: int, transform: Transform, rows: tuple[int, int]
) -> bool:
    """Tell whether a frame reaches rows of the reference; raise ValueError if rows of it lack."""
    first, last = source_rows(transform, rows)
    if first == last:
        return False
    if source.shape[1] != transform.frame_shape[1]:
        raise ValueError(f"source {source.shape} is not cut from {transform.frame_shape} by rows")
    if first < first_row or last > first_row + source.shape[0]:
        raise ValueError(
            f"rows {rows[0]}-{rows[1]} of the reference need rows {first}-{last} of the frame, "
            f"source holds {first_row}-{first_row + source.shape[0]}"
        )
    return True


@compiled
def _resample_rows(
    frame: Frame,
    maps: RowMaps,
    scale: float,
    weights: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    n = out.shape[1]
    steps, corners = np.empty((2, n), np.int64), np.empty(n, np.int64)
    areas, line = np.empty(n, np.float32), np.empty(n, np.float32)
    places = np.zeros((2, n + LANES), np.float32)
    turned = maps.inverse[0, 0] < 0  # around: what lies side by side goes on from right to left
    across = np.empty((TAPS, LONGEST_RUN), np.float32)
    down = np.empty((TAPS, LONGEST_RUN), np.float32)
    values, lowest = np.empty(LONGEST_RUN, np.float32), np.empty(LONGEST_RUN, np.float32)
    for row in range(maps.rows.size):
        locate(maps, row, steps)
        measure_areas(maps, row, areas)
        if turned:
            reverse(steps[0])
            reverse(steps[1])
        find_corners(frame, steps, corners)
        for axis in range(2):
            for k in range(n):
                places[axis, k] = F32(np.int32(steps[axis, k] & (PHASES - 1))) * STEP
        column = 0
        while column < n:
            length = count_run(corners, column)
            if length < SHORTEST_RUN:
                length = count_without_run(corners, column)
                _interpolate_each(frame, corners, steps, weights, column, column + length, line)
            else:
                # Up to whole `LANES`, so that a processor's loops have no end of their own.
                more = (length + LANES - 1) // LANES * LANES
                there = corners[column] + TAPS * frame.nx + more < frame.pixels.size
                number = np.uint64(more if there else length)
                weigh(places[0], column, number, across)
                weigh(places[1], column, number, down)
                _interpolate_run(frame, corners[column], across, down, number, lowest, values)
                for k in range(length):
                    line[column + k] = values[k]
            column += length
        _complete(frame, corners, steps, weights, line)
        if turned:
            reverse(line)
        for k in range(n):
            out[row, k] = line[k] * (areas[k] * np.float32(scale))


@compiled
def _interpolate_run(
    frame: Frame,
    corner: int,
    across: NDArray[np.float32],
    down: NDArray[np.float32],
    number: np.uint64,
    lowest: NDArray[np.float32],
    values: NDArray[np.float32],
) -> None:
    """Interpolate at so many positions of a run; `lowest` is room."""
    pixels, first, nx = frame.pixels, np.uint64(corner), np.uint64(frame.nx)
    for k in range(number):
        values[k] = sum_weighted(pixels, first + k, nx, np.uint64(1), across, k, down, k)
    for k in range(number):
        lowest[k] = lowest_near(pixels, first + k, nx, np.uint64(1))
    n_low = 0
    for k in range(number):
        n_low += values[k] < lowest[k]
    for k in range(number if n_low > 0 else np.uint64(0)):
        if values[k] < lowest[k]:
            values[k] = clamped(pixels, first + k, nx, values[k], lowest[k], frame.saturation)


@compiled
def _interpolate_each(
    frame: Frame,
    corners: NDArray[np.int64],
    steps: NDArray[np.int64],
    weights: NDArray[np.float32],
    first: int,
    last: int,
    line: NDArray[np.float32],
) -> None:
    """Interpolate at positions of a row, one by one; NaN where some of the 6 x 6 are not there."""
    pixels, nx = frame.pixels, np.uint64(frame.nx)
    for k in range(first, last):
        line[k] = np.nan
        if corners[k] >= 0:
            corner = np.uint64(corners[k])
            value = interpolate(pixels, corner, nx, weights, steps[0, k], steps[1, k])
            lowest = lowest_near(pixels, corner, nx, np.uint64(1))
            line[k] = value
            if value < lowest:
                line[k] = clamped(pixels, corner, nx, value, lowest, frame.saturation)


@compiled
def _complete(
    frame: Frame,
    corners: NDArray[np.int64],
    steps: NDArray[np.int64],
    weights: NDArray[np.float32],
    line: NDArray[np.float32],
) -> None:
    """Interpolate where a pixel of the 6 x 6 is missing; few rows have such places."""
    n_missing = 0
    for k in range(line.size):
        n_missing += np.isnan(line[k])
    for k in range(line.size if n_missing > 0 else 0):
        if np.isnan(line[k]) and corners[k] != BEYOND:
            line[k] = interpolate_incomplete(frame, weights, steps[0, k], steps[1, k], 0)
