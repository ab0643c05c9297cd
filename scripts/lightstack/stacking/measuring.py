"""What a stack has to know of its whole frames before it combines some rows of them."""

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from scripts.lightstack.stacking.aligned import AlignedFrame
from scripts.lightstack.stacking.modes import (
    BY_SEEING,
    Measured,
    measuring_mode,
    needs_measuring,
)
from scripts.lightstack.stacking.uncertainty import gains_by_darks, measure_noise


def measure(
    frames: Sequence[AlignedFrame], modes: Collection[str], threads: int, *, uncertainty: bool
) -> Measured:
    """Measure what these modes, and their standard errors if they are wanted, need.

    Parameters
    ----------
    frames : sequence of AlignedFrame
    modes : collection of str
    threads : int
        How many threads to use; they change nothing but the time.
    uncertainty : bool
        Whether standard errors are wanted.

    Returns
    -------
    Measured
    """
    if not needs_measuring(modes, uncertainty=uncertainty):
        return Measured()
    gain = np.array([frame.gain for frame in frames])
    found = Measured(gain)
    by_darks = gains_by_darks(frames) if uncertainty else gain
    if any(mode in modes for mode in BY_SEEING) or np.isinf(by_darks).any():
        found = measuring_mode().measure(frames, threads)
    if uncertainty:
        known = np.where(np.isinf(by_darks), found.gain, by_darks)
        found = found._replace(noise=measure_noise(frames, known, threads))
    return found


def read_measured(path: Path | None, n_planes: int) -> list[Measured]:
    """Read what `measure_frames` wrote of so many planes, if it had to measure anything."""
    return measuring_mode().read_measured(path, n_planes) if path else [Measured()] * n_planes
