"""Machine code on disk: used again as long as the code is the same, and never after."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.lightstack import caches, compiling, modules

OUTER = """
from scripts.lightstack.compiling import compiled
{imported}

@compiled
def outer(x):
    return {twice}(x) + 1

print(outer(5), sum(outer.stats.cache_hits.values()))
"""
INNER = """
from scripts.lightstack.compiling import compiled

@compiled
def twice(x):
    return {factor} * x
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """Give a package of a module that calls a compiled function of another."""
    package = tmp_path / "scripts" / "lightstack"
    package.mkdir(parents=True)
    for module in (caches, compiling, modules):
        name = Path(str(module.__file__)).name
        (package / name).write_bytes(Path(str(module.__file__)).read_bytes())
    write_outer(package, "from scripts.lightstack.inner import twice", "twice")
    (package / "inner.py").write_text(INNER.format(factor=2))
    return package


def write_outer(package: Path, imported: str, twice: str) -> None:
    (package / "outer.py").write_text(OUTER.format(imported=imported, twice=twice))


def run(package: Path, **environment: str) -> list[str]:
    """Give what the outer module prints: its result, and whether it came from the disk."""
    result = subprocess.run(
        [sys.executable, "-m", "scripts.lightstack.outer"],
        cwd=package.parents[1],
        env={
            "PATH": os.environ["PATH"],
            "HOME": os.environ["HOME"],
            "PYTHONDONTWRITEBYTECODE": "1",  # Python does not see a change within a second
            **environment,
        },
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout.split()


def test_machine_code_is_used_again(package: Path) -> None:
    assert run(package) == ["11", "0"]
    assert run(package) == ["11", "1"]


def test_machine_code_follows_a_module_in_another_room(package: Path) -> None:
    (package / "room").mkdir()
    (package / "inner.py").rename(package / "room" / "inner.py")
    write_outer(package, "from scripts.lightstack.room.inner import twice", "twice")
    assert run(package) == ["11", "0"]
    (package / "room" / "inner.py").write_text(INNER.format(factor=3))
    assert run(package) == ["16", "0"]


def test_machine_code_of_old_versions_is_cleaned_up(package: Path) -> None:
    run(package)
    (old,) = (package / "__pycache__").glob("compiled-outer-*")
    recent = old.with_name("compiled-recent")
    recent.mkdir()
    os.utime(old, (0, 0))
    (package / "inner.py").write_text(INNER.format(factor=3))
    run(package)
    assert not old.exists()
    assert recent.exists()


@pytest.mark.parametrize(
    ("imported", "twice"),
    [
        ("from scripts.lightstack.inner import twice", "twice"),
        ("from scripts.lightstack import inner", "inner.twice"),
        ("import scripts.lightstack.inner as inner", "inner.twice"),
    ],
)
def test_machine_code_follows_the_modules_that_it_calls(
    package: Path, imported: str, twice: str
) -> None:
    write_outer(package, imported, twice)
    run(package)
    (package / "inner.py").write_text(INNER.format(factor=3))
    assert run(package) == ["16", "0"]


def test_read_only_checkout_has_its_machine_code_in_the_home(
    package: Path, tmp_path: Path
) -> None:
    (package / "__pycache__").write_text("no folder can be made here")
    home = tmp_path / "home"
    assert run(package, HOME=str(home)) == ["11", "0"]
    assert run(package, HOME=str(home)) == ["11", "1"]


def test_the_wish_of_the_user_comes_first(package: Path, tmp_path: Path) -> None:
    wished = tmp_path / "wished"
    assert run(package, NUMBA_CACHE_DIR=str(wished)) == ["11", "0"]
    assert list(wished.glob("compiled-outer-*/*/*.nbi"))
    assert run(package, NUMBA_CACHE_DIR=str(wished)) == ["11", "1"]


def test_without_any_place_it_still_runs(package: Path) -> None:
    (package / "__pycache__").write_text("no folder can be made here")
    assert run(package, HOME="/dev/null") == ["11", "0"]


def test_a_number_in_the_code_of_the_caller_is_compiled_as_any_other() -> None:
    @compiling.compiled
    def next_to(place: int) -> int:
        return place + 1

    @compiling.compiled
    def walk(last: int) -> int:
        place, far = 0, next_to(7)
        while place < last:
            place = next_to(place)
        return place + far

    assert walk(3) == 11
    assert len(next_to.signatures) == 1  # type: ignore[attr-defined]
