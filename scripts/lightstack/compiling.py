"""Loops over pixels, compiled."""

import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

from numba import config, njit, types

from scripts.lightstack.caches import places
from scripts.lightstack.modules import code_of

Function = TypeVar("Function", bound=Callable[..., Any])

KEPT_S = 30 * 86400
"""How long machine code is kept after it was made, once newer code takes its place [s]."""


def compiled(function: Function) -> Function:
    """Compile with Numba, without the GIL, and keep the machine code on disk.

    Sums keep the order that the code gives them and products are not fused into them, so that
    every processor computes the same bytes.
    """
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
    folder = _folder_for(Path(function.__code__.co_filename))
    if folder is None:
        return cast("Function", _for_any_number(njit(**options)(function)))
    before, config.CACHE_DIR = config.CACHE_DIR, str(folder)
    try:
        return cast("Function", _for_any_number(njit(cache=True, **options)(function)))
    finally:
        config.CACHE_DIR = before


def _for_any_number(dispatcher: Any) -> Any:
    """Take a number in a compiled caller's code for what a variable holds.

    Numba would compile the function once for ``f(0)``, also where a loop begins with 0, and once
    more for other numbers.
    """
    resolve = dispatcher.get_call_template
    of_any: Callable[[Any], Any] = types.unliteral

    def resolve_for_any(args: tuple[Any, ...], kws: dict[str, Any]) -> Any:
        return resolve(tuple(map(of_any, args)), {k: of_any(kws[k]) for k in kws})

    dispatcher.get_call_template = resolve_for_any
    return dispatcher


def inlined(function: Function) -> Function:
    """Compile as a part of each compiled function that calls it.

    Small steps inside a loop can so have a name, and the loop still work on many pixels at a time.
    """
    return cast("Function", njit(inline="always", error_model="numpy")(function))


@inlined
def copy_line(line: Any, into: Any) -> None:
    """Copy the values of one line into another of the same length.

    Of an assignment to a slice, Numba also compiles what words an error about unequal shapes: two
    seconds for each function with one.
    """
    for k in range(into.size):
        into[k] = line[k]


@cache
def _folder_for(module: Path) -> Path | None:
    """Folder for machine code, another for each version of a module and of all that it imports.

    Numba itself looks at the module alone, but what is compiled has the constants and functions
    of others in it.
    """
    for place in places():
        folder = place / f"compiled-{module.stem}-{code_of(module)[:12]}"
        if folder.is_dir() and os.access(folder, os.W_OK):
            return folder
        with suppress(OSError):
            folder.mkdir(parents=True)
            _discard_outdated(place)
            return folder
    return None


def _discard_outdated(place: Path) -> None:
    """Remove machine code that nobody has made anew for long: its modules have changed since."""
    for folder in place.glob("compiled-*"):
        with suppress(OSError):
            if time.time() - folder.stat().st_mtime > KEPT_S:
                shutil.rmtree(folder)
