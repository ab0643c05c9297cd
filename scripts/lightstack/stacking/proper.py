"""The mode "proper": the coadd that shows the faintest stars, whatever the seeing does.

Each frame is convolved with a kernel of its own before they are added up (`proper_kernels`). So
that no trail and no gap is spread by it, values that "noise_clip" leaves out, and those that a
frame does not have, are filled in first: by the weighted mean of the other frames, and, where
there is light, by what the frame's seeing makes of it. Frames are always weighted by their noise.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.compiling import compiled, copy_line
from scripts.lightstack.stacking import noise_clip
from scripts.lightstack.stacking.aligned import weights_by_noise
from scripts.lightstack.stacking.blocks import WIDTH, put
from scripts.lightstack.stacking.centres import Light
from scripts.lightstack.stacking.modes import ClipInputs, InParts
from scripts.lightstack.stacking.noise_clip import (
    LEAST_HEIGHT,
    N_TERMS,
    NoiseModel,
    clip_pixels,
    doubtful_of_row,
    noise_model,
)
from scripts.lightstack.stacking.proper_kernels import REACH, kernels_of
from scripts.lightstack.stacking.psf_matching import (
    brightest_of_row,
    heights_of_row,
    respond,
)

LIMIT, LIMIT_MEANING = noise_clip.LIMIT, noise_clip.LIMIT_MEANING

MARGIN = REACH + noise_clip.MARGIN

LEAST_COVERED = 0.25
"""Share of a kernel that must lie on pixels with data, or there is too little to go by."""

Stack = NDArray[np.float32]

Floats = NDArray[np.float64]


class Outputs(NamedTuple):
    """Where rows of the coadd are written."""

    image: Stack
    rejected: NDArray[np.integer]


def clip_rows(
    cube: Stack,
    rows: tuple[int, int],
    inputs: ClipInputs,
    image: Stack,
    rejected: NDArray[np.integer],
    error: NDArray[np.float32],
    in_parts: InParts,
) -> None:
    """Combine rows of a cube: see `modes.ClipMode`. The standard error is not known."""
    error.fill(np.nan)
    weights = weights_by_noise(inputs.noise)
    model = noise_model(inputs, weights)
    kernels = kernels_of(model.kernels, weights)

    def coadd_part(first: int, last: int) -> None:
        part = slice(first - rows[0], last - rows[0])
        outputs = Outputs(image[part], rejected[part])
        _coadd_rows(cube, first, last, inputs.light, model, kernels, outputs)

    in_parts(coadd_part, *rows)


@compiled
def _coadd_rows(
    cube: Stack,
    start: int,
    stop: int,
    light: Light,
    model: NoiseModel,
    kernels: Floats,
    outputs: Outputs,
) -> None:
    """Fill in and convolve, some columns at a time, and `REACH` around them."""
    n, height, nx = cube.shape
    of_all = kernels.sum(axis=0)
    for x in range(0, nx, WIDTH):
        values = np.zeros((n, stop - start + 2 * REACH, WIDTH + 2 * REACH), np.float32)
        covered = np.zeros(values.shape[1:])
        first, last = max(x - REACH, 0), min(x + WIDTH + REACH, nx)
        columns = slice(first - x + REACH, last - x + REACH)
        for y in range(max(start - REACH, 0), min(stop + REACH, height)):
            row = y - start + REACH
            raw = cube[:, y, first:last].copy()
            left_out = _fill_in(raw, light, y, first, model, covered[row, columns])
            for i in range(n):
                copy_line(raw[i], values[i, row, columns])
            if start <= y < stop:
                put(left_out[x - first :], x, outputs.rejected[y - start])
        for y in range(start, stop):
            line = _convolved(values, y - start, kernels)
            _even_out(line, covered, y - start, of_all)
            put(line, x, outputs.image[y - start])


@compiled
def _fill_in(
    values: Stack,
    light: Light,
    y: int,
    x: int,
    model: NoiseModel,
    covered: Floats,
) -> NDArray[np.int64]:
    """Give a value to each frame, in place, and count what is left out of those that there are.

    Parameters
    ----------
    values : (n, w) ndarray of float32
        The frames' pixels from (x, y) on; NaN where there is no data. Where no frame has any, all
        become zero.
    light : Light
    y, x : int
        Where the values are in it.
    model : NoiseModel
    covered : (w,) ndarray of float64
        Gets one where some frame has data, and else zero.
    """
    n, width = values.shape
    kept, count = values.copy(), _counts(values)
    doubtful = doubtful_of_row(light, y, x, x + width, model)
    if doubtful.columns.size:
        of_doubtful, within = kept[:, doubtful.columns - x], count[doubtful.columns - x]
        clip_pixels(of_doubtful, within, light, doubtful, model)
        for i in range(n):
            for k, column in enumerate(doubtful.columns):
                kept[i, column - x] = of_doubtful[i, k]
    left = _counts(kept)
    if left.min() < n:
        heights, brightest = np.zeros(width), np.full(width, np.inf)
        least = LEAST_HEIGHT * np.sqrt(model.variances.mean())
        if model.linear_below > -np.inf:
            heights_of_row(light.centres, y, x, heights)
            brightest_of_row(light.middles, y, x, brightest)
        moved, responses = np.zeros(n), np.empty(N_TERMS)
        for k in range(width):
            if left[k] < n:
                moved[:] = 0.0
                if heights[k] > least and brightest[k] < model.linear_below:
                    respond(light.middles, y, x + k, responses)
                    for i in range(n):
                        for term in range(N_TERMS):
                            moved[i] += model.kernels[i, term] * responses[term]
                _fill_pixel(values, kept, k, moved, model.weights)
    for k in range(width):
        covered[k] = 1.0 if count[k] > 0 else 0.0
    return count - left


@compiled
def _counts(values: Stack) -> NDArray[np.int64]:
    """Count each pixel's values."""
    count = np.zeros(values.shape[1], np.int64)
    for i in range(values.shape[0]):
        for k in range(count.size):
            count[k] += not np.isnan(values[i, k])
    return count


