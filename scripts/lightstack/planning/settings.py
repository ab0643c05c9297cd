"""The settings of a run: defaults, checks, and one sentence per mistake."""

import contextlib
import difflib
import math
import os
import re
import reprlib
from collections import Counter
from collections.abc import Iterable
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import yaml

from scripts.lightstack.files.output_folder import files_of_others
from scripts.lightstack.modules import ROOT
from scripts.lightstack.planning.frames import Frames
from scripts.lightstack.planning.layout import WORK
from scripts.lightstack.planning.uses import Uses

SCHEMA = ROOT / "config" / "schema.yaml"

QUOTES = "'\""

CONFIGURATION = "config/config.yaml"

RAW_FOLDERS = ("input_dir", "darkfield_dir", "bias_dir", "flat_dir")
"""Folders of lights and of what calibrates them."""

SECTIONS = ("overscan_section", "trim_section")
"""Settings whose values look like lists."""

FOLDERS = (*RAW_FOLDERS, "output_dir", "results_dir")


class SettingsError(Exception):
    """All that is wrong with the settings, a line each."""


def has_settings(path: Path) -> bool:
    """Check that a configuration file can be read.

    Parameters
    ----------
    path : Path
        YAML file; it may be absent.

    Returns
    -------
    bool
        Whether there are settings in it.

    Raises
    ------
    snakemake.exceptions.WorkflowError
        With a sentence that names the file and the line if it is no YAML, states a key twice or
        has anything but keys and values.
    """
    from snakemake.exceptions import WorkflowError

    if not os.path.lexists(path):
        return False
    try:
        content = yaml.load(path.read_bytes().decode(), _Loader)  # noqa: S506 - a SafeLoader
    except OSError as error:
        raise WorkflowError(f"{path}: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise WorkflowError(f"{path}: not a text in UTF-8.") from None
    except yaml.MarkedYAMLError as error:
        line = "" if error.problem_mark is None else f", line {error.problem_mark.line + 1}"
        raise WorkflowError(f"{path}{line}: not valid YAML: {error.problem}.") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        cause = str(error).partition("\n")[0]
        raise WorkflowError(f"{path}: not valid YAML: {cause}.") from None
    if content is not None and not isinstance(content, dict):
        raise WorkflowError(
            f"{path}: expected lines such as 'min_star_count: 200', found "
            f"{'a list' if isinstance(content, list) else _shown(content)}."
        )
    return bool(content)


def unread_settings(read: Iterable[str | Path]) -> str:
    """Say that a file looks like the settings of the run and is not read.

    Parameters
    ----------
    read : iterable of path
        The configuration files that are read.

    Returns
    -------
    str
        A sentence, or an empty string.
    """
    known = [Path(path).resolve() for path in read]
    for name in ("config.yaml", "config.yml", "config/config.yml"):
        if Path(name).is_file() and Path(name).resolve() not in known:
            return (
                f"{name} is not read: name it {CONFIGURATION}, or add --configfile {name} to the "
                "command."
            )
    return ""


class _Loader(yaml.SafeLoader):
    """YAML that does not keep the last of two values for one key in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        first = {key.value: key for key in reversed(keys)}
        for key in keys:
            if first[key.value] is not key:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key.value} is set twice", key.start_mark
                )
        return super().construct_mapping(node, deep=deep)


def complete_settings(given: dict[str, Any]) -> dict[str, Any]:
    """Check settings against the schema and fill in the defaults.

    Parameters
    ----------
    given : dict
        Keys and values from the configuration files and the command line.

    Returns
    -------
    dict
        A value for each key of the schema; folders without a trailing slash or ``./``, and with
        the home folder in place of ``~``.

    Raises
    ------
    SettingsError
        With a line for every unknown key, wrong type and value out of bounds.
    """
    import jsonschema

    known = schema()["properties"]
    given = {key: _section(value) if key in SECTIONS else value for key, value in given.items()}
    given |= {
        key: _truth(value)
        for key, value in given.items()
        if known.get(key, {}).get("type") == "boolean"
    }
    problems = [
        f"{_path(error)}: {_sentence(error)}"
        for error in jsonschema.Draft202012Validator(schema()).iter_errors(given)
        if error.validator != "additionalProperties"
    ]
    for key, value in given.items():
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean {near[0]}?" if near else "config/README.md lists them all."
            problems.append(f"{_shown(key).strip(QUOTES)}: there is no such setting; {hint}")
        elif known[key].get("type") == "number" and _is_nan(value):
            problems.append(f"{key}: not a number.")
        elif key in (*FOLDERS, "nights"):
            problems += [
                f"{key}: {_shown(folder)} has one of {{ }} < > or a control character."
                for folder in (value if isinstance(value, list) else [value])
                if re.search(r"[{}<>\x00-\x1f]", str(folder))
            ]
    if problems:
        raise SettingsError("\n".join(sorted(set(problems))))
    settings = {key: given.get(key, rules["default"]) for key, rules in known.items()}
    for key, rules in known.items():
        if key in FOLDERS:
            settings[key] = _tidy(settings[key])
        elif key == "nights":
            settings[key] = [_tidy(folder) for folder in settings[key]]
        elif rules.get("type") == "integer":
            # 5.0 is an integer in JSON Schema, but not to the functions that get it.
            settings[key] = int(settings[key])
    return settings


def _truth(value: object) -> object:
    """Read true and false as YAML has them, which the command line gives as text."""
    return {"true": True, "false": False}.get(str(value).lower(), value)


def _tidy(folder: str) -> str:
    return os.path.normpath(os.path.expanduser(folder))  # noqa: PTH111 - it never raises


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
        place = str(source) if source.is_absolute() else f"{source} in {Path.cwd()}"
        wrong = f"{place} is no folder" if source.exists() else f"there is no folder {place}"
        raise SettingsError(
            f"input_dir: {wrong}. Put your frames into a folder of that name, or set input_dir, "
            "for instance with --config input_dir=my_night"
        )
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
            f"input_dir: no frame below {source} (looked for .fits .fit .fts, also with .gz or "
            ".fz, .png .jpg .jpeg .tif .tiff)."
            + (f" Files there that lightstack cannot read: {kinds}." if kinds else "")
        )


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
    cause = frames.refused.get(reference, f"there is no frame {_shown(reference)}{hint}.")
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


def _section(value: object) -> object:
    """Write a section that YAML took for a list as the text that it was."""
    is_read = isinstance(value, list) and all(isinstance(part, str) for part in value)
    return f"[{','.join(value)}]" if isinstance(value, list) and is_read else value


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)


_KINDS = {
    "string": "text",
    "integer": "an integer",
    "number": "a number",
    "array": "a list",
    "boolean": "true or false",
}


def _path(error: Any) -> str:
    names = [name for name in error.absolute_path if isinstance(name, str)]
    return ".".join(names) or "settings"


def _sentence(error: Any) -> str:
    value = error.instance
    match error.validator:
        case "type":
            types = error.validator_value
            kind = _KINDS[types if isinstance(types, str) else types[0]]
            is_section = isinstance(value, list) and "examples" in error.schema
            advice = ": write it in quotes" if is_section else _advice(value, kind)
            return f"{_shown(value)} is not {kind}{advice}."
        case "minimum":
            return f"{_shown(value)} is below the smallest legal value {error.validator_value}."
        case "exclusiveMinimum":
            return f"{_shown(value)} must be above {error.validator_value}."
        case "maximum":
            return f"{_shown(value)} is above the largest legal value {error.validator_value}."
        case "enum" | "pattern" if known := error.schema.get("enum", error.schema.get("examples")):
            return f"{_shown(value)} is none of {', '.join(map(str, known))}."
        case _:
            return f"{error.message}."


def _advice(value: object, kind: str) -> str:
    """How to write what was probably meant."""
    if kind == "text" and isinstance(value, int | float):
        return ": write it in quotes"
    if kind == "a list" and isinstance(value, str):
        return f": write it as [{value}]"
    if kind == "a number" and isinstance(value, str):
        with contextlib.suppress(ValueError):
            return f", but text to YAML: write it as {float(value):g}"
    return ""


def _shown(value: object) -> str:
    """Write a value for a sentence: on one line and of bounded length."""
    short = reprlib.Repr()
    short.maxstring = short.maxother = 80
    return short.repr(value)
