"""Many aligned frames to one image, by several modes in one pass over the pixels.

Pixels are taken in blocks of one row: the block's values of all frames are fetched once, and every
mode is computed from them. Loops run over the frames outside and over the block's columns inside,
so that the processor works on many pixels at a time; sums are float64, in the order of the frames.
A pixel of a stack depends on nothing but its own values ("noise_clip": and those of the pixels up
to `NEIGHBOURHOOD` away, and the frames' seeing), so the same frames give the same bytes for any
number of threads and any height of the cube.

The modes, their sources, and what each costs and catches are in `docs/methods.md`.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scripts.lightstack.compiling import compiled
from scripts.lightstack.stacking.noise_clip import NoiseModel, clip_by_noise, noise_model
from scripts.lightstack.stacking.psf_matching import REACH, Seeing

MODES = ("mean", "median", "max", "min", "std", "sigma_clip", "winsorized", "noise_clip")

WINSORIZED_SIGMA, NOISE_CLIP_SIGMA = 3.0, 4.0

CLIP_MODES = ("sigma_clip", "winsorized", "noise_clip")

_MEAN, _MEDIAN, _MAX, _MIN, _STD, _SIGMA_CLIP, _WINSORIZED, _NOISE_CLIP = range(len(MODES))

NEIGHBOURHOOD = REACH
"""Rows on either side of a pixel that "noise_clip" looks at [pixels]."""

WIDTH = 128  # columns of a block: values and sorted values of 400 frames fit a processor's cache

Stack = NDArray[np.float32]

Counts = NDArray[np.int64]

Line = NDArray[np.float64]


@dataclass(frozen=True)
class Combined:
    """Stacks of the same frames.

    Attributes
    ----------
    images : dict of str to (h, nx) ndarray of float32
        One image for each mode; NaN where no frame has data.
    coverage : (h, nx) ndarray of int16
        How many frames have data.
    rejected : dict of str to (h, nx) ndarray of int16
        How many of them each clip mode left out.
    """

    images: dict[str, NDArray[np.float32]]
    coverage: NDArray[np.int16]
    rejected: dict[str, NDArray[np.int16]]


class _Settings(NamedTuple):
    """What the modes are given, the weights of the frames first."""

    weights: Line
    sigma_clip: float
    winsorized: float
    noise: NoiseModel


class _Outputs(NamedTuple):
    """What is written for rows of the cube from `first_row` on.

    ``slots[mode]`` is the place in `images` of one of `MODES`, -1 if not wanted. Clip modes come
    first; their place in `rejected` is the same. The other two have all rows of the cube.
    """

    first_row: int
    slots: Counts
    images: Stack
    coverage: NDArray[np.int16]
    rejected: NDArray[np.int16]
    centres: Stack
    middles: Stack


def combine(
    cube: Stack,
    modes: Sequence[str],
    *,
    rows: tuple[int, int] | None = None,
    weights: ArrayLike | None = None,
    sigma_clip: float = 2.5,
    winsorized: float = WINSORIZED_SIGMA,
    noise_clip: float = NOISE_CLIP_SIGMA,
    noise: ArrayLike | None = None,
    gain: ArrayLike | None = None,
    seeing: Seeing | None = None,
    threads: int = 1,
) -> Combined:
    """Combine aligned frames.

    Parameters
    ----------
    cube : (n, k, nx) ndarray of float32, C-contiguous
        The frames on one grid and one flux scale [ADU]; NaN is no data.
    modes : sequence of str
        Which of `MODES` to compute.
    rows : (int, int), optional
        First row of the cube to combine, and the one after the last; default: all. Of the others,
        `NEIGHBOURHOOD` on either side are used by "noise_clip", which makes its result
        independent of how an image is cut into cubes.
    weights : (n,) array of float, optional
        Weights of the frames, such as their inverse variances, in "mean" and in the averages of
        the clip modes; the other modes do not use them. Default: all alike.
    sigma_clip, winsorized, noise_clip : float
        Limits of these modes [standard deviations].
    noise : (n,) array of float, optional
        The frames' background noise in units of the cube; "noise_clip" needs it.
    gain : (n,) array of float, optional
        Electrons per unit of the cube, infinite where unknown (the default).
    seeing : Seeing, optional
        What "noise_clip" expects of starlight; default: unknown.
    threads : int
        How many threads to use; they change nothing but the time.

    Returns
    -------
    Combined
        ``h = rows[1] - rows[0]`` rows.

    Raises
    ------
    ValueError
        If a mode is unknown or lacks the noise, or an argument has an impossible value.
    """
    _check(cube, modes, sigma_clip, noise)
    n, height, nx = cube.shape
    start, stop = rows or (0, height)
    weights = _per_frame("weights", weights, n, default=1.0)
    noise = _per_frame("noise", noise, n, default=1.0)
    gain = _per_frame("gain", gain, n, default=np.inf)
    settings = _Settings(
        weights,
        float(sigma_clip),
        float(winsorized),
        noise_model(float(noise_clip), weights, noise, gain, seeing),
    )
    clipping = [mode for mode in CLIP_MODES if mode in modes]
    wanted = clipping + [mode for mode in MODES if mode in modes and mode not in clipping]
    slots = np.array([wanted.index(mode) if mode in wanted else -1 for mode in MODES])
    outputs = _Outputs(
        start,
        slots,
        np.empty((len(wanted), stop - start, nx), np.float32),
        np.empty((stop - start, nx), np.int16),
        np.empty((len(clipping), stop - start, nx), np.int16),
        *np.empty((2, height if "noise_clip" in wanted else 0, nx), np.float32),
    )
    network = sorting_network(n)

    def combine_rows(first: int, last: int) -> None:
        _combine_rows(cube, first, last, network, settings, outputs)

    def clip_rows(first: int, last: int) -> None:
        _combine_by_noise(cube, first, last, settings, outputs)

    with ThreadPoolExecutor(threads) as pool:
        edges = np.linspace(start, stop, threads + 1).astype(int).tolist()
        list(pool.map(combine_rows, edges[:-1], edges[1:]))
        if "noise_clip" in wanted:
            first, last = max(start - NEIGHBOURHOOD, 0), min(stop + NEIGHBOURHOOD, height)
            _find_centres(cube, first, start, network, outputs.centres, outputs.middles)
            _find_centres(cube, stop, last, network, outputs.centres, outputs.middles)
            list(pool.map(clip_rows, edges[:-1], edges[1:]))
    return Combined(
        {mode: outputs.images[slots[MODES.index(mode)]] for mode in modes},
        outputs.coverage,
        {mode: outputs.rejected[i] for i, mode in enumerate(clipping)},
    )


def find_centres(cube: Stack) -> tuple[Stack, Stack]:
    """Find the light that frames share.

    Parameters
    ----------
    cube : (n, k, nx) ndarray of float32, C-contiguous
        As in `combine`.

    Returns
    -------
    centres, middles : (k, nx) ndarray of float32
        The lower median, which stands nearly half of the values being wrong; and the mean of the
        values in the middle, without a quarter of them on either side, which is nearer to the
        light of a star when the seeing differs. Of two values both are the lower.
    """
    n, height, nx = cube.shape
    centres, middles = np.empty((2, height, nx), np.float32)
    _find_centres(cube, 0, height, sorting_network(n), centres, middles)
    return centres, middles


def _check(cube: Stack, modes: Sequence[str], sigma_clip: float, noise: ArrayLike | None) -> None:
    """Raise ValueError for what cannot be combined."""
    if cube.ndim != 3 or cube.dtype != np.float32 or not cube.flags.c_contiguous:
        raise ValueError("the cube must be a C-contiguous float32 array of three axes")
    if not 1 <= cube.shape[0] <= np.iinfo(np.int16).max:
        raise ValueError(f"cannot combine {cube.shape[0]} frames")
    for mode in modes:
        if mode not in MODES:
            raise ValueError(f"unknown mode {mode!r}; the modes are {', '.join(MODES)}")
    if sigma_clip < 1:
        raise ValueError(f"sigma_clip = {sigma_clip} could reject every value; 1 is the least")
    if "noise_clip" in modes and noise is None:
        raise ValueError("noise_clip needs the noise of each frame")


def _per_frame(name: str, values: ArrayLike | None, n: int, *, default: float) -> Line:
    """Give one positive number for each frame."""
    if values is None:
        return np.full(n, default)
    checked = np.array(values, np.float64)
    if checked.shape != (n,) or not (checked > 0).all():
        raise ValueError(f"{name} must be {n} positive numbers, not {values}")
    return checked


@lru_cache
def sorting_network(n: int) -> Counts:
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
def _combine_rows(
    cube: Stack,
    start: int,
    stop: int,
    network: Counts,
    settings: _Settings,
    outputs: _Outputs,
) -> None:
    """Compute all modes but "noise_clip", and the centres for that one."""
    values = np.empty((cube.shape[0], WIDTH), np.float32)
    ranked = np.empty((cube.shape[0], WIDTH), np.float32)
    slots = outputs.slots
    by_rank = slots[_MEDIAN], slots[_MIN], slots[_MAX], slots[_WINSORIZED], slots[_NOISE_CLIP]
    for y in range(start, stop):
        for x in range(0, cube.shape[2], WIDTH):
            count = _fetch(cube, y, x, values)
            _write_coverage(count, y, x, outputs)
            if slots[_MEAN] >= 0:
                _write_average(values, count, settings.weights, y, x, _MEAN, outputs)
            if slots[_STD] >= 0 or slots[_SIGMA_CLIP] >= 0:
                mean, std = _moments(values, count)
                _write(std, y, x, _STD, outputs)
            if max(by_rank) >= 0:
                _sort(values, network, ranked)
                _write_ranks(ranked, count, y, x, outputs)
            if slots[_WINSORIZED] >= 0:
                low, high = _winsorized_limits(ranked, count, settings.winsorized)
                kept = _clip(values, low, high)
                _write_average(kept, count, settings.weights, y, x, _WINSORIZED, outputs)
            if slots[_SIGMA_CLIP] >= 0:
                reach = settings.sigma_clip * std
                kept = _clip(values, mean - reach, mean + reach)
                _write_average(kept, count, settings.weights, y, x, _SIGMA_CLIP, outputs)


@compiled
def _fetch(cube: Stack, y: int, x: int, values: Stack) -> Counts:
    """Copy a block, count each pixel's values, and fill up with NaN beyond the row's end."""
    width = min(WIDTH, cube.shape[2] - x)
    count = np.zeros(WIDTH, np.int64)
    for i in range(values.shape[0]):
        for k in range(width):
            values[i, k] = cube[i, y, x + k]
        for k in range(width, WIDTH):
            values[i, k] = np.nan
        for k in range(WIDTH):
            count[k] += not np.isnan(values[i, k])
    return count


@compiled
def _moments(values: Stack, count: Counts) -> tuple[Line, Line]:
    """Mean, and population standard deviation from the differences to it."""
    mean, std = np.zeros(WIDTH), np.zeros(WIDTH)
    for i in range(values.shape[0]):
        for k in range(WIDTH):
            mean[k] += 0.0 if np.isnan(values[i, k]) else values[i, k]
    for k in range(WIDTH):
        mean[k] /= count[k]
    for i in range(values.shape[0]):
        for k in range(WIDTH):
            std[k] += 0.0 if np.isnan(values[i, k]) else (values[i, k] - mean[k]) ** 2
    for k in range(WIDTH):
        std[k] = np.sqrt(std[k] / count[k])
    return mean, std


@compiled
def _sort(values: Stack, network: Counts, ranked: Stack) -> None:
    """Sort each pixel's values; NaN becomes infinity and goes to the end."""
    for i in range(values.shape[0]):
        for k in range(WIDTH):
            ranked[i, k] = np.float32(np.inf) if np.isnan(values[i, k]) else values[i, k]
    for pair in range(network.shape[0]):
        i, j = network[pair]
        for k in range(WIDTH):
            a, b = ranked[i, k], ranked[j, k]
            ranked[i, k] = a if a < b else b
            ranked[j, k] = b if a < b else a


