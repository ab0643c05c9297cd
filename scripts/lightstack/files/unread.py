"""Notes of raw files that a job could not read, so that the next run tries again.

Such a frame is a result like any other, and a result stays as long as its recipe does. So the
recipe counts the failures. Snakemake could only try again within a run, or end it.
"""

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path

from scripts.lightstack.files.records import read_json, write_json
from scripts.lightstack.raw.image import UnusableFrameError

NOTES = Path("work", "unread")
"""Folder of the notes, one file each: jobs run at the same time."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Unread:
    """How often jobs could not read a file.

    Parameters
    ----------
    times : int
        In all runs so far.
    why : str
        A sentence: what was wrong the last time.
    """

    times: int
    why: str


def note(folder: Path, raw: Path, error: UnusableFrameError) -> None:
    """Note that a job could not read a raw file.

    Parameters
    ----------
    folder : Path
        Where the notes lie.
    raw : Path
        The raw file, as the workflow names it.
    error : UnusableFrameError
        What was wrong.
    """
    log.warning("Not read: %s", error)
    path = folder / f"{hashlib.sha256(str(raw).encode(errors='replace')).hexdigest()[:16]}.json"
    before = _recall(path).get(str(raw))
    times = 1 + (before.times if before else 0)
    write_json(path, {"file": str(raw), "times": times, "why": str(error)})


def noted(folder: Path) -> dict[str, Unread]:
    """Read all notes, by raw file; a damaged one counts as none."""
    notes: dict[str, Unread] = {}
    for path in sorted(folder.glob("*.json")):
        notes |= _recall(path)
    return notes


def _recall(path: Path) -> dict[str, Unread]:
    try:
        entry = read_json(path)
        return {str(entry["file"]): Unread(int(entry["times"]), str(entry["why"]))}
    except (OSError, ValueError, TypeError, KeyError):
        return {}


def as_tried(contents: dict[str, str], notes: dict[str, Unread]) -> dict[str, str]:
    """Tell contents apart by how often they could not be read, for the recipes.

    Parameters
    ----------
    contents : dict of str to str
        Fingerprint of each raw file by its path.
    notes : dict of str to Unread
        What `noted` gives.

    Returns
    -------
    dict of str to str
    """
    return {
        path: f"{content}, {notes[path].times} times unread" if path in notes else content
        for path, content in contents.items()
    }
