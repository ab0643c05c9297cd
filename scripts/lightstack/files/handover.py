"""Pixels that this process wrote last, for the step that reads them next.

A process that runs several steps of a frame need not read what it has in memory. The file decides:
it is written all the same, and must still be the one that was written then, with no other bytes.
"""

import os
import time
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

Arrays = tuple[NDArray[Any], ...]

Mark = tuple[int, ...]

_kept: list[tuple[Mark, Arrays]] = []
"""Of the last file at most."""


def seal(file: IO[bytes]) -> Mark:
    """Give a file that has been written a time of change of its own.

    The clock of a file system stands still for some milliseconds: without this, a change that
    follows at once could leave the time as it is.

    Returns
    -------
    tuple of int
        What `keep` wants.
    """
    file.flush()
    now = time.time_ns()
    os.utime(file.fileno(), ns=(now, now))
    status = os.fstat(file.fileno())
    return _mark(status)[:4] if status.st_mtime_ns == now else ()


def keep(path: Path, sealed: Mark, arrays: Arrays) -> None:
    """Keep arrays for whoever in this process reads the file next.

    Parameters
    ----------
    path : Path
        The file, under its final name.
    sealed : tuple of int
        What `seal` returned.
    arrays : tuple of ndarray
        What the file holds. They are given away: who wrote them can no longer change them.
    """
    _kept.clear()
    mark = _mark(path.stat())
    if mark[:4] == sealed and all(array.flags.writeable for array in arrays):
        _kept.append((mark, tuple(_given_away(array) for array in arrays)))


def take(file: IO[bytes]) -> Arrays | None:
    """Give the arrays that were kept for a file, to one reader only.

    Parameters
    ----------
    file : binary file
        Open for reading.

    Returns
    -------
    tuple of ndarray or None
        None unless the file is the last one that `keep` knows, unchanged. The arrays are
        forgotten in either case.
    """
    mark = _mark(os.fstat(file.fileno()))
    kept = [arrays for known, arrays in _kept if known == mark]
    _kept.clear()
    return kept[0] if kept else None


def _mark(status: os.stat_result) -> Mark:
    """Tell a file from all others and from itself after a change."""
    times = status.st_mtime_ns, status.st_ctime_ns
    return status.st_dev, status.st_ino, status.st_size, *times


def _given_away(array: NDArray[Any]) -> NDArray[Any]:
    """Give another view of an array that alone can change it from now on."""
    view = array.view()
    owner: Any = array
    while isinstance(owner, np.ndarray):
        owner.flags.writeable = False
        owner = owner.base
    return view
