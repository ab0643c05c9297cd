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
    out = np.empty((1, rows[1] - rows[0], shape[1]), np.float32)
    _fill_planes(mosaic, rows[0], shape[0], *_first_red_and_blue(pattern), colour, out)
    plane: NDArray[np.float32] = out[0]
    return plane


def planes_of_mosaic(mosaic: NDArray[np.float32], pattern: str) -> NDArray[np.float32]:
    """Give red, green and blue (3, ny, nx) of a whole mosaic, as `colour_of_mosaic` does."""
    ny, nx = mosaic.shape
    out = np.empty((3, ny, nx), np.float32)
    _fill_planes(mosaic, 0, ny, *_first_red_and_blue(pattern), RED, out)
    return out


def colours_of_mosaic(
    mosaic: NDArray[np.float32],
    rows: tuple[int, int],
    shape: tuple[int, int],
    pattern: str,
    columns: NDArray[np.int64],
) -> NDArray[np.float32]:
    """Give all colours of some rows of a mosaic, those of a pixel side by side.

    Parameters
    ----------
    mosaic, rows, shape, pattern
        As in `colour_of_mosaic`.
    columns : (rows[1] - rows[0], 2) ndarray of int64
        First column to give of each row, and the one after the last.

    Returns
    -------
    (rows[1] - rows[0], nx, 3) ndarray of float32
        [ADU], as of `colour_of_mosaic`. What lies in other columns means nothing.
    """
    out = np.empty((rows[1] - rows[0], shape[1], 3), np.float32)
    _fill_pixels(mosaic, rows[0], shape[0], *_first_red_and_blue(pattern), columns, out)
    return out


def covariance_of_noise() -> NDArray[np.float64]:
    """Tell how the noise of a mosaic's pixels goes on in the colours.

    Returns
    -------
    (3, 3, 9, 9) ndarray of float64
        For each colour that is made, and each colour of pixels that have noise of variance one:
        the covariance of two pixels by how far they are apart, -4 … 4 along y and x, on average
        over the places of the pattern.
    """
    size = 4 * REACH + 1
    found = np.zeros((3, 3, size, size))
    for row, column in np.ndindex(2, 2):
        # Far enough from the border, on a place of each colour.
        mosaic = np.zeros((4 * size, 4 * size), np.float32)
        mosaic[2 * size + row, 2 * size + column] = 1
        of = "RGB".index(REPRESENTATIVE[2 * row + column])
        for colour, plane in enumerate(planes_of_mosaic(mosaic, REPRESENTATIVE)):
            reach = 2 * REACH
            near = plane[size:-size, size:-size].astype(np.float64)
            for y, x in np.ndindex(size, size):
                moved = np.roll(near, (y - reach, x - reach), axis=(0, 1))
                found[colour, of, y, x] += (near * moved).sum() / 4
    return found


REPRESENTATIVE = "RGGB"
"""Other patterns are this one, moved."""

Place = tuple[int, int]


def _first_red_and_blue(pattern: str) -> tuple[Place, Place]:
    """Tell the row and column of the first red pixel and of the first blue one."""
    red, blue = divmod(pattern.index("R"), 2), divmod(pattern.index("B"), 2)
    return red, blue


@compiled
def _fill_planes(
    mosaic: NDArray[np.float32],
    first_row: int,
    ny: int,
    red: Place,
    blue: Place,
    first_colour: int,
    out: NDArray[np.float32],
) -> None:
    """Fill planes (m, k, nx) of the colours from one on."""
    near = np.empty((5, mosaic.shape[1] + 2 * REACH), np.float32)
    for y in range(out.shape[1]):
        _lay_rows(mosaic, first_row, ny, y, near)
        for plane in range(out.shape[0]):
            colour = first_colour + plane
            _fill_line(near, y, first_row + y, red, blue, colour, 0, out.shape[2], out[plane, y])


@compiled
def _fill_pixels(
    mosaic: NDArray[np.float32],
    first_row: int,
    ny: int,
    red: Place,
    blue: Place,
    columns: NDArray[np.int64],
    out: NDArray[np.float32],
) -> None:
    """Fill pixels (k, nx, 3) in some columns of each row."""
    near = np.empty((5, mosaic.shape[1] + 2 * REACH), np.float32)
    lines = np.empty((3, mosaic.shape[1]), np.float32)
    for y in range(out.shape[0]):
        _lay_rows(mosaic, first_row, ny, y, near)
        first, last = columns[y]
        for colour in range(3):
            _fill_line(near, y, first_row + y, red, blue, colour, first, last, lines[colour])
        for x in range(first, last):
            for colour in range(3):
                out[y, x, colour] = lines[colour, x]


