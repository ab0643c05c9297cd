"""Pixels that do not show the light: hot and cold ones, and lines of them."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import median_filter, minimum_filter, rank_filter, uniform_filter1d

from scripts.lightstack.robust import MAD_TO_SIGMA

APART = 6.0
"""Times the scatter about their surroundings that bad pixels stand out: normal noise does in one
of 5e8 pixels. With half of it `tests/test_bad_pixels.py` fails, with 4.8 to 12 it holds."""

SHARPEST = 0.12
"""Share of a pixel's excess that its neighbours have at least where it is a star's: 0.15 about the
centre of a star of FWHM 1.2 pixels, more under any seeing."""

LINE_APART, LINE_SIDES = 3.0, 0.5
"""Times the scatter that pixels of a bad line stand out, and share that those beside it may: a
line has many, of which each may stand out less than one that is alone."""

LINE_LENGTH, LINE_SHARE = 31, 0.7
"""Length of a line [pixels], and share of its pixels that stand out; tuned: no noise does."""

WIDEST_LINE = 4
"""Most dead columns beside each other: in simulated skies of 800 ADU 0.97 of their pixels are
found, of 30 ADU 0.79, and none of 8 million that are not bad."""

TILE = 64
"""Side of the parts of an image in which the scatter is taken to be one [pixels]."""

LEAST_SCATTER = 0.3
"""Of whole numbers without noise: their rounding, 1 / sqrt(12) [ADU]."""


def find_bad_pixels(
    image: NDArray[np.float32], *, is_mosaic: bool, shows_sky: bool = False
) -> NDArray[np.bool_]:
    """Find pixels that stand out from their neighbours as no star does.

    Parameters
    ----------
    image : (ny, nx) ndarray of float32
        A dark, or the median of some frames as the sensor gives them [ADU]: what is in most of
        them at the same place is in it. NaN is no data.
    is_mosaic : bool
        Whether colours alternate from pixel to pixel.
    shows_sky : bool, optional
        Whether it is of lights: columns and rows that are darker than the sky are dead then, even
        some beside each other. In a dark they are part of what it takes off.

    Returns
    -------
    (ny, nx) ndarray of bool

    Notes
    -----
    A pixel is hot if it exceeds all but one of its eight neighbours, of its own colour, by `APART`
    times the scatter; and if of what it has above the median of the 5 x 5 about it, the four
    beside it have less than `SHARPEST` in their median, of its own and of any colour. So of a pair
    both are found, and no star is, be the frames dithered or not. A pixel is cold if it is as far
    below the lowest of its eight neighbours. A line is bad where most of its pixels stand out
    against those on both sides of it.
    """
    step = 2 if is_mosaic else 1
    no_data = np.isnan(image)
    filled = np.where(no_data, np.float32(np.nanmedian(image)), image)
    excess, above, below, scatter = (np.empty_like(filled) for _ in range(4))
    for row in range(step):
        for column in range(step):
            cell = np.s_[row::step, column::step]
            one = np.ascontiguousarray(filled[cell])
            excess[cell] = one - median_filter(one, 5, mode="nearest")
            ring = np.ones((3, 3), bool)
            ring[1, 1] = False
            above[cell] = one - rank_filter(one, -2, footprint=ring, mode="nearest")
            below[cell] = minimum_filter(one, footprint=ring, mode="nearest") - one
            scatter[cell] = _scatter(excess[cell], TILE // step)
    sharp = np.ones(image.shape, bool)
    for distance in {1, step}:
        sharp &= _median_of_four(excess, distance) < SHARPEST * excess
    bad = (above > APART * scatter) & sharp
    bad |= below > APART * scatter
    for axis in (0, 1):
        bad |= _lines(excess, scatter, axis)
        if shows_sky:
            bad |= _dead_lines(filled, scatter, axis, step)
    return np.asarray(bad & ~no_data)


def _scatter(excess: NDArray[np.float32], tile: int) -> NDArray[np.float32]:
    """Give the standard deviation of the tile about each pixel [ADU]; outliers do not count."""
    scatter = np.empty_like(excess)
    for y in range(0, excess.shape[0], tile):
        for x in range(0, excess.shape[1], tile):
            part = np.s_[y : y + tile, x : x + tile]
            of_tile = MAD_TO_SIGMA * float(np.median(np.abs(excess[part])))
            scatter[part] = max(of_tile, LEAST_SCATTER)
    return scatter


def _median_of_four(excess: NDArray[np.float32], distance: int) -> NDArray[np.float32]:
    """Median of the four pixels at a distance along rows and columns; the image is mirrored."""
    padded = np.pad(excess, distance, mode="reflect")
    ny, nx = excess.shape
    d = distance
    four = np.stack(
        [
            padded[:ny, d : d + nx],
            padded[2 * d : 2 * d + ny, d : d + nx],
            padded[d : d + ny, :nx],
            padded[d : d + ny, 2 * d : 2 * d + nx],
        ]
    )
    four.sort(axis=0)
    return np.asarray((four[1] + four[2]) / 2)


def _lines(
    excess: NDArray[np.float32], scatter: NDArray[np.float32], axis: int
) -> NDArray[np.bool_]:
    """Find pixels of bad columns (axis 0) or rows (axis 1)."""
    size = np.abs(excess)
    padded = np.pad(size, 1, mode="reflect")
    if axis == 0:
        sides = np.maximum(padded[1:-1, :-2], padded[1:-1, 2:])
    else:
        sides = np.maximum(padded[:-2, 1:-1], padded[2:, 1:-1])
    stands_out = (size > LINE_APART * scatter) & (sides < LINE_SIDES * size)
    share = uniform_filter1d(stands_out.astype(np.float32), LINE_LENGTH, axis, mode="nearest")
    # All pixels of a stretch are as bad as most of them.
    return np.asarray(share > LINE_SHARE)


def _dead_lines(
    image: NDArray[np.float32], scatter: NDArray[np.float32], axis: int, step: int
) -> NDArray[np.bool_]:
    """Find pixels of dead columns (axis 0) or rows (axis 1), up to `WIDEST_LINE` side by side."""
    lines, noise = (image, scatter) if axis == 0 else (image.T, scatter.T)
    reach = (WIDEST_LINE + 4) * step
    padded = np.pad(lines, ((0, 0), (reach, reach)), mode="reflect")
    nx = lines.shape[1]
    around = np.stack([padded[:, reach + away : reach + away + nx] for away in _away(step)])
    around.sort(axis=0)
    missing = around[3] - lines  # of eight: a star may light those on one side
    is_dark = missing > LINE_APART * noise
    bad = np.zeros(lines.shape, bool)
    for width in range(2, WIDEST_LINE + 1):
        last = nx - width - 1
        least = np.min([missing[:, 1 + k : 1 + k + last] for k in range(width)], axis=0)
        sides = np.maximum(np.abs(missing[:, :last]), np.abs(missing[:, width + 1 :][:, :last]))
        all_dark = np.all([is_dark[:, 1 + k : 1 + k + last] for k in range(width)], axis=0)
        stands_out = (all_dark & (sides < LINE_SIDES * least)).astype(np.float32)
        share = uniform_filter1d(stands_out, LINE_LENGTH, 0, mode="nearest")
        for k in range(width):
            bad[:, 1 + k : 1 + k + last] |= share > LINE_SHARE
    return bad if axis == 0 else bad.T


def _away(step: int) -> list[int]:
    """Tell how far off the pixels of the same colour are that show the light beside dead ones."""
    return [side * (WIDEST_LINE + k) * step for side in (-1, 1) for k in range(1, 5)]
