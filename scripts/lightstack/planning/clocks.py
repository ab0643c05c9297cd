"""What the times in the headers of lights say against each other."""

import statistics
from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import pairwise

from scripts.lightstack.raw.exposure import Exposure
from scripts.lightstack.raw.values import is_of_a_clock

LONGER_S = 2.0
"""A camera takes no two exposures of so many seconds in one second, the step of many clocks."""

MOST_ALIKE = 3
"""More lights of one time are not one exposure, but have no clock, or are parts of a mosaic."""

LEAST_SHARE = 0.1
"""Share of the lights, at least: two instruments of one name begin at the same second by chance
with one in thirty."""

FEWEST = 5
"""Lights from which on the time between them is told [frames]."""

TOO_LONG = 100
"""Times that an exposure may be as long as the time from one to the next: where several
instruments write the same name it is a few, and where milliseconds stand for seconds 1000."""


def doubts(lights: Mapping[str, Exposure]) -> list[str]:
    """Say what cannot be true, or can only be if exposures are there twice.

    Parameters
    ----------
    lights : dict of str to Exposure
        How each was taken, by its path.

    Returns
    -------
    list of str
        A line each.
    """
    return [*_never_set(lights), *_taken_twice(lights), *_too_long(lights.values())]


def _never_set(lights: Mapping[str, Exposure]) -> list[str]:
    """Find lights of the day on which a clock begins."""
    found = [
        path
        for path, light in lights.items()
        if (moment := _moment(light)) and not is_of_a_clock(moment)
    ]
    if not found:
        return []
    date = lights[found[0]].date
    count = f"{len(found)} light{'s have' if len(found) > 1 else ' has'}"
    unset = f"{count} a time of a clock that was not set, such as {found[0]} ({date})"
    return [f"{unset}: it dates no stack. Correct DATE-OBS where times matter."]


def _taken_twice(lights: Mapping[str, Exposure]) -> list[str]:
    """Find lights that one camera cannot have taken at the same time."""
    same: dict[object, list[str]] = {}
    for path, light in lights.items():
        if light.camera and (light.exptime or 0) >= LONGER_S and _moment(light):
            taken = (_moment(light), light.exptime, light.camera, light.telescope, light.filter)
            same.setdefault(taken, []).append(path)
    alike = [paths for paths in same.values() if len(paths) > 1]
    count = sum(map(len, alike))
    if count <= LEAST_SHARE * len(lights) or max(map(len, alike)) > MOST_ALIKE:
        return []
    first, second, *_ = alike[0]
    began = f"{count} lights began at the same time as another of the same camera"
    return [f"{began}, such as {first} and {second}. If they are of one exposure, keep one."]


def _too_long(lights: Iterable[Exposure]) -> list[str]:
    """Find exposures that lasted longer than the time to the next ones."""
    moments: dict[tuple[str | None, float], set[datetime]] = {}
    for light in lights:
        if light.exptime and (moment := _moment(light)):
            moments.setdefault((light.camera, light.exptime), set()).add(moment)
    lines = []
    for (_, exptime), found in moments.items():
        steps = [(later - one).total_seconds() for one, later in pairwise(sorted(found))]
        if len(found) < FEWEST or exptime <= TOO_LONG * (step := statistics.median(steps)):
            continue
        lines.append(
            f"{len(found)} lights have exposures of {exptime:g} s by their headers, and began "
            f"{step:g} s after one another. Darks are chosen by what the headers say: correct "
            f"them if it is {exptime / 1000:g} s."
        )
    return lines


def _moment(light: Exposure) -> datetime | None:
    """Return when an exposure began, if its header says it to the second."""
    date = light.date or ""
    try:
        return datetime.fromisoformat(date).replace(tzinfo=None) if ":" in date else None
    except ValueError:
        return None
