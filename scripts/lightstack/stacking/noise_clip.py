"""The mode "noise_clip": values are left out that neither noise nor seeing explains.

The noise of a frame is known, it need not be guessed from a few values: that of its background
and, given a gain, of the light. What is expected of a value is

- on the sky the lower median: of two values that contradict each other the lower is kept, as
  trails and cosmic rays add light, and a single value always;
- beside a star the lower median of all values less what the seeing of their frames has moved to
  the pixel, and that (`seeing`);
- without a prediction, as in the core of a saturated star, the lower median again, but a value
  may be off by the height of the light.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.compiling import compiled, copy_line, inlined
from scripts.lightstack.robust import MAD_TO_SIGMA
from scripts.lightstack.stacking.aligned import AlignedFrame
from scripts.lightstack.stacking.blocks import WIDTH, average, counts, standard_error
from scripts.lightstack.stacking.centres import Light
from scripts.lightstack.stacking.modes import ClipInputs, InParts, Measured
from scripts.lightstack.stacking.psf_matching import (
    LEAST_FRAMES,
    MIDDLE_VARIANCE,
    N_FINE,
    OF_MOVED,
    REACH,
    TERMS,
    Seeing,
    brightest_of_row,
    heights_of_row,
    respond,
)
from scripts.lightstack.stacking.seeing import measure_seeing_on_bands, read_seeing, write_seeing
from scripts.lightstack.stacking.sorting import Pairs, sort_columns, sorting_network
from scripts.lightstack.stacking.uncertainty import FrameNoise

LIMIT, LIMIT_MEANING = 4.0, "[noise] limit from what is expected"
"""(Tuned: `benchmarks/rejection_table.py`, `benchmarks/outlier_table.py`.)"""

MARGIN = REACH

UNKNOWN_ERROR = 0.3
"""Error of the guess that a frame has the light of the others [height of the light]; tuned:
`benchmarks/seeing_table.py`, "seeing unknown"."""

ROUGH_ERROR = 0.05
"""Error of a prediction beside a star that saturates, at most [height of the light]; tuned:
`benchmarks/outlier_table.py`."""

LEAST_VALUES = 5
"""With so many values, their own scatter tells this error (tuned: as before)."""

LEAST_HEIGHT = 3.0
"""Of light that is predicted; less is not worth the time [noise of a frame]; tuned:
`benchmarks/seeing_table.py`, `benchmarks/stack_job.py`."""

MEDIAN_VARIANCE = 1.57
"""Variance of a median, over that of a mean: pi / 2, for a normal distribution."""

N_TERMS = TERMS.shape[1]

Stack = NDArray[np.float32]

Floats = NDArray[np.float64]


class NoiseModel(NamedTuple):
    """What may make a value differ from what is expected; arrays have one row for each frame.

    Attributes
    ----------
    sigma : float
        How far it may be off [standard deviations].
    weights : (n,) ndarray of float64
        Of the frames in averages.
    variances : (n,) ndarray of float64
        Of the frames' backgrounds [units of the stack, squared].
    shot : (n,) ndarray of float64
        Variance that light adds [units of the stack].
    kernels : (n, 12) ndarray of float64
    errors : (n,) ndarray of float64
    linear_below : float
        See `Seeing`; minus infinity where it is unknown.
    amplification : (n,) ndarray of float64
        What a kernel makes of the noise of the light that it moves.
    uneven : (k, nx) ndarray of float32
        What the variances are multiplied by in each pixel.
    network : (m, 2) ndarray of int64
        Comparisons that sort the values of n frames.
    """

    sigma: float
    weights: Floats
    variances: Floats
    shot: Floats
    kernels: Floats
    errors: Floats
    linear_below: float
    amplification: Floats
    uneven: Stack
    network: Pairs


class Pixels(NamedTuple):
    """Some pixels of a row.

    Attributes
    ----------
    y : int
        Row.
    columns : (m,) ndarray of int64
    heights : (m,) ndarray of float64
        As from `heights_of_row`.
    brightest : (m,) ndarray of float64
        As from `brightest_of_row`; infinite if the seeing is unknown.
    """

    y: int
    columns: NDArray[np.int64]
    heights: Floats
    brightest: Floats


class Errors(NamedTuple):
    """What the standard error is made of, and where it is written unless that is empty."""

    variances: Stack
    shared: float
    image: Stack


def noise_model(inputs: ClipInputs, weights: Floats) -> NoiseModel:
    """Collect what `clip_pixels` is given.

    Parameters
    ----------
    inputs : ClipInputs
    weights : (n,) ndarray of float64
        Of the frames in averages.

    Returns
    -------
    NoiseModel
    """
    n = len(weights)
    seeing: Seeing = inputs.seeing or Seeing(np.zeros((n, N_TERMS)), np.zeros(n), -np.inf)
    return NoiseModel(
        inputs.limit,
        weights,
        inputs.noise**2,
        1 / inputs.gain,
        *seeing,
        seeing.amplification,
        inputs.uneven,
        sorting_network(n),
    )


def measure(frames: Sequence[AlignedFrame], threads: int) -> Measured:
    """Measure the frames' seeing, and gains that are unknown."""
    seeing, gain = measure_seeing_on_bands(frames, threads)
    return Measured(gain, seeing)


