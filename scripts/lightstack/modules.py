"""Which modules of this checkout a file uses, and what their code is.

Recipes and machine code depend on the code of a script or module and of all that it imports,
directly or not, and on the templates beside them. Comments, docstrings and the place of the
checkout have no part in it. What a file
says is kept on disk by its contents, as Python keeps bytecode: most runs parse nothing.
"""

import ast
import hashlib
import json
import os
import sys
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

from scripts.lightstack.caches import places

ROOT = Path(__file__).parents[2]

Code = tuple[str, list[str]]
"""SHA-256 of a file's code, and the names of what it imports."""


def reached(file: Path) -> list[Path]:
    """List a file and all modules of this checkout that it imports, directly or not, in order."""
    found: set[Path] = set()
    ahead = [file]
    while ahead:
        path = ahead.pop()
        if path not in found:
            found.add(path)
            ahead += parsed(path)[1]
    return sorted(found)


def code_of(file: Path) -> str:
    """Give the SHA-256 of the code of a file and of all modules here that it imports."""
    lines = []
    for path in reached(file):
        lines.append(f"{path.relative_to(ROOT).as_posix()} {parsed(path)[0]}")
        lines += [hashlib.sha256(other.read_bytes()).hexdigest() for other in _companions(path)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


@cache
def parsed(path: Path) -> tuple[str, tuple[Path, ...]]:
    """Give the SHA-256 of a file's code without comments, and the modules here that it imports."""
    content = path.read_bytes()
    key = hashlib.sha256(content).hexdigest()
    known = _known()
    if key not in known:
        known[key] = _parse(content)
        _keep(known)
    code, names = known[key]
    return code, tuple(file for name in names if (file := _local_module(ROOT, name)))


def _companions(path: Path) -> list[Path]:
    """List the files of a module's name that are no Python: its templates."""
    others = (path.with_suffix(suffix) for suffix in (".css", ".html", ".js"))
    return [other for other in others if other.is_file()]


def _parse(content: bytes) -> Code:
    tree = ast.parse(content)
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        body = getattr(node, "body", None)
        if isinstance(body, list):
            body[:] = [statement for statement in body if not _is_text(statement)]
    return hashlib.sha256(ast.unparse(tree).encode()).hexdigest(), names


def _is_text(node: ast.stmt) -> bool:
    """Whether a statement is a docstring, be it of a module, a function or a constant."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


@cache
def _local_module(root: Path, name: str) -> Path | None:
    path = root.joinpath(*name.split("."))
    return next(
        (file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None
    )


MOST_KEPT = 1000
"""Versions of files to keep before all is forgotten: some twenty of each."""


@cache
def _parser() -> str:
    """Identify what codes depend on beside the contents: this file, and Python's parser."""
    return hashlib.sha256(Path(__file__).read_bytes() + sys.version.encode()).hexdigest()


@cache
def _known() -> dict[str, Code]:
    """Read the codes that are kept, by the SHA-256 of the file's contents."""
    for place in places():
        with suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
            kept = json.loads((place / "codes.json").read_bytes())
            if kept["parser"] == _parser() and len(kept["codes"]) <= MOST_KEPT:
                return {
                    key: (str(code), [str(name) for name in names])
                    for key, (code, names) in kept["codes"].items()
                }
    return {}


def _keep(codes: dict[str, Code]) -> None:
    text = json.dumps({"parser": _parser(), "codes": codes})
    for place in places():
        with suppress(OSError):
            place.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(dir=place, prefix=".codes.")
            try:
                with os.fdopen(descriptor, "w") as file:
                    file.write(text)
                Path(name).replace(place / "codes.json")
            except OSError:
                Path(name).unlink()
                raise
            return
