"""The settings of a run: where they stand, defaults, bounds, and one sentence per mistake."""

import contextlib
import difflib
import math
import os
import re
import reprlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from scripts.lightstack.modules import ROOT

SCHEMA = ROOT / "config" / "schema.yaml"

QUOTES = "'\""

CONFIGURATION = "config/config.yaml"

RAW_FOLDERS = ("input_dir", "darkfield_dir", "bias_dir", "flat_dir")
"""Folders of lights and of what calibrates them."""

LIKE_SETTINGS = re.compile(r"(?:config|settings)\.ya?ml(?:\.txt)?", re.IGNORECASE)
"""Names that people, and the editors that they use, give to their settings."""

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
        text = path.read_bytes().decode()
        content = _Loader(text).get_single_data()
    except OSError as error:
        raise WorkflowError(f"{path}: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise WorkflowError(f"{path}: not a text in UTF-8.") from None
    except yaml.MarkedYAMLError as error:
        # A key without a colon ends, for the parser, where the next line begins.
        lacks_colon = error.context == "while scanning a simple key"
        mark = error.context_mark if lacks_colon else error.problem_mark
        line = "" if mark is None else f", line {mark.line + 1}"
        if odd := _line_without_colon(text):
            raise WorkflowError(
                f"{path}, line {odd}: no setting: write it as in 'min_star_count: 200', with a "
                "colon and a space."
            ) from None
        raise WorkflowError(f"{path}{line}: not valid YAML: {error.problem}.") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        cause = str(error).partition("\n")[0]
        raise WorkflowError(f"{path}: not valid YAML: {cause}.") from None
    if content is not None and not isinstance(content, dict):
        raise WorkflowError(
            f"{path}: expected lines such as 'min_star_count: 200', found "
            f"{'a list' if isinstance(content, list) else shown(content)}."
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
    known = [Path(path).resolve() for path in (*read, CONFIGURATION)]
    folders = [Path(), *(path for path in Path().iterdir() if path.name.lower() == "config")]
    for path in sorted(path for folder in folders if folder.is_dir() for path in folder.iterdir()):
        if LIKE_SETTINGS.fullmatch(path.name) and path.is_file() and path.resolve() not in known:
            return (
                f"{path} is not read: name it {CONFIGURATION}, or add --configfile {path} to the "
                "command."
            )
    return ""


def _line_without_colon(text: str) -> int:
    """Find the first line that begins as a setting does and has no colon and space; 0: none."""
    for number, line in enumerate(text.splitlines(), 1):
        if re.match(r"\w+\s*(?:=|:\S|\s-?\d)", line):
            return number
    return 0


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
            problems.append(f"{shown(key).strip(QUOTES)}: there is no such setting; {hint}")
        elif known[key].get("type") == "number" and _is_nan(value):
            problems.append(f"{key}: not a number.")
        elif key in (*FOLDERS, "nights"):
            problems += [
                f"{key}: {shown(folder)} has one of {{ }} < > or a control character."
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
            return f"{shown(value)} is not {kind}{advice}."
        case "minimum":
            return f"{shown(value)} is below the smallest legal value {error.validator_value}."
        case "exclusiveMinimum":
            return f"{shown(value)} must be above {error.validator_value}."
        case "maximum":
            return f"{shown(value)} is above the largest legal value {error.validator_value}."
        case "enum" | "pattern" if known := error.schema.get("enum", error.schema.get("examples")):
            return f"{shown(value)} is none of {', '.join(map(str, known))}."
        case _:
            return f"{error.message}."


def _advice(value: object, kind: str) -> str:
    """How to write what was probably meant."""
    if kind == "text" and isinstance(value, int | float):
        return ": write it in quotes"
    if kind == "a list" and isinstance(value, str):
        return f": write it as [{value}]"
    if kind in ("a number", "an integer") and isinstance(value, str):
        with contextlib.suppress(ValueError):
            share = 100 if value.endswith("%") else 1
            meant = float(value.removesuffix("%").replace(",", ".")) / share
            return f", but text to YAML: write it as {meant:g}"
    return ""


def shown(value: object) -> str:
    """Write a value for a sentence: on one line and of bounded length."""
    short = reprlib.Repr()
    short.maxstring = short.maxother = 80
    return short.repr(value)
