"""The folder of the accepted frames: what in it is the workflow's, and what is not."""

import os
from pathlib import Path
from typing import Any

from scripts.lightstack.files.records import read_json, write_json
from scripts.lightstack.files.wholeness import is_whole
from scripts.lightstack.raw.names import IMAGE_NAME, is_hidden

MANIFEST = ".lightstack.json"
"""File in the folder that lists what the workflow wrote there."""

_MARKS = (b"RAWSHA  =", b"NSTARS  =")
_START = 100_000


def frames_in(folder: Path) -> list[str]:
    """List what can be a frame in a folder, by the paths below it.

    Hidden files, and those that other programs leave (``Thumbs.db``, ``*.seq``), do not count.
    """
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not is_hidden(name)]
        below = Path(parent).relative_to(folder)
        found += [
            (below / name).as_posix()
            for name in names
            if IMAGE_NAME.fullmatch(name) and not is_hidden(name)
        ]
    return sorted(found)


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
    return {name: None for name in frames_in(folder) if _is_ours(folder / name)}


def note_files(folder: Path, files: dict[str, Any]) -> None:
    """Write the manifest: files by their paths below the folder, with anything to remember."""
    write_json(folder / MANIFEST, dict(sorted(files.items())))


def files_of_others(folder: Path) -> list[str]:
    """List the files of the folder that can be frames and that the workflow did not write."""
    written = written_files(folder)
    return [name for name in frames_in(folder) if name not in written]


def is_complete(folder: Path) -> bool:
    """Whether the folder, once filled, still has its manifest and all files of it, whole."""
    paths = [folder / name for name in written_files(folder)]
    return (folder / MANIFEST).exists() and all(
        path.is_file() and is_whole(str(path)) for path in paths
    )


def _is_ours(path: Path) -> bool:
    """Whether a file has the workflow's cards, or nothing at all, as a power cut leaves it."""
    if not path.is_file() or path.suffix != ".fits":
        return False
    with path.open("rb") as file:
        start = file.read(_START)
        if any(start):
            return all(mark in start for mark in _MARKS)
        return not any(any(part) for part in iter(lambda: file.read(_START), b""))