@compiled
def _clip(values: Stack, low: Line, high: Line) -> Stack:
    """Replace by NaN what is lower or higher than these limits."""
    kept = np.empty_like(values)
    for i in range(values.shape[0]):
        for k in range(WIDTH):
            value = values[i, k]
            kept[i, k] = value if (value >= low[k]) & (value <= high[k]) else np.float32(np.nan)
    return kept


@compiled
def _winsorized_limits(ranked: Stack, count: Counts, sigma: float) -> tuple[Line, Line]:
    """Find the lowest and the highest value of each pixel that winsorized clipping keeps.

    Outliers are trimmed in rounds as long as more than four values are left.
    """
    low, high = np.empty(WIDTH), np.empty(WIDTH)
    sums = np.zeros((2, ranked.shape[0] + 1))
    for k in range(WIDTH):
        first, last, before = 0, count[k], -1
        while last - first > 4 and last - first != before:
            before = last - first
            centre = _median(ranked, first, last, k)
            reach = sigma * _winsorized_spread(ranked, first, last, k, sums)
            while last - first > 4 and ranked[first, k] < centre - reach:
                first += 1
            while last - first > 4 and ranked[last - 1, k] > centre + reach:
                last -= 1
        low[k], high[k] = ranked[first, k], ranked[max(last - 1, 0), k]
    return low, high