def write_measured(path: Path, planes: Sequence[Measured]) -> None:
    """Write what was measured of each plane."""
    write_seeing(
        path,
        [
            (seeing, gain, None if noise is None else noise.as_table)
            for gain, seeing, noise in planes
        ],
    )


def read_measured(path: Path, n_planes: int) -> list[Measured]:
    """Read what `write_measured` wrote."""
    return [
        Measured(gain, seeing, None if noise is None else FrameNoise.of_table(noise))
        for seeing, gain, noise in read_seeing(path, n_planes)
    ]


def clip_rows(
    cube: Stack,
    rows: tuple[int, int],
    inputs: ClipInputs,
    image: Stack,
    rejected: NDArray[np.integer],
    error: NDArray[np.float32],
    in_parts: InParts,
) -> None:
    """Combine rows of a cube: see `modes.ClipMode`.

    All but the doubtful pixels have the plain mean.
    """
    model = noise_model(inputs, inputs.weights)
    image[...], rejected[...] = inputs.mean, 0
    if error.size:
        error[...] = inputs.mean_error

    def clip_part(first: int, last: int) -> None:
        part = slice(first - rows[0], last - rows[0])
        errors = Errors(inputs.variances, inputs.shared_variance, error[part])
        _clip_rows(cube, first, last, inputs.light, model, image[part], rejected[part], errors)

    in_parts(clip_part, *rows)


@compiled
def _clip_rows(
    cube: Stack,
    start: int,
    stop: int,
    light: Light,
    model: NoiseModel,
    image: Stack,
    rejected: NDArray[np.integer],
    errors: Errors,
) -> None:
    values = np.empty((cube.shape[0], WIDTH), np.float32)
    variances = np.empty_like(values)
    for y in range(start, stop):
        doubtful = doubtful_of_row(light, y, 0, cube.shape[2], model)
        for first in range(0, doubtful.columns.size, WIDTH):
            pixels = some_of(doubtful, first, first + WIDTH)
            gather(cube, pixels, values)
            count = counts(values)
            clip_pixels(values, count, light, pixels, model)
            mean, number = average(values, model.weights)
            for k, x in enumerate(pixels.columns):
                image[y - start, x] = mean[k]
                rejected[y - start, x] = count[k] - number[k]
            if errors.image.size:
                gather(errors.variances, pixels, variances)
                error = standard_error(values, variances, model.weights, errors.shared)
                for k, x in enumerate(pixels.columns):
                    errors.image[y - start, x] = error[k]


