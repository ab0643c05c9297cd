"""Repeats: the same pixels with other noise, which tell how a mode's results scatter.

Where the values of a pixel differ by more than their noise, as in stars of changing seeing, noise
decides which of them are clipped, and which is the median: no formula of sums gives the standard
error then. So the mode is applied again and again, to values with other noise (the parametric
bootstrap: Efron 1979, Ann. Statist. 7, 1). There are few such pixels.
"""

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.compiling import compiled, inlined
from scripts.lightstack.stacking.blocks import WIDTH, Block, Line, average, standard_error

REPEATS = 32
"""They tell an error to 5 to 10 %, by chance differently in each column of pixels."""

PIXELS = WIDTH // REPEATS
"""So many are repeated in a block."""

Indices = NDArray[np.int64]


@compiled
def repeat(
    values: Block, variances: Block, spread: Line, x: int, chosen: Indices, repeats: Block
) -> None:
    """Fill a block with repeats of some pixels of another one.

    Parameters
    ----------
    values, variances : (n, w) ndarrays of float32
        Of a block from column x on.
    spread : (w,) ndarray of float64
        By how much values differ beyond their variances, over these: see `blocks.excess`.
    x : int
    chosen : (m,) ndarray of int64
        Columns of the block, `PIXELS` at most.
    repeats : (n, w) ndarray of float32
        Gets `REPEATS` columns for each pixel: its values, drawn in by the share of noise in their
        spread, with noise of their variances.
    """
    n = values.shape[0]
    repeats[:] = np.nan
    for slot in range(chosen.size):
        k = chosen[slot]
        mean = number = 0.0
        for i in range(n):
            if not np.isnan(values[i, k]):
                mean += values[i, k]
                number += 1.0
        mean /= number
        share = np.sqrt(spread[k] / (1 + spread[k]))
        for i in range(n):
            value, noise = mean + share * (values[i, k] - mean), np.sqrt(variances[i, k])
            for draw in range(REPEATS):
                deviate = _deviate((x + k) * n * REPEATS + i * REPEATS + draw)
                repeats[i, slot * REPEATS + draw] = np.float32(value + noise * deviate)


@compiled
def tell_errors(
    results: Line,
    repeats: Block,
    weights: Line,
    blocks: tuple[Block, Block],
    shared: float,
    chosen: Indices,
    error: Line,
) -> None:
    """Write the standard errors of some pixels.

    Parameters
    ----------
    results : (w,) ndarray of float64
        What a mode makes of the block that `repeat` has filled.
    repeats : (n, w) ndarray of float32
        This block.
    weights : (n,) ndarray of float64
        Of the frames in averages.
    blocks : (values, variances)
        As `repeat` got them.
    shared : float
        Variance of what all values have in common.
    chosen : (m,) ndarray of int64
    error : (w,) ndarray of float64
        Gets the errors of the chosen pixels.

    Notes
    -----
    The variance of averages over the same repeats, and the one that they must have, take out most
    of what is chance in so few of them. As the mean of a ratio is more than the ratio of means,
    it is divided by what it is expected to be too much (to first order in 1 over the repeats:
    Cochran 1977, Sampling Techniques, 6.8, with the variances of variances of normal deviates).
    """
    of_average = standard_error(blocks[0], blocks[1], weights, 0.0)
    averages, _ = average(repeats, weights)
    for slot in range(chosen.size):
        part = slice(slot * REPEATS, (slot + 1) * REPEATS)
        result, mean = results[part], averages[part]
        variance, of_mean = result.var(), mean.var()
        covariance = ((result - result.mean()) * (mean - mean.mean())).mean()
        unlike = 1 - covariance**2 / (variance * of_mean) if variance > 0 else 0.0
        ratio = variance / of_mean / (1 + 2 / (REPEATS - 1) * unlike)
        error[chosen[slot]] = np.sqrt(ratio * of_average[chosen[slot]] ** 2 + shared)


@inlined
def _deviate(number: int) -> float:
    """Give a normal deviate by its number: the sum of four uniform ones, of 16 bits each.

    They are the bits of a counter, mixed (SplitMix64: Steele et al. 2014, OOPSLA, 453), so that
    each processor gets the same.
    """
    z = np.uint64(number + 1) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    total = np.float64(z & np.uint64(0xFFFF))
    for shift in range(16, 64, 16):
        total += np.float64((z >> np.uint64(shift)) & np.uint64(0xFFFF))
    deviate: float = (total / 65536 - 2) * np.sqrt(3.0)
    return deviate
