"""Files that take their names only when they are whole."""

import errno
import os
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from scripts.lightstack.job import JobError


@contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary file that takes the name `path` only once it is whole.

    Parameters
    ----------
    path : Path
        The final name; its folder is made if need be.

    Yields
    ------
    binary file
        In the same folder; it is removed if an exception leaves the block.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # One name per final name: what a killed run leaves behind, the next run overwrites.
    part = path.with_name(f".{zlib.crc32(os.fsencode(path.name)):08x}.part")
    try:
        with part.open("wb") as file:
            yield file
        part.replace(path)
    except BaseException as error:
        full = isinstance(error, OSError) and _is_full(error, path.parent)
        written = part.stat().st_size if part.exists() else 0
        part.unlink(missing_ok=True)
        if full:
            raise JobError(
                f"{path}: the disk is full (this file alone needs over {written / 1e6:.1f} MB). "
                "Make room and run again: all that is finished stays."
            ) from error
        raise


def _is_full(error: OSError, folder: Path) -> bool:
    """Whether a disk is full; NumPy does not say so when it cannot write."""
    if error.errno is None:
        return shutil.disk_usage(folder).free < 1_000_000
    return error.errno in (errno.ENOSPC, errno.EDQUOT)
