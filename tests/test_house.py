"""The house: rooms by stage, from which arrows point down, and no circle."""

from pathlib import Path

import pytest

from scripts.lightstack import modules
from tests.conftest import ROOT

PACKAGE = ROOT / "scripts" / "lightstack"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")

FLOORS = (
    {""},
    {"raw"},
    {"files"},
    {"sky"},
    {"calibration", "detection", "colour"},
    {"alignment"},
    {"resampling"},
    {"stacking"},
    {"planning", "report"},
    {"checking"},
)
"""Rooms from the ground up; the package's own modules bear them all."""


def room(path: Path) -> str:
    """Name of the room in which a module is; empty for the package's own."""
    return path.parent.relative_to(PACKAGE).as_posix().removeprefix(".")


def floor(path: Path) -> int:
    (number,) = (k for k, rooms in enumerate(FLOORS) if room(path) in rooms)
    return number


def imported(path: Path) -> list[Path]:
    return [file for file in modules.parsed(path)[1] if file.name != "__init__.py"]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_arrows_point_down(path: Path) -> None:
    climbs = [
        file.relative_to(PACKAGE).as_posix()
        for file in imported(path)
        if floor(file) > floor(path) or (floor(file) == floor(path) and room(file) != room(path))
    ]
    assert not climbs


def test_there_is_no_circle() -> None:
    left = {path: set(imported(path)) for path in MODULES}
    while free := {path for path, needs in left.items() if not needs & left.keys()}:
        left = {path: needs for path, needs in left.items() if path not in free}
    assert not left


def test_rooms_have_empty_inits() -> None:
    assert not [path for path in PACKAGE.glob("*/__init__.py") if path.read_text()]
