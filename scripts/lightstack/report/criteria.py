"""How near each frame is to its limits, in numbers and in words."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

TRIALS = (10.0, 4.0, 2.0, 1.25, 1.0, 0.8, 0.5)
"""Limits that the what-if table tries: how many times as tolerant as the one that is set."""


@dataclass(frozen=True)
class Criterion:
    """A limit that the settings put to a frame.

    Parameters
    ----------
    setting : str
        What to change in the configuration.
    column : str
        The frame's value in the ledger.
    name, complaint : str
        What the value is, and what is said of a frame beyond the limit.
    limit : float
        Still accepted.
    is_least : bool
        Whether the limit is the least legal value and not the largest.
    digits : int
        Decimals of a value in a sentence.
    unit : str, optional
        With a space before it.
    highest : float, optional
        Largest value that there can be.
    """

    setting: str
    column: str
    name: str
    complaint: str
    limit: float
    is_least: bool
    digits: int
    unit: str = ""
    highest: float = math.inf

    def margin(self, value: float) -> float:
        """Tell how far a value is from the limit, over the limit; negative beyond it."""
        beyond = self.limit - value if self.is_least else value - self.limit
        return -beyond / self.limit if self.limit else -beyond

    def shown(self, value: float) -> str:
        """Write a value with its unit."""
        return f"{value:.{self.digits}f}{self.unit}"


def criteria(settings: Mapping[str, Any]) -> list[Criterion]:
    """List the limits of a run, in the order in which frames are graded."""
    widest = settings["fwhm_max_ratio"] * settings["fwhm0"]
    return [
        Criterion(
            "min_star_count",
            "n_stars",
            "stars",
            "too few stars",
            settings["min_star_count"],
            is_least=True,
            digits=0,
        ),
        Criterion(
            "fwhm_max_ratio x fwhm0",
            "fwhm_px",
            "FWHM",
            "stars too wide",
            widest,
            is_least=False,
            digits=2,
            unit=" px",
        ),
        Criterion(
            "ellip_max",
            "ellipticity",
            "ellipticity",
            "stars too elongated",
            settings["ellip_max"],
            is_least=False,
            digits=3,
            highest=1,
        ),
        Criterion(
            "saturated_max_fraction",
            "saturated_fraction",
            "saturated share of the stars",
            "too many saturated stars",
            settings["saturated_max_fraction"],
            is_least=False,
            digits=3,
            highest=1,
        ),
        Criterion(
            "min_transparency",
            "transparency",
            "transparency",
            "too little light",
            settings["min_transparency"],
            is_least=True,
            digits=2,
            highest=1,
        ),
    ]


def nearest(limits: list[Criterion], values: Mapping[str, float | None]) -> float | None:
    """Margin of a frame: of the limit that it keeps worst; None if it has no values."""
    margins = [
        limit.margin(value) for limit in limits if (value := values.get(limit.column)) is not None
    ]
    return min(margins, default=None)


def broken(limits: list[Criterion], values: Mapping[str, float | None]) -> list[Criterion]:
    """Pick the limits that a frame does not keep."""
    return [
        limit
        for limit in limits
        if (value := values.get(limit.column)) is not None and limit.margin(value) < 0
    ]


def limiting(limit: Criterion, settings: Mapping[str, Any]) -> tuple[str, float]:
    """Name the setting to change for another limit, and what it is multiplied by."""
    if limit.column == "fwhm_px":
        return "fwhm0", settings["fwhm_max_ratio"]
    return limit.setting, 1.0


@dataclass(frozen=True)
class WhatIf:
    """How many frames would be accepted at other values of one limit.

    Parameters
    ----------
    criterion : Criterion
        The limit as it is set.
    trials : list of (str, int, bool)
        Each limit tried, the frames that would be accepted, and whether it is the one set.
    """

    criterion: Criterion
    trials: list[tuple[str, int, bool]]


def what_if(limits: list[Criterion], frames: list[Mapping[str, float | None]]) -> list[WhatIf]:
    """Count the frames that would be accepted at other limits, one of them changed at a time.

    Parameters
    ----------
    limits : list of Criterion
    frames : list of mapping of str to float or None
        Values of each frame that has an image.

    Returns
    -------
    list of WhatIf
        The most tolerant limits first.
    """
    found = []
    for place, limit in enumerate(limits):
        trials = []
        for times in TRIALS:
            value = limit.limit / times if limit.is_least else limit.limit * times
            if value > limit.highest:
                continue
            tried = replace(limit, limit=round(value) if limit.digits == 0 else value)
            others = [*limits[:place], tried, *limits[place + 1 :]]
            count = sum((nearest(others, values) or 0) >= 0 for values in frames)
            trials.append((tried.shown(tried.limit), count, times == 1))
        found.append(WhatIf(limit, trials))
    return found
