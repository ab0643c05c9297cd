"""The settings of a run: defaults, checks, and one sentence per mistake."""

import difflib
import os
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from scripts.lightstack.frames import Frames
from scripts.lightstack.output_folder import files_of_others

SCHEMA = Path(__file__).parents[2] / "config" / "schema.yaml"

WORK_DIR = "work"


class SettingsError(Exception):
    """All that is wrong with the settings, a line each."""


def complete_settings(given: dict[str, Any]) -> dict[str, Any]:
    """Check settings against the schema and fill in the defaults.

    Parameters
    ----------
    given : dict
        Keys and values from the configuration files and the command line.

    Returns
    -------
    dict
        A value for each key of the schema; folders without a trailing slash or ``./``.

    Raises
    ------
    SettingsError
        With a line for every unknown key, wrong type and value out of bounds.
    """
    import jsonschema

    problems = [
        f"{_path(error)}: {_sentence(error)}"
        for error in jsonschema.Draft202012Validator(schema()).iter_errors(given)
        if error.validator != "additionalProperties"
    ]
    known = schema()["properties"]
    for key in given:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"the keys are {', '.join(known)}."
            problems.append(f"{key}: there is no such setting; {hint}")
    if problems:
        raise SettingsError("\n".join(sorted(problems)))
    settings = {key: given.get(key, rules["default"]) for key, rules in known.items()}
    for key in ("input_dir", "output_dir", "darkfield_dir", "results_dir"):
        settings[key] = os.path.normpath(settings[key])
    return settings


@cache
def schema() -> dict[str, Any]:
    """JSON Schema of the settings."""
    content: dict[str, Any] = yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))
    return content


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
        raise SettingsError(
            f"input_dir: there is no folder {source} in {Path.cwd()}. Put your frames there, or "
            "set input_dir, for instance with --config input_dir=my_night"
        )
    for key in ("output_dir", "results_dir"):
        _check_apart(key, Path(settings[key]), "input_dir", source)
        _check_apart(key, Path(settings[key]), "darkfield_dir", Path(settings["darkfield_dir"]))
        _check_apart(key, Path(settings[key]), "the working files in", Path(WORK_DIR))
    _check_apart(
        "output_dir", Path(settings["output_dir"]), "results_dir", Path(settings["results_dir"])
    )
    _check_apart("input_dir", source, "the working files in", Path(WORK_DIR))
    strangers = files_of_others(Path(settings["output_dir"]))
    if strangers:
        raise SettingsError(
            f"output_dir: {settings['output_dir']} holds files that the workflow did not write "
            f"({', '.join(strangers[:3])}{', …' if len(strangers) > 3 else ''}). They are left "
            "alone: move them, or set output_dir to another folder."
        )
    if not frames.names:
        raise SettingsError(
            f"input_dir: no frame below {source} (looked for .fits .fit .fts, also with .gz or "
            ".fz, .png .jpg .jpeg .tif .tiff)."
        )


def _check_apart(key: str, folder: Path, other_key: str, other: Path) -> None:
    first, second = folder.resolve(), other.resolve()
    if first == second or first in second.parents or second in first.parents:
        raise SettingsError(
            f"{key}: {folder} and {other_key} {other} must be separate folders, neither inside "
            "the other."
        )


def _path(error: Any) -> str:
    return ".".join(map(str, error.absolute_path)) or "settings"


def _sentence(error: Any) -> str:
    value = error.instance
    match error.validator:
        case "type":
            kind = error.validator_value
            return f"{value!r} is not {'an' if kind[0] in 'aio' else 'a'} {kind}."
        case "minimum":
            return f"{value} is below the smallest legal value {error.validator_value}."
        case "exclusiveMinimum":
            return f"{value} must be above {error.validator_value}."
        case "maximum":
            return f"{value} is above the largest legal value {error.validator_value}."
        case "enum":
            return f"{value!r} is none of {', '.join(map(str, error.validator_value))}."
        case _:
            return f"{error.message}."
