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
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.compiling import compiled
from scripts.lightstack.stacking.aligned import AlignedFrame
from scripts.lightstack.stacking.blocks import WIDTH, average, fetch, put, standard_error
from scripts.lightstack.stacking.centres import find_centres_of_rows
from scripts.lightstack.stacking.modes import ClipInputs, InParts
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
from scripts.lightstack.stacking.sorting import sorting_network
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

NOISE = "frame_noise"
"""What `measuring.measure` adds for standard errors."""

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


class Errors(NamedTuple):
    """What the standard error is made of, and where it is written unless that is empty."""

    variances: Stack
    shared: float
    image: Stack


def noise_model(inputs: ClipInputs, weights: Floats) -> NoiseModel:
    """Collect what `clip_by_noise` is given.

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
    )


def measure(frames: Sequence[AlignedFrame], threads: int) -> dict[str, Any]:
    """Measure the frames' seeing, and gains that are unknown."""
    seeing, gain = measure_seeing_on_bands(frames, threads)
    return {"seeing": seeing, "gain": gain}


def write_measured(path: Path, planes: Sequence[dict[str, Any]]) -> None:
    """Write what `measure` found for each plane."""
    write_seeing(
        path,
        [
            (each["seeing"], each["gain"], noise.as_table if (noise := each.get(NOISE)) else None)
            for each in planes
        ],
    )


