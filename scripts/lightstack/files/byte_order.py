"""Pixels in the byte order of FITS, copied into the processor's own, compiled."""

import sys

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.compiling import compiled


def copy_columns(
    stored: NDArray[np.uint32], columns: NDArray[np.int64], out: NDArray[np.float32]
) -> None:
    """Copy some columns of each row.

    Parameters
    ----------
    stored : (k, nx) ndarray of uint32
        Pixels as they lie in a FITS file.
    columns : (k, 2) ndarray of int64
        First column of each row, and the one after the last.
    out : (k, nx) ndarray of float32
    """
    _copy(stored, columns, sys.byteorder == "little", out.view(np.uint32))


@compiled
def _copy(
    stored: NDArray[np.uint32],
    columns: NDArray[np.int64],
    swaps: bool,
    out: NDArray[np.uint32],
) -> None:
    byte, inner = np.uint32(8), np.uint32(0xFF00)
    for row in range(stored.shape[0]):
        words, line = stored[row], out[row]
        for x in range(np.uint64(columns[row, 0]), np.uint64(columns[row, 1])):
            word = words[x]
            if swaps:
                middle = ((word >> byte) & inner) | ((word & inner) << byte)
                word = (word >> np.uint32(24)) | middle | (word << np.uint32(24))
            line[x] = word
