"""A frame's values between its pixels: sums of 6 x 6 of them."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.compiling import compiled, inlined
from scripts.lightstack.resampling.clamp import UNDERSHOOT
from scripts.lightstack.resampling.kernel import (
    F32,
    PHASE_BITS,
    PHASES,
    RADIUS,
    TAPS,
    Index,
    lobes,
)

LANES = 16
"""Positions that the widest processors interpolate at a time."""

SHORTEST_RUN, LONGEST_RUN = 8, 128
"""How many positions whose pixels lie side by side are interpolated together (tuned:
`benchmarks/stack_kernels.py`)."""

BEYOND = -2
"""In the place of the corner of a position that the frame does not reach."""


class Frame(NamedTuple):
    """Rows of a frame, in one line.

    Attributes
    ----------
    pixels : (k * nx * n_colours,) ndarray of float32
        Rows from `first_row` on; of colours, those of a pixel side by side.
    first_row : int
        The frame's row that comes first.
    ny, nx : int
        Shape of the whole frame.
    saturation : float32
        Level of saturated pixels.
    n_colours : int
    """

    pixels: NDArray[np.float32]
    first_row: int
    ny: int
    nx: int
    saturation: np.float32
    n_colours: int = 1


@compiled
def find_corners(frame: Frame, steps: NDArray[np.int64], corners: NDArray[np.int64]) -> None:
    """Find where the 6 x 6 pixels of each position begin.

    It is -1 where they are not all there, and `BEYOND` where one of the inner 2 x 2 is not that
    has a weight.
    """
    for k in range(corners.size):
        to_x, to_y = steps[0, k] >> PHASE_BITS, steps[1, k] >> PHASE_BITS
        x, y = to_x - RADIUS + 1, to_y - RADIUS + 1
        whole = (x >= 0) & (y >= 0) & (x + TAPS <= frame.nx) & (y + TAPS <= frame.ny)
        near = (to_x >= 0) & (to_y >= 0) & (to_x < frame.nx) & (to_y < frame.ny)
        corners[k] = (y - frame.first_row) * frame.nx + x if whole else -1 if near else BEYOND


@compiled
def count_run(corners: NDArray[np.int64], first: int) -> int:
    """Count the positions from the first on whose 6 x 6 pixels lie side by side."""
    corner = corners[first]
    if corner < 0:
        return 0
    length, most = 1, min(LONGEST_RUN, corners.size - first)
    while length + SHORTEST_RUN <= most:
        n_further = 0
        for k in range(SHORTEST_RUN):
            n_further += corners[np.uint64(first + length + k)] == corner + length + k
        if n_further < SHORTEST_RUN:
            break
        length += SHORTEST_RUN
    while length < most and corners[first + length] == corner + length:
        length += 1
    return length


@compiled
def count_without_run(corners: NDArray[np.int64], first: int) -> int:
    """Count the positions from the first on before the next run begins."""
    last = first
    while last < corners.size and count_run(corners, last) < SHORTEST_RUN:
        last = min(last + SHORTEST_RUN, corners.size)
    return last - first


@inlined
def sum_weighted(
    pixels: NDArray[np.float32],
    corner: Index,
    stride: Index,
    step: Index,
    across: NDArray[np.float32],
    at_x: Index,
    down: NDArray[np.float32],
    at_y: Index,
) -> np.float32:
    """Sum 6 x 6 weighted pixels: down six columns, a step apart, then across them.

    The columns have a name each, so that the compiler keeps them in registers and can sum many
    columns or positions at a time without changing the order of any sum. Indices are unsigned, as
    Numba would otherwise ask whether each of them is negative, which takes as long as the sum.
    """
    a = b = c = d = e = f = np.float32(0)
    for j in range(np.uint64(TAPS)):
        weight, p = down[j, at_y], corner + j * stride
        a += weight * pixels[p]
        b += weight * pixels[p + step]
        c += weight * pixels[p + np.uint64(2) * step]
        d += weight * pixels[p + np.uint64(3) * step]
        e += weight * pixels[p + np.uint64(4) * step]
        f += weight * pixels[p + np.uint64(5) * step]
    left = a * across[0, at_x] + b * across[1, at_x]
    middle = c * across[2, at_x] + d * across[3, at_x]
    right = e * across[4, at_x] + f * across[5, at_x]
    total: np.float32 = left + middle + right
    return total


@compiled
def interpolate(
    pixels: NDArray[np.float32],
    corner: Index,
    nx: Index,
    weights: NDArray[np.float32],
    step_x: int,
    step_y: int,
) -> np.float32:
    """Interpolate at one position."""
    at_x, at_y = np.uint64(step_x & (PHASES - 1)), np.uint64(step_y & (PHASES - 1))
    one = np.uint64(1)
    return sum_weighted(
        pixels, np.uint64(corner), np.uint64(nx), one, weights, at_x, weights, at_y
    )


@compiled
def weigh(
    places: NDArray[np.float32], first: int, number: np.uint64, weights: NDArray[np.float32]
) -> None:
    """Compute the weights (6, number) for places between two pixels: those of `WEIGHTS`."""
    for k in range(number):
        t = places[np.uint64(first) + k]
        u = F32(1) - t
        weights[0, k], weights[1, k], weights[2, k] = lobes(t, u)
        weights[5, k], weights[4, k], weights[3, k] = lobes(u, t)


@compiled
def interpolate_incomplete(
    frame: Frame, weights: NDArray[np.float32], step_x: int, step_y: int, colour: int
) -> np.float32:
    """Interpolate where a pixel of the 6 x 6 is missing, from those that are not."""
    corner_x, corner_y = step_x // PHASES - RADIUS + 1, step_y // PHASES - RADIUS + 1
    total, total_weight = 0.0, 0.0
    lowest, highest = np.float32(np.inf), np.float32(-np.inf)
    for j in range(TAPS):
        for i in range(TAPS):
            x, y = corner_x + i, corner_y + j
            weight = weights[i, step_x % PHASES] * weights[j, step_y % PHASES]
            value = np.float32(np.nan)
            if x >= 0 and y >= 0 and x < frame.nx and y < frame.ny:
                place = (y - frame.first_row) * frame.nx + x
                value = frame.pixels[place * frame.n_colours + colour]
            if not np.isnan(value):
                total += weight * value
                total_weight += weight
                highest = max(highest, value)
                if 1 <= i <= 4 and 1 <= j <= 4:
                    lowest = min(lowest, value)
            elif weight != 0 and 2 <= i <= 3 and 2 <= j <= 3:
                return np.float32(np.nan)
    value = np.float32(total / total_weight)
    return max(value, np.float32(lowest - UNDERSHOOT * (highest - lowest)))


@compiled
def reverse(line: NDArray[np.generic]) -> None:
    """Reverse a line in place."""
    for k in range(line.size // 2):
        line[k], line[line.size - 1 - k] = line[line.size - 1 - k], line[k]
