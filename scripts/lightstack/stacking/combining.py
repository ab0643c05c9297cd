"""Many aligned frames to one image, by several modes in one pass over the pixels.

Pixels are taken in blocks of one row: the block's values of all frames are fetched once, and the
six modes that need nothing else are computed from them. Clip modes of their own follow. A pixel
of a stack depends on nothing but its own values (and, where a mode has a margin, on those of the
rows around), so the same frames give the same bytes for any number of threads and any height of
the cube.

The modes, their sources, and what each costs and catches are in `docs/methods.md`.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

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
from scripts.lightstack.stacking.centres import (
    Light,
    find_light_of_rows,
    room_for_light,
    write_light,
)
from scripts.lightstack.stacking.modes import (
    BY_SEEING,
    CLIP_MODES,
    MODES,
    OF_THEIR_OWN,
    WITH_ERROR,
    ClipInputs,
    clip_mode,
)
from scripts.lightstack.stacking.propagation import variance_of_median
from scripts.lightstack.stacking.repeats import PIXELS, repeat, tell_errors
from scripts.lightstack.stacking.sorting import (
    Pairs,
    median_of_sorted,
    sort_columns,
    sorting_network,
)

SIX = MODES[:6]

_MEAN, _MEDIAN, _MAX, _MIN, _STD, _SIGMA_CLIP = range(len(SIX))


@dataclass(frozen=True)
class Combined:
    """Stacks of the same frames.

    Attributes
    ----------
    images : dict of str to (h, nx) ndarray of float32
        One image for each mode; NaN where no frame has data.
    coverage : (h, nx) ndarray of int16 or int32
        How many frames have data; see `count_type`.
    rejected : dict of str to (h, nx) ndarray of int16 or int32
        How many of them each clip mode left out.
    errors : dict of str to (h, nx) ndarray of float32
        Standard error of the modes that have one; none unless variances are given.
    """

    images: dict[str, NDArray[np.float32]]
    coverage: NDArray[np.integer]
    rejected: dict[str, NDArray[np.integer]]
    errors: dict[str, NDArray[np.float32]] = field(default_factory=dict)


class _Outputs(NamedTuple):
    """Where the six modes are written, for rows of the cube from `first_row` on.

    ``slots[mode]`` is the place in `images` of one of `SIX`, -1 if it is not wanted, and
    ``error_slots[mode]`` that of its standard error in `errors`. `light` has all rows of the cube,
    or none.
    """

    first_row: int
    slots: Counts
    images: Block
    coverage: NDArray[np.integer]
    rejected: NDArray[np.integer]
    error_slots: Counts
    errors: Block
    light: Light


class _Noise(NamedTuple):
    """What standard errors are made of.

    Attributes
    ----------
    variances : (n, k, nx) ndarray of float32
        Of the pixels of the cube.
    shared : float
        Variance of what all frames have in common.
    of_median : (n + 1,) ndarray of float64
        Variance of the median of so many values, over that of their mean.
    """

    variances: Block
    shared: float
    of_median: Line


def count_type(n: int) -> type[np.int16 | np.int32]:
    """Tell the type in which up to n frames are counted in a stack's file."""
    return np.int16 if n <= np.iinfo(np.int16).max else np.int32


