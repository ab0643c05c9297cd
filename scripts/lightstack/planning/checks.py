"""Settings against the files that are there: runs that cannot be are refused before any job."""

import difflib
import os
from collections import Counter
from itertools import chain, combinations
from pathlib import Path
from typing import Any

from scripts.lightstack.files.output_folder import files_of_others
from scripts.lightstack.planning.frames import RANKS, Frames, frame_name
from scripts.lightstack.planning.layout import LOGS, WORK
from scripts.lightstack.planning.settings import (
    FOLDERS,
    RAW_FOLDERS,
    SettingsError,
    complete_settings,
    shown,
)
from scripts.lightstack.planning.uses import Uses
from scripts.lightstack.raw.names import is_hidden
from scripts.lightstack.raw.roles import LIGHT, role_by_folder


def check_folders(settings: dict[str, Any], frames: Frames) -> None:
    """Refuse folders that are missing or would overwrite or swallow each other.

    Parameters
    ----------
    settings : dict
        As `complete_settings` returns them.
    frames : Frames
        What was found in the input folder.

    Raises
    ------
    SettingsError
        With a sentence that names the folder and what to change.
    """
    source = Path(settings["input_dir"])
    if not source.is_dir():
        raise SettingsError(_no_input(source, {settings[key] for key in FOLDERS}))
    for folder in (settings["output_dir"], settings["results_dir"], WORK, LOGS):
        if os.path.lexists(folder) and not Path(folder).is_dir():
            raise SettingsError(f"{folder} is no folder: move or remove it.")
    for key in ("output_dir", "results_dir"):
        for raw in RAW_FOLDERS:
            check_apart(key, Path(settings[key]), raw, Path(settings[raw]))
        check_apart(key, Path(settings[key]), "the working files in", Path(WORK))
    check_apart(
        "output_dir", Path(settings["output_dir"]), "results_dir", Path(settings["results_dir"])
    )
    check_apart("input_dir", source, "the working files in", Path(WORK))
    for other, key in combinations(RAW_FOLDERS, 2):
        check_apart(key, Path(settings[key]), other, Path(settings[other]))
    strangers = files_of_others(Path(settings["output_dir"]))
    if strangers:
        raise SettingsError(
            f"output_dir: {settings['output_dir']} holds files that the workflow did not write "
            f"({', '.join(strangers[:3])}{', …' if len(strangers) > 3 else ''}). They are left "
            "alone: move them, or set output_dir to another folder."
        )
    if not frames.names:
        kinds = ", ".join(f"{count} {kind}" for kind, count in frames.unread.items())
        raise SettingsError(
            f"input_dir: no frame below {source} (looked for {' '.join(chain(*RANKS))})."
            + (f" Files there that lightstack cannot read: {kinds}." if kinds else "")
        )


def _no_input(source: Path, known: set[str]) -> str:
    """Say that there is no folder of lights, and which may be meant: none that is known."""
    here = Path.cwd()
    place = str(source) if source.is_absolute() else f"{source} in {here}"
    wrong = f"{place} is no folder" if source.exists() else f"there is no folder {place}"
    if here.name == source.name and _has_frames(here):
        return f"input_dir: {wrong}. The night is the folder above: --directory {here.parent}"
    others = (path for path in sorted(here.iterdir()) if path.is_dir() and _has_frames(path))
    names = (path.name for path in others if path.name not in known)
    meant = next(filter(_may_hold_lights, names), None)
    example = f"to the folder of your frames: --config input_dir={meant or 'my_night'}"
    return f"input_dir: {wrong}. Put your frames into a folder of that name, or set it {example}"


def _may_hold_lights(folder: str) -> bool:
    """Whether a folder is neither hidden nor called one of darks, bias frames or flats."""
    return not is_hidden(folder) and role_by_folder(Path(folder, "frame")) in (None, LIGHT)


def _has_frames(folder: Path) -> bool:
    """Whether what may be frames lies in a folder itself."""
    try:
        return any(frame_name(Path(path.name)) is not None for path in folder.iterdir())
    except OSError:
        return False


def missing_folders(settings: dict[str, Any]) -> list[str]:
    """Tell of folders that a person has named and that are not there.

    Parameters
    ----------
    settings : dict
        As `complete_settings` returns them.

    Returns
    -------
    list of str
        A sentence for each folder of darks, bias frames or flats that is not the default one.
    """
    defaults = complete_settings({})
    return [
        f"{key}: there is no folder {settings[key]}, so nothing is taken from it."
        for key in RAW_FOLDERS
        if settings[key] != defaults[key] and not Path(settings[key]).is_dir()
    ]


def check_lights(settings: dict[str, Any], uses: Uses) -> None:
    """Refuse an input folder whose files are all something else than lights.

    Parameters
    ----------
    settings : dict
        As `complete_settings` returns them.
    uses : Uses
        What each file is used as.

    Raises
    ------
    SettingsError
        With a sentence that says what the files are, or that none has colours.
    """
    if not uses.frames.names:
        found = Counter(uses.roles.values())
        named = ", ".join(f"{count} of the kind {role}" for role, count in sorted(found.items()))
        raise SettingsError(
            f"input_dir: no light below {settings['input_dir']}; by their headers and folders, "
            f"the files are {named}. If they are lights, correct IMAGETYP (or FRAME, OBSTYPE) in "
            "their headers, or name their folders otherwise."
        )
    if settings["color"] != "gray" and not uses.frames.paths:
        raise SettingsError(
            f"color: no light below {settings['input_dir']} has colours (three planes, or "
            "BAYERPAT in its header). Set color to gray; or if the camera is a colour camera, "
            "write its pattern into the headers of lights, darks and flats, such as "
            "BAYERPAT = 'RGGB'."
        )


def check_reference(reference: str, frames: Frames) -> None:
    """Refuse a reference that is no frame of the run, before a run ends for it.

    Raises
    ------
    SettingsError
        With a sentence that names the closest frames, or says why the frame has no pixels.
    """
    if reference in ("first", "best", *frames.paths):
        return
    near = difflib.get_close_matches(reference, frames.names, n=3)
    hint = f" (did you mean {' or '.join(near)}?)" if near else ""
    cause = frames.refused.get(reference, f"there is no frame {shown(reference)}{hint}.")
    raise SettingsError(f"reference: {cause} Set it to first, best or the name of a frame.")


def check_apart(key: str, folder: Path, other_key: str, other: Path) -> None:
    """Refuse two folders of which one is inside the other.

    Raises
    ------
    SettingsError
        With a sentence that names both with their settings.
    """
    first, second = folder.resolve(), other.resolve()
    if first == second or first in second.parents or second in first.parents:
        raise SettingsError(
            f"{key}: {folder} and {other_key} {other} must be separate folders, neither inside "
            "the other."
        )
