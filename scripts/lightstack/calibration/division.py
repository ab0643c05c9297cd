"""Dividing a frame by a flat, some rows at a time."""

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.calibration.shadows import ENOUGH, doubt_of_flat
from scripts.lightstack.calibration.subtraction import BAND_ROWS, Region, Rows
from scripts.lightstack.calibration.suspicions import sampling


def divide(
    data: NDArray[np.float32], flat: Rows, region: Region, *, is_turned: bool = False
) -> str:
    """Divide by a flat, in place, and tell whether the frame has other shadows.

    Parameters
    ----------
    data : (ny, nx) ndarray of float32
        A region of the frame [ADU].
    flat : Rows
        The whole flat: shares of the light that a typical pixel shows, NaN where one shows none.
    region : (slice, slice)
        Rows and columns of the frame.
    is_turned : bool, optional
        Whether the flat's rows run the other way than the frame's.

    Returns
    -------
    str
        As `shadows.doubt_of_flat`.
    """
    rows, columns = region
    ny = flat.shape[0]
    step = sampling((len(data), data.shape[1]), 2, ENOUGH)
    before = data[::step, ::step].copy()
    seen = np.empty_like(before)
    for first in range(0, len(data), BAND_ROWS):
        part = data[first : first + BAND_ROWS]
        start = rows.start + first
        stop = start + len(part)
        if is_turned:
            shares = flat.read_rows(ny - stop, ny - start)[::-1, columns]
        else:
            shares = flat.read_rows(start, stop)[:, columns]
        part /= shares
        of_band = shares[-first % step :: step, ::step]
        begin = -(-first // step)
        seen[begin : begin + len(of_band)] = of_band
    return doubt_of_flat(before, seen)
