"""Whether the sky of a frame shows the shadows that its flat has, of dust and of the optics."""

import math

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.calibration.suspicions import noise_of
from scripts.lightstack.linear import least_squares
from scripts.lightstack.robust import MAD_TO_SIGMA, MEDIAN_ERROR

ENOUGH = 1_000_000
"""Pixels that are looked at, at most: they take some milliseconds."""

CELLS = 10_000
"""About so many squares make an image: small beside a shadow, and many."""

SMALLEST_CELL = 2
"""Least side of a square [pixels that are looked at]."""

APART = 2
"""Squares between which the light may differ as it does across a whole frame: what stands out from
those so far off on either side is a shadow."""

CERTAIN = 6.0
"""Shadows stand out of a flat so far beyond the others [standard deviations]: of ten thousand
squares with noise alone, none does."""

FAINTEST = 0.005
"""Least part of the light that a shadow takes."""

FEWEST = 20
"""Squares with a shadow that tell."""

LEAST_SHOWN = 0.5
"""Share of the shadows' depth below which a flat leaves more than it takes away."""

N_ERRORS = 4.0
"""By so many standard errors less."""

FIELD_CELLS = 400
"""About so many squares tell how even a sky is: each has many pixels, and stars do not move its
median."""

FEWEST_CELLS = 100
"""Squares with data that tell it."""

LESS_EVEN = 6.0
"""Times that a flat makes a sky less even beside a plane, from which on it is in doubt. Of 400
simulated frames with true flats, of vignetting up to 60 %, with gradients, nebulae and a glow
towards the corners of 10 %, none is made 5 times less even."""

UNEVEN = 0.01
"""Least scatter about a plane that is one, as a share of the sky."""

SEEN = 0.5
"""The same, as a share of the noise of a pixel: where the sky is dark, what a pedestal that drifts
leaves is no more."""

FAR_FROM_EVEN = 0.04
"""Least scatter about a plane, as a share of the sky, that speaks against the offset: a glow
towards the corners of 10 % makes half of it."""

TOO_MUCH = 4.0
"""Times that a true flat leaves the sky less even than one of another offset would. With
`FAR_FROM_EVEN` and `WRONG_OFFSET`: of 900 frames with true flats as above none does, nor with
nebulae; of those that lack 0.4 of their sky's level a third, of those with as much in excess a
quarter, for it takes vignetting to show."""

WRONG_OFFSET = 0.15
"""Least offset that is told, as a share of the sky."""

Floats = NDArray[np.float32]


def doubt_of_flat(before: Floats, flat: Floats) -> str:
    """Tell whether a frame has other shadows than its flat.

    A camera that was turned between lights and flats, dust that has moved, rows in another order,
    a pedestal that was not taken off the frame: each leaves the frame's sky without the shadows
    that the flat has, and dividing puts bright ones there.

    Parameters
    ----------
    before : (ny, nx) ndarray of float32
        Some pixels of the frame before it is divided, at most `ENOUGH` [ADU]; NaN is no data.
    flat : (ny, nx) ndarray of float32
        The same pixels of the flat.

    Returns
    -------
    str
        A sentence's part with the number; empty where nothing speaks against the flat, as where it
        has no shadows or the sky is too dark to show any.
    """
    side = max(SMALLEST_CELL, round(math.sqrt(before.size / CELLS)))
    of_flat = _standing_out(square_levels(flat, side))
    of_frame = _standing_out(square_levels(before, side))
    known = np.isfinite(of_flat) & np.isfinite(of_frame)
    if not known.any():
        return ""
    scatter = MAD_TO_SIGMA * float(np.median(np.abs(of_flat[known])))
    shadows = known & (np.abs(of_flat) > max(CERTAIN * scatter, FAINTEST))
    number = np.count_nonzero(shadows)
    if number < FEWEST:
        return ""
    # Stars and nebulae lie where they will: they widen the ratios and leave their median.
    ratios = of_frame[shadows] / of_flat[shadows]
    shown = float(np.median(ratios))
    spread = MAD_TO_SIGMA * float(np.median(np.abs(ratios - shown)))
    error = MEDIAN_ERROR * spread / math.sqrt(number)
    if shown + N_ERRORS * error >= LEAST_SHOWN:
        return ""
    return f"the sky shows {max(shown, 0.0):.0%} of the depth of its shadows"


