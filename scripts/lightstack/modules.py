"""Which modules of this checkout a file uses, and what their code is.

Recipes and machine code depend on the code of a script or module and of all that it imports,
directly or not. Comments, docstrings and the place of the checkout have no part in it.
"""

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]


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


@cache
def parsed(path: Path) -> tuple[str, tuple[Path, ...]]:
    """Code of a file without comments and docstrings, and the local modules that it imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            names = []
        imported += [file for name in names if (file := _local_module(name))]
        body = getattr(node, "body", None)
        if isinstance(body, list):
            body[:] = [statement for statement in body if not _is_text(statement)]
    return ast.unparse(tree), tuple(imported)


def code_of(file: Path) -> str:
    """Code of a file and of all modules of this checkout that it imports, as one text."""
    return "\n".join(
        f"{path.relative_to(ROOT).as_posix()}\n{parsed(path)[0]}" for path in reached(file)
    )


def _local_module(name: str) -> Path | None:
    path = ROOT.joinpath(*name.split("."))
    return next(
        (file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None
    )


def _is_text(node: ast.stmt) -> bool:
    """Whether a statement is a docstring, be it of a module, a function or a constant."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
