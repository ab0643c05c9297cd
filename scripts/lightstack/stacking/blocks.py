"""Blocks: the values of all frames for some neighbouring pixels of a row.

Modes work on blocks. The loop over the frames is outside, that over the block's columns inside,
so that a processor works on many pixels at a time; sums are float64, in the order of the frames.
All blocks have `WIDTH` columns: a fixed number lets the compiler unroll its loops. Beyond the end
of a row they are filled up with NaN, and what comes of it is not written.
"""

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.compiling import compiled, copy_line

WIDTH = 128
"""Columns of a block: values and sorted values of 400 frames fit a processor's cache (tuned:
`benchmarks/stack_kernels.py`)."""

CHANCE = 1.5
"""Standard deviations of a scatter, within which it may be noise (tuned:
`benchmarks/uncertainty_table.py`; less costs time, more misses faint stars)."""

Block = NDArray[np.float32]

Counts = NDArray[np.int64]

Line = NDArray[np.float64]


@compiled
def fetch(cube: Block, y: int, x: int, values: Block) -> Counts:
    """Copy the block at (x, y) of an (n, k, nx) cube, and count each pixel's values."""
    width = min(WIDTH, cube.shape[2] - x)
    for i in range(values.shape[0]):
        line, into = cube[i, y, x : x + width], values[i]
        copy_line(line, into[:width])
        for k in range(width, WIDTH):
            into[k] = np.nan
    return counts(values)


@compiled
def counts(values: Block) -> Counts:
    """Count each pixel's values."""
    count = np.zeros(WIDTH, np.int32)
    for i in range(values.shape[0]):
        line = values[i]
        for k in range(WIDTH):
            count[k] += np.int32(0) if np.isnan(line[k]) else np.int32(1)
    return count.astype(np.int64)


@compiled
def clip(values: Block, low: Line, high: Line) -> Block:
    """Replace by NaN what is lower or higher than these limits."""
    kept = np.empty_like(values)
    for i in range(values.shape[0]):
        line, into = values[i], kept[i]
        for k in range(WIDTH):
            value = line[k]
            into[k] = value if (value >= low[k]) & (value <= high[k]) else np.float32(np.nan)
    return kept


@compiled
def average(values: Block, weights: Line) -> tuple[Line, Counts]:
    """Weighted mean of each pixel's values, NaN of none, and how many there are."""
    total, weight = np.zeros(WIDTH), np.zeros(WIDTH)
    number = np.zeros(WIDTH, np.int32)
    for i in range(values.shape[0]):
        line, of_frame = values[i], weights[i]
        for k in range(WIDTH):
            missing = np.isnan(line[k])
            total[k] += 0.0 if missing else of_frame * line[k]
            weight[k] += 0.0 if missing else of_frame
            number[k] += np.int32(0) if missing else np.int32(1)
    return total / weight, number.astype(np.int64)


@compiled
def standard_error(values: Block, variances: Block, weights: Line, shared: float) -> Line:
    """Give the standard error of the `average` of values with these variances.

    `shared` is the variance of what all values have in common.
    """
    total, weight = np.zeros(WIDTH), np.zeros(WIDTH)
    for i in range(values.shape[0]):
        for k in range(WIDTH):
            missing = np.isnan(values[i, k])
            total[k] += 0.0 if missing else weights[i] ** 2 * variances[i, k]
            weight[k] += 0.0 if missing else weights[i]
    return np.sqrt(total / weight**2 + shared)


@compiled
def excess(values: Block, variances: Block) -> Line:
    """Tell how much more values scatter than their variances explain, over these.

    It is 0 unless it is more than `CHANCE` often makes of few values.
    """
    number, mean = np.zeros(WIDTH), np.zeros(WIDTH)
    expected, found = np.zeros(WIDTH), np.zeros(WIDTH)
    for i in range(values.shape[0]):
        for k in range(WIDTH):
            missing = np.isnan(values[i, k])
            number[k] += 0.0 if missing else 1.0
            mean[k] += 0.0 if missing else values[i, k]
            expected[k] += 0.0 if missing else variances[i, k]
    for k in range(WIDTH):
        mean[k] /= number[k]
    for i in range(values.shape[0]):
        for k in range(WIDTH):
            found[k] += 0.0 if np.isnan(values[i, k]) else (values[i, k] - mean[k]) ** 2
    for k in range(WIDTH):
        free = max(number[k] - 1, 1.0)
        ratio = found[k] / free / (expected[k] / number[k]) - 1
        found[k] = ratio if ratio > CHANCE * np.sqrt(2 / free) else 0.0
    return found


@compiled
def put(line: NDArray[np.generic], x: int, row: NDArray[np.generic]) -> None:
    """Write a block's results to a row, from column x on."""
    for k in range(min(WIDTH, row.size - x)):
        row[x + k] = line[k]
