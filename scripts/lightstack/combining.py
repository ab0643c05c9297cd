"""Many aligned frames to one image, by several modes in one pass over the pixels.

Pixels are taken in blocks of one row: the block's values of all frames are fetched once, and every
mode is computed from them. Loops run over the frames outside and over the block's columns inside,
so that the processor works on many pixels at a time, and sums are float64 in the order of the
frames: a pixel's result depends on nothing but its own values.

`docs/methods.md` has the definitions with their sources, and what each mode costs and catches.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from math import sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scripts.lightstack.resampling import compiled

MODES = ("mean", "median", "max", "min", "std", "sigma_clip", "winsorized", "noise_clip")
CLIP_MODES = ("sigma_clip", "winsorized", "noise_clip")

_MEAN, _MEDIAN, _MAX, _MIN, _STD, _SIGMA_CLIP, _WINSORIZED, _NOISE_CLIP = range(len(MODES))
WIDTH = (
    128  # columns of a block: 12 frames fill 6 kB, and 400 frames still fit a processor's cache
)


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
    """What the modes are given; arrays are (n,) ndarrays of float64, one value for each frame."""

    weights: NDArray[np.float64]
    sigma_clip: float
    winsorized: float
    noise_clip: float
    variance: NDArray[np.float64]
    shot: NDArray[np.float64]
    fraction: float


class _Outputs(NamedTuple):
    """What is written, and in `slots` which image is that of a mode of `MODES` (-1: not wanted)."""

    slots: NDArray[np.int64]
    images: NDArray[np.float32]
    coverage: NDArray[np.int16]
    rejected: NDArray[np.int16]


class _Block(NamedTuple):
    """What is known of `WIDTH` pixels: (n, WIDTH) values as they come and sorted, else (WIDTH,).

    Values are kept by a clip mode from `low` to `high`; `total`, `weight` and `kept` are their
    weighted sum, the sum of their weights, and their number.
    """

    values: NDArray[np.float32]
    ranked: NDArray[np.float32]
    count: NDArray[np.int64]
    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    total: NDArray[np.float64]
    weight: NDArray[np.float64]
    kept: NDArray[np.int64]


def smallest_stack(sigma: float) -> int:
    """Tell how many frames `sigma_clip` needs before it can reject anything.

    One value among n is never further from their mean than ``(n - 1) / sqrt(n)`` of their
    (population) standard deviations, however wild it is: with fewer frames the mode is a mean.

    Parameters
    ----------
    sigma : float
        The limit [standard deviations].

    Returns
    -------
    int
        Smallest number of frames in which one outlier can be rejected.
    """
    n = 1
    while (n - 1) / sqrt(n) <= sigma:
        n += 1
    return n


def combine(
    cube: NDArray[np.float32],
    modes: Sequence[str],
    *,
    weights: ArrayLike | None = None,
    sigma_clip: float = 2.5,
    winsorized: float = 3.0,
    noise_clip: float = 4.0,
    noise: ArrayLike | None = None,
    gain: ArrayLike | None = None,
    fraction: float = 0.3,
    threads: int = 1,
) -> Combined:
    """Combine aligned frames.

    Parameters
    ----------
    cube : (n, h, nx) ndarray of float32, C-contiguous
        The frames on one grid and of one flux scale [ADU]; NaN is no data.
    modes : sequence of str
        Which of `MODES` to compute.
    weights : (n,) array of float, optional
        Weights of the frames, such as their inverse variances, in "mean" and in the averages of
        the clip modes; the others do not use them. Default: all alike.
    sigma_clip, winsorized, noise_clip : float
        Limits of these modes [standard deviations].
    noise : (n,) array of float, optional
        The frames' background noise in the units of the cube; needed for "noise_clip".
    gain : (n,) array of float, optional
        Electrons per unit of the cube, infinite where unknown (the default).
    fraction : float
        Tolerance of "noise_clip" for changes of the seeing [fraction of the signal].
    threads : int
        How many threads to use; they change nothing but the time.

    Returns
    -------
    Combined

    Raises
    ------
    ValueError
        If a mode is unknown or lacks the noise, or an argument has an impossible value.
    """
    _check(cube, modes, sigma_clip, noise)
    n, h, nx = cube.shape
    settings = _Settings(
        _per_frame("weights", weights, n, default=1.0),
        float(sigma_clip),
        float(winsorized),
        float(noise_clip),
        _per_frame("noise", noise, n, default=1.0) ** 2,
        1 / _per_frame("gain", gain, n, default=np.inf),
        float(fraction),
    )
    wanted = [mode for mode in MODES if mode in modes]
    outputs = _Outputs(
        np.array([wanted.index(mode) if mode in wanted else -1 for mode in MODES]),
        np.empty((len(wanted), h, nx), np.float32),
        np.empty((h, nx), np.int16),
        np.empty((len(wanted), h, nx), np.int16),
    )
    network = sorting_network(n)
    edges = np.linspace(0, h, threads + 1).astype(int)
    with ThreadPoolExecutor(threads) as pool:
        bands = pool.map(
            lambda i: _combine_rows(cube, edges[i], edges[i + 1], network, settings, outputs),
            range(threads),
        )
        list(bands)
    return Combined(
        {mode: outputs.images[wanted.index(mode)] for mode in modes},
        outputs.coverage,
        {mode: outputs.rejected[wanted.index(mode)] for mode in modes if mode in CLIP_MODES},
    )


def _check(
    cube: NDArray[np.float32], modes: Sequence[str], sigma_clip: float, noise: ArrayLike | None
) -> None:
    """Raise ValueError for what cannot be combined."""
    if cube.ndim != 3 or cube.dtype != np.float32 or not cube.flags.c_contiguous:
        raise ValueError("the cube must be a C-contiguous float32 array of three axes")
    if not 1 <= cube.shape[0] <= np.iinfo(np.int16).max:
        raise ValueError(f"cannot combine {cube.shape[0]} frames")
    for mode in modes:
        if mode not in MODES:
            raise ValueError(f"unknown mode {mode!r}; the modes are {', '.join(MODES)}")
    if sigma_clip < 1:
        raise ValueError(f"sigma_clip = {sigma_clip} could reject all values; 1 is the least")
    if "noise_clip" in modes and noise is None:
        raise ValueError("noise_clip needs the noise of each frame")


def _per_frame(
    name: str, values: ArrayLike | None, n: int, *, default: float
) -> NDArray[np.float64]:
    """Give one positive number for each frame."""
    if values is None:
        return np.full(n, default)
    checked = np.array(values, np.float64)
    if checked.shape != (n,) or not (checked > 0).all():
        raise ValueError(f"{name} must be {n} positive numbers, not {values}")
    return checked


@lru_cache
def sorting_network(n: int) -> NDArray[np.int64]:
    """List the comparisons that sort n values, whatever they are.

    The same list serves many pixels at once, and grows as ``n log(n)**2``: Batcher's merge
    exchange (Knuth, The Art of Computer Programming 3, algorithm 5.2.2M).

    Returns
    -------
    (m, 2) ndarray of int64
        Pairs of positions ``i < j``, in order: where value i is higher than value j, swap them.
    """
    pairs = []
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
    cube: NDArray[np.float32],
    start: int,
    stop: int,
    network: NDArray[np.int64],
    settings: _Settings,
    outputs: _Outputs,
) -> None:
    n, _, nx = cube.shape
    block = _Block(
        np.empty((n, WIDTH), np.float32),
        np.empty((n, WIDTH), np.float32),
        np.empty(WIDTH, np.int64),
        np.empty(WIDTH),
        np.empty(WIDTH),
        np.empty(WIDTH),
        np.empty(WIDTH),
        np.empty(WIDTH),
        np.empty(WIDTH),
        np.empty(WIDTH, np.int64),
    )
    slots = outputs.slots
    for y in range(start, stop):
        for x in range(0, nx, WIDTH):
            _fetch(cube, y, x, block)
            for k in range(min(WIDTH, nx - x)):
                outputs.coverage[y, x + k] = block.count[k]
            if slots[_STD] >= 0 or slots[_SIGMA_CLIP] >= 0:
                _moments(block)
            if (
                max(
                    slots[_MEDIAN],
                    slots[_MIN],
                    slots[_MAX],
                    slots[_WINSORIZED],
                    slots[_NOISE_CLIP],
                )
                >= 0
            ):
                _sort(block, network)
            _write_order(block, y, x, outputs)
            _write_averages(block, settings, y, x, outputs)


@compiled
def _fetch(cube: NDArray[np.float32], y: int, x: int, block: _Block) -> None:
    n, _, nx = cube.shape
    width = min(WIDTH, nx - x)
    block.count[:] = 0
    block.values[:, width:] = np.nan
    for i in range(n):
        for k in range(width):
            block.values[i, k] = cube[i, y, x + k]
        for k in range(WIDTH):
            block.count[k] += not np.isnan(block.values[i, k])


@compiled
def _moments(block: _Block) -> None:
    """Mean and population standard deviation, the latter from the differences to the mean."""
    values, mean, std = block.values, block.mean, block.std
    mean[:] = 0
    std[:] = 0
    for i in range(values.shape[0]):
        for k in range(WIDTH):
            mean[k] += 0.0 if np.isnan(values[i, k]) else values[i, k]
    for k in range(WIDTH):
        mean[k] /= block.count[k]
    for i in range(values.shape[0]):
        for k in range(WIDTH):
            std[k] += 0.0 if np.isnan(values[i, k]) else (values[i, k] - mean[k]) ** 2
    for k in range(WIDTH):
        std[k] = np.sqrt(std[k] / block.count[k])


@compiled
def _sort(block: _Block, network: NDArray[np.int64]) -> None:
    """Sort each pixel's values; what is missing goes to the end."""
    ranked = block.ranked
    for i in range(ranked.shape[0]):
        for k in range(WIDTH):
            value = block.values[i, k]
            ranked[i, k] = np.float32(np.inf) if np.isnan(value) else value
    for c in range(network.shape[0]):
        i, j = network[c, 0], network[c, 1]
        for k in range(WIDTH):
            a, b = ranked[i, k], ranked[j, k]
            ranked[i, k] = b if b < a else a
            ranked[j, k] = a if b < a else b