@compiled
def _fill_pixel(values: Stack, kept: Stack, k: int, moved: Floats, weights: Floats) -> None:
    """Replace what is not kept of a pixel by the mean of the rest, as each frame would see it."""
    total = weight = 0.0
    for i in range(values.shape[0]):
        if not np.isnan(kept[i, k]):
            total += weights[i] * (values[i, k] - moved[i])
            weight += weights[i]
    shared = total / weight if weight > 0 else 0.0
    for i in range(values.shape[0]):
        if np.isnan(kept[i, k]):
            values[i, k] = shared + moved[i]


@compiled
def _convolved(values: Stack, row: int, kernels: Floats) -> Floats:
    """Sum of the frames, each convolved with its kernel, in one row of `WIDTH` columns."""
    line = np.zeros(WIDTH)
    for i in range(kernels.shape[0]):
        for j in range(2 * REACH + 1):
            for m in range(2 * REACH + 1):
                factor = kernels[i, j, m]
                if factor != 0:
                    for k in range(WIDTH):
                        line[k] += factor * values[i, row + 2 * REACH - j, k + 2 * REACH - m]
    return line


@compiled
def _even_out(line: Floats, covered: Floats, row: int, kernel: Floats) -> None:
    """Make good for what of the kernels lies where no frame has data."""
    if covered[row : row + 2 * REACH + 1].min() == 1:
        return
    for k in range(WIDTH):
        share = 0.0
        for j in range(2 * REACH + 1):
            for m in range(2 * REACH + 1):
                share += kernel[j, m] * covered[row + 2 * REACH - j, k + 2 * REACH - m]
        there = covered[row + REACH, k + REACH] == 1
        line[k] = line[k] / max(share, LEAST_COVERED) if there else np.nan
