"""Bayer mosaics: which pixel has which colour, and all of them made grey."""

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.raw.values import Cards, first_number, text

PATTERN_KEYS = (
    "BAYERPAT",  # MaxIm, NINA, SharpCap, ASIAIR, INDI
    "COLORTYP",  # SharpCap, MaxIm
    "CFAIMAGE",  # Astro Pixel Processor
    "CFA",
)

OFFSET_KEYS = (
    ("XBAYROFF", "BAYOFFX"),  # MaxIm, NINA, INDI; DeepSkyStacker
    ("YBAYROFF", "BAYOFFY"),
)

GREY_OF = "GREYOF"
"""Card of a frame that was made grey of a mosaic: its pattern."""

PATTERN_DOUBT = "GREYWHY"
"""Card of a frame: what its pixels say against its pattern, or against there being none."""

GREY_NOISE = 0.375
"""Noise of a pixel of such a grey, over that of the mosaic's: of the weights 1, 2, 1 along both
axes."""

GREY_CORRELATION = (1.0, 2 / 3, 1 / 6)
"""Of its noise along an axis, with the pixel itself, the next, and the one after that."""

MOSAIC_CARDS = frozenset([*PATTERN_KEYS, *sum(OFFSET_KEYS, ())])
"""Cards that speak of a mosaic: not true any more of colours or greys made of one."""

WEIGHTS = 16
"""Sum of the weights of a grey pixel, which are whole numbers."""

BAND_ROWS = 256


def bayer_pattern(header: Cards) -> str | None:
    """Tell the colours of the first 2 x 2 pixels.

    Parameters
    ----------
    header : mapping
        The frame's cards.

    Returns
    -------
    str or None
        In rows, such as RGGB, offsets of the pattern taken into account; None if the header speaks
        of no mosaic.
    """
    for key in PATTERN_KEYS:
        pattern = (text(header, (key,)) or "").upper()
        if sorted(pattern) == ["B", "G", "G", "R"]:
            break
    else:
        return None
    x, y = (first_number(header, keys) or 0 for keys in OFFSET_KEYS)
    rows = [pattern[:2], pattern[2:]]
    return "".join(
        rows[(row + round(y)) % 2][(column + round(x)) % 2] for row in (0, 1) for column in (0, 1)
    )


def grey_of_mosaic(data: NDArray[np.float32]) -> None:
    """Make a Bayer mosaic grey, in place.

    Parameters
    ----------
    data : (ny, nx) ndarray of float32
        Mosaic of any pattern [ADU], NaN where there is no data; at least 2 x 2 pixels.

    Notes
    -----
    Each pixel becomes the mean of the 3 x 3 about it with the binomial weights 1, 2, 1 along both
    axes. Wherever it lies in the pattern, a quarter of the weight is on red, half on green and a
    quarter on blue pixels: of a surface of one colour all pixels are the same. Beyond the border
    the image is mirrored about its outermost pixels, so that the pattern goes on. Where one of the
    nine has no data, there is none: a mean of the others would be of other colours.
    """
    quarter, half = np.float32(0.25), np.float32(0.5)
    ny, nx = data.shape
    above: NDArray[np.float32] = data[1].copy()
    for first in range(0, ny, BAND_ROWS):
        last = min(first + BAND_ROWS, ny)
        below = data[last if last < ny else ny - 2] if last < ny or first < ny - 1 else above
        band = np.concatenate([above[None], data[first:last], below[None]])
        above = data[last - 1].copy()
        along = band[:-2] + band[2:]
        along *= quarter
        along += band[1:-1] * half
        grey = data[first:last]
        np.add(along[:, :-2], along[:, 2:], out=grey[:, 1:-1])
        for outermost, inner in ((0, 1), (nx - 1, nx - 2)):
            grey[:, outermost] = along[:, inner] + along[:, inner]
        grey *= quarter
        along *= half
        grey += along


def near_any(flags: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Mark the pixels whose grey is made of a marked one.

    Parameters
    ----------
    flags : (ny, nx) ndarray of bool
        Marks of a mosaic's pixels.

    Returns
    -------
    (ny, nx) ndarray of bool
    """
    rows = flags.copy()
    rows[1:] |= flags[:-1]
    rows[:-1] |= flags[1:]
    found = rows.copy()
    found[:, 1:] |= rows[:, :-1]
    found[:, :-1] |= rows[:, 1:]
    return found
