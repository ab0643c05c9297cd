"""Finished runs of other folders, whose frames a run over nights takes up where they lie.

Nothing is copied from there, and nothing written there. What a night has made is known from the
plan that its last run has left, and believed only if the records of that run agree.
"""

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from scripts.lightstack.files.records import read_json
from scripts.lightstack.planning.checks import check_apart
from scripts.lightstack.planning.frames import find_frames, problem_of_name
from scripts.lightstack.planning.layout import (
    CLEANED,
    COLOURS,
    PLAN,
    QUALITY,
    SOURCES,
    WORK,
    filled,
)
from scripts.lightstack.planning.recipes import PER_FRAME, settings_of_frames
from scripts.lightstack.planning.recovery import has_stopped, is_locked, is_made_by
from scripts.lightstack.planning.settings import SettingsError
from scripts.lightstack.telling import listed

NEEDED = {CLEANED: "subtract_background", SOURCES: "detect_sources", QUALITY: "grade_frame"}
"""What is read of each frame of a night, and the rule that has made it."""

NEEDED_IN_COLOUR = {**NEEDED, COLOURS: "clean_colours"}
"""The same where stacks have colours."""

MOST_NAMED = 3
"""Nights of a kind that are told of by name."""


@dataclass(frozen=True)
class Night:
    """A finished run.

    Parameters
    ----------
    name : str
        What its frames are told apart by from those of other nights.
    folder : str
        Folder of the run, as it is given.
    run, code, settings, frames, refused, left_out, inventory, ledger, recipes
        As in `plan.Plan`, of its last run.
    """

    name: str
    folder: str
    run: str
    code: str
    settings: dict[str, Any]
    frames: dict[str, str]
    refused: dict[str, str]
    left_out: dict[str, str]
    inventory: list[dict[str, Any]]
    ledger: dict[str, dict[str, str]]
    recipes: dict[str, dict[str, str]]

    def named(self, frame: str) -> str:
        """Name of one of its frames in a run over nights."""
        return f"{self.name}/{frame}"

    def path(self, pattern: str, frame: str) -> str:
        """Where a file of one of its frames lies."""
        return os.path.join(self.folder, filled(pattern, frame=frame))


def read_nights(settings: Mapping[str, Any]) -> list[Night]:
    """Read what the runs over which another goes have made.

    Parameters
    ----------
    settings : dict
        As `complete_settings` returns them.

    Returns
    -------
    list of Night
        In the order in which they are given.

    Raises
    ------
    SettingsError
        With a line for each folder that is none, has no finished run, or is no place for one.
    """
    folders = settings["nights"]
    problems = list(filter(None, map(_missing, folders)))
    if not problems:
        _check_places(settings)
        nights = {}
        for name, folder in zip(names_of(folders), folders, strict=True):
            try:
                nights[folder] = _read(name, folder, in_colour=settings["color"] != "gray")
            except SettingsError as error:
                problems.append(f"nights: {error}")
    if problems:
        raise SettingsError("\n".join(problems))
    return list(nights.values())


def common_settings(nights: Sequence[Night], given: Mapping[str, Any]) -> dict[str, Any]:
    """Find the settings with which the frames of all nights were made.

    Parameters
    ----------
    nights : sequence of Night
    given : dict
        Settings of the run over them, as far as they are given.

    Returns
    -------
    dict
        Those of `settings_of_frames` that the nights have.

    Raises
    ------
    SettingsError
        With a line for each that differs, with its values and the nights that have them.
    """
    common, problems = {}, []
    for key in settings_of_frames():
        values: list[tuple[Any, list[str]]] = []
        found = [(night.settings[key], night.folder) for night in nights if key in night.settings]
        found += [(given[key], "this run")] if key in given else []
        for value, where in found:
            same = next((places for known, places in values if known == value), None)
            if same is None:
                values.append((value, [where]))
            else:
                same.append(where)
        if len(values) > 1:
            told = "; ".join(
                f"{value} in {listed(places, MOST_NAMED)}" for value, places in values
            )
            problems.append(
                f"{key}: {told}. Frames are joined if they were made alike: run those nights "
                "again that differ" + (", or leave the setting out here." if key in given else ".")
            )
        elif values:
            common[key] = values[0][0]
    if problems:
        raise SettingsError("\n".join(problems))
    return common


def run_meanwhile(runs: Mapping[str, str]) -> str:
    """Say which nights were run again since they were read.

    Parameters
    ----------
    runs : mapping of str to str
        The last run of each night, by its folder, when it was read.

    Returns
    -------
    str
        A sentence, or an empty string.
    """
    again = []
    for folder, run in runs.items():
        try:
            is_same = read_json(Path(folder, PLAN))["run"] == run
        except (OSError, ValueError, KeyError, TypeError):
            is_same = False
        if not is_same or is_locked(folder):
            again.append(folder)
    if not again:
        return ""
    return (
        f"{listed(again, MOST_NAMED)}: run again while its frames were stacked, which may be of "
        "either run. Run this again when it is done."
    )


