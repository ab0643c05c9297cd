"""The frame that the others are aligned on.

The first accepted frame is, but not at any price: it may show another target, be torn, a window
of the sensor, binned, a test shot of a few seconds, or cloudy. Then it is the first frame that is
like most, in the largest set of frames that align on one of them. All this depends on the frames
alone, not on what is known of an earlier run; and where at least half of the frames align on the
first, and it is as most are, nothing else is tried.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scripts.lightstack.alignment.proportion import out_of_proportion
from scripts.lightstack.alignment.taken import Taken
from scripts.lightstack.alignment.transform import Transform, inside
from scripts.lightstack.alignment.transparency import transparencies
from scripts.lightstack.reason import Reason

Entries = dict[str, dict[str, Any]]

Align = Callable[[str, Sequence[str]], Entries]
"""Aligns frames on the one that is named first: the ``entries`` of those that could be, itself
among them, as they stand in ``alignment.json``."""

MOST_TRIED = 8
"""Frames that are tried as the reference: each costs an alignment of every frame that is left."""

SAME_EXPOSURE = 1.1
"""Exposures within this factor are the same: shutters and clocks differ in the last digits."""

WELL_PLACED = 0.9
"""Share of the best overlap with the others that the best frame has, at least: a tenth of the sky
may be lost for the deepest frame."""

GRID = 32
"""Points along either side of the sky on which overlaps are counted: they are 3 % apart, a third
of what may be lost."""


@dataclass(frozen=True)
class Choice:
    """The reference.

    Parameters
    ----------
    name : str
    passed_over : dict or None
        Why it is not the first accepted frame, as a reason.
    """

    name: str
    passed_over: Reason | None = None


def first(frames: Mapping[str, Taken], align: Align, min_transparency: float) -> Choice:
    """Take the first frame on which the largest set of frames agrees.

    Parameters
    ----------
    frames : dict of str to Taken
        The accepted frames in their order; at least one.
    align : callable
        See `Align`.
    min_transparency : float
        A frame with less of the light is not taken.

    Returns
    -------
    Choice
    """
    leader = _leader(frames, align)
    entries, light, odd = _agreeing(leader, frames, align)
    alike = usual(list(light), frames)
    name = next((name for name in alike if light[name] >= min_transparency), leader)
    foremost = next(iter(frames))
    if name == foremost:
        return Choice(name)
    own, other = frames[foremost], frames[name]
    reason: Reason
    if own.shape != other.shape:
        reason = {"code": "other_shape", "value": own.shape, "limit": other.shape}
    elif not _same_exposure(own.exptime, other.exptime):
        code = "other_exposure" if other.exptime else "exposure_known"
        code = code if own.exptime else "exposure_unknown"
        reason = {"code": code, "value": own.exptime, "limit": other.exptime}
    elif foremost not in entries:
        reason = {"code": "apart", "value": len(entries), "limit": len(frames)}
    elif foremost in odd:
        reason = {"code": "out_of_proportion", "value": odd[foremost]}
    else:
        reason = {"code": "too_opaque", "value": light[foremost], "limit": min_transparency}
    return Choice(name, reason)


def best(frames: Mapping[str, Taken], align: Align, min_transparency: float) -> Choice:
    """Take the sharpest, deepest frame of those that overlap the others well.

    Parameters and result as for `first`. The depth is that for a star before a bright sky: light
    over noise and width.
    """
    leader = first(frames, align, min_transparency).name
    entries, light, _ = _agreeing(leader, frames, align)
    alike = usual(list(light), frames)
    overlap = _overlaps(entries, frames, frames[leader].shape)
    most = max(overlap[name] for name in alike)

    def depth(name: str) -> float:
        taken = frames[name]
        return float(1 / (entries[name]["flux_scale"] * taken.noise * taken.fwhm))

    return Choice(max((name for name in alike if overlap[name] >= WELL_PLACED * most), key=depth))


def usual(names: Sequence[str], frames: Mapping[str, Taken]) -> list[str]:
    """Pick the frames that are as most are: of the most frequent shape, and of its exposure.

    Parameters
    ----------
    names : sequence of str
        At least one.
    frames : dict of str to Taken

    Returns
    -------
    list of str
        In their order. Where several stacks are to lie on one grid, they are of the stack with the
        largest images, as those may have the smallest pixels. Of two equally frequent values the
        first counts.
    """
    stacks: dict[str, list[str]] = {}
    for name in names:
        stacks.setdefault(frames[name].stack, []).append(name)
    of_shape = [_of_usual_shape(same, frames) for same in stacks.values()]
    alike = max(of_shape, key=lambda same: math.prod(frames[same[0]].shape))
    times = [frames[name].exptime for name in alike]
    counts = Counter(times)
    # The first of the most frequent: max keeps the order.
    time = max(
        counts,
        key=lambda time: sum(n for other, n in counts.items() if _same_exposure(time, other)),
    )
    return [name for name in alike if _same_exposure(frames[name].exptime, time)]


def _of_usual_shape(names: Sequence[str], frames: Mapping[str, Taken]) -> list[str]:
    ((shape, _),) = Counter(frames[name].shape for name in names).most_common(1)
    return [name for name in names if frames[name].shape == shape]


def _same_exposure(one: float | None, other: float | None) -> bool:
    if not (one and other):
        return not (one or other)
    return 1 / SAME_EXPOSURE <= one / other <= SAME_EXPOSURE


def _leader(frames: Mapping[str, Taken], align: Align) -> str:
    """Find the frame on which the largest set aligns, of those that are tried."""
    left = list(frames)
    leader, most = "", 0
    for _ in range(MOST_TRIED):
        tried = usual(left, frames)[0]
        found = align(tried, left)
        if len(found) > most:
            leader, most = tried, len(found)
        left = [name for name in left if name not in found]
        if len(left) <= most:
            break
    return leader


def _agreeing(
    leader: str, frames: Mapping[str, Taken], align: Align
) -> tuple[Entries, dict[str, float], dict[str, float]]:
    """Align all frames on one: the entries, the transparencies, and who is out of proportion."""
    entries = align(leader, list(frames))
    odd = out_of_proportion(entries, frames)
    scales = {name: entries[name]["flux_scale"] for name in entries if name not in odd}
    return entries, transparencies(scales, frames), odd


def _overlaps(
    entries: Entries, frames: Mapping[str, Taken], reference_shape: tuple[int, int]
) -> dict[str, float]:
    """Tell how many of the frames reach a point of each frame, on average."""
    corners = np.concatenate([entry["corners_px"] for entry in entries.values()])
    low, high = corners.min(axis=0), corners.max(axis=0)
    x, y = np.meshgrid(*(np.linspace(low[k], high[k], GRID) for k in (0, 1)))
    points = np.stack([x.ravel(), y.ravel()], axis=1)
    reached = {}
    for name, entry in entries.items():
        transform = Transform.from_json(entry, frames[name].shape, reference_shape)
        reached[name] = inside(transform.backward(points), frames[name].shape)
    count = np.sum(list(reached.values()), axis=0)
    return {name: float(count[on].mean()) if on.any() else 0.0 for name, on in reached.items()}
