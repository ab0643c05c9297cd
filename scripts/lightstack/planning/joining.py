"""How the plan of a run over nights is made: all frames are there, and only stacked together."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.lightstack.order import natural_order
from scripts.lightstack.planning.calibration_choice import Calibration
from scripts.lightstack.planning.checks import check_reference
from scripts.lightstack.planning.frames import Frames
from scripts.lightstack.planning.groups import Groups, cards_of, group_frames, told
from scripts.lightstack.planning.layout import CLEANED, EXPOSURES, filled
from scripts.lightstack.planning.looks import Looks
from scripts.lightstack.planning.nights import (
    MOST_NAMED,
    NEEDED,
    Night,
    common_settings,
    read_nights,
)
from scripts.lightstack.planning.plan import Plan
from scripts.lightstack.planning.recipes import PER_FRAME, Recipes, code_of_frames
from scripts.lightstack.planning.settings import complete_settings
from scripts.lightstack.raw.exposure import Exposure
from scripts.lightstack.telling import counted, listed


def join_nights(config: dict[str, Any]) -> tuple[Plan, list[str], dict[str, str]]:
    """Read what the nights have made, and plan a stack of all their frames.

    Parameters
    ----------
    config : dict
        The settings that were given, ``nights`` among them.

    Returns
    -------
    Plan
        For the rules.
    list of str
        What there is, in a few lines.
    dict of str to str
        The last run of each night, by its folder.

    Raises
    ------
    SettingsError, ValueError
        With a sentence, if settings and nights do not make a run.
    """
    nights = read_nights(complete_settings(config))
    settings = complete_settings({**common_settings(nights, config), **config})
    joined = _in_order(
        {night.named(frame): [night.folder, frame] for night in nights for frame in night.frames}
    )
    frames = Frames(
        {
            frame: os.path.join(folder, filled(CLEANED, frame=name))
            for frame, (folder, name) in joined.items()
        },
        _of_all(nights, "refused"),
    )
    check_reference(settings["reference"], frames)
    recipes_of = {
        rule: {
            night.named(frame): recipe
            for night in nights
            for frame, recipe in night.recipes[rule].items()
        }
        for rule in PER_FRAME
    }
    # A cleaned frame has the cards of its raw file, and changes whenever its recipe does.
    looks = Looks(
        {path: recipes_of[NEEDED[CLEANED]][frame] for frame, path in frames.paths.items()},
        Path(EXPOSURES),
        cards_of(settings["group_by"]),
    )
    known = {path: looks.exposure(path) for path in frames.paths.values()}
    groups = group_frames(
        frames.paths,
        known,
        looks.cards,
        group_by=settings["group_by"],
        align_by=settings["align_by"],
    )
    looks.keep()
    recipes = Recipes(
        settings,
        frames=frames,
        left_out=_of_all(nights, "left_out"),
        contents={},
        calibration=Calibration(),
        turned=set(),
        inventory=_inventory(nights, groups),
        groups=groups,
        facts=_ledger(nights, groups),
        joined=recipes_of,
    )
    sizes = [Path(path).stat().st_size / 1e6 for path in frames.paths.values()]
    plan = recipes.plan(sizes, joined=joined)
    found, of = counted(len(frames.names), "light"), counted(len(nights), "night")
    lines = [
        f"Found {found} of {of}, as their own runs left them.",
        *told(groups, frames.paths, known),
        *_warnings(nights, known),
    ]
    return plan, lines, {night.folder: night.run for night in nights}


def _in_order(frames: Mapping[str, Any]) -> dict[str, Any]:
    return {frame: frames[frame] for frame in sorted(frames, key=natural_order)}


def _of_all(nights: Sequence[Night], field: str) -> dict[str, str]:
    """Collect what is told of some frames of each night."""
    return {
        night.named(frame): text
        for night in nights
        for frame, text in getattr(night, field).items()
    }


def _inventory(nights: Sequence[Night], groups: Groups) -> list[dict[str, Any]]:
    """Take the rows of all nights, each file with its path from here."""
    rows = []
    for night in nights:
        frame_of = {path: night.named(frame) for frame, path in night.frames.items()}
        rows += [
            {
                **row,
                "file": os.path.join(night.folder, row["file"]),
                "group": groups.of_frame.get(frame_of.get(row["file"], "")),
            }
            for row in night.inventory
        ]
    return rows


def _ledger(nights: Sequence[Night], groups: Groups) -> dict[str, dict[str, str]]:
    """Take what the headers of frames told each night, with the groups of this run."""
    facts = {}
    for night in nights:
        for frame, stated in night.ledger.items():
            name = night.named(frame)
            group = groups.of_frame.get(name)
            known = {"group": group, **{key: stated.get(key) for key in ("filter", "object")}}
            facts[name] = {key: text for key, text in known.items() if text}
    return facts


def _warnings(nights: Sequence[Night], known: Mapping[str, Exposure | str]) -> list[str]:
    """Tell of nights whose frames are made in another way than those of the others."""
    lines = []
    if others := [night.folder for night in nights if night.code != code_of_frames()]:
        lines.append(
            f"{listed(others, MOST_NAMED)}: made by another version of lightstack or of its "
            "libraries, and used as it is. To have it made anew, run it again."
        )
    orders = {
        night.folder: seen.orientation
        for night in nights
        for frame in night.frames
        if isinstance(seen := known[night.path(CLEANED, frame)], Exposure) and seen.orientation
    }
    if len(counts := Counter(orders.values())) > 1:
        most = counts.most_common(1)[0][0]
        turned = [folder for folder, order in orders.items() if order != most]
        lines.append(
            f"{listed(turned, MOST_NAMED)}: by ROWORDER, rows run the other way than those of "
            "most nights; mirrored frames cannot be aligned. Stack all frames in one run, which "
            "turns them."
        )
    return lines
