"""A fingerprint of a script and of the local modules that it imports.

Snakemake compares a script's time of change and does not look at what it imports. Given to each
rule as a parameter, this digest makes a change of code, wherever it stands, rerun exactly the
rules that use it, and a new comment, docstring or checkout none.
"""

import ast
import hashlib
from functools import cache
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[2]

VERSIONS = [
    version(package)
    for package in (
        "astroalign",
        "astropy",
        "imagecodecs",
        "numba",
        "numpy",
        "pillow",
        "scipy",
        "sep",
        "tifffile",
    )
]
"""Of the packages on which the bytes of the results depend."""


@cache
def code_digest(script: str) -> str:
    """Fingerprint the code of a script.

    Parameters
    ----------
    script : str
        Path below the checkout, such as ``scripts/stack_frames.py``.

    Returns
    -------
    str
        12 hexadecimal digits.
    """
    modules = sorted(_reached(ROOT / script))
    code = "\n".join(
        f"{path.relative_to(ROOT).as_posix()}\n{_parsed(path)[0]}" for path in modules
    )
    return hashlib.sha256(code.encode()).hexdigest()[:12]


def _reached(script: Path) -> set[Path]:
    """Return the script and all modules of this checkout that it imports, directly or not."""
    reached: set[Path] = set()
    ahead = [script]
    while ahead:
        path = ahead.pop()
        if path not in reached:
            reached.add(path)
            ahead += _parsed(path)[1]
    return reached


@cache
def _parsed(path: Path) -> tuple[str, tuple[Path, ...]]:
    """Code without comments and docstrings, and the local modules that it imports."""
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
