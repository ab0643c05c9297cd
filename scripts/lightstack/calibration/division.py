"""Dividing a frame by a flat, some rows at a time."""

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.calibration.shadows import ENOUGH, doubt_of_even_sky, doubt_of_flat
from scripts.lightstack.calibration.subtraction import BAND_ROWS, Region, Rows
from scripts.lightstack.calibration.suspicions import NOISE_GREW, noise_of, sampling

ROWS = 100
"""Rows that are looked at for their noise, or some more."""


def divide(
    data: NDArray[np.float32],
    flat: Rows,
    region: Region,
    *,
    is_turned: bool = False,
    period: int = 1,
) -> str:
    """Divide by a flat, in place, and tell whether it is the frame's, and has light enough.

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
    period : int, optional
        As in `suspicions.sampling`.

    Returns
    -------
    str
        Parts of a sentence: `shadows.doubt_of_flat`, and what noise the flat adds; empty where
        nothing speaks against it.
    """
    rows, columns = region
    ny = flat.shape[0]
    step = sampling((len(data), data.shape[1]), period, ENOUGH)
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
    doubts = [doubt_of_flat(before, seen), doubt_of_even_sky(before, seen)]
    some = np.s_[:: max(1, len(before) // ROWS)]
    old, new = noise_of(before[some]), noise_of(before[some] / seen[some])
    if new > NOISE_GREW * old > 0:
        doubts.append(f"too little light in it: noise grew from {old:.1f} to {new:.1f} ADU")
    return "; ".join(filter(None, doubts))
