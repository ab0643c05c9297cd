"""Loops over pixels, compiled."""

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

from numba import config, njit

Function = TypeVar("Function", bound=Callable[..., Any])

IMPORT = re.compile(r"\bscripts\.lightstack(?:\.| import )(\w+)")


def compiled(function: Function) -> Function:
    """Compile with Numba, without the GIL, and keep the machine code on disk.

    Sums keep the order that the code gives them and products are not fused into them, so that
    every processor computes the same bytes.
    """
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
    folder = _folder_for(Path(function.__code__.co_filename))
    if folder is None:
        return cast("Function", njit(**options)(function))
    before, config.CACHE_DIR = config.CACHE_DIR, str(folder)  # type: ignore[attr-defined]
    try:
        return cast("Function", njit(cache=True, **options)(function))
    finally:
        config.CACHE_DIR = before  # type: ignore[attr-defined]


@cache
def _folder_for(module: Path) -> Path | None:
    """Folder for machine code, another for each version of a module and of all that it imports.

    Numba itself looks at the module alone, but what is compiled has the constants and functions
    of others in it.
    """
    code = "\n".join(path.read_text("utf-8") for path in _reached(module))
    name = f"compiled-{hashlib.sha256(code.encode()).hexdigest()[:12]}"
    for parent in _places(module):
        with suppress(OSError):
            (parent / name).mkdir(parents=True, exist_ok=True)
        if os.access(parent / name, os.W_OK):
            return parent / name
    return None


def _reached(module: Path) -> list[Path]:
    """List a module and those of its folder that it imports, directly or not."""
    reached = [module]
    for path in reached:
        imported = (
            path.with_name(f"{name}.py") for name in IMPORT.findall(path.read_text("utf-8"))
        )
        reached += [
            found for found in dict.fromkeys(imported) if found.exists() and found not in reached
        ]
    return reached


def _places(module: Path) -> Iterator[Path]:
    """Name the folders for machine code: the user's wish, the checkout's, the home's."""
    if wished := os.environ.get("NUMBA_CACHE_DIR"):
        yield Path(wished)
    yield module.parent / "__pycache__"
    with suppress(RuntimeError):  # nobody's home
        yield Path.home() / ".cache" / "lightstack"
