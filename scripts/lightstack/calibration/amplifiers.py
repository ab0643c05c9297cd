"""Whether the halves of a calibrated frame were read by amplifiers of another gain or offset."""

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.calibration.suspicions import noise_of

WIDE = 8
"""Columns on either side of a line whose levels are compared: of a mosaic, in all colours."""

BLOCKS = 12
"""Parts of a half of the line, each with a step of its own: few stars are in most of them."""

ROWS = 20
"""Rows of a part that are looked at, at most."""

PARTS = 12
"""The image has lines to compare at so many parts of it; amplifiers meet in the middle."""

TIMES_OTHERS = 8.0
"""Times that the step in the middle is larger than any at other lines, from which on it is one: in
73 real frames it is up to 6.2 times as large, in 160 simulated ones with stars, nebulae and
vignetting up to 2.8 times."""

LEAST_OF_SKY = 0.02
"""Least step, as a share of the sky: that of an amplifier may show a little in any frame."""

LEAST_OF_NOISE = 0.25
"""The same, as a share of the noise of a pixel."""

ROWS_OF_SKY = 50
"""Rows that tell the sky and its noise."""

SAME_SIGN = 0.9
"""Share of the parts whose steps go the same way."""


def doubt_of_halves(data: NDArray[np.float32]) -> str:
    """Tell whether the sky of a frame has a step in its middle, along a whole half of it.

    Parameters
    ----------
    data : (ny, nx) ndarray of float32
        The calibrated frame [ADU]; NaN is no data.

    Returns
    -------
    str
        A sentence's part with the size; empty where there is no step.
    """
    some = data[:: max(1, len(data) // ROWS_OF_SKY)]
    least = max(LEAST_OF_SKY * abs(_median(some)), LEAST_OF_NOISE * noise_of(some))
    for noun, image in (("column", data), ("row", data.T)):
        ny, nx = image.shape
        if nx < PARTS * 4 * WIDE or ny < 4 * BLOCKS:
            continue
        for half in (image[: ny // 2], image[ny // 2 :]):
            steps = np.stack([_steps(half, nx * k // PARTS) for k in range(1, PARTS)])
            sizes = np.array([_median(each) for each in steps])
            step = float(sizes[PARTS // 2 - 1])
            others = float(np.fmax.reduce(np.abs(np.delete(sizes, PARTS // 2 - 1))))
            same = np.mean(np.sign(steps[PARTS // 2 - 1]) == np.sign(step))
            if abs(step) > max(least, TIMES_OTHERS * others) and same >= SAME_SIGN:
                return (
                    f"the sky steps by {abs(step):.3g} ADU at {noun} {nx // 2}, as where "
                    "amplifiers of different gain or offset read the halves: flats and bias "
                    "frames of this camera level it"
                )
    return ""


def _steps(image: NDArray[np.float32], at: int) -> NDArray[np.float32]:
    """Tell by how much the level steps at a column, beside its slope there, in each part."""
    height = len(image) // BLOCKS
    every = max(1, height // ROWS)
    strip = image[: height * BLOCKS, at - 2 * WIDE : at + 2 * WIDE]
    parts = strip.reshape(BLOCKS, height, 4, WIDE)[:, ::every].swapaxes(1, 2)
    values = np.sort(parts.reshape(BLOCKS, 4, -1), axis=2)  # what has no data comes last
    beyond, before, after, further = values[:, :, values.shape[2] // 2].T
    return np.asarray(after - before - (before - beyond + further - after) / 2)


def _median(values: NDArray[np.float32]) -> float:
    """Median of what has data; not a number if nothing has."""
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else np.nan
