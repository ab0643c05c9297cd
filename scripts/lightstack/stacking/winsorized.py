"""The mode "winsorized": values are left out that are far from the median of their pixel.

How far is told by a spread that the outliers themselves do not widen. The constants are those of
Siril and PixInsight: see `docs/methods.md`.
"""

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.compiling import compiled
from scripts.lightstack.stacking.blocks import (
    WIDTH,
    Block,
    Counts,
    Line,
    average,
    clip,
    counts,
    excess,
    fetch,
    put,
    standard_error,
)
from scripts.lightstack.stacking.modes import ClipInputs, InParts
from scripts.lightstack.stacking.repeats import PIXELS, repeat, tell_errors
from scripts.lightstack.stacking.sorting import (
    Pairs,
    median_of_sorted,
    sort_columns,
    sorting_network,
)

LIMIT, LIMIT_MEANING = 3.0, "[winsorized std] limit from the median"
"""As in Siril and PixInsight."""

MARGIN = 0

LEAST_VALUES = 4
"""So many are always kept."""


def clip_rows(
    cube: Block,
    rows: tuple[int, int],
    inputs: ClipInputs,
    image: Block,
    rejected: NDArray[np.integer],
    error: NDArray[np.float32],
    in_parts: InParts,
) -> None:
    """Combine rows of a cube: see `modes.ClipMode`."""
    network = sorting_network(len(cube))

    def part(first: int, last: int) -> None:
        _clip_rows(
            cube,
            first,
            last,
            network,
            inputs.limit,
            inputs.weights,
            image[first - rows[0] : last - rows[0]],
            rejected[first - rows[0] : last - rows[0]],
            inputs.variances,
            inputs.shared_variance,
            error[first - rows[0] : last - rows[0]],
        )

    in_parts(part, *rows)


@compiled
def _clip_rows(
    cube: Block,
    start: int,
    stop: int,
    network: Pairs,
    limit: float,
    weights: Line,
    image: Block,
    rejected: NDArray[np.integer],
    variances: Block,
    shared: float,
    error: Block,
) -> None:
    variance = np.empty((cube.shape[0], WIDTH), np.float32)
    values = np.empty((cube.shape[0], WIDTH), np.float32)
    ranked = np.empty((cube.shape[0], WIDTH), np.float32)
    repeats = np.empty((cube.shape[0], WIDTH), np.float32)
    for y in range(start, stop):
        for x in range(0, cube.shape[2], WIDTH):
            count = fetch(cube, y, x, values)
            sort_columns(values, network, ranked)
            low, high = _limits(ranked, count, limit)
            kept = clip(values, low, high)
            mean, number = average(kept, weights)
            put(mean, x, image[y - start])
            if error.size:
                fetch(variances, y, x, variance)
                told = standard_error(kept, variance, weights, shared)
                spread = excess(values, variance)
                spreading = np.nonzero(spread)[0]
                for first in range(0, spreading.size, PIXELS):
                    chosen = spreading[first : first + PIXELS]
                    repeat(values, variance, spread, x, chosen, repeats)
                    sort_columns(repeats, network, ranked)
                    low, high = _limits(ranked, counts(repeats), limit)
                    results, _ = average(clip(repeats, low, high), weights)
                    blocks = values, variance
                    tell_errors(results, repeats, weights, blocks, shared, chosen, told)
                put(told, x, error[y - start])
            put(count - number, x, rejected[y - start])


@compiled
def _limits(ranked: Block, count: Counts, sigma: float) -> tuple[Line, Line]:
    """Find the lowest and the highest value of each pixel that are kept.

    Outliers are trimmed in rounds as long as more than `LEAST_VALUES` are left.
    """
    low, high = np.empty(WIDTH), np.empty(WIDTH)
    sums = np.zeros((2, ranked.shape[0] + 1))
    for k in range(WIDTH):
        first, last, before = 0, count[k], -1
        while last - first > LEAST_VALUES and last - first != before:
            before = last - first
            centre = median_of_sorted(ranked, first, last, k)
            reach = sigma * _spread(ranked, first, last, k, sums)
            while last - first > LEAST_VALUES and ranked[first, k] < centre - reach:
                first += 1
            while last - first > LEAST_VALUES and ranked[last - 1, k] > centre + reach:
                last -= 1
        low[k], high[k] = ranked[first, k], ranked[max(last - 1, 0), k]
    return low, high


@compiled
def _spread(ranked: Block, first: int, last: int, k: int, sums: Line) -> float:
    """Winsorized standard deviation of the sorted values from `first` to before `last`.

    It is that of the values drawn in to 1.5 standard deviations from the median, times 1.134,
    which makes it right for a normal distribution; this is repeated until it stands. `sums` of
    the values and of their squares save adding them up each time.
    """
    centre = median_of_sorted(ranked, first, last, k)
    for i in range(first, last):
        value = ranked[i, k] - centre
        sums[0, i + 1] = sums[0, i] + value
        sums[1, i + 1] = sums[1, i] + value * value
    spread = _drawn_in_std(sums, first, last, first, last, 0.0)
    low, high = first, last
    for _ in range(100):
        reach, before = 1.5 * spread, spread
        low, high = first, last
        while ranked[low, k] < centre - reach:
            low += 1
        while ranked[high - 1, k] > centre + reach:
            high -= 1
        spread = 1.134 * _drawn_in_std(sums, first, last, low, high, reach)
        if abs(spread - before) <= 0.0005 * before:
            break
    return spread


@compiled
def _drawn_in_std(sums: Line, first: int, last: int, low: int, high: int, reach: float) -> float:
    """Sample standard deviation, with all before `low` and from `high` on drawn in to `reach`."""
    n, below, above = last - first, low - first, last - high
    total = sums[0, high] - sums[0, low] + reach * (above - below)
    squares = sums[1, high] - sums[1, low] + reach**2 * (above + below)
    return float(np.sqrt(max(squares - total**2 / n, 0.0) / (n - 1)))
