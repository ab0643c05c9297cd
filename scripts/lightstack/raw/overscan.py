"""Images cut to what was exposed, and freed of the level that their overscan shows."""

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.raw.bayer import OFFSET_KEYS, bayer_pattern
from scripts.lightstack.raw.image import RawImage
from scripts.lightstack.raw.sections import (
    LEFTOVER,
    PROBLEM,
    SECTION_CARDS,
    STATE,
    Amplifier,
    Asked,
    Region,
    Sections,
    sections_of,
)
from scripts.lightstack.raw.values import first_number
from scripts.lightstack.robust import MAD_TO_SIGMA

if TYPE_CHECKING:
    from astropy.io import fits

    from scripts.lightstack.raw.plain import PlainCards

OUTLYING = 3.0
"""Times the scatter that pixels of overscan are from their line's median: cosmic rays, charge."""

ENOUGH_PIXELS = 1000
"""The mean of so many has 3 % of a pixel's noise, which no frame shows."""

PIXELS_OF_NOISE = 100_000
"""As many tell the noise of a part to 1 %."""


def cut(image: RawImage, asked: Asked) -> RawImage:
    """Cut an image to what was exposed.

    Parameters
    ----------
    image : RawImage
        As the file has it.
    asked : Asked
        What the settings say of its parts.

    Returns
    -------
    RawImage
        The image itself if nothing is cut off. Its overscan is not subtracted yet: what stands in
        the file's own numbers is easier to look for before.

    Raises
    ------
    UnusableFrameError
        If the image has no such part as the settings name.
    """
    sections = sections_of(image.header, image.data.shape, asked)
    if not sections.amplifiers:
        return image
    _shift_cards(image.header, sections)
    for key in SECTION_CARDS:
        image.header.remove(key, ignore_missing=True)
    kept = np.ix_(sections.places(0), sections.places(1))
    data = image.data[kept]
    return replace(
        image,
        data=data,
        peak=data if image.peak is image.data else image.peak[kept],
        overscan=_overscan(image.data, sections),
        overscan_noise=_noise_share(image.data, sections),
    )


def cut_cards(
    cards: "fits.Header | PlainCards", shape: tuple[int, int], asked: Asked
) -> tuple[int, int]:
    """Let cards follow where their image is cut, in place, and say what becomes of the overscan.

    Parameters
    ----------
    cards : mapping
        `SECTION_CARDS` among others.
    shape : (int, int)
        ``(ny, nx)`` of the image in the file [pixels].
    asked : Asked
        As for `cut`.

    Returns
    -------
    (int, int)
        The shape of what was exposed.
    """
    sections = sections_of(cards, shape, asked)
    if sections.state:
        cards[STATE] = sections.state
    if sections.problem:
        cards[PROBLEM] = sections.problem
    if sections.leftover:
        cards[LEFTOVER] = sections.leftover
    if not sections.amplifiers:
        return shape
    _shift_cards(cards, sections)
    return len(sections.places(0)), len(sections.places(1))


def _shift_cards(cards: "fits.Header | PlainCards", sections: Sections) -> None:
    y, x = (int(sections.places(axis)[0]) for axis in (0, 1))
    let_follow(cards, x, y)


def let_follow(cards: "fits.Header | PlainCards", x: int, y: int) -> None:
    """Let world coordinates and a mosaic's pattern follow when columns and rows are cut off."""
    for key, start in (("CRPIX1", x), ("CRPIX2", y)):
        value: Any = cards.get(key)
        if start and isinstance(value, int | float):
            cards[key] = value - start
    if bayer_pattern(cards) is not None:
        for keys, start in zip(OFFSET_KEYS, (x, y), strict=True):
            if start:
                cards[keys[0]] = round(first_number(cards, keys) or 0) + start


def without_overscan(image: RawImage) -> tuple[RawImage, float]:
    """Subtract the level of the overscan.

    Parameters
    ----------
    image : RawImage
        What `cut` returns.

    Returns
    -------
    image : RawImage
        Itself if there is no overscan. ``peak`` stays what the file has.
    level : float
        The typical level that was subtracted [ADU].
    """
    if image.overscan is None:
        return image, 0.0
    level = float(np.median(image.overscan))
    return replace(image, data=image.data - image.overscan, overscan=None), level


def _overscan(whole: NDArray[np.float32], sections: Sections) -> NDArray[np.float32] | None:
    """Give the level of each pixel, or of each row or column; None without overscan."""
    levels = [_level(whole, each) for each in sections.amplifiers if each.overscan]
    if len(levels) < 2:
        return levels[0] if levels else None
    full = np.empty(whole.shape, np.float32)
    for each, level in zip(sections.amplifiers, levels, strict=True):
        full[each.data] = level
    return full[np.ix_(sections.places(0), sections.places(1))]


