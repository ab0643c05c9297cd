"""Images without the steps of their digitization, for measures of the sky.

Where pixels are whole numbers, so is the median of each part of the sky, and a mode estimated from
it (2.5 median - 1.5 mean) jumps by more than the median does. A little noise that fills the steps
gives back what lies between them (dithering: Roberts 1962, IRE Trans. Inf. Theory 8, 145).
"""

import numpy as np
from numpy.typing import NDArray

SAMPLE_SIZE = 2**15
"""Pixels that are looked at: many for each of the values that can matter."""

FINEST = 1 / 1350
"""Least step that matters, over the range of nine tenths of the pixels.

It is the width of a bin in the histograms from which SEP takes its medians: 4096 over ten standard
deviations.
"""

RAREST = 1 / 4
"""How often a value occurs over the commonest one, if it is one of the steps.

As often does a normal distribution take the values at the ends of its nine tenths; those between
the steps come from the few pixels of a dark that have halves.
"""

GOLDEN = (5**0.5 - 1) / 2
"""Its multiples, without their whole numbers, fill the unit interval evenly from the first."""

_PIXELS_AT_A_TIME = 2**16
"""Few enough for a processor's cache."""


def step_of(data: NDArray[np.float32]) -> float:
    """Find the step of an image's values.

    Parameters
    ----------
    data : (ny, nx) ndarray of float32
        Pixels [ADU], NaN where there is no data.

    Returns
    -------
    float
        Distance of neighbouring values of the sky [ADU]: 1 for whole numbers, 16 for those of
        12 bits that a camera wrote as 16. 0 if there are no steps, or none that matter.
    """
    sample = data.reshape(-1)[:: data.size // SAMPLE_SIZE | 1]
    ordered = np.sort(sample[np.isfinite(sample)])
    if ordered.size == 0:
        return 0.0
    low, high = ordered[ordered.size // 20], ordered[19 * ordered.size // 20]
    finest = FINEST * (high - low)
    inner = ordered[(ordered >= low) & (ordered <= high)]
    # What differs by less, as the greys of equal colours do, is one value.
    ends = np.append(np.flatnonzero(np.diff(inner) > finest) + 1, inner.size)
    counts = np.diff(ends, prepend=0)
    values = inner[ends - counts + counts // 2]
    common = values[counts >= RAREST * counts.max()]
    if low == high:
        # All of the sky has one value, as of too few bits: the next one is a star's.
        common = np.unique(ordered)
    step = float(np.diff(common).min(initial=np.inf))
    return step if step < np.inf else 0.0


def dithered(data: NDArray[np.float32], step: float) -> NDArray[np.float32]:
    """Spread each value evenly over its step.

    Parameters
    ----------
    data : (ny, nx) ndarray of float32
        Pixels [ADU].
    step : float
        As `step_of` finds it [ADU].

    Returns
    -------
    (ny, nx) ndarray of float32
        [ADU]; its variance is larger by ``step**2 / 12``.
    """
    ny, nx = data.shape
    height = max(1, _PIXELS_AT_A_TIME // nx)
    shifts = (np.arange(height * nx) * GOLDEN % 1 - 0.5) * step
    pattern = shifts.astype(np.float32).reshape(height, nx)
    spread = np.empty_like(data)
    for first in range(0, ny, height):
        rows = data[first : first + height]
        np.add(rows, pattern[: len(rows)], out=spread[first : first + height])
    return spread
