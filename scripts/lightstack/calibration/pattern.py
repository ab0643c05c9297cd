"""Whether the pixels of a mosaic have the colours that its header says."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.robust import MAD_TO_SIGMA

SAMPLED_PIXELS = 40_000
"""Enough to know the level of each place of the pattern to a hundredth of its noise."""

NEAR = 3.0
"""What is further from the median of its place is no sky [standard deviations]."""

GREENS_DIFFER = 0.05
"""Share of the brightest place's level by which green ones never differ: of the sensors of cameras
they do by up to 2 %."""

TIMES_AS_MUCH = 5.0
"""As red and blue, which differ less than green only by a chance that is as good as none."""

N_SIGMA = 5.0
"""Both differences are known with an error."""

ALIKE = 0.01
"""Share of the sky's level by which errors allow to say that places are alike; through filters of
several colours even a white sky differs by more."""


CHECKERED = 0.3
"""Share of a pixel's noise by which places along the one diagonal differ from those along the
other, from which on this is a mosaic: under a sky of 20 ADU greens differ from red and blue by
half of it, and in 74 real frames without colours they differ by 0.04 at most."""

OF_LINES = 0.5
"""Share of what odd rows or columns differ by that this is at least: of one colour alone it is as
much, and two amplifiers make lines differ, and no diagonals."""


class _Level(NamedTuple):
    value: float
    error: float
    scatter: float


def doubt_of_pattern(mosaic: NDArray[np.float32], pattern: str, *, is_binned: bool = False) -> str:
    """Tell what the sky says against a pattern, from which rows or columns may be missing.

    Both green places of a mosaic see the same sky. Where they differ, and red and blue do not,
    these are the green ones: the pattern is that of other rows or columns. Which of the two that
    are left is the true one, red and blue exchanged, no pixel tells. Where pixels were binned and
    all four places are alike, each pixel has all colours: there is no mosaic.

    Parameters
    ----------
    mosaic : (ny, nx) ndarray of float32
        A frame free of its dark and flat [ADU], as far as there are any; NaN where there is no
        data.
    pattern : str
        Colours of the first 2 x 2 pixels, in rows.
    is_binned : bool, optional
        Whether the camera, or a program, made a pixel of several.

    Returns
    -------
    str
        A sentence's part with numbers; empty where there is nothing to say, as under a sky without
        colour.
    """
    green: list[_Level] = []
    others: list[_Level] = []
    for (row, column), colour in zip(np.ndindex(2, 2), pattern, strict=True):
        level = _level(mosaic[row::2, column::2])
        if level is None:
            return ""
        (green if colour == "G" else others).append(level)
    levels = [*green, *others]
    of_green, of_others = (abs(one.value - other.value) for one, other in (green, others))
    error = math.hypot(*(level.error for level in levels))
    brightest = max(level.value for level in levels)
    spread = brightest - min(level.value for level in levels)
    if is_binned and spread < N_SIGMA * error < ALIKE * brightest:
        return "its pixels are binned and see the same sky at all places: it may be no mosaic"
    if of_green < max(GREENS_DIFFER * brightest, TIMES_AS_MUCH * (of_others + N_SIGMA * error)):
        return ""
    likely = "RGGB or BGGR" if pattern[0] == "G" else "GRBG or GBRG"
    return (
        f"its green pixels differ by {of_green:.3g} ADU, those of red and blue by "
        f"{of_others:.2g}: it may be {likely}"
    )


def doubt_of_grey(image: NDArray[np.float32]) -> str:
    """Tell whether an image that is said to have no colours is the mosaic of a colour camera.

    Parameters
    ----------
    image : (ny, nx) ndarray of float32
        A frame before it is divided by a flat, which would hide it [ADU]; NaN where there is no
        data.

    Returns
    -------
    str
        A sentence's part with numbers; empty where it has no colours, or none that the sky shows.
    """
    levels = _levels(image)
    if not _pattern(levels):
        return ""
    values = ", ".join(f"{level.value:.4g}" for level in levels)
    return f"of each 2 x 2 pixels the four see the sky at {values} ADU"


def pattern_of_grey(image: NDArray[np.float32]) -> str:
    """Tell where the greens are of an image as for `doubt_of_grey`.

    Returns
    -------
    str
        RGGB or GRBG, where red and blue may be exchanged; empty if there are no colours.
    """
    return _pattern(_levels(image))


def _levels(image: NDArray[np.float32]) -> list[_Level]:
    """Measure the sky of all places of the pattern; none if one has no data."""
    levels = [_level(image[row::2, column::2]) for row, column in np.ndindex(2, 2)]
    known = [level for level in levels if level is not None]
    return known if len(known) == len(levels) else []


def _pattern(levels: list[_Level]) -> str:
    """Tell on which diagonal the greens are, by the levels of four places; empty if on none."""
    if not levels:
        return ""
    first, second, third, fourth = (level.value for level in levels)
    diagonals = abs(first - second - third + fourth) / 2
    rows = abs(first + second - third - fourth) / 2
    columns = abs(first - second + third - fourth) / 2
    error = math.hypot(*(level.error for level in levels)) / 2
    noise = float(np.median([level.scatter for level in levels]))
    least = max(
        N_SIGMA * error,
        CHECKERED * noise,
        ALIKE * max(level.value for level in levels),
        OF_LINES * max(rows, columns),
    )
    if diagonals <= least:
        return ""
    return "RGGB" if abs(second - third) <= abs(first - fourth) else "GRBG"


def _level(place: NDArray[np.float32]) -> _Level | None:
    """Measure the sky of a place of the pattern; None if it has no data."""
    step = max(1, math.isqrt(4 * place.size // SAMPLED_PIXELS))
    values = place[::step, ::step]
    values = values[np.isfinite(values)]
    if not values.size:
        return None
    median = np.median(values)
    scatter = MAD_TO_SIGMA * np.median(np.abs(values - median))
    # Medians of whole numbers are whole: a mean tells of less.
    sky = values[np.abs(values - median) <= NEAR * scatter]
    mean = float(sky.mean(dtype=np.float64))
    scatter = float(sky.std(dtype=np.float64))
    return _Level(mean, scatter / math.sqrt(sky.size), scatter)
