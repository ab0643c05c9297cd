"""Signs that a dark does not belong to a frame, whatever the headers say."""

import math

import numpy as np
from numpy.typing import NDArray

SAMPLED_PIXELS = 50_000
"""Enough to see what concerns a whole frame, and few beside its pixels."""

FAR_BELOW_ZERO = 5.0
"""Times the noise: what no sky reaches."""

MOST_BELOW_ZERO = 0.01

BANDS_GREW = 2.0

BANDS_ABOVE_NOISE = 5.0

NOISE_GREW = 1.5
"""A single dark of a frame's own time adds sqrt(2) at most."""

HOT = 10.0
"""Times the scatter of the frame: gradients do not hide such pixels."""

MIN_HOT = 20

MOST_HOT = 0.02
"""Share of the pixels: more are no hot pixels, but a glow."""

HOT_PART_SHARED = 0.3


def sample_of(data: NDArray[np.float32]) -> NDArray[np.float32]:
    """Copy some of an image's pixels, in rows and columns; the same ones of each of its shape."""
    step = max(1, math.ceil(math.sqrt(data.size / SAMPLED_PIXELS)))
    return data[::step, ::step].copy()


def suspicions(before: NDArray[np.float32], after: NDArray[np.float32]) -> list[str]:
    """Tell what a dark did to a frame that the right one does not do.

    Parameters
    ----------
    before, after : (ny, nx) ndarray of float32
        `sample_of` the frame with and without its dark [ADU], NaN where there is no data.

    Returns
    -------
    list of str
        A text with numbers for each sign; none for a dark that suits.
    """
    if not np.isfinite(after).any():
        return []
    dark = before - after
    found = []
    sky, level = float(np.nanmedian(before)), float(np.nanmedian(dark))
    if level > sky:
        found.append(f"the dark is brighter than the frame, {level:.0f} against {sky:.0f} ADU")
    noise_before, noise_after = _noise(before), _noise(after)
    below = float(np.mean(after[np.isfinite(after)] < -FAR_BELOW_ZERO * noise_after))
    if below > MOST_BELOW_ZERO:
        found.append(f"{below:.0%} of the pixels are far below zero after it")
    for axis, lines in ((1, "rows"), (0, "columns")):
        old, new = _bands(before, axis), _bands(after, axis)
        scatter = 1.25 * noise_before / math.sqrt(before.shape[axis])
        if new > BANDS_GREW * old + BANDS_ABOVE_NOISE * scatter:
            found.append(f"{lines} differ by {new:.0f} ADU after it, by {old:.0f} before")
    shared = _hot_part_shared(before, dark)
    if shared is not None and shared < HOT_PART_SHARED:
        found.append(f"{shared:.0%} of the light of its hot pixels is in the frame")
    if noise_after > NOISE_GREW * noise_before > 0:
        found.append(f"noise grew from {noise_before:.1f} to {noise_after:.1f} ADU")
    return found


def _noise(data: NDArray[np.float32]) -> float:
    """Scatter between neighbours in a row, free of gradients and stars [ADU]."""
    steps = np.abs(np.diff(data, axis=1))
    steps = steps[np.isfinite(steps)]
    return float(1.4826 * np.median(steps) / math.sqrt(2)) if steps.size else 0.0


def _bands(data: NDArray[np.float32], axis: int) -> float:
    """How much the medians of rows (axis 1) or columns (axis 0) differ [ADU]."""
    has_data = np.isfinite(data).any(axis=axis)
    medians = np.nanmedian(np.compress(has_data, data, axis=1 - axis), axis=axis)
    low, high = np.percentile(medians, (2, 98))
    return float(high - low)


def _hot_part_shared(frame: NDArray[np.float32], dark: NDArray[np.float32]) -> float | None:
    """Part of the excess of a dark's hot pixels that the frame shows; None if there are few."""
    sky, level = np.nanmedian(frame), np.nanmedian(dark)
    scatter = 1.4826 * float(np.nanmedian(np.abs(frame - sky)))
    excess = dark - level
    hot = (excess > HOT * scatter) & np.isfinite(frame)
    if not MIN_HOT <= np.count_nonzero(hot) <= MOST_HOT * hot.size:
        return None
    return float(np.median((frame[hot] - sky) / excess[hot]))
