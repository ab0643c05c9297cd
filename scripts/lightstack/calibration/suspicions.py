"""Signs that a dark does not belong to a frame, whatever the headers say.

They are looked for in some pixels of both, in rows and columns.
"""

import math
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.robust import MAD_TO_SIGMA, MEDIAN_ERROR

SAMPLED_PIXELS = 50_000
"""Enough to see what concerns a whole frame, and few beside its pixels."""

FAR_BELOW_ZERO = 5.0
"""Times the noise: what no sky reaches. `tests/test_suspicions.py` holds with 4 to 6.25, and
neither with half nor with twice as much."""

MOST_BELOW_ZERO = 0.01
"""Share of the pixels that may be: fewer are dead, or hot in the dark alone. The same tests hold
with half and with twice as much."""

BANDS_GREW = 2.0
"""Times as much as before that rows or columns may differ; the same tests hold with 1 to 2.5, not
4."""

BANDS_ABOVE_NOISE = 5.0
"""Times the error of a row's median that they may differ beside that: more is no chance. The same
tests hold with half and with twice as much."""

NOISE_GREW = 1.5
"""A single dark of a frame's own time adds sqrt(2) at most."""

HOT = 10.0
"""Times the scatter of the frame: gradients do not hide such pixels."""

MIN_HOT = 20
"""Fewer hot pixels do not tell."""

MOST_HOT = 0.02
"""Share of the pixels: more are no hot pixels, but a glow."""

HOT_PART_SHARED = 0.3
"""Share of the light of a dark's hot pixels that the frame has: with less than a half, a dark
makes deeper holes than the peaks that it takes off. Less than this is no chance."""

TIMES_HOTTER = 2.0
"""A sensor that is some degrees warmer stays below this; other exposures and gains, or 12 bits
that are shifted to 16 in the frame alone, do not."""


