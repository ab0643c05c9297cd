"""What was computed once and need not be again: a file that may be lost or damaged at no harm."""

import hashlib
import json
from pathlib import Path
from typing import Any

from scripts.lightstack.files.atomic import atomic_write


def read_cache(path: Path) -> dict[str, Any]:
    """Read what `write_cache` wrote.

    Parameters
    ----------
    path : Path
        It need not exist.

    Returns
    -------
    dict of str to object
        Values by their keys; empty if the file is not, to the last byte, what was written.
    """
    try:
        checksum, content = path.read_bytes().split(b"\n", 1)
    except (FileNotFoundError, ValueError):
        return {}
    if checksum != _checksum(content):
        return {}
    values: dict[str, Any] = json.loads(content)
    return values


def write_cache(path: Path, values: dict[str, Any]) -> None:
    """Write values of JSON by their keys: what each was computed from, as a digest."""
    content = json.dumps(values).encode()
    with atomic_write(path, durable=False) as file:
        file.write(_checksum(content) + b"\n" + content)


def _checksum(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()
