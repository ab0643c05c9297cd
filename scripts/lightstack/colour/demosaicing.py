"""The colours that a Bayer mosaic leaves out, estimated from its neighbours, compiled.

The gradient-corrected linear interpolation of Malvar, He & Cutler (2004, ICASSP 3, 485): a colour
is the mean of its nearest pixels, corrected by the curvature of the colour that was measured at
the place. It is linear, so a sky, a star or a nebula keeps its flux and noise averages as it does
in mono frames; on stacks of dithered frames it is as deep as each colour's own pixels allow and
sharper than they are without it (`benchmarks/colour_table.py`).
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.compiling import compiled, copy_line

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
    whole = np.tile(np.array([0, shape[1]]), (rows[1] - rows[0], 1))
    return colours_of_mosaic(mosaic, rows, shape, pattern, whole)[..., colour].copy()


def planes_of_mosaic(mosaic: NDArray[np.float32], pattern: str) -> NDArray[np.float32]:
    """Give red, green and blue (3, ny, nx) of a whole mosaic, as `colour_of_mosaic` does."""
    out = np.empty((3, *mosaic.shape), np.float32)
    _fill_planes(mosaic, _first_red_and_blue(pattern), out)
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
        As in `colour_of_mosaic`; of each row of the mosaic the columns that `columns_around` names
        are enough.
    columns : (rows[1] - rows[0], 2) ndarray of int64
        First column to give of each row, and the one after the last.

    Returns
    -------
    (rows[1] - rows[0], nx, 3) ndarray of float32
        [ADU], as of `colour_of_mosaic`. What lies in other columns means nothing.
    """
    out = np.empty((rows[1] - rows[0], shape[1], 3), np.float32)
    around = columns_around(columns, rows, shape)
    places = _first_red_and_blue(pattern)
    _fill_pixels(mosaic, rows[0], shape[0], places, columns, around, out)
    return out


def columns_around(
    columns: NDArray[np.int64], rows: tuple[int, int], shape: tuple[int, int]
) -> NDArray[np.int64]:
    """Tell of which pixels of a mosaic the colours in some columns of its rows are made.

    Parameters
    ----------
    columns, rows, shape
        As in `colours_of_mosaic`.

    Returns
    -------
    (k, 2) ndarray of int64
        Of these rows, and of `REACH` more above and below where there are any: the first column
        and the one after the last.
    """
    around = np.empty((min(rows[1] + REACH, shape[0]) - max(rows[0] - REACH, 0), 2), np.int64)
    _find_around(columns, rows, shape, around)
    return around


@compiled
def _find_around(
    columns: NDArray[np.int64],
    rows: tuple[int, int],
    shape: tuple[int, int],
    around: NDArray[np.int64],
) -> None:
    (start, stop), nx = rows, shape[1]
    top = max(start - REACH, 0)
    for k in range(len(around)):
        first, last = nx, 0
        for row in range(max(top + k - REACH, start), min(top + k + REACH + 1, stop)):
            left, right = columns[row - start]
            if left < right:
                first, last = min(first, left - REACH), max(last, right + REACH)
        around[k, 0], around[k, 1] = max(first, 0), min(last, nx)


@cache
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

Places = tuple[tuple[int, int], tuple[int, int]]
"""Row and column of the first red pixel, and of the first blue one."""


def _first_red_and_blue(pattern: str) -> Places:
    red, blue = divmod(pattern.index("R"), 2), divmod(pattern.index("B"), 2)
    return red, blue


@compiled
def _fill_pixels(
    mosaic: NDArray[np.float32],
    first_row: int,
    ny: int,
    places: Places,
    columns: NDArray[np.int64],
    around: NDArray[np.int64],
    out: NDArray[np.float32],
) -> None:
    """Fill pixels (k, nx, 3) in some columns of each row."""
    near = np.zeros((5, mosaic.shape[1] + 2 * REACH), np.float32)
    lines = np.empty((3, mosaic.shape[1]), np.float32)
    for y in range(out.shape[0]):
        _lay_rows(mosaic, first_row, ny, y, around, near)
        first, last = columns[y]
        _fill_lines(near, y, first_row + y, places, first, last, lines)
        red, green, blue = lines
        for x in range(np.uint64(first), np.uint64(last)):
            out[y, x, 0], out[y, x, 1], out[y, x, 2] = red[x], green[x], blue[x]