def combine(
    cube: Block,
    modes: Sequence[str],
    *,
    rows: tuple[int, int] | None = None,
    weights: ArrayLike | None = None,
    sigma_clip: float = 2.5,
    noise: ArrayLike | None = None,
    gain: ArrayLike | None = None,
    seeing: Any = None,
    variances: Block | None = None,
    shared_variance: float = 0.0,
    uneven: Block | None = None,
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
        those that a mode has as its margin are used, which makes its result independent of how an
        image is cut into cubes.
    weights : (n,) array of float, optional
        Weights of the frames, such as their inverse variances, in "mean" and in the averages of
        the clip modes; the other modes do not use them. Default: all alike.
    sigma_clip : float
        Limit of the mode of that name [standard deviations].
    noise : (n,) array of float, optional
        The frames' background noise in units of the cube; "noise_clip" and "proper" need
        it.
    gain : (n,) array of float, optional
        Electrons per unit of the cube, infinite where unknown (the default).
    seeing : psf_matching.Seeing, optional
        What "noise_clip" and "proper" expect of starlight; default: unknown.
    variances : (n, k, nx) ndarray of float32, C-contiguous, optional
        Of the pixels of the cube; with them standard errors are told.
    shared_variance : float, optional
        What the noise that all frames have in common adds to those [units of the cube, squared].
    uneven : (k, nx) ndarray of float32, C-contiguous, optional
        What the square of the frames' noise is multiplied by in each pixel; default: one.
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
    shape = stop - start, nx
    weights = _per_frame("weights", weights, n, default=1.0)
    noise = _per_frame("noise", noise, n, default=1.0)
    gain = _per_frame("gain", gain, n, default=np.inf)
    by_seeing = any(mode in modes for mode in BY_SEEING)
    wanted = [mode for mode in SIX if mode in modes or (mode == "mean" and by_seeing)]
    known = [mode for mode in WITH_ERROR if variances is not None and mode in {*modes, *wanted}]
    of_six = [mode for mode in wanted if mode in known]
    light = room_for_light((height, nx) if by_seeing else (0, 0))
    outputs = _room(wanted, of_six, start, shape, count_type(n), light)
    of_median = np.array([1.0, *(k * variance_of_median(k) for k in range(1, n + 1))])
    of_noise = None if variances is None else _Noise(variances, shared_variance, of_median)
    errors = dict(zip(of_six, outputs.errors, strict=True))
    images = dict(zip(wanted, outputs.images, strict=True))
    rejected = {"sigma_clip": outputs.rejected} if "sigma_clip" in wanted else {}
    nothing = np.empty((0, 0), np.float32)
    inputs = ClipInputs(
        np.inf,
        weights,
        noise,
        gain,
        seeing,
        np.empty((0, 0, 0), np.float32) if variances is None else variances,
        shared_variance,
        np.ones((height, nx), np.float32) if uneven is None else uneven,
        light,
        images.get("mean", nothing),
        errors.get("mean", nothing),
    )
    network = sorting_network(n if by_seeing or {"median", "min", "max"} & set(wanted) else 0)

    def combine_rows(first: int, last: int) -> None:
        _combine_rows(cube, first, last, network, weights, float(sigma_clip), outputs, of_noise)

    def find_light(first: int, last: int) -> None:
        find_light_of_rows(cube, first, last, network, light)

    with ThreadPoolExecutor(threads) as pool:
        in_parts = partial(_in_parts, pool, threads)
        in_parts(combine_rows, start, stop)
        if by_seeing:  # in the margins too
            in_parts(find_light, 0, start)
            in_parts(find_light, stop, height)
        for mode in OF_THEIR_OWN:
            if mode in modes:
                module = clip_mode(mode)
                images[mode] = np.empty(shape, np.float32)
                rejected[mode] = np.empty(shape, outputs.coverage.dtype)
                if mode in known:
                    errors[mode] = np.empty(shape, np.float32)
                module.clip_rows(
                    cube,
                    (start, stop),
                    inputs._replace(limit=module.LIMIT),
                    images[mode],
                    rejected[mode],
                    errors.get(mode, nothing),
                    in_parts,
                )
    return Combined(
        {mode: images[mode] for mode in modes},
        outputs.coverage,
        {mode: rejected[mode] for mode in CLIP_MODES if mode in modes},
        {mode: errors[mode] for mode in known if mode in modes},
    )


def _room(
    wanted: Sequence[str],
    with_error: Sequence[str],
    first_row: int,
    shape: tuple[int, int],
    counts_as: type[np.integer],
    light: Light,
) -> _Outputs:
    """Make room for those of `SIX` that are wanted, and for the standard errors of some."""
    return _Outputs(
        first_row,
        _slots(wanted),
        np.empty((len(wanted), *shape), np.float32),
        np.empty(shape, counts_as),
        np.empty(shape if "sigma_clip" in wanted else (0, 0), counts_as),
        _slots(with_error),
        np.empty((len(with_error), *shape), np.float32),
        light,
    )


def _slots(wanted: Sequence[str]) -> Counts:
    """Place of each of `SIX` among those that are wanted; -1 for none."""
    return np.array([wanted.index(mode) if mode in wanted else -1 for mode in SIX])


def _in_parts(pool: ThreadPoolExecutor, parts: int, function: Any, start: int, stop: int) -> None:
    """Call a function with the first row of each part, and the one after the last: in threads."""
    edges = np.linspace(start, stop, parts + 1).astype(int).tolist()
    list(pool.map(function, edges[:-1], edges[1:]))


def _check(cube: Block, modes: Sequence[str], sigma_clip: float, noise: ArrayLike | None) -> None:
    """Raise ValueError for what cannot be combined."""
    if cube.ndim != 3 or cube.dtype != np.float32 or not cube.flags.c_contiguous:
        raise ValueError("the cube must be a C-contiguous float32 array of three axes")
    if not 1 <= cube.shape[0] <= np.iinfo(np.int32).max:
        raise ValueError(f"cannot combine {cube.shape[0]} frames")
    for mode in modes:
        if mode not in MODES:
            raise ValueError(f"unknown mode {mode!r}; the modes are {', '.join(MODES)}")
    if sigma_clip < 1:
        raise ValueError(f"sigma_clip = {sigma_clip} could reject every value; 1 is the least")
    for mode in BY_SEEING:
        if mode in modes and noise is None:
            raise ValueError(f"{mode} needs the noise of each frame")


def _per_frame(name: str, values: ArrayLike | None, n: int, *, default: float) -> Line:
    """Give one positive number for each frame."""
    if values is None:
        return np.full(n, default)
    checked = np.array(values, np.float64)
    if checked.shape != (n,) or not (checked > 0).all():
        raise ValueError(f"{name} must be {n} positive numbers, not {values}")
    return checked


@compiled
def _combine_rows(
    cube: Block,
    start: int,
    stop: int,
    network: Pairs,
    weights: Line,
    sigma_clip: float,
    outputs: _Outputs,
    noise: _Noise | None,
) -> None:
    """Compute the six modes; without noise what tells their errors is not even compiled."""
    values = np.empty((cube.shape[0], WIDTH), np.float32)
    ranked = np.empty_like(values)
    if noise is not None:
        variances, repeats = np.empty_like(values), np.empty_like(values)
    slots, images = outputs.slots, outputs.images
    by_rank = max(slots[_MEDIAN], slots[_MIN], slots[_MAX])
    for y in range(start, stop):
        row = y - outputs.first_row
        for x in range(0, cube.shape[2], WIDTH):
            count = fetch(cube, y, x, values)
            put(count, x, outputs.coverage[row])
            if slots[_MEAN] >= 0:
                put(average(values, weights)[0], x, images[slots[_MEAN], row])
            if by_rank >= 0 or outputs.light.centres.size:
                sort_columns(values, network, ranked)
            if by_rank >= 0:
                _write_ranks(ranked, count, x, row, outputs)
            if outputs.light.centres.size:
                write_light(ranked, count, x, y, outputs.light)
            if slots[_STD] >= 0 or slots[_SIGMA_CLIP] >= 0:
                mean, std = _moments(values, count)
                if slots[_STD] >= 0:
                    put(std, x, images[slots[_STD], row])
                if slots[_SIGMA_CLIP] >= 0:
                    kept = _near(values, mean, sigma_clip * std)
                    clipped, number = average(kept, weights)
                    put(clipped, x, images[slots[_SIGMA_CLIP], row])
                    put(count - number, x, outputs.rejected[row])
            if noise is not None:
                fetch(noise.variances, y, x, variances)
                block = values, variances, repeats, ranked
                _write_errors(block, count, network, weights, sigma_clip, x, row, outputs, noise)


@compiled
def _write_errors(
    block: tuple[Block, Block, Block, Block],
    count: Counts,
    network: Pairs,
    weights: Line,
    sigma_clip: float,
    x: int,
    row: int,
    outputs: _Outputs,
    noise: _Noise,
) -> None:
    """Write the standard errors of a block; its last two parts are room."""
    values, variances, repeats, ranked = block
    slots, errors = outputs.error_slots, outputs.errors
    of_median = _error_of_median(variances, count, noise)
    of_clipped = standard_error(values, variances, weights, noise.shared)
    if slots[_MEAN] >= 0:
        put(of_clipped, x, errors[slots[_MEAN], row])
    if slots[_MEDIAN] < 0 and slots[_SIGMA_CLIP] < 0:
        return
    if slots[_SIGMA_CLIP] >= 0:
        mean, std = _moments(values, count)
        kept = _near(values, mean, sigma_clip * std)
        of_clipped = standard_error(kept, variances, weights, noise.shared)
    spread = excess(values, variances)
    spreading = np.nonzero(spread)[0]
    for first in range(0, spreading.size, PIXELS):
        chosen = spreading[first : first + PIXELS]
        repeat(values, variances, spread, x, chosen, repeats)
        count = counts(repeats)
        pair = values, variances
        if slots[_MEDIAN] >= 0:
            sort_columns(repeats, network, ranked)
            medians = _medians(ranked, count)
            tell_errors(medians, repeats, weights, pair, noise.shared, chosen, of_median)
        if slots[_SIGMA_CLIP] >= 0:
            mean, std = _moments(repeats, count)
            clipped, _ = average(_near(repeats, mean, sigma_clip * std), weights)
            tell_errors(clipped, repeats, weights, pair, noise.shared, chosen, of_clipped)
    if slots[_MEDIAN] >= 0:
        put(of_median, x, errors[slots[_MEDIAN], row])
    if slots[_SIGMA_CLIP] >= 0:
        put(of_clipped, x, errors[slots[_SIGMA_CLIP], row])


@compiled
def _near(values: Block, mean: Line, reach: Line) -> Block:
    """Replace by NaN what is further from the mean."""
    return clip(values, mean - reach, mean + reach)


@compiled
def _error_of_median(variances: Block, count: Counts, noise: _Noise) -> Line:
    """Give the standard error of the median of values with these variances.

    That of n values is the variance of a mean times `of_median` where all have the same; else it
    follows from how densely each of them lies at the middle, 1 over its standard deviation.
    """
    density = np.zeros(WIDTH)
    for i in range(variances.shape[0]):
        for k in range(WIDTH):
            missing = np.isnan(variances[i, k])
            density[k] += 0.0 if missing else 1 / np.sqrt(variances[i, k])
    error = np.empty(WIDTH)
    for k in range(WIDTH):
        variance = noise.of_median[count[k]] * count[k] / density[k] ** 2
        error[k] = np.sqrt(variance + noise.shared)
    return error


@compiled
def _moments(values: Block, count: Counts) -> tuple[Line, Line]:
    """Mean, and population standard deviation from the differences to it."""
    mean, std = np.zeros(WIDTH), np.zeros(WIDTH)
    for i in range(values.shape[0]):
        line = values[i]
        for k in range(WIDTH):
            mean[k] += 0.0 if np.isnan(line[k]) else line[k]
    for k in range(WIDTH):
        mean[k] /= count[k]
    for i in range(values.shape[0]):
        line = values[i]
        for k in range(WIDTH):
            apart = line[k] - mean[k]
            std[k] += 0.0 if np.isnan(line[k]) else apart * apart
    for k in range(WIDTH):
        std[k] = np.sqrt(std[k] / count[k])
    return mean, std


@compiled
def _medians(ranked: Block, count: Counts) -> Line:
    """Median of each pixel's sorted values."""
    median = np.empty(WIDTH)
    for k in range(WIDTH):
        median[k] = median_of_sorted(ranked, 0, count[k], k)
    return median


@compiled
def _write_ranks(ranked: Block, count: Counts, x: int, row: int, outputs: _Outputs) -> None:
    """Write the modes that are read from sorted values."""
    median, lowest, highest = _medians(ranked, count), np.empty(WIDTH), np.empty(WIDTH)
    for k in range(WIDTH):
        lowest[k] = ranked[0, k] if count[k] else np.nan
        highest[k] = ranked[count[k] - 1, k] if count[k] else np.nan
    slots, images = outputs.slots, outputs.images
    if slots[_MEDIAN] >= 0:
        put(median, x, images[slots[_MEDIAN], row])
    if slots[_MIN] >= 0:
        put(lowest, x, images[slots[_MIN], row])
    if slots[_MAX] >= 0:
        put(highest, x, images[slots[_MAX], row])
