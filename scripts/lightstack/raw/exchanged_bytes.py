"""16-bit numbers whose two bytes were written in the wrong order: noise all over, and no stars."""

import numpy as np
from numpy.typing import NDArray

APART = 2
"""Pixels that are compared lie so far apart in a row: of a mosaic, they have one colour."""

ROWS = 32
"""Rows that are looked at, spread over the image."""

TIMES_NOISIER = 16
"""Times that pixels differ more than with their bytes exchanged, from which on they are. In order
they differ 0.01 times as much in 82 real frames, and at most 0.6 times in simulated ones with any
noise, sky and number of bits from 10 on; exchanged, 16 to 256 times if their noise is less than
1,000 ADU."""

FEWEST_OTHERS = 1e-4
"""Share of pixels at least whose lower byte is not that of most."""

FEWEST_VALUES = 3
"""Lower bytes at least: numbers of 8 or 9 bits that were shifted to 16 have one or two, and are
alike when exchanged, too."""


def are_exchanged(pixels: NDArray[np.float32], zero: float) -> bool:
    """Tell whether the bytes of an image's numbers are exchanged.

    Parameters
    ----------
    pixels : (ny, nx) ndarray of float32
        Integers of 16 bits, NaN where there is no data.
    zero : float
        What was added to the file's numbers.

    Returns
    -------
    bool
        Whether neighbours are far more alike with their bytes exchanged, in more than one of the
        ranges that the upper byte then tells apart.
    """
    some = pixels[:: max(1, len(pixels) // ROWS)]
    known = np.isfinite(some)
    words = np.where(known, some - np.float32(zero), 0).astype(np.int32).astype(np.uint16)
    pairs = known[:, APART:] & known[:, :-APART]
    if not pairs.any():
        return False
    as_they_are, exchanged = (_difference(each, pairs) for each in (words, words.byteswap()))
    if as_they_are < TIMES_NOISIER * exchanged or as_they_are == 0:
        return False
    lower = np.bincount(words[known] & 0xFF, minlength=256)
    most = int(np.argmax(lower))
    others = lower.sum() - lower[most]
    return bool(
        most != 0
        and np.count_nonzero(lower) >= FEWEST_VALUES
        and others >= FEWEST_OTHERS * lower.sum()
    )


def _difference(words: NDArray[np.uint16], pairs: NDArray[np.bool_]) -> float:
    """Tell by how much neighbours differ, the shorter way round the range of 16 bits."""
    steps = (words[:, APART:] - words[:, :-APART])[pairs]
    return float(np.median(np.minimum(steps, -steps)))
