"""The three colours of a frame on the reference's grid."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.alignment.transform import Transform
from scripts.lightstack.compiling import compiled, inlined
from scripts.lightstack.resampling.backward_map import (
    RowMaps,
    locate,
    measure_areas,
    row_maps,
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
    interpolate_incomplete,
    reverse,
    sum_weighted,
    weigh,
)
from scripts.lightstack.resampling.kernel import F32, PHASES, STEP, TAPS, WEIGHTS, Index
from scripts.lightstack.resampling.plane import check_out, reaches

N_COLOURS = 3

COLUMNS = N_COLOURS * TAPS
"""Columns of the 6 x 6 pixels of all colours."""


def resample_colours(
    source: NDArray[np.float32],
    first_row: int,
    transform: Transform,
    rows: tuple[int, int],
    *,
    scales: Sequence[float],
    saturations: Sequence[float],
    out: Sequence[NDArray[np.float32]],
) -> None:
    """Interpolate red, green and blue together: what `resample` makes of each, bit by bit.

    Places and weights are found once, and the colours of a pixel lie side by side, so that a
    processor works on all of them at a time.

    Parameters
    ----------
    source : (k, frame nx, 3) ndarray of float32, C-contiguous
        Rows of the frame; of each row at least the columns that `source_columns` names.
    first_row, transform, rows
        As in `resample`.
    scales, saturations : three floats
        Of each colour, as in `resample`.
    out : three (n_rows, reference nx) ndarrays of float32, C-contiguous
        Where the colours are written.

    Raises
    ------
    ValueError
        As of `resample`.
    """
    for plane in out:
        check_out(plane, (rows[1] - rows[0], transform.reference_shape[1]))
    if not reaches(source, first_row, transform, rows):
        for plane in out:
            plane.fill(np.nan)
        return
    level = np.float32(np.inf)
    frame = Frame(source.reshape(-1), first_row, *transform.frame_shape, level, N_COLOURS)
    maps = row_maps(transform, np.arange(*rows))
    levels, factors = (np.array(each, np.float32) for each in (saturations, scales))
    _resample_rows_of_colours(frame, maps, factors, levels, WEIGHTS, tuple(out))


@compiled
def _resample_rows_of_colours(
    frame: Frame,
    maps: RowMaps,
    scales: NDArray[np.float32],
    saturations: NDArray[np.float32],
    weights: NDArray[np.float32],
    out: tuple[NDArray[np.float32], ...],
) -> None:
    n = out[0].shape[1]
    steps, corners = np.empty((2, n), np.int64), np.empty(n, np.int64)
    areas, lines = np.empty(n, np.float32), np.empty((N_COLOURS, n), np.float32)
    turned = maps.inverse[0, 0] < 0
    room = np.zeros((2 * TAPS + 4, N_COLOURS * LONGEST_RUN), np.float32)
    for row in range(maps.rows.size):
        locate(maps, row, steps)
        measure_areas(maps, row, areas)
        if turned:
            reverse(steps[0])
            reverse(steps[1])
        find_corners(frame, steps, corners)
        column = 0
        while column < n:
            length = count_run(corners, column)
            if length < SHORTEST_RUN:
                length = count_without_run(corners, column)
                last = column + length
                _interpolate_colours(
                    frame, corners, steps, weights, saturations, column, last, lines
                )
            else:
                _interpolate_run_of_colours(
                    frame, corners[column], steps, column, length, saturations, room, lines
                )
            column += length
        for colour in range(N_COLOURS):
            line = lines[colour]
            for k in range(n):
                if np.isnan(line[k]) and corners[k] != BEYOND:
                    step_x, step_y = steps[0, k], steps[1, k]
                    line[k] = interpolate_incomplete(frame, weights.T, step_x, step_y, colour)
            if turned:
                reverse(line)
            for k in range(n):
                out[colour][row, k] = line[k] * (areas[k] * scales[colour])


@compiled
def _interpolate_colours(
    frame: Frame,
    corners: NDArray[np.int64],
    steps: NDArray[np.int64],
    weights: NDArray[np.float32],
    saturations: NDArray[np.float32],
    first: int,
    last: int,
    lines: NDArray[np.float32],
) -> None:
    """Interpolate at positions one by one: a processor sums the columns of all colours at a time.

    The sums are in memory of their own, or it could not tell that they are no pixels.
    """
    pixels, stride, taps = frame.pixels, np.uint64(N_COLOURS * frame.nx), np.uint64(TAPS)
    sums, lowest = np.empty(COLUMNS, np.float32), np.empty(COLUMNS, np.float32)
    cut = np.empty(TAPS * TAPS, np.float32)
    for k in range(np.uint64(first), np.uint64(last)):
        if corners[k] < 0:
            lines[:, k] = np.nan
            continue
        at_x = np.uint64(steps[0, k] & (PHASES - 1))
        at_y = np.uint64(steps[1, k] & (PHASES - 1))
        corner = np.uint64(N_COLOURS * corners[k])
        _sum_columns(pixels, corner, stride, weights, at_y, sums, lowest)
        for colour in range(np.uint64(N_COLOURS)):
            value = _sum_across(sums, weights, at_x, colour)
            low = _lowest_across(lowest, colour)
            if value < low:
                _cut_out(pixels, corner + colour, stride, cut)
                value = clamped(cut, np.uint64(0), taps, value, low, saturations[colour])
            lines[colour, k] = value


@compiled
def _interpolate_run_of_colours(
    frame: Frame,
    corner: int,
    steps: NDArray[np.int64],
    column: int,
    length: int,
    saturations: NDArray[np.float32],
    room: NDArray[np.float32],
    lines: NDArray[np.float32],
) -> None:
    """Interpolate at positions of a run, whose colours are a run of three times as many values."""
    pixels, first, step = frame.pixels, np.uint64(N_COLOURS * corner), np.uint64(N_COLOURS)
    stride = step * np.uint64(frame.nx)
    across, down, places = room[:TAPS], room[TAPS : 2 * TAPS], room[2 * TAPS : 2 * TAPS + 2]
    values, lowest = room[2 * TAPS + 2], room[2 * TAPS + 3]
    for axis in range(2):
        for k in range(np.uint64(length)):
            place = F32(np.int32(steps[axis, np.uint64(column) + k] & (PHASES - 1))) * STEP
            for colour in range(step):
                places[axis, step * k + colour] = place
    number = N_COLOURS * length
    more = (number + LANES - 1) // LANES * LANES
    if N_COLOURS * (corner + TAPS * frame.nx) + more < pixels.size:
        number = more
    count = np.uint64(number)
    weigh(places[0], 0, count, across)
    weigh(places[1], 0, count, down)
    for k in range(count):
        values[k] = sum_weighted(pixels, first + k, stride, step, across, k, down, k)
    for k in range(count):
        lowest[k] = lowest_near(pixels, first + k, stride, step)
    cut = np.empty(TAPS * TAPS, np.float32)
    for colour in range(step):
        level = saturations[colour]
        for k in range(np.uint64(length)):
            value, low = values[step * k + colour], lowest[step * k + colour]
            if value < low:
                _cut_out(pixels, first + step * k + colour, stride, cut)
                value = clamped(cut, np.uint64(0), np.uint64(TAPS), value, low, level)
            lines[colour, np.uint64(column) + k] = value


@inlined
def _sum_columns(
    pixels: NDArray[np.float32],
    first: Index,
    nx: Index,
    down: NDArray[np.float32],
    at_y: Index,
    sums: NDArray[np.float32],
    lowest: NDArray[np.float32],
) -> None:
    """Sum the columns of the 6 x 6 pixels of all colours, and find the lowest of the inner four.

    Sums are in the order of `sum_weighted`.
    """
    a, b, c = down[at_y, 0], down[at_y, 1], down[at_y, 2]
    d, e, f = down[at_y, 3], down[at_y, 4], down[at_y, 5]
    for k in range(np.uint64(COLUMNS)):
        p = first + k
        q, r, s = p + nx, p + np.uint64(2) * nx, p + np.uint64(3) * nx
        t, u = p + np.uint64(4) * nx, p + np.uint64(5) * nx
        total = np.float32(0) + a * pixels[p]
        total += b * pixels[q]
        total += c * pixels[r]
        total += d * pixels[s]
        total += e * pixels[t]
        total += f * pixels[u]
        sums[k] = total
        low = pixels[q]
        low = pixels[r] if pixels[r] < low else low
        low = pixels[s] if pixels[s] < low else low
        lowest[k] = pixels[t] if pixels[t] < low else low


@inlined
def _sum_across(
    sums: NDArray[np.float32], across: NDArray[np.float32], at_x: Index, colour: Index
) -> np.float32:
    """Sum the columns of one colour."""
    k = colour + np.uint64(N_COLOURS)
    m = k + np.uint64(N_COLOURS)
    n = m + np.uint64(N_COLOURS)
    p = n + np.uint64(N_COLOURS)
    q = p + np.uint64(N_COLOURS)
    left = sums[colour] * across[at_x, 0] + sums[k] * across[at_x, 1]
    middle = sums[m] * across[at_x, 2] + sums[n] * across[at_x, 3]
    right = sums[p] * across[at_x, 4] + sums[q] * across[at_x, 5]
    total: np.float32 = left + middle + right
    return total


@inlined
def _lowest_across(lowest: NDArray[np.float32], colour: Index) -> np.float32:
    """Find the lowest of the inner columns of one colour."""
    k = colour + np.uint64(N_COLOURS)
    left = min(lowest[k], lowest[k + np.uint64(N_COLOURS)])
    k += np.uint64(2 * N_COLOURS)
    right = min(lowest[k], lowest[k + np.uint64(N_COLOURS)])
    return min(left, right)


@compiled
def _cut_out(
    pixels: NDArray[np.float32], first: Index, nx: Index, cut: NDArray[np.float32]
) -> None:
    """Copy the 6 x 6 pixels of one colour."""
    for j in range(np.uint64(TAPS)):
        for i in range(np.uint64(TAPS)):
            cut[j * np.uint64(TAPS) + i] = pixels[first + j * nx + np.uint64(N_COLOURS) * i]
