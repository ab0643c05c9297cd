"""What a tuning found, in words."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scripts.lightstack.detection.tuning import ROOM, Trial
from scripts.lightstack.files.records import read_csv
from scripts.lightstack.telling import counted

COLUMNS = (
    *("frame", "threshold_sigma", "minarea"),
    *("n_stars", "n_false", "fwhm_px", "ellipticity", "suggested"),
)


def advice_of(set_now: Trial, chosen: Trial | None, min_star_count: int) -> list[str]:
    """Say in a few lines which settings find enough stars.

    Parameters
    ----------
    set_now, chosen : Trial
        What is found with the settings as they are, and with those that are suggested.
    min_star_count : int
        Stars that every frame must show.

    Returns
    -------
    list of str
        Lines to print.
    """
    own = f"threshold_sigma={set_now.threshold_sigma:g} minarea={set_now.minarea}"
    lines = [f"As set, {own}: {counted(round(set_now.n_stars), 'star')}"]
    wish = f"{ROOM:g} x min_star_count {min_star_count}"
    if chosen is None:
        return [*lines, "No settings find stars that are not noise: look at the frame."]
    settings = f"threshold_sigma={chosen.threshold_sigma:g} minarea={chosen.minarea}"
    if chosen == set_now and chosen.n_stars >= ROOM * min_star_count:
        return [f"{lines[0]}, which is enough for min_star_count={min_star_count}"]
    if chosen.n_stars >= ROOM * min_star_count:
        return [*lines, f"For {wish}:", f"  --config {settings}", f"  finds {chosen.n_stars:.0f}"]
    count = max(1, math.floor(chosen.n_stars / ROOM))
    return [
        *lines,
        f"No settings find {wish} without noise.",
        f"  --config {settings} min_star_count={count}",
        f"  finds {chosen.n_stars:.0f}, and accepts frames with half of them",
    ]


def tuning(table: str, picture: str, settings: Mapping[str, Any]) -> list[str]:
    """Tell at the end of a run what a tuning found.

    Parameters
    ----------
    table, picture : str
        What `tune` wrote.
    settings : mapping of str to object
        All settings.

    Returns
    -------
    list of str
        Lines to print.
    """
    rows = read_csv(Path(table))
    own = (settings["threshold_sigma"], settings["minarea"])
    trials = [_trial(row) for row in rows]
    set_now = next(trial for trial in trials if (trial.threshold_sigma, trial.minarea) == own)
    pairs = zip(trials, rows, strict=True)
    chosen = next((trial for trial, row in pairs if row["suggested"]), None)
    lines = advice_of(set_now, chosen, settings["min_star_count"])
    return [*lines, f"Picture: {Path(picture).resolve()}"]


def _trial(row: dict[str, str]) -> Trial:
    numbers = (float(row[name] or "nan") for name in COLUMNS[3:7])
    return Trial(float(row["threshold_sigma"]), int(row["minarea"]), *numbers)