@compiled
def _write_order(block: _Block, y: int, x: int, outputs: _Outputs) -> None:
    """Write the modes that a sorted list shows, and the standard deviation."""
    slots, images = outputs.slots, outputs.images
    for k in range(min(WIDTH, images.shape[2] - x)):
        count = block.count[k]
        if slots[_STD] >= 0:
            images[slots[_STD], y, x + k] = block.std[k]
        if slots[_MEDIAN] >= 0:
            images[slots[_MEDIAN], y, x + k] = _median(block, k)
        if slots[_MIN] >= 0:
            images[slots[_MIN], y, x + k] = block.ranked[0, k] if count else np.nan
        if slots[_MAX] >= 0:
            images[slots[_MAX], y, x + k] = block.ranked[count - 1, k] if count else np.nan


@compiled
def _median(block: _Block, k: int) -> float:
    count = block.count[k]
    if count == 0:
        return np.nan
    low, high = block.ranked[(count - 1) // 2, k], block.ranked[count // 2, k]
    return (np.float64(low) + np.float64(high)) / 2


@compiled
def _write_averages(block: _Block, settings: _Settings, y: int, x: int, outputs: _Outputs) -> None:
    """Write the mean and the clip modes: averages of what lies between two limits."""
    slots, weights = outputs.slots, settings.weights
    if slots[_MEAN] >= 0:
        block.low[:], block.high[:] = -np.inf, np.inf
        _average(block, weights, y, x, slots[_MEAN], outputs)
    if slots[_SIGMA_CLIP] >= 0:
        block.low[:] = block.mean - settings.sigma_clip * block.std
        block.high[:] = block.mean + settings.sigma_clip * block.std
        _average(block, weights, y, x, slots[_SIGMA_CLIP], outputs)
    if slots[_WINSORIZED] >= 0:
        for k in range(WIDTH):
            block.low[k], block.high[k] = _winsorized_limits(block, k, settings.winsorized)
        _average(block, weights, y, x, slots[_WINSORIZED], outputs)
    if slots[_NOISE_CLIP] >= 0:
        _average_by_noise(block, settings, y, x, outputs)


@compiled
def _average(
    block: _Block, weights: NDArray[np.float64], y: int, x: int, slot: int, outputs: _Outputs
) -> None:
    _restart(block)
    for i in range(weights.size):
        _add(block, i, weights[i])
    _write_average(block, y, x, slot, outputs)


@compiled
def _average_by_noise(
    block: _Block, settings: _Settings, y: int, x: int, outputs: _Outputs
) -> None:
    """Average what differs from the median by no more than a frame's own noise explains."""
    _restart(block)
    for k in range(WIDTH):
        block.mean[k] = block.ranked[max(block.count[k] - 1, 0) // 2, k]
    for i in range(settings.weights.size):
        for k in range(WIDTH):
            centre = block.mean[k]
            noise = np.sqrt(settings.variance[i] + max(centre, 0.0) * settings.shot[i])
            tolerance = settings.noise_clip * noise + settings.fraction * abs(centre)
            block.low[k], block.high[k] = centre - tolerance, centre + tolerance
        _add(block, i, settings.weights[i])
    _write_average(block, y, x, outputs.slots[_NOISE_CLIP], outputs)


@compiled
def _restart(block: _Block) -> None:
    block.total[:] = 0
    block.weight[:] = 0
    block.kept[:] = 0


@compiled
def _add(block: _Block, frame: int, weight: float) -> None:
    """Add to the sums what of a frame lies between the limits."""
    for k in range(WIDTH):
        value = np.float64(block.values[frame, k])
        inside = (value >= block.low[k]) & (value <= block.high[k])
        block.total[k] += weight * value if inside else 0.0
        block.weight[k] += weight if inside else 0.0
        block.kept[k] += inside


@compiled
def _write_average(block: _Block, y: int, x: int, slot: int, outputs: _Outputs) -> None:
    for k in range(min(WIDTH, outputs.images.shape[2] - x)):
        outputs.images[slot, y, x + k] = block.total[k] / block.weight[k]
        outputs.rejected[slot, y, x + k] = block.count[k] - block.kept[k]


@compiled
def _winsorized_limits(block: _Block, k: int, sigma: float) -> tuple[float, float]:
    """Lowest and highest value that winsorized clipping keeps."""
    ranked, first, last = block.ranked, 0, block.count[k]
    while last - first > 3:
        centre, spread = _winsorized_spread(ranked, k, first, last)
        low, high = first, last
        while last - first > 4 and ranked[first, k] < centre - sigma * spread:
            first += 1
        while last - first > 4 and ranked[last - 1, k] > centre + sigma * spread:
            last -= 1
        if (first, last) == (low, high):
            break
    if last == 0:
        return 0.0, 0.0
    return ranked[first, k], ranked[last - 1, k]


@compiled
def _winsorized_spread(
    ranked: NDArray[np.float32], k: int, first: int, last: int
) -> tuple[float, float]:
    """Median, and standard deviation of the values drawn in to 1.5 of it from the median."""
    n = last - first
    centre = (np.float64(ranked[first + (n - 1) // 2, k]) + ranked[first + n // 2, k]) / 2
    spread = _clamped_std(ranked, k, first, last, centre - np.inf, centre + np.inf)
    for _ in range(100):
        before = spread
        spread = 1.134 * _clamped_std(
            ranked, k, first, last, centre - 1.5 * spread, centre + 1.5 * spread
        )
        if abs(spread - before) <= 0.0005 * before:
            break
    return centre, spread


@compiled
def _clamped_std(
    ranked: NDArray[np.float32], k: int, first: int, last: int, low: float, high: float
) -> float:
    n, mean, squares = last - first, 0.0, 0.0
    for i in range(first, last):
        mean += min(max(np.float64(ranked[i, k]), low), high) / n
    for i in range(first, last):
        squares += (min(max(np.float64(ranked[i, k]), low), high) - mean) ** 2
    return np.sqrt(squares / (n - 1))