@compiled
def _lay_rows(
    mosaic: NDArray[np.float32], first_row: int, ny: int, y: int, near: NDArray[np.float32]
) -> None:
    """Lay the five rows about row y, mirrored beyond the border, into the ring `near`.

    Of the row before it, four of them are there.
    """
    nx = mosaic.shape[1]
    top = max(first_row - REACH, 0)
    for k in range(4 if y else 0, 5):
        row = first_row + y + k - REACH
        row = -row if row < 0 else 2 * (ny - 1) - row if row >= ny else row
        line = near[(y + k) % 5]
        line[REACH : REACH + nx] = mosaic[row - top]
        for x in range(REACH):
            line[REACH - 1 - x] = mosaic[row - top, x + 1]
            line[REACH + nx + x] = mosaic[row - top, nx - 2 - x]


@compiled
def _fill_line(
    near: NDArray[np.float32],
    y: int,
    row: int,
    red: Place,
    blue: Place,
    colour: int,
    first: int,
    last: int,
    out: NDArray[np.float32],
) -> None:
    """Fill one colour of a row of the frame, from its first column to the last."""
    rows = near[y % 5], near[(y + 1) % 5], near[(y + 2) % 5], near[(y + 3) % 5], near[(y + 4) % 5]
    place = blue if colour == BLUE else red
    below = (row + place[0]) % 2 == 1
    n_lost = 0
    if colour == GREEN:
        _fill_green(rows, below, place[1], first, last, out)
    else:
        _fill_other(rows, below, place[1], first, last, out)
    for x in range(first, last):
        n_lost += np.isnan(out[x])
    for x in range(first, last if n_lost else first):
        if np.isnan(out[x]):
            out[x] = _mean_of_nearest(rows, below, (x + place[1]) % 2 == 1, colour == GREEN, x)


Rows = tuple[NDArray[np.float32], ...]
"""Five rows of the mosaic, the middle one of which is filled in, with two more columns beside."""


@compiled
def _fill_green(
    rows: Rows, below: bool, column: int, first: int, last: int, out: NDArray[np.float32]
) -> None:
    """Fill in green; the first red pixel is in this column, and in this row or `below`."""
    half, quarter, eighth = np.float32(0.5), np.float32(0.25), np.float32(0.125)
    a, b, c, d, e = rows
    for x in range(first, last):
        out[x] = c[x + 2]
    start = (column + below) % 2
    for x in range(first + (start + first) % 2, last, 2):
        j = x + 2
        near = (b[j] + d[j]) + (c[j - 1] + c[j + 1])
        far = (a[j] + e[j]) + (c[j - 2] + c[j + 2])
        out[x] = half * c[j] + quarter * near - eighth * far


@compiled
def _fill_other(
    rows: Rows, below: bool, column: int, first: int, last: int, out: NDArray[np.float32]
) -> None:
    """Fill in red or blue; its first pixel is in this column, and in this row or `below`."""
    half, quarter, eighth = np.float32(0.5), np.float32(0.25), np.float32(0.125)
    centre, beside, across = np.float32(0.625), np.float32(0.0625), np.float32(0.1875)
    most = np.float32(0.75)
    a, b, c, d, e = rows
    own, other = first + (column + first) % 2, first + (column + first + 1) % 2
    if not below:
        for x in range(first, last):
            out[x] = c[x + 2]
        for x in range(other, last, 2):
            j = x + 2
            near = c[j - 1] + c[j + 1]
            slant = (b[j - 1] + b[j + 1]) + (d[j - 1] + d[j + 1])
            along = c[j - 2] + c[j + 2]
            over = a[j] + e[j]
            out[x] = centre * c[j] + half * near - eighth * (slant + along) + beside * over
    else:
        for x in range(own, last, 2):
            j = x + 2
            near = b[j] + d[j]
            slant = (b[j - 1] + b[j + 1]) + (d[j - 1] + d[j + 1])
            along = a[j] + e[j]
            over = c[j - 2] + c[j + 2]
            out[x] = centre * c[j] + half * near - eighth * (slant + along) + beside * over
        for x in range(other, last, 2):
            j = x + 2
            slant = (b[j - 1] + b[j + 1]) + (d[j - 1] + d[j + 1])
            far = (a[j] + e[j]) + (c[j - 2] + c[j + 2])
            out[x] = most * c[j] + quarter * slant - across * far


@compiled
def _mean_of_nearest(rows: Rows, below: bool, beside: bool, is_green: bool, x: int) -> np.float32:
    """Give the mean of the nearest pixels of a colour; its own are neither `below` nor `beside`.

    Of green, the first red pixel is meant.
    """
    half, quarter = np.float32(0.5), np.float32(0.25)
    _, b, c, d, _ = rows
    j = x + 2
    if is_green:
        if below == beside:
            return np.float32(quarter * ((b[j] + d[j]) + (c[j - 1] + c[j + 1])))
    elif below and beside:
        return np.float32(quarter * ((b[j - 1] + b[j + 1]) + (d[j - 1] + d[j + 1])))
    elif below:
        return np.float32(half * (b[j] + d[j]))
    elif beside:
        return np.float32(half * (c[j - 1] + c[j + 1]))
    return np.float32(c[j])
