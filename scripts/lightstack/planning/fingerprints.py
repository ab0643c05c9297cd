"""What raw files hold, whatever their time stamps say."""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from scripts.lightstack.files.records import read_json, write_json
from scripts.lightstack.raw.image import naming


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    with naming(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprints(paths: list[str], memory: Path) -> dict[str, str]:
    """SHA-256 of files, each read only once as long as it does not change.

    Parameters
    ----------
    paths : list of str
        The files.
    memory : Path
        JSON file that remembers fingerprints between runs, with the size, the times and the inode
        for which they hold. It may be deleted: that costs time, nothing else.

    Returns
    -------
    dict of str to str
        Hexadecimal digest by path.
    """
    known = _recall(memory)
    marks = {path: _mark(path) for path in paths}
    unread = [path for path in paths if known.get(path, [None])[:-1] != marks[path]]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        digests = dict(zip(unread, pool.map(sha256_of, map(Path, unread)), strict=True))
    entries = {
        path: [*mark, digests[path]] if path in digests else known[path]
        for path, mark in marks.items()
    }
    if entries != known:
        write_json(memory, entries)
    return {path: str(entry[-1]) for path, entry in entries.items()}


def _recall(memory: Path) -> dict[str, Any]:
    try:
        return read_json(memory)
    except (OSError, ValueError):
        return {}


def _mark(path: str) -> list[int]:
    """Note what changes whenever a file is written, even if its time is set back."""
    status = Path(path).stat()
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
