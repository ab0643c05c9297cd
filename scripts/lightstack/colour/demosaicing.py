"""The colours that a Bayer mosaic leaves out, estimated from its neighbours, compiled.

The gradient-corrected linear interpolation of Malvar, He & Cutler (2004, ICASSP 3, 485): a colour
is the mean of its nearest pixels, corrected by the curvature of the colour that was measured at
the place. It is linear, so a sky, a star or a nebula keeps its flux and noise averages as it does
in mono frames; on stacks of dithered frames it is as deep as each colour's own pixels allow and
sharper than they are without it (`benchmarks/colour_table.py`).
"""

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.compiling import compiled

REACH = 2
"""How far the neighbours are that count [pixels]."""

RED, GREEN, BLUE = range(3)


def colour_of_mosaic(
    mosaic: NDArray[np.float32],
    rows: tuple[int, int],
    shape: tuple[int, int],
    pattern: str,
    colour: int,
) -> NDArray[np.float32]:
    """Give one colour of some rows of a mosaic.

    Parameters
    ----------
    mosaic : (k, nx) ndarray of float32
        Rows `rows` of the mosaic, and `REACH` more above and below where there are any [ADU]; NaN
        where there is no data.
    rows : (int, int)
        First row to give, and the one after the last.
    shape : (int, int)
        ``(ny, nx)`` of the whole mosaic, at least 3 x 3 [pixels].
    pattern : str
        Colours of the mosaic's first 2 x 2 pixels in rows, such as RGGB.
    colour : {0, 1, 2}
        Red, green or blue.

    Returns
    -------
    (rows[1] - rows[0], nx) ndarray of float32
        [ADU]; measured pixels are unchanged. NaN where a nearest pixel of the colour has no data;
        where another one has none, the mean is not corrected.

    Notes
    -----
    Beyond the border the mosaic is mirrored about its outermost pixels, so that the pattern goes
    on.
    """
    ny, nx = shape
    above = REACH - min(rows[0], REACH)
    below = REACH - min(ny - rows[1], REACH)
    padded = np.pad(mosaic, ((above, below), (REACH, REACH)), "reflect")
    out = np.empty((rows[1] - rows[0], nx), np.float32)
    place = pattern.index("B" if colour == BLUE else "R")
    row, column = (place // 2 + rows[0]) % 2, place % 2
    if colour == GREEN:
        _fill_green(padded, row, column, out)
    else:
        _fill_other(padded, row, column, out)
    lost = np.isnan(out)
    if lost.any():
        _fill_by_means(padded, row, column, colour == GREEN, lost, out)
    return out


@compiled
def _fill_green(m: NDArray[np.float32], row: int, column: int, out: NDArray[np.float32]) -> None:
    """Fill in green; the first red pixel is at this row (of an even number) and column."""
    half, quarter, eighth = np.float32(0.5), np.float32(0.25), np.float32(0.125)
    for y in range(out.shape[0]):
        i = y + 2
        first = (column + y + row) % 2
        for x in range(out.shape[1]):
            out[y, x] = m[i, x + 2]
        for x in range(first, out.shape[1], 2):
            j = x + 2
            near = (m[i - 1, j] + m[i + 1, j]) + (m[i, j - 1] + m[i, j + 1])
            far = (m[i - 2, j] + m[i + 2, j]) + (m[i, j - 2] + m[i, j + 2])
            out[y, x] = half * m[i, j] + quarter * near - eighth * far


@compiled
def _fill_other(m: NDArray[np.float32], row: int, column: int, out: NDArray[np.float32]) -> None:
    """Fill in red or blue; its first pixel is at this row (of an even number) and column."""
    half, quarter, eighth = np.float32(0.5), np.float32(0.25), np.float32(0.125)
    centre, beside, across = np.float32(0.625), np.float32(0.0625), np.float32(0.1875)
    most = np.float32(0.75)
    for y in range(out.shape[0]):
        i = y + 2
        if (y + row) % 2 == 0:
            for x in range(out.shape[1]):
                out[y, x] = m[i, x + 2]
            for x in range(1 - column, out.shape[1], 2):
                j = x + 2
                near = m[i, j - 1] + m[i, j + 1]
                slant = (m[i - 1, j - 1] + m[i - 1, j + 1]) + (m[i + 1, j - 1] + m[i + 1, j + 1])
                along = m[i, j - 2] + m[i, j + 2]
                over = m[i - 2, j] + m[i + 2, j]
                out[y, x] = (
                    centre * m[i, j] + half * near - eighth * (slant + along) + beside * over
                )
        else:
            for x in range(column, out.shape[1], 2):
                j = x + 2
                near = m[i - 1, j] + m[i + 1, j]
                slant = (m[i - 1, j - 1] + m[i - 1, j + 1]) + (m[i + 1, j - 1] + m[i + 1, j + 1])
                along = m[i - 2, j] + m[i + 2, j]
                over = m[i, j - 2] + m[i, j + 2]
                out[y, x] = (
                    centre * m[i, j] + half * near - eighth * (slant + along) + beside * over
                )
            for x in range(1 - column, out.shape[1], 2):
                j = x + 2
                slant = (m[i - 1, j - 1] + m[i - 1, j + 1]) + (m[i + 1, j - 1] + m[i + 1, j + 1])
                far = (m[i - 2, j] + m[i + 2, j]) + (m[i, j - 2] + m[i, j + 2])
                out[y, x] = most * m[i, j] + quarter * slant - across * far


@compiled
def _fill_by_means(
    m: NDArray[np.float32],
    row: int,
    column: int,
    is_green: bool,
    lost: NDArray[np.bool_],
    out: NDArray[np.float32],
) -> None:
    """Give lost pixels the mean of the nearest of their colour, if these have data."""
    half, quarter = np.float32(0.5), np.float32(0.25)
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            if not lost[y, x]:
                continue
            i, j = y + 2, x + 2
            below, beside = (y + row) % 2, (x + column) % 2
            if is_green:
                if below == beside:
                    near = (m[i - 1, j] + m[i + 1, j]) + (m[i, j - 1] + m[i, j + 1])
                    out[y, x] = quarter * near
            elif below and beside:
                near = (m[i - 1, j - 1] + m[i - 1, j + 1]) + (m[i + 1, j - 1] + m[i + 1, j + 1])
                out[y, x] = quarter * near
            elif below:
                out[y, x] = half * (m[i - 1, j] + m[i + 1, j])
            elif beside:
                out[y, x] = half * (m[i, j - 1] + m[i, j + 1])
