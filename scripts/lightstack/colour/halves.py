"""Images at half their size, each pixel of which is the mean of some of 2 x 2, compiled."""

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.compiling import compiled


@compiled
def average_places(
    rows: NDArray[np.float32],
    places: NDArray[np.int64],
    columns: NDArray[np.int64],
    out: NDArray[np.float32],
) -> None:
    """Average the pixels at some places of each 2 x 2.

    Parameters
    ----------
    rows : (2 * k, m) ndarray of float32
        [ADU]; m is at least ``2 * nx``.
    places : (n, 2) ndarray of int64
        Their rows and columns in the 2 x 2.
    columns : (k, 2) ndarray of int64
        First column to fill of each row, and the one after the last.
    out : (k, nx) ndarray of float32
    """
    n, two = np.float32(places.shape[0]), np.uint64(2)
    for y in range(out.shape[0]):
        line = out[y]
        first, last = np.uint64(columns[y, 0]), np.uint64(columns[y, 1])
        for x in range(first, last):
            line[x] = np.float32(0)
        for place in range(places.shape[0]):
            pixels, column = rows[2 * y + places[place, 0]], np.uint64(places[place, 1])
            for x in range(first, last):
                line[x] += pixels[two * x + column]
        for x in range(first, last):
            line[x] /= n
