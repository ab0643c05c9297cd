"""Pixels in the byte order of FITS, read into the processor's own, compiled."""

import os
import sys
from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from scripts.lightstack.compiling import compiled

_pread: Any = types.ExternalFunction(
    "pread", types.intp(types.intc, types.uintp, types.uintp, types.int64)
)
"""The system's call: so many bytes of a file to an address, from a place on; gives how many."""


def read_columns(
    file: int, start: int, columns: NDArray[np.int64], out: NDArray[np.float32]
) -> None:
    """Read some columns of each row of an image.

    One call of the system for each row, from a compiled loop, takes hardly longer than a map of
    the file. But where a mapped file ends too early, or the disk fails, the process is killed.

    Parameters
    ----------
    file : int
        Descriptor of a FITS file.
    start : int
        Where the rows begin [bytes].
    columns : (k, 2) ndarray of int64
        First column of each row, and the one after the last.
    out : (k, nx) ndarray of float32, C-contiguous
        Gets the pixels; other columns are left as they are.

    Raises
    ------
    EOFError
        If the file ends before.
    OSError
        If it cannot be read.
    """
    line = 4 * out.shape[1]
    row = _read(file, start, line, columns, out.ctypes.data)
    if row >= 0:
        first, last = columns[row].tolist()
        os.pread(file, 4 * (last - first), start + row * line + 4 * first)  # tells what is wrong
        raise EOFError
    if sys.byteorder == "little":
        _swap(columns, out.view(np.uint32))


@compiled
def _read(file: int, start: int, line: int, columns: NDArray[np.int64], address: int) -> int:
    """Read the columns; tell the first row that could not be read, or -1."""
    for row in range(columns.shape[0]):
        first, last = columns[row]
        place, size = row * line + 4 * first, 4 * max(last - first, 0)
        if size > 0 and _pread(file, address + place, size, start + place) != size:
            return row
    return -1


@compiled
def _swap(columns: NDArray[np.int64], words: NDArray[np.uint32]) -> None:
    byte, inner = np.uint32(8), np.uint32(0xFF00)
    for row in range(columns.shape[0]):
        line = words[row]
        for x in range(np.uint64(columns[row, 0]), np.uint64(columns[row, 1])):
            middle = ((line[x] >> byte) & inner) | ((line[x] & inner) << byte)
            line[x] = (line[x] >> np.uint32(24)) | middle | (line[x] << np.uint32(24))