def read_measured(path: Path, n_planes: int) -> list[dict[str, Any]]:
    """Read what `write_measured` wrote."""
    return [
        {"seeing": seeing, "gain": gain}
        | ({} if noise is None else {NOISE: FrameNoise.of_table(noise)})
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
    """Combine rows of a cube: see `modes.ClipMode`."""
    model = noise_model(inputs, inputs.weights)
    network = sorting_network(len(cube))
    centres, middles = np.empty((2, *cube.shape[1:]), np.float32)

    def find_part(first: int, last: int) -> None:
        find_centres_of_rows(cube, first, last, network, centres, middles)

    def clip_part(first: int, last: int) -> None:
        part = slice(first - rows[0], last - rows[0])
        errors = Errors(inputs.variances, inputs.shared_variance, error[part])
        _clip_rows(cube, first, last, centres, middles, model, image[part], rejected[part], errors)

    in_parts(find_part, max(rows[0] - MARGIN, 0), min(rows[1] + MARGIN, cube.shape[1]))
    in_parts(clip_part, *rows)


@compiled
def _clip_rows(
    cube: Stack,
    start: int,
    stop: int,
    centres: Stack,
    middles: Stack,
    model: NoiseModel,
    image: Stack,
    rejected: NDArray[np.integer],
    errors: Errors,
) -> None:
    variance = np.empty((cube.shape[0], WIDTH), np.float32)
    values = np.empty((cube.shape[0], WIDTH), np.float32)
    for y in range(start, stop):
        for x in range(0, cube.shape[2], WIDTH):
            count = fetch(cube, y, x, values)
            clip_by_noise(values, count, centres, middles, y, x, model)
            mean, number = average(values, model.weights)
            put(mean, x, image[y - start])
            if errors.image.size:
                fetch(errors.variances, y, x, variance)
                error = standard_error(values, variance, model.weights, errors.shared)
                put(error, x, errors.image[y - start])
            put(count - number, x, rejected[y - start])


@compiled
def clip_by_noise(
    values: Stack,
    count: NDArray[np.int64],
    centres: Stack,
    middles: Stack,
    y: int,
    x: int,
    model: NoiseModel,
) -> None:
    """Replace by NaN what is to be left out of a block of one row, and put the rest right for it.

    Parameters
    ----------
    values : (n, w) ndarray of float32
        The frames' pixels from (x, y) on, NaN where there is no data or the image has ended.
    count : (w,) ndarray of int64
        How many frames have data.
    centres, middles : (k, nx) ndarray of float32
        Light that the frames share, as from `centres.find_centres`.
    y, x : int
        Where the block is in them.
    model : NoiseModel
    """
    width, nx = values.shape[1], centres.shape[1]
    expected, heights, brightest = np.empty(width), np.empty(width), np.empty(width)
    uneven, least = np.ones(width), np.full(width, np.inf)
    heights_of_row(centres, y, x, heights)
    for k in range(min(width, nx - x)):
        uneven[k] = model.uneven[y, x + k]
    for k in range(width):
        noise = np.sqrt(model.variances.mean() * uneven[k])
        expected[k] = centres[y, x + k] if x + k < nx else np.nan
        heights[k] = max(heights[k] - 6 * noise / np.sqrt(count[k]), 0.0)
        least[k] = LEAST_HEIGHT * noise if model.linear_below > -np.inf else np.inf
    if (heights > least).any():
        brightest_of_row(middles, y, x, brightest)
        for k in range(min(width, nx - x)):
            predictable = brightest[k] < np.inf and middles[y, x + k] < model.linear_below
            if predictable and heights[k] > least[k] and count[k] >= LEAST_FRAMES:
                rough = 0.0 if brightest[k] < model.linear_below else ROUGH_ERROR * heights[k]
                _clip_star(values, k, middles, y, x + k, rough, model)
                heights[k] = np.inf  # what remains is kept
    _clip_sky(values, expected, heights, uneven, model)


@compiled
def _clip_sky(
    values: Stack, expected: Floats, heights: Floats, uneven: Floats, model: NoiseModel
) -> None:
    """Compare all values with the same, and grant them a part of the heights."""
    limit = model.sigma**2
    light, granted = np.maximum(expected, 0.0), (UNKNOWN_ERROR * heights) ** 2
    for i in range(values.shape[0]):
        noise, shot = model.variances[i], model.shot[i]
        for k in range(values.shape[1]):
            off = values[i, k] - expected[k]
            far = off * off > limit * (noise * uneven[k] + light[k] * shot + granted[k])
            values[i, k] = np.float32(np.nan) if far else values[i, k]


@compiled
def _clip_star(
    values: Stack, k: int, middles: Stack, y: int, x: int, rough: float, model: NoiseModel
) -> None:
    """Compare the values of a pixel with what their frames' seeing makes of its light.

    What is left out had its share in the seeing of the mean. The others are given it, or the star
    would have another profile where a cosmic ray was.
    """
    n, weights = values.shape[0], model.weights
    present = ~np.isnan(values[:, k])
    count = np.count_nonzero(present)
    responses = np.empty(N_TERMS)
    respond(middles, y, x, TERMS, responses)
    detail = np.sqrt((responses[:N_FINE] ** 2).sum())
    moved = np.zeros(n)
    for i in range(n):
        for term in range(N_TERMS):
            moved[i] += model.kernels[i, term] * responses[term]
    unmoved = values[:, k] - moved
    centre = np.sort(unmoved[present])[(count - 1) // 2]
    if rough > 0 and count >= LEAST_VALUES:
        rough = min(rough, 1.4826 * np.median(np.abs(unmoved[present] - centre)))
    variances = np.empty(n)
    for i in range(n):
        noise = (
            model.variances[i] * model.uneven[y, x] + max(centre + moved[i], 0.0) * model.shot[i]
        )
        doubt = np.sqrt(detail**2 + (OF_MOVED * moved[i]) ** 2)
        error = rough if rough > 0 else model.errors[i] * doubt
        variances[i] = noise * (1 + MIDDLE_VARIANCE / count * model.amplification[i]) + error**2
    of_centre = MEDIAN_VARIANCE / count * variances[present].mean()
    kept = present & (np.abs(unmoved - centre) <= model.sigma * np.sqrt(variances + of_centre))
    share = _average(moved, weights, present) - _average(moved, weights, kept)
    for i in range(n):
        values[i, k] = values[i, k] + share if kept[i] else np.nan


@compiled
def _average(values: Floats, weights: Floats, used: NDArray[np.bool_]) -> float:
    total = weight = 0.0
    for i in range(values.size):
        if used[i]:
            total += weights[i] * values[i]
            weight += weights[i]
    return total / weight
