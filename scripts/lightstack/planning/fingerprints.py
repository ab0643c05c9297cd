"""What raw files hold, whatever their time stamps say."""

import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.lightstack.files.records import read_json, write_json
from scripts.lightstack.planning.progress import Progress
from scripts.lightstack.raw.image import UnreadableFileError, naming


@dataclass(frozen=True)
class Contents:
    """What raw files hold.

    Parameters
    ----------
    digests : dict of str to str
        SHA-256 by path, hexadecimal.
    unreadable : dict of str to str
        A sentence for each file that the system cannot read, by path.
    """

    digests: dict[str, str] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    with naming(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fingerprints(
    paths: list[str],
    cache_path: Path,
    *,
    threads: int = 1,
    say: Callable[[str], None] = lambda _: None,
) -> Contents:
    """SHA-256 of files, each read only once as long as it does not change.

    Parameters
    ----------
    paths : list of str
        The files.
    cache_path : Path
        JSON file that remembers fingerprints between runs, with the size, the times and the inode
        for which they hold. It may be deleted: that costs time, nothing else. What has been read
        is kept when the reading is interrupted.
    threads : int
        Files that are read at a time; never more than there are processors.
    say : function of str, optional
        Is told how far the reading has come, if it takes a while.

    Returns
    -------
    Contents
    """
    known = _recall(cache_path)
    kept: dict[str, list[Any]] = {}
    unread: dict[str, list[int]] = {}
    unreadable: dict[str, str] = {}
    for path in paths:
        try:
            mark = _mark(path)
        except UnreadableFileError as error:
            unreadable[path] = str(error)
            continue
        if path in known and known[path][:-1] == mark:
            kept[path] = known[path]
        else:
            unread[path] = mark
    try:
        told = _told(unread, say)
        for path, digest in _read(list(unread), threads):
            if isinstance(digest, UnreadableFileError):
                unreadable[path] = str(digest)
            else:
                kept[path] = [*unread[path], digest]
            if told(path):
                write_json(cache_path, kept)
    finally:
        if kept != known:
            write_json(cache_path, kept)
    return Contents({path: kept[path][-1] for path in paths if path in kept}, unreadable)


def _read(paths: list[str], threads: int) -> Iterator[tuple[str, str | UnreadableFileError]]:
    """Read files, some at a time, and give the digest of each as soon as it is there."""
    with ThreadPoolExecutor(min(threads, os.cpu_count() or 1)) as pool:
        ahead = {pool.submit(sha256_of, Path(path)): path for path in paths}
        try:
            for done in as_completed(ahead):
                error = done.exception()
                if isinstance(error, UnreadableFileError):
                    yield ahead[done], error
                else:
                    yield ahead[done], done.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _told(files: dict[str, list[int]], say: Callable[[str], None]) -> Callable[[str], bool]:
    """Return what to call for each file read: it tells of it, and whether to keep it now."""
    n_bytes = sum(mark[0] for mark in files.values())
    progress = Progress(say)
    read, read_bytes = 0, 0

    def tell(path: str) -> bool:
        nonlocal read, read_bytes
        read, read_bytes = read + 1, read_bytes + files[path][0]
        return progress.step(
            f"Reading new files: {read:,} of {len(files):,}, "
            f"{read_bytes / 1e9:.1f} of {n_bytes / 1e9:.1f} GB."
        )

    return tell


def _recall(cache_path: Path) -> dict[str, list[Any]]:
    """Return what is remembered; what is damaged is forgotten."""
    try:
        entries = read_json(cache_path)
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(entries, dict):
        return {}
    return {path: entry for path, entry in entries.items() if _is_entry(entry)}


def _is_entry(entry: object) -> bool:
    """Whether something has the form of a mark and a digest."""
    return (
        isinstance(entry, list)
        and [type(value) for value in entry] == [int, int, int, int, str]
        and len(entry[-1]) == hashlib.sha256().digest_size * 2
    )


def _mark(path: str) -> list[int]:
    """Note what changes whenever a file is written, even if its time is set back."""
    with naming(Path(path)):
        status = Path(path).stat()
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
