"""The value at which a camera's pixels saturate, as its frames show it.

A sensor of 12 bits is full at 4095, or at 65520 where its numbers were shifted; an amplifier may
be full below what the numbers can hold. No card tells of it for sure, but bright pixels pile up
there.
"""

import numpy as np
from numpy.typing import NDArray

FEWEST = 10
"""Pixels that have the highest value of an image, at least. With half and with twice as many
`tests/test_saturation.py` holds."""

FEWEST_OF_BITS = 4
"""As many are enough at the top of a converter: a single star may saturate. The same tests hold
with half as many, and not with 6."""

CUT_BENEATH = 0.002
"""As `BENEATH`, of a flat: it is bright all over, up to its highest values."""

CUT_RISE = 4
"""As `RISE`, of a flat: in one that is not cut off the highest value is the rarest."""

BITS = range(8, 16)
"""Of converters whose numbers are kept in 16."""

BENEATH = 0.05
"""Part of the range beneath the highest value where few pixels are; half and twice of it would do
for the same tests."""

LEAST_BENEATH = 8
"""Steps that this is at least. A quarter and four times of it would do for the same tests."""

RISE = 2
"""How many times more pixels have the highest value than all values in this part have: where none
are saturated, numbers of pixels fall towards the top. In a real night whose stars are saturated it
is 3.6 times or more, in four others once at most; the same tests hold from half to three times of
it."""


def pile_up(peak: NDArray[np.float32], step: float) -> float | None:
    """Find the value at which the brightest pixels of an image pile up.

    Parameters
    ----------
    peak : (ny, nx) ndarray of float32
        Pixels as they were recorded, NaN where there is no data [ADU].
    step : float
        Smallest difference of two values [ADU].

    Returns
    -------
    float or None
        The highest value of the image, if its pixels are saturated there [ADU].
    """
    top, count, n_beneath = _highest(peak, step, BENEATH)
    fewest = FEWEST_OF_BITS if _is_top_of_converter(top) else FEWEST
    return top if count >= max(fewest, RISE * n_beneath) else None


def cut_off(peak: NDArray[np.float32], step: float) -> float | None:
    """Find the value at which a flat is cut off.

    Parameters
    ----------
    peak : (ny, nx) ndarray of float32
        Pixels as they were recorded, NaN where there is no data [ADU].
    step : float
        Smallest difference of two values [ADU].

    Returns
    -------
    float or None
        The highest value of the flat, if its pixels are saturated there [ADU].
    """
    top, count, n_beneath = _highest(peak, step, CUT_BENEATH)
    if n_beneath == 0:
        # Noise leaves a gap beneath the top of no flat but one that is saturated nearly all over.
        is_full = 2 * count > peak.size and (count < peak.size or _is_top_of_converter(top))
        return top if is_full else None
    return top if count >= max(FEWEST, CUT_RISE * n_beneath) else None


def _highest(peak: NDArray[np.float32], step: float, share: float) -> tuple[float, int, int]:
    """Tell the highest value [ADU], and how many pixels have it and a value shortly beneath."""
    top = float(np.fmax.reduce(peak, axis=None))
    beneath = max(share * top, LEAST_BENEATH * step)
    if not beneath < top < np.inf:
        return top, 0, 0
    count = int(np.count_nonzero(peak == top))
    return top, count, int(np.count_nonzero(peak >= top - beneath)) - count


def _is_top_of_converter(value: float) -> bool:
    """Whether a value is the highest of so many bits, as they are or shifted to 16."""
    return any(value in (2**bits - 1, (2**bits - 1) << (16 - bits)) for bits in BITS)