@compiled
def doubtful_of_row(light: Light, y: int, start: int, stop: int, model: NoiseModel) -> Pixels:
    """Find the pixels of a row, from one column on, in which values may be left out.

    In all others the lowest and the highest value are within the limits of the best frame on the
    sky, and no light is predicted, so that nothing need be asked frame by frame.
    """
    width = stop - start
    heights, brightest = np.empty(width), np.full(width, np.inf)
    heights_of_row(light.centres, y, start, heights)
    if model.linear_below > -np.inf:
        brightest_of_row(light.middles, y, start, brightest)
    centres, middles = light.centres[y, start:stop], light.middles[y, start:stop]
    lowest, highest = light.lowest[y, start:stop], light.highest[y, start:stop]
    uneven, linear_below = model.uneven[y, start:stop], model.linear_below
    variance, most = model.variances.mean(), model.variances.size
    limit, least_variance, least_shot = model.sigma**2, model.variances.min(), model.shot.min()
    asked = np.empty(width, np.bool_)
    for k in range(width):
        centre = np.float64(centres[k])
        off = max(highest[k] - centre, centre - lowest[k])
        far = off * off > limit * (least_variance * uneven[k] + max(centre, 0.0) * least_shot)
        starlit = _is_high(heights[k], np.sqrt(variance * uneven[k]), most)
        asked[k] = far | (starlit & _predictable(middles[k], brightest[k], linear_below))
    found = np.nonzero(asked)[0]
    return Pixels(y, found + start, heights[found], brightest[found])


@inlined
def _predictable(middle: float, brightest: float, linear_below: float) -> bool:
    """Tell whether all light around is known, and the pixel's own is linear."""
    return (brightest < np.inf) & (middle < linear_below)


@inlined
def _is_high(height: float, noise: float, count: int) -> bool:
    """Tell whether there is light to predict, of so many values with this noise."""
    return bool(height - 6 * noise / np.sqrt(count) > LEAST_HEIGHT * noise)


@inlined
def _over_noise(height: float, noise: float, count: int) -> float:
    """Tell the height of the light without what noise makes of it."""
    return float(max(height - 6 * noise / np.sqrt(count), 0.0))


@compiled
def some_of(pixels: Pixels, first: int, last: int) -> Pixels:
    """Give some of the pixels."""
    return Pixels(
        pixels.y,
        pixels.columns[first:last],
        pixels.heights[first:last],
        pixels.brightest[first:last],
    )


@compiled
def gather(cube: Stack, pixels: Pixels, values: Stack) -> None:
    """Copy the values that an (n, k, nx) cube has of some pixels; NaN fills the block up."""
    m = pixels.columns.size
    for i in range(values.shape[0]):
        for k in range(m):
            values[i, k] = cube[i, pixels.y, pixels.columns[k]]
        for k in range(m, values.shape[1]):
            values[i, k] = np.nan


@compiled
def clip_pixels(
    values: Stack, count: NDArray[np.int64], light: Light, pixels: Pixels, model: NoiseModel
) -> None:
    """Replace by NaN what is to be left out of pixels, and put the rest right for it.

    Parameters
    ----------
    values : (n, w) ndarray of float32
        What the frames have of the pixels, NaN where there is no data.
    count : (w,) ndarray of int64
        How many frames have data.
    light : Light
    pixels : Pixels
        As many as w, or fewer: what is beyond has no data.
    model : NoiseModel
    """
    m = pixels.columns.size
    stars, sky, n_stars, n_sky = np.empty(m, np.int64), np.empty(m, np.int64), 0, 0
    for k, x in enumerate(pixels.columns):
        noise = np.sqrt(model.variances.mean() * model.uneven[pixels.y, x])
        middle = light.middles[pixels.y, x]
        predictable = _predictable(middle, pixels.brightest[k], model.linear_below)
        high = _is_high(pixels.heights[k], noise, count[k])
        if predictable and high and count[k] >= LEAST_FRAMES:
            stars[n_stars] = k
            n_stars += 1
        else:
            sky[n_sky] = k
            n_sky += 1
    _clip_stars(values, count, light.middles, pixels, stars[:n_stars], model)
    _clip_sky(values, count, light.centres, pixels, sky[:n_sky], model)


