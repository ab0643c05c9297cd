"""Frames whose stars are not as bright as those of the others in proportion.

Stretched pictures are such, and frames whose bright stars are saturated and count as whole.
"""

import statistics
from collections.abc import Mapping

from scripts.lightstack.alignment.light import UNEVEN
from scripts.lightstack.alignment.pairs import Outcome
from scripts.lightstack.alignment.taken import Taken


def out_of_proportion(
    entries: Mapping[str, Outcome], frames: Mapping[str, Taken], reference: str | None = None
) -> dict[str, float]:
    """Find the frames of each stack that are not as most of it are.

    Parameters
    ----------
    entries : dict of str to dict
        Frames that were aligned on the same one; ``flux_growth`` is `LightScale.growth`.
    frames : dict of str to Taken
        These, or more.
    reference : str, optional
        In its stack frames are compared with this one.

    Returns
    -------
    dict of str to float
        By frame, the light of its bright stars over what its faint ones let expect.
    """
    stacks: dict[str, list[str]] = {}
    for name in entries:
        stacks.setdefault(frames[name].stack, []).append(name)
    found = {}
    for names in stacks.values():
        growths = [entries[name].get("flux_growth", 0.0) for name in names]
        usual = 0.0 if reference in names else statistics.median_low(growths)
        for name, growth in zip(names, growths, strict=True):
            if abs(growth - usual) > UNEVEN:
                found[name] = _ratio(usual) / _ratio(growth)
    return found


def _ratio(difference: float) -> float:
    """Return the ratio of two numbers whose difference is such a share of their mean."""
    return (1 + difference / 2) / (1 - difference / 2)