def _noise_share(whole: NDArray[np.float32], sections: Sections) -> float:
    """Tell the noise of the noisiest overscan, as a share of that of its data; 0 without any."""
    pairs = [
        (_noise(whole[each.overscan]), _noise(whole[each.data]))
        for each in sections.amplifiers
        if each.overscan
    ]
    return max((of_overscan / of_data for of_overscan, of_data in pairs if of_data), default=0.0)


def _noise(part: NDArray[np.float32]) -> float:
    """Scatter between pixels next to each other, of one colour where there are several [ADU].

    Second differences of every other pixel are free of gradients.
    """
    axis = int(np.argmax(part.shape))
    lines = part if axis else part.T
    some = lines[:: math.ceil(part.size / PIXELS_OF_NOISE)]
    steps = np.abs(some[:, 4:] - 2 * some[:, 2:-2] + some[:, :-4])
    steps = steps[np.isfinite(steps)]
    return float(MAD_TO_SIGMA * np.median(steps) / math.sqrt(6)) if steps.size else 0.0


def _level(whole: NDArray[np.float32], amplifier: Amplifier) -> NDArray[np.float32]:
    """Give the level of each row (ny, 1), or column (1, nx), or one for all (1, 1) [ADU]."""
    data, overscan = amplifier.data, amplifier.overscan or amplifier.data
    for axis in (0, 1):
        along, across = data[axis], data[1 - axis]
        first, last = max(along.start, overscan[axis].start), min(along.stop, overscan[axis].stop)
        beside = overscan[1 - axis].stop <= across.start or across.stop <= overscan[1 - axis].start
        if beside and 2 * (last - first) >= along.stop - along.start:
            strip = _strip(whole, overscan, axis, first, last)
            places = np.arange(along.start, along.stop)
            levels = np.interp(places, np.arange(first, last), levels_of_lines(strip))
            return np.expand_dims(levels.astype(np.float32), 1 - axis)
    strip = whole[overscan].reshape(1, -1)
    return levels_of_lines(strip).astype(np.float32).reshape(1, 1)


def _strip(
    whole: NDArray[np.float32], overscan: Region, axis: int, first: int, last: int
) -> NDArray[np.float32]:
    """Lines of overscan beside lines of data, a row of the result each."""
    if axis == 0:
        return whole[first:last, overscan[1]]
    return whole[overscan[0], first:last].T


def levels_of_lines(strip: NDArray[np.float32]) -> NDArray[np.float64]:
    """Measure the level of each line of an overscan.

    Parameters
    ----------
    strip : (n_lines, n) ndarray of float32
        Pixels of overscan [ADU], NaN where there is no data.

    Returns
    -------
    (n_lines,) ndarray of float64
        [ADU]

    Notes
    -----
    Where the level drifts during readout, each line has its own; but the mean of a few pixels has
    noise, which would become stripes. So each line's mean is drawn towards a running mean of about
    `ENOUGH_PIXELS`, by that part of the scatter between the lines that noise explains: the
    shrinkage of James and Stein (Efron & Morris 1973, JASA 68, 117). Where the lines really
    differ, each counts for itself.
    """
    from scipy.ndimage import median_filter, uniform_filter1d

    values = strip.astype(np.float64)
    known = np.flatnonzero(np.isfinite(values).any(axis=1))
    if not known.size:
        return np.zeros(len(values))
    values = values[known]
    apart = np.abs(values - np.nanmedian(values, axis=1, keepdims=True))
    # Whole numbers may have no scatter at all, and the median of two lies between them.
    used = apart <= max(OUTLYING * MAD_TO_SIGMA * float(np.nanmedian(apart)), 1.0)
    count = np.count_nonzero(used, axis=1)
    sums = np.where(used, values, 0).sum(axis=1)
    means = np.where(count > 0, sums / np.maximum(count, 1), np.nanmedian(values))
    width = min(len(means), math.ceil(ENOUGH_PIXELS / strip.shape[1])) | 1
    smooth = median_filter(means, width, mode="nearest")
    smooth = uniform_filter1d(smooth, width, mode="nearest")
    rest = (values - means[:, np.newaxis])[used]
    noise = float(np.mean(rest**2)) / max(float(np.median(count)), 1) if rest.size else 0.0
    spread = (MAD_TO_SIGMA * float(np.median(np.abs(means - smooth)))) ** 2
    own = max(0.0, 1 - noise / spread) if spread else 0.0
    levels = smooth + own * (means - smooth)
    return np.asarray(np.interp(np.arange(len(strip)), known, levels))