def names_of(folders: Sequence[str]) -> list[str]:
    """Name nights by the ends of their paths, as much of each as tells them apart."""
    parts = [Path(os.path.abspath(folder)).parts[1:] for folder in folders]
    for depth in range(1, max(map(len, parts), default=0)):
        if len({each[-depth:] for each in parts}) == len(parts):
            return ["/".join(each[-depth:]) for each in parts]
    return ["/".join(each) for each in parts]


def _missing(folder: str) -> str:
    if Path(folder).is_dir():
        return ""
    return f"nights: there is no folder {folder} in {Path.cwd()}."


def _check_places(settings: Mapping[str, Any]) -> None:
    """Refuse nights that are one folder, or in the way of this run's own files."""
    places: dict[Path, str] = {}
    for night in settings["nights"]:
        other = places.setdefault(Path(night).resolve(), night)
        if other != night:
            raise SettingsError(f"nights: {other} and {night} are the same folder.")
    for folder, night in places.items():
        if outer := next((places[parent] for parent in folder.parents if parent in places), ""):
            raise SettingsError(f"nights: {night} lies inside {outer}.")
        if folder == Path.cwd().resolve():
            raise SettingsError(
                f"nights: {night} is the folder of this run. Give the run over nights a folder of "
                "its own."
            )
        check_apart("nights", folder, "the working files in", Path(WORK))
        check_apart("nights", folder, "results_dir", Path(settings["results_dir"]))
    if find_frames(settings["input_dir"]).names:
        raise SettingsError(
            f"nights: there are frames below {settings['input_dir']} as well, and a run over "
            "nights has none of its own. Give them a folder and a run of their own, and name it "
            "in nights."
        )


def _read(name: str, folder: str, *, in_colour: bool) -> Night:
    """Read the plan of a night, and see whether it was carried out."""
    try:
        found = read_json(Path(folder, PLAN))
    except FileNotFoundError:
        raise SettingsError(
            f"{folder} has no run that could be joined (no {PLAN}). {_advice(folder)}"
        ) from None
    except (ValueError, RecursionError):
        raise SettingsError(f"{folder}/{PLAN} cannot be read: run that night again.") from None
    if isinstance(found, dict) and found.get("joined"):
        raise SettingsError(f"{folder} is itself a run over nights: name those in its place.")
    try:
        night = _night(name, folder, found)
    except (KeyError, TypeError, ValueError):
        raise SettingsError(
            f"{folder}/{PLAN} is of another version of lightstack: run that night again with this "
            "one."
        ) from None
    for frame in night.frames:
        _check_name(night, frame)
    if in_colour and night.settings.get("color", "gray") == "gray":
        raise SettingsError(
            f"{folder} was run without colours, and color is not gray here. Run it again with "
            "color: rgb."
        )
    _check_finished(night, NEEDED_IN_COLOUR if in_colour else NEEDED)
    return night


def _night(name: str, folder: str, plan: dict[str, Any]) -> Night:
    """Take what is needed of a plan, if it has the form of one."""
    frames = _texts(plan["frames"])
    recipes = {rule: _texts(plan["recipes"][rule]) for rule in PER_FRAME}
    return Night(
        name,
        folder,
        _text(plan["run"]),
        _text(plan["code"]),
        dict(plan["settings"]),
        frames,
        _texts(plan["refused"]),
        _texts(plan["left_out"]),
        [{**row, "file": _text(row["file"])} for row in plan["inventory"]],
        {frame: _texts(facts) for frame, facts in dict(plan["ledger"]).items()},
        {rule: {frame: known[frame] for frame in frames} for rule, known in recipes.items()},
    )


def _check_name(night: Night, frame: str) -> None:
    """Refuse what is no name of a frame: paths are made of it."""
    path = PurePosixPath(frame)
    is_below = path.as_posix() == frame and not path.is_absolute() and ".." not in path.parts
    if not is_below or problem_of_name(frame):
        raise SettingsError(f"{night.folder}/{PLAN} names a frame {frame!r}, which cannot be one.")


def _check_finished(night: Night, needed: Mapping[str, str]) -> None:
    """Refuse a night whose frames are not all as its last run has planned them."""
    if is_locked(night.folder):
        raise SettingsError(
            f"{night.folder} is at work. Wait until it is done; if it was killed, unlock it "
            f"({_command(night.folder)} --unlock) and run it again."
        )
    left = [
        filled(pattern, frame=frame)
        for frame in night.frames
        for pattern, rule in needed.items()
        if not is_made_by(night.folder, filled(pattern, frame=frame), night.recipes[rule][frame])
    ]
    if left or has_stopped(night.folder):
        named = f": {left[0]} is not as planned" if left else ""
        more = f", nor are {len(left) - 1} more" if len(left) > 1 else ""
        raise SettingsError(
            f"{night.folder} is not finished{named}{more}. {_advice(night.folder)}"
        )


def _advice(folder: str) -> str:
    return f"Run it first: {_command(folder)} --cores all"


def _command(folder: str) -> str:
    return f"snakemake --directory {shlex.quote(folder)}"


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _texts(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        raise TypeError
    return {key: _text(text) for key, text in value.items()}
