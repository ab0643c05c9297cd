"""Sorting the values of many pixels at a time."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.compiling import compiled

Block = NDArray[np.float32]

Pairs = NDArray[np.int64]


@lru_cache
def sorting_network(n: int) -> Pairs:
    """List the comparisons that sort n values, whatever they are.

    One list serves many pixels at a time, and it grows as ``n log(n)**2`` only: Batcher's merge
    exchange (Knuth, The Art of Computer Programming 3, algorithm 5.2.2M).

    Returns
    -------
    (m, 2) ndarray of int64
        Pairs of positions ``i < j``: in their order, put the lower value to i.
    """
    pairs: list[tuple[int, int]] = []
    top = 1 << max((n - 1).bit_length() - 1, 0)
    span = top
    while span > 0:
        step, offset, distance = top, 0, span
        while True:
            pairs += [(i, i + distance) for i in range(n - distance) if i & span == offset]
            if step == span:
                break
            distance, step, offset = step - span, step // 2, span
        span //= 2
    return np.array(pairs, np.int64).reshape(-1, 2)


@compiled
def sort_columns(
    values: NDArray[np.floating], network: Pairs, ranked: NDArray[np.floating]
) -> None:
    """Sort the values of each column into `ranked`; NaN becomes infinity and goes to the end.

    A comparison is made for all columns before the next one: a loop without branches, of which a
    processor does many at a time.
    """
    width = values.shape[1]
    for i in range(values.shape[0]):
        for k in range(width):
            ranked[i, k] = np.float32(np.inf) if np.isnan(values[i, k]) else values[i, k]
    for pair in range(network.shape[0]):
        lower, higher = ranked[network[pair, 0]], ranked[network[pair, 1]]
        for k in range(width):
            a, b = lower[k], higher[k]
            lower[k] = a if a < b else b
            higher[k] = b if a < b else a


@compiled
def median_of_sorted(ranked: Block, first: int, last: int, k: int) -> float:
    """Median of the sorted values of column k from `first` to before `last`; NaN of none."""
    if last == first:
        return np.nan
    middle = first + last
    low, high = ranked[(middle - 1) // 2, k], ranked[middle // 2, k]
    return (np.float64(low) + np.float64(high)) / 2