@compiled
def _fill_planes(mosaic: NDArray[np.float32], places: Places, out: NDArray[np.float32]) -> None:
    """Fill planes (3, ny, nx)."""
    ny, nx = mosaic.shape
    near = np.zeros((5, nx + 2 * REACH), np.float32)
    lines = np.empty((3, nx), np.float32)
    around = np.zeros((ny, 2), np.int64)
    around[:, 1] = nx
    for y in range(ny):
        _lay_rows(mosaic, 0, ny, y, around, near)
        _fill_lines(near, y, y, places, 0, nx, lines)
        for colour in range(3):
            copy_line(lines[colour], out[colour, y])


@compiled
def _lay_rows(
    mosaic: NDArray[np.float32],
    first_row: int,
    ny: int,
    y: int,
    around: NDArray[np.int64],
    near: NDArray[np.float32],
) -> None:
    """Lay the five rows about row y, mirrored beyond the border, into the ring `near`.

    Of the row before it, four of them are there.
    """
    nx = mosaic.shape[1]
    top = max(first_row - REACH, 0)
    for k in range(4 if y else 0, 5):
        row = first_row + y + k - REACH
        row = -row if row < 0 else 2 * (ny - 1) - row if row >= ny else row
        line, pixels = near[(y + k) % 5], mosaic[row - top]
        first, last = around[row - top]
        copy_line(pixels[first:last], line[REACH + first : REACH + last])
        for x in range(REACH):
            if first == 0 and last > 0:
                line[REACH - 1 - x] = pixels[x + 1]
            if last == nx:
                line[REACH + nx + x] = pixels[nx - 2 - x]


Rows = tuple[NDArray[np.float32], ...]
"""Five rows of the mosaic, the middle one of which is filled in, with two more columns beside."""


@compiled
def _fill_lines(
    near: NDArray[np.float32],
    y: int,
    row: int,
    places: Places,
    first: int,
    last: int,
    lines: NDArray[np.float32],
) -> None:
    """Fill red, green and blue (3, nx) of a row of the frame, from a column to before the last."""
    rows = near[y % 5], near[(y + 1) % 5], near[(y + 2) % 5], near[(y + 3) % 5], near[(y + 4) % 5]
    own = RED if (row + places[0][0]) % 2 == 0 else BLUE
    column = places[0][1] if own == RED else places[1][1]
    _fill_line(rows, column, first, last, lines[own], lines[GREEN], lines[BLUE - own])
    n_lost = 0
    for colour in range(3):
        line = lines[colour]
        for x in range(np.uint64(first), np.uint64(last)):
            n_lost += np.isnan(line[x])
    if n_lost > 0:
        _fill_lost(rows, row, places, first, last, lines)


@compiled
def _fill_line(
    rows: Rows,
    column: int,
    first: int,
    last: int,
    own: NDArray[np.float32],
    green: NDArray[np.float32],
    other: NDArray[np.float32],
) -> None:
    """Fill a row in which one colour was measured from this column on, and green beside it.

    All four ways are computed at each pixel, and two of them left: so a processor works on many
    pixels at a time.
    """
    half, quarter, eighth = np.float32(0.5), np.float32(0.25), np.float32(0.125)
    centre, beside, across = np.float32(0.625), np.float32(0.0625), np.float32(0.1875)
    most = np.float32(0.75)
    a, b, c, d, e = rows
    one, two, three, four = np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(4)
    parity = np.uint64(column)
    for x in range(np.uint64(first), np.uint64(last)):
        at = c[x + two]
        over, along = a[x + two] + e[x + two], c[x] + c[x + four]
        above, left = b[x + two] + d[x + two], c[x + one] + c[x + three]
        slant = (b[x + one] + b[x + three]) + (d[x + one] + d[x + three])
        far, near = over + along, above + left
        of_green = half * at + quarter * near - eighth * far
        of_own = centre * at + half * left - eighth * (slant + along) + beside * over
        of_other = centre * at + half * above - eighth * (slant + over) + beside * along
        opposite = most * at + quarter * slant - across * far
        is_own = (x + parity) & one == np.uint64(0)
        own[x] = at if is_own else of_own
        green[x] = of_green if is_own else at
        other[x] = opposite if is_own else of_other


@compiled
def _fill_lost(
    rows: Rows,
    row: int,
    places: Places,
    first: int,
    last: int,
    lines: NDArray[np.float32],
) -> None:
    """Fill what has no value from the nearest pixels alone."""
    for colour in range(3):
        place = places[1] if colour == BLUE else places[0]
        below = (row + place[0]) % 2 == 1
        for x in range(first, last):
            if np.isnan(lines[colour, x]):
                is_beside = (x + place[1]) % 2 == 1
                lines[colour, x] = _mean_of_nearest(rows, below, is_beside, colour == GREEN, x)


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
