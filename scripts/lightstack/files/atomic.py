"""Files that take their names only when they are whole."""

import errno
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from scripts.lightstack.job import JobError

_PART = re.compile(r"\.[0-9a-f]{16}\.part")


def part_name() -> str:
    """Make up a name for a file that is not whole yet, which no other has."""
    return f".{secrets.token_hex(8)}.part"


def is_part_name(name: str) -> bool:
    """Whether a name is one that `part_name` makes up."""
    return _PART.fullmatch(name) is not None


@contextmanager
def atomic_write(path: Path, *, durable: bool = True) -> Iterator[IO[bytes]]:
    """Open a temporary file that takes the name `path` only once it is whole.

    Parameters
    ----------
    path : Path
        The final name; its folder is made if need be.
    durable : bool
        Wait until the file is on the disk: after a power cut, what has its name is whole. Not for
        one that holds its own checksum, nor for one that is removed again soon: it need never
        reach the disk, and is not used if it was there when a run ended (`planning.recovery`).

    Yields
    ------
    binary file
        In the same folder; it is removed if an exception leaves the block.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # A name of its own: two writers never meet.
    part = path.with_name(part_name())
    try:
        with open(part, "wb", opener=_create) as file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
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


def _create(name: str, flags: int) -> int:
    """Open a file that is not there yet, not even as a link."""
    return os.open(name, flags | os.O_EXCL | os.O_NOFOLLOW, 0o666)


def _is_full(error: OSError, folder: Path) -> bool:
    """Whether a disk is full; NumPy does not say so when it cannot write."""
    if error.errno is None:
        return shutil.disk_usage(folder).free < 1_000_000
    return error.errno in (errno.ENOSPC, errno.EDQUOT)