def sampling(shape: tuple[int, int], period: int = 1, enough: int = SAMPLED_PIXELS) -> int:
    """Tell how far apart the pixels are by which a frame and what calibrates it are judged.

    Parameters
    ----------
    shape : (int, int)
        Of the frame.
    period : int, optional
        What the distance is a multiple of: 2 for a Bayer mosaic, of which one colour is looked at.
    enough : int, optional
        Most pixels to look at.

    Returns
    -------
    int
        Rows, and columns, from one to the next [pixels].
    """
    step = max(1, math.ceil(math.sqrt(shape[0] * shape[1] / enough)))
    return -(-step // period) * period


class Compared:
    """Some pixels of a frame and of its dark; what is known of them is computed once.

    Parameters
    ----------
    before, dark : (ny, nx) ndarray of float32
        The same pixels of the frame and of its dark [ADU], NaN where there is no data.
    """

    def __init__(self, before: NDArray[np.float32], dark: NDArray[np.float32]) -> None:
        self.before, self.dark, self.after = before, dark, before - dark

    @cached_property
    def is_known(self) -> bool:
        """Whether a pixel has data in both."""
        return bool(np.isfinite(self.after).any())

    @cached_property
    def sky(self) -> np.float32:
        """Typical value of the frame [ADU]."""
        return np.float32(np.nanmedian(self.before))

    @cached_property
    def level(self) -> np.float32:
        """Typical value of the dark [ADU]."""
        return np.float32(np.nanmedian(self.dark))

    @cached_property
    def noise_after(self) -> float:
        """Scatter between neighbours after the dark was subtracted [ADU]."""
        return noise_of(self.after)


def harms(pixels: Compared) -> list[str]:
    """Tell in what a dark makes a frame worse than it is without.

    Parameters
    ----------
    pixels : Compared

    Returns
    -------
    list of str
        A text with numbers for each: structure that only the dark has, hot pixels that are not the
        frame's, noise. None for a dark that suits.
    """
    if not pixels.is_known:
        return []
    found = []
    before, after = pixels.before, pixels.after
    noise_before, noise_after = noise_of(before), pixels.noise_after
    for axis, lines in ((1, "rows"), (0, "columns")):
        old, new = _bands(before, axis), _bands(after, axis)
        scatter = MEDIAN_ERROR * noise_before / math.sqrt(before.shape[axis])
        if new > BANDS_GREW * old + BANDS_ABOVE_NOISE * scatter:
            found.append(f"{lines} differ by {new:.0f} ADU after it, by {old:.0f} before")
    shared = _hot_part_shared(pixels)
    if shared is not None and shared < HOT_PART_SHARED:
        found.append(f"{max(0.0, shared):.0%} of the light of its hot pixels is in the frame")
    if noise_after > NOISE_GREW * noise_before > 0:
        found.append(f"noise grew from {noise_before:.1f} to {noise_after:.1f} ADU")
    return found


def suspicions(pixels: Compared) -> list[str]:
    """Tell what speaks against a dark that may yet do more good than harm.

    Parameters
    ----------
    pixels : Compared

    Returns
    -------
    list of str
        A text with numbers for each sign of another level, which the sky that is subtracted next
        takes off again, or of a dark that takes too little off.
    """
    if not pixels.is_known:
        return []
    found = []
    dark, after, noise = pixels.dark, pixels.after, pixels.noise_after
    sky, level = float(pixels.sky), float(pixels.level)
    if level > sky + noise:
        found.append(f"the dark is brighter than the frame, {level:.0f} against {sky:.0f} ADU")
    below = float(np.mean(after[np.isfinite(after)] < -FAR_BELOW_ZERO * noise))
    if below > MOST_BELOW_ZERO:
        found.append(f"{below:.0%} of the pixels are far below zero after it")
    if np.fmax.reduce(dark, axis=None) == np.fmin.reduce(dark, axis=None):
        found.append(f"the dark is {level:g} ADU everywhere")
    times = _times_hotter(pixels)
    if times is not None:
        found.append(f"its hot pixels are {times:.1f} times as bright in the frame")
    return found


def noise_of(data: NDArray[np.float32]) -> float:
    """Scatter between neighbours in a row of an image (ny, nx), free of gradients [ADU]."""
    steps = np.abs(np.diff(data, axis=1))
    steps = steps[np.isfinite(steps)]
    return float(MAD_TO_SIGMA * np.median(steps) / math.sqrt(2)) if steps.size else 0.0


def _bands(data: NDArray[np.float32], axis: int) -> float:
    """How much the medians of rows (axis 1) or columns (axis 0) differ [ADU]."""
    known = np.isfinite(data)
    if known.all():
        lines = np.sort(data if axis else data.T, axis=1)  # a quarter of the time of a median
        n = lines.shape[1]
        medians = (lines[:, (n - 1) // 2] + lines[:, n // 2]) / 2
    else:
        medians = np.nanmedian(np.compress(known.any(axis=axis), data, axis=1 - axis), axis=axis)
    low, high = np.percentile(medians, (2, 98))
    return float(high - low)


def _hot_part_shared(pixels: Compared) -> float | None:
    """Part of the excess of a dark's hot pixels that the frame shows; None if there are few."""
    frame, sky = pixels.before, pixels.sky
    scatter = MAD_TO_SIGMA * float(np.nanmedian(np.abs(frame - sky)))
    excess = pixels.dark - pixels.level
    hot = (excess > HOT * scatter) & np.isfinite(frame)
    if not MIN_HOT <= np.count_nonzero(hot) <= MOST_HOT * hot.size:
        return None
    return float(np.median((frame[hot] - sky) / excess[hot]))


def _times_hotter(pixels: Compared) -> float | None:
    """How many times as bright a dark's hot pixels are in the frame, if they surely are brighter.

    What is hot is told by the scatter of the dark: in the frame it may be lost in the noise, and
    shows in the median of many pixels.
    """
    frame, excess = pixels.before, pixels.dark - pixels.level
    scatter = MAD_TO_SIGMA * float(np.nanmedian(np.abs(excess)))
    hot = (excess > HOT * scatter) & np.isfinite(frame)
    if not MIN_HOT <= np.count_nonzero(hot) <= MOST_HOT * hot.size:
        return None
    ratios = (frame[hot] - pixels.sky) / excess[hot]
    times = float(np.median(ratios))
    spread = MAD_TO_SIGMA * float(np.median(np.abs(ratios - times)))
    error = MEDIAN_ERROR * spread / math.sqrt(ratios.size)
    return times if times - 3 * error > TIMES_HOTTER else None
