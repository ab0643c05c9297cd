"""How much of the light reached each frame."""

import math
from collections.abc import Mapping

import numpy as np

from scripts.lightstack.alignment.taken import Taken

CLEAR = 0.75
"""A frame is clear if so large a share of the frames has no more light.

So a quarter of a night need be clear and no more, and a few frames whose headers lie do not make
all others cloudy. Of two frames neither is called cloudy.
"""


def transparencies(
    flux_scales: Mapping[str, float], frames: Mapping[str, Taken]
) -> dict[str, float]:
    """Compare the light that frames caught per second with that of the clear ones.

    Parameters
    ----------
    flux_scales : dict of str to float
        What brings the fluxes of each frame to those of the same reference.
    frames : dict of str to Taken
        These frames, or more.

    Returns
    -------
    dict of str to float
        1 for a clear frame. Frames of other stacks, filters or gains are not compared with each
        other; exposures are, where all are known.
    """
    alike: dict[object, list[str]] = {}
    for name in flux_scales:
        alike.setdefault((frames[name].stack, frames[name].optics), []).append(name)
    found: dict[str, float] = {}
    for names in alike.values():
        times = [frames[name].exptime for name in names]
        known = all(time is not None and time > 0 and math.isfinite(time) for time in times)
        seconds = np.array(times, float) if known else np.ones(len(names))
        light = 1 / (np.array([flux_scales[name] for name in names]) * seconds)
        clear = np.quantile(light, CLEAR, method="lower")
        found |= dict(zip(names, (light / clear).tolist(), strict=True))
    return {name: found[name] for name in flux_scales}
