"""What a stack has to know of its whole frames before it combines some rows of them."""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from scripts.lightstack.stacking.aligned import AlignedFrame
from scripts.lightstack.stacking.modes import MEASURING, measuring_mode, needs_measuring
from scripts.lightstack.stacking.uncertainty import measure_noise


def measure(
    frames: Sequence[AlignedFrame], modes: Collection[str], threads: int, *, uncertainty: bool
) -> dict[str, Any]:
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
    dict
        Arguments of `bands.Bands`.
    """
    if not needs_measuring(modes, uncertainty=uncertainty):
        return {}
    gain = np.array([frame.gain for frame in frames])
    found: dict[str, Any] = {"seeing": None, "gain": gain}
    if MEASURING in modes or np.isinf(gain).any():
        found = measuring_mode().measure(frames, threads)
    if uncertainty:
        found["frame_noise"] = measure_noise(frames, found["gain"], threads)
    return found