@compiled
def _winsorized_spread(ranked: Stack, first: int, last: int, k: int, sums: Line) -> float:
    """Winsorized standard deviation of the sorted values from `first` to before `last`.

    It is that of the values drawn in to 1.5 standard deviations from the median, times 1.134,
    which makes it right for a normal distribution; this is repeated until it stands. `sums` of
    the values and of their squares save adding them up each time.
    """
    centre = _median(ranked, first, last, k)
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


@compiled
def _median(ranked: Stack, first: int, last: int, k: int) -> float:
    """Median of a pixel's sorted values from `first` to before `last`."""
    if last == first:
        return np.nan
    middle = first + last
    low, high = ranked[(middle - 1) // 2, k], ranked[middle // 2, k]
    return (np.float64(low) + np.float64(high)) / 2


@compiled
def _find_centres(
    cube: Stack, start: int, stop: int, network: Counts, centres: Stack, middles: Stack
) -> None:
    values = np.empty((cube.shape[0], WIDTH), np.float32)
    ranked = np.empty((cube.shape[0], WIDTH), np.float32)
    for y in range(start, stop):
        for x in range(0, cube.shape[2], WIDTH):
            count = _fetch(cube, y, x, values)
            _sort(values, network, ranked)
            _write_centres(ranked, count, y, x, centres, middles)


@compiled
def _combine_by_noise(
    cube: Stack, start: int, stop: int, settings: _Settings, outputs: _Outputs
) -> None:
    """Compute "noise_clip", for which the centres of the rows around have to be there."""
    values = np.empty((cube.shape[0], WIDTH), np.float32)
    for y in range(start, stop):
        for x in range(0, cube.shape[2], WIDTH):
            count = _fetch(cube, y, x, values)
            clip_by_noise(values, count, outputs.centres, outputs.middles, y, x, settings.noise)
            _write_average(values, count, settings.weights, y, x, _NOISE_CLIP, outputs)


@compiled
def _write(line: Line, y: int, x: int, mode: int, outputs: _Outputs) -> None:
    slot = outputs.slots[mode]
    if slot >= 0:
        for k in range(min(WIDTH, outputs.images.shape[2] - x)):
            outputs.images[slot, y - outputs.first_row, x + k] = line[k]


@compiled
def _write_average(
    kept: Stack, count: Counts, weights: Line, y: int, x: int, mode: int, outputs: _Outputs
) -> None:
    """Write the weighted mean of what was kept, and how many values were not."""
    total, weight = np.zeros(WIDTH), np.zeros(WIDTH)
    number = np.zeros(WIDTH, np.int64)
    for i in range(kept.shape[0]):
        for k in range(WIDTH):
            missing = np.isnan(kept[i, k])
            total[k] += 0.0 if missing else weights[i] * kept[i, k]
            weight[k] += 0.0 if missing else weights[i]
            number[k] += not missing
    _write(total / weight, y, x, mode, outputs)
    slot = outputs.slots[mode]
    if slot < outputs.rejected.shape[0]:
        for k in range(min(WIDTH, outputs.rejected.shape[2] - x)):
            outputs.rejected[slot, y - outputs.first_row, x + k] = count[k] - number[k]


@compiled
def _write_coverage(count: Counts, y: int, x: int, outputs: _Outputs) -> None:
    for k in range(min(WIDTH, outputs.coverage.shape[1] - x)):
        outputs.coverage[y - outputs.first_row, x + k] = count[k]


@compiled
def _write_centres(
    ranked: Stack, count: Counts, y: int, x: int, centres: Stack, middles: Stack
) -> None:
    """Write the lower median and the mean of the values in the middle."""
    first, last = np.empty(WIDTH, np.int64), np.empty(WIDTH, np.int64)
    total = np.zeros(WIDTH)
    for k in range(WIDTH):
        first[k] = max((count[k] + 1) // 4, min((count[k] - 1) // 2, 2), 0)
        last[k] = count[k] - first[k] if count[k] != 2 else 1
    for i in range(ranked.shape[0]):
        for k in range(WIDTH):
            total[k] += ranked[i, k] if (i >= first[k]) & (i < last[k]) else 0.0
    for k in range(min(WIDTH, centres.shape[1] - x)):
        some, number = count[k] > 0, last[k] - first[k]
        centres[y, x + k] = ranked[(max(count[k], 1) - 1) // 2, k] if some else np.float32(np.nan)
        middles[y, x + k] = np.float32(total[k] / number) if some else np.float32(np.nan)


@compiled
def _write_ranks(ranked: Stack, count: Counts, y: int, x: int, outputs: _Outputs) -> None:
    """Write the modes that are read from sorted values."""
    median, lowest, highest = np.empty(WIDTH), np.empty(WIDTH), np.empty(WIDTH)
    for k in range(WIDTH):
        median[k] = _median(ranked, 0, count[k], k)
        lowest[k] = ranked[0, k] if count[k] else np.nan
        highest[k] = ranked[count[k] - 1, k] if count[k] else np.nan
    _write(median, y, x, _MEDIAN, outputs)
    _write(lowest, y, x, _MIN, outputs)
    _write(highest, y, x, _MAX, outputs)
    if outputs.slots[_NOISE_CLIP] >= 0:
        _write_centres(ranked, count, y, x, outputs.centres, outputs.middles)