def doubt_of_even_sky(before: Floats, flat: Floats) -> str:
    """Tell whether a flat takes more vignetting, or less, than the sky of a frame has.

    A sky that is even before was divided by a flat already. One with a part of the vignetting has
    an offset left in it, as where the dark was freed of its bias; one with more than all has lost
    it twice.

    Parameters
    ----------
    before, flat : (ny, nx) ndarray of float32
        As for `doubt_of_flat`.

    Returns
    -------
    str
        As `doubt_of_flat`.
    """
    side = max(SMALLEST_CELL, round(math.sqrt(before.size / FIELD_CELLS)))
    sky, light = square_levels(before, side), square_levels(flat, side)
    known = np.isfinite(sky) & np.isfinite(light) & (light > 0)
    if np.count_nonzero(known) < FEWEST_CELLS:
        return ""
    typical = float(np.median(sky[known]))
    old, new = _unevenness(sky, known), _unevenness(sky / light, known)
    seen = SEEN * noise_of(before)
    if new >= max(UNEVEN * typical, seen, LESS_EVEN * old):
        return f"the sky is uneven by {new:.0f} ADU after it, by {old:.0f} before"
    offset, rest = _offset(sky, light, known)
    if new < max(FAR_FROM_EVEN * typical, seen, TOO_MUCH * rest):
        return ""
    if abs(offset) < WRONG_OFFSET * typical:
        return ""
    why = "were left in the frame" if offset > 0 else "had been taken off twice"
    return f"its vignetting shows in the sky as if {abs(offset):.0f} ADU {why}"


def _unevenness(levels: Floats, known: NDArray[np.bool_]) -> float:
    """Scatter of the levels about a plane [ADU]."""
    return _fitted(levels[known], _plane(known))[1]


def _offset(sky: Floats, light: Floats, known: NDArray[np.bool_]) -> tuple[float, float]:
    """Offset of a sky that is a plane seen in this light, and its scatter about both [ADU]."""
    seen = _plane(known) * light[known][:, np.newaxis]
    factors, rest = _fitted(sky[known], np.column_stack([seen, np.ones(len(seen))]))
    return float(factors[-1]), rest


def _plane(known: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Columns (n, 3) of a plane through the known squares."""
    y, x = np.nonzero(known)
    return np.stack([np.ones(len(x)), x - x.mean(), y - y.mean()], axis=1)


def _fitted(levels: Floats, columns: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Find factors of the columns next to some levels, and the scatter about these [ADU]."""
    values = levels.astype(np.float64)
    factors = least_squares(columns, values[:, np.newaxis], np.ones(len(values)))[:, 0]
    rest = values - (columns * factors).sum(axis=1)
    return factors, MAD_TO_SIGMA * float(np.median(np.abs(rest)))


def square_levels(image: Floats, side: int) -> Floats:
    """Median of each whole square; NaN where half of it has no data."""
    n_y, n_x = image.shape[0] // side, image.shape[1] // side
    squares = image[: n_y * side, : n_x * side].reshape(n_y, side, n_x, side)
    values = np.sort(squares.swapaxes(1, 2).reshape(n_y, n_x, side * side), axis=2)
    half = side * side // 2
    # What has no data comes last.
    return np.where(np.isfinite(values[..., half]), values[..., half], np.float32(np.nan))


def _standing_out(levels: Floats) -> Floats:
    """Tell by what share of the light each square differs from those around it."""
    found = np.full_like(levels, np.nan)
    if min(levels.shape) <= 2 * APART:
        return found
    middle = np.s_[APART:-APART]
    around = (
        levels[: -2 * APART, middle]
        + levels[2 * APART :, middle]
        + levels[middle, : -2 * APART]
        + levels[middle, 2 * APART :]
    ) * np.float32(0.25)
    with np.errstate(divide="ignore", invalid="ignore"):
        found[middle, middle] = levels[middle, middle] / around - 1
    return found
