"""The scale of a file's numbers: programs spread a camera's 16-bit counts over other ranges.

No card of FITS or TIFF tells of it; the numbers themselves do.
"""

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.raw.image import RawImage

FULL_SCALE_ADU = 65535
"""Largest count of 16 bits."""

NORMALIZED_BELOW = 2.0
"""Numbers between 0 and 1 reach this where a saturated pixel was divided by a dim one of a flat;
Siril has the same bound for the floats of other programs."""

WIDE_ABOVE = 256 * FULL_SCALE_ADU
"""Integers of 32 bits that fill their range reach this: sums of frames stay below."""

FEW = 1e-4
"""Share of pixels that may lie beyond either, as where a flat has dust."""

FAR_BELOW = -16384
"""No frame that has negative numbers of its own, as calibrated ones do, reaches this but by single
pixels."""

STARLIT = 8192
"""Beside a pixel far below zero so bright a one belongs to the core of the same star."""

FEWEST_WRAPPED = 4
"""Such neighbours: the core of one bright star has more, and defects of a sensor seldom any."""

LOWEST_COUNT = -32766
"""The two numbers beneath stand for none in some programs."""

BAND_PIXELS = 1 << 18

WHOLE_WITHIN = 0.02
"""What is left of rounding where counts were divided by `FULL_SCALE_ADU` in float32 [ADU]."""


def in_counts(image: RawImage, *, is_wide: bool) -> RawImage:
    """Bring an image to the scale of 16-bit counts, if a program has left it.

    Parameters
    ----------
    image : RawImage
        Numbers as the file has them, with a step of 0 for floats. Its arrays are changed in place.
    is_wide : bool
        Whether they are integers of 32 bits.

    Returns
    -------
    RawImage
        [ADU]. Two kinds of numbers are scaled, and a card ``ADUSCALE`` says by what: those with a
        fraction between 0 and 1, as Siril and PixInsight write them, unless ``BUNIT`` gives them a
        unit; and integers of 32 bits that fill their range, as DeepSkyStacker and PixInsight write
        them. What was a count before becomes the same count again. All others stay as they are:
        counts of any number of bits in any type, and floats in a unit of their own.
    """
    scale = _scale(image, is_wide=is_wide)
    if scale == 1:
        step = image.step or _step_of_floats(image.peak)
        return RawImage(image.data, image.peak, image.ceiling, step, image.header)
    step = image.step * scale
    _multiply(image.peak, scale)
    if image.data is not image.peak:
        _multiply(image.data, scale)
    image.header["ADUSCALE"] = (scale, "the raw file's numbers were multiplied by this")
    if _are_whole(image.peak, WHOLE_WITHIN):
        np.rint(image.peak, out=image.peak)
        step = 1.0
    step = step or _step_of_floats(image.peak)
    return RawImage(image.data, image.peak, float(FULL_SCALE_ADU), step, image.header)


def restore_unsigned(pixels: NDArray[np.float32]) -> bool:
    """Make 16-bit counts again of those that lost the card ``BZERO``, in place.

    Parameters
    ----------
    pixels : (ny, nx) ndarray of float32
        Signed integers of 16 bits.

    Returns
    -------
    bool
        Whether they were counts: all of them less 32768, or, where a program wrote unsigned
        numbers as signed ones, those from 32768 on less 65536, as the cores of bright stars.
    """
    low = pixels < FAR_BELOW
    low &= pixels >= LOWEST_COUNT
    n_low = np.count_nonzero(low)
    if n_low < FEWEST_WRAPPED:
        return False
    if 2 * n_low > np.count_nonzero(pixels >= LOWEST_COUNT):
        pixels += np.float32(FULL_SCALE_ADU // 2 + 1)
        return True
    is_bright = pixels >= STARLIT
    pairs = [low[:, 1:] & is_bright[:, :-1], low[:, :-1] & is_bright[:, 1:]]
    pairs += [low[1:] & is_bright[:-1], low[:-1] & is_bright[1:]]
    if sum(map(np.count_nonzero, pairs)) < FEWEST_WRAPPED:
        return False
    pixels[pixels < 0] += np.float32(FULL_SCALE_ADU + 1)
    return True


def _scale(image: RawImage, *, is_wide: bool) -> float:
    """Return what brings an image to 16-bit counts."""
    peak, few = image.peak, FEW * image.peak.size
    if image.step < 1 and "BUNIT" not in image.header:
        beyond = np.count_nonzero(peak > NORMALIZED_BELOW)
        beyond += np.count_nonzero(peak < -NORMALIZED_BELOW)
        if beyond <= few and not _are_whole(peak, 0):
            return float(FULL_SCALE_ADU)
    if is_wide and np.count_nonzero(peak > WIDE_ABOVE) > few:
        return FULL_SCALE_ADU / image.ceiling
    return 1.0


def _multiply(pixels: NDArray[np.float32], scale: float) -> None:
    """Multiply in place; what is no float any more is no data."""
    with np.errstate(over="ignore"):
        pixels *= np.float32(scale)
    pixels[np.isinf(pixels)] = np.nan


def _step_of_floats(pixels: NDArray[np.float32]) -> float:
    """Step of counts, or else what float32 can tell apart beside the brightest pixel."""
    if _are_whole(pixels, 0):
        return 1.0
    low, high = np.fmin.reduce(pixels, axis=None), np.fmax.reduce(pixels, axis=None)
    return float(np.spacing(max(-low, high)))


def _are_whole(pixels: NDArray[np.float32], within: float) -> bool:
    """Whether all pixels with data are whole numbers; mostly the first band of rows tells."""
    height = max(1, BAND_PIXELS // pixels.shape[1])
    bands = (pixels[first : first + height] for first in range(0, len(pixels), height))
    return not any(np.any(np.abs(band - np.rint(band)) > within) for band in bands)