@compiled
def _clip_sky(
    values: Stack,
    count: NDArray[np.int64],
    centres: Stack,
    pixels: Pixels,
    chosen: NDArray[np.int64],
    model: NoiseModel,
) -> None:
    """Compare all values of a pixel with the same, and grant them a part of its height."""
    limit, variance = model.sigma**2, model.variances.mean()
    for k in chosen:
        x = pixels.columns[k]
        expected, uneven = np.float64(centres[pixels.y, x]), model.uneven[pixels.y, x]
        height = _over_noise(pixels.heights[k], np.sqrt(variance * uneven), count[k])
        light, granted = max(expected, 0.0), (UNKNOWN_ERROR * height) ** 2
        for i in range(values.shape[0]):
            off = values[i, k] - expected
            noise = model.variances[i] * uneven
            if off * off > limit * (noise + light * model.shot[i] + granted):
                values[i, k] = np.nan


@compiled
def _clip_stars(
    values: Stack,
    count: NDArray[np.int64],
    middles: Stack,
    pixels: Pixels,
    chosen: NDArray[np.int64],
    model: NoiseModel,
) -> None:
    """Compare the values of pixels with what their frames' seeing makes of their light.

    What is left out had its share in the seeing of the mean. The others are given it, or the star
    would have another profile where a cosmic ray was.
    """
    n, m = values.shape[0], chosen.size
    moved, detail = _moved(middles, pixels, chosen, model.kernels)
    unmoved = np.empty((n, m))
    for i in range(n):
        for j in range(m):
            unmoved[i, j] = values[i, chosen[j]] - moved[i, j]
    ranked = np.empty_like(unmoved)
    sort_columns(unmoved, model.network, ranked)
    variances = np.empty(n)
    for j, k in enumerate(chosen):
        x, present = pixels.columns[k], ~np.isnan(unmoved[:, j])
        centre = ranked[(count[k] - 1) // 2, j]
        rough = 0.0
        if pixels.brightest[k] >= model.linear_below:
            noise = np.sqrt(model.variances.mean() * model.uneven[pixels.y, x])
            rough = ROUGH_ERROR * _over_noise(pixels.heights[k], noise, count[k])
            if count[k] >= LEAST_VALUES:
                scatter = np.median(np.abs(unmoved[present, j] - centre))
                rough = min(rough, MAD_TO_SIGMA * scatter)
        of_all = 0.0
        for i in range(n):
            light = max(centre + moved[i, j], 0.0)
            noise = model.variances[i] * model.uneven[pixels.y, x] + light * model.shot[i]
            doubt = np.sqrt(detail[j] ** 2 + (OF_MOVED * moved[i, j]) ** 2)
            error = rough if rough > 0 else model.errors[i] * doubt
            shared = 1 + MIDDLE_VARIANCE / count[k] * model.amplification[i]
            variances[i] = noise * shared + error**2
            of_all += variances[i] if present[i] else 0.0
        of_centre = MEDIAN_VARIANCE / count[k] * (of_all / count[k])
        reach = model.sigma * np.sqrt(variances + of_centre)
        kept = present & (np.abs(unmoved[:, j] - centre) <= reach)
        if np.count_nonzero(kept) < count[k]:
            share = _average(moved[:, j], model.weights, present)
            share -= _average(moved[:, j], model.weights, kept)
            for i in range(n):
                values[i, k] = values[i, k] + share if kept[i] else np.nan


@compiled
def _moved(
    middles: Stack, pixels: Pixels, chosen: NDArray[np.int64], kernels: Floats
) -> tuple[Floats, Floats]:
    """Tell what the seeing of n frames moves to m pixels, (n, m), and their detail, (m,)."""
    moved, detail = np.zeros((kernels.shape[0], chosen.size)), np.empty(chosen.size)
    responses = np.empty((N_TERMS, chosen.size))
    of_pixel = np.empty(N_TERMS)
    for j, k in enumerate(chosen):
        respond(middles, pixels.y, pixels.columns[k], of_pixel)
        detail[j] = np.sqrt((of_pixel[:N_FINE] ** 2).sum())
        copy_line(of_pixel, responses[:, j])
    for i in range(kernels.shape[0]):
        for term in range(N_TERMS):
            for j in range(chosen.size):
                moved[i, j] += kernels[i, term] * responses[term, j]
    return moved, detail


@compiled
def _average(values: Floats, weights: Floats, used: NDArray[np.bool_]) -> float:
    total = weight = 0.0
    for i in range(values.size):
        if used[i]:
            total += weights[i] * values[i]
            weight += weights[i]
    return total / weight
