"""The folder of the accepted frames: what in it is the workflow's, and what is not."""

import os
from pathlib import Path
from typing import Any

from scripts.lightstack.files.records import read_json, write_json

MANIFEST = ".lightstack.json"
"""File in the folder that lists what the workflow wrote there."""

_MARKS = (b"RAWSHA  =", b"NSTARS  =")


def files_in(folder: Path) -> list[str]:
    """List the files of a folder by their paths below it; the manifest does not count."""
    return sorted(
        path.relative_to(folder).as_posix()
        for parent, _, names in os.walk(folder)
        for name in names
        if (path := Path(parent, name)) != folder / MANIFEST and path.suffix != ".part"
    )


def written_files(folder: Path) -> dict[str, Any]:
    """Tell what the workflow wrote into the folder.

    Parameters
    ----------
    folder : Path
        It need not exist.

    Returns
    -------
    dict of str to object
        By the path below the folder, what `note_files` was given. If the manifest was lost in a
        crash, files are recognised by the cards that the workflow writes.
    """
    try:
        manifest: object = read_json(folder / MANIFEST)
    except FileNotFoundError:
        return {}
    except ValueError:
        manifest = None
    if isinstance(manifest, dict):
        return manifest
    return {name: None for name in files_in(folder) if _is_ours(folder / name)}


def note_files(folder: Path, files: dict[str, Any]) -> None:
    """Write the manifest: files by their paths below the folder, with anything to remember."""
    write_json(folder / MANIFEST, dict(sorted(files.items())))


def files_of_others(folder: Path) -> list[str]:
    """List the files of the folder that the workflow did not write."""
    written = written_files(folder)
    return [name for name in files_in(folder) if name not in written]


def lost_files(folder: Path) -> list[str]:
    """List the files that the workflow wrote and that are gone or, after a crash, empty."""
    return [name for name in written_files(folder) if not _has_content(folder / name)]


def _has_content(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


def _is_ours(path: Path) -> bool:
    if not _has_content(path):
        return path.is_file() and path.suffix == ".fits"
    with path.open("rb") as file:
        start = file.read(100_000)
    return all(mark in start for mark in _MARKS)
