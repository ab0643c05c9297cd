"""Where on a frame the pixels of the reference's grid lie."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.alignment.transform import POWERS, Transform, centre_and_extent
from scripts.lightstack.compiling import compiled, inlined
from scripts.lightstack.linear import affine_inverse
from scripts.lightstack.resampling.kernel import PHASES, RADIUS

BESIDE = RADIUS + 0.01
"""Pixels around a place that count, and what a place may be off in steps of the kernel."""


class RowMaps(NamedTuple):
    """The backward map along each of some rows of the reference.

    Attributes
    ----------
    rows : (n,) ndarray of int64
        The rows' numbers.
    inverse : (3, 3) ndarray of float64
        The matrix's inverse [pixels].
    cubics : (n, 4, 4) ndarray of float64
        Coefficients of ``1, u, u**2, u**3``, where u is the place along the row, of what is added
        to x and to y, and of the derivatives of both along the other axis [pixels].
    centre, extent : float
        ``u = (x - centre) / extent`` [pixels].
    curved : bool
        Whether anything is added.
    """

    rows: NDArray[np.int64]
    inverse: NDArray[np.float64]
    cubics: NDArray[np.float64]
    centre: float
    extent: float
    curved: bool


def row_maps(transform: Transform, rows: NDArray[np.int64]) -> RowMaps:
    """Collect what `locate` needs to map rows of the reference to the frame."""
    (centre_x, centre_y), extent = centre_and_extent(transform.reference_shape)
    v = ((rows - centre_y) / extent)[:, np.newaxis]
    powers = [np.ones_like(v), v, v * v, v * v * v]
    cubics = np.zeros((rows.size, 4, 4))
    if transform.backward_cubic is not None:
        for term, (i, j) in zip(transform.backward_cubic.T, POWERS, strict=True):
            cubics[:, :2, i] += powers[j] * term
            if j > 0:
                cubics[:, 2:, i] += j * powers[j - 1] * term / extent
    inverse, curved = affine_inverse(transform.matrix), transform.backward_cubic is not None
    return RowMaps(rows, inverse, cubics, float(centre_x), float(extent), curved)


def source_rows(transform: Transform, rows: tuple[int, int]) -> tuple[int, int]:
    """Rows of the frame from which rows of the reference are interpolated.

    Parameters
    ----------
    transform : Transform
        Map between the frame and the reference.
    rows : (int, int)
        First row of the reference, and the one after the last.

    Returns
    -------
    (int, int)
        First row of the frame, and the one after the last; both alike where the frame does not
        reach these rows.
    """
    ny = transform.frame_shape[0]
    start, stop = rows
    if stop <= start:
        return 0, 0
    numbers, columns = np.arange(start, stop), np.arange(transform.reference_shape[1])
    if transform.backward_cubic is None:
        # A plane is highest and lowest in the corners.
        numbers, columns = numbers[[0, -1]], columns[[0, -1]]
    lowest, highest = _extent(row_maps(transform, numbers), columns)
    first = min(max(lowest - RADIUS + 1, 0), ny)
    return first, max(min(highest + RADIUS + 1, ny), first)


def source_columns(
    transform: Transform, rows: tuple[int, int], source: tuple[int, int]
) -> NDArray[np.int64]:
    """Columns of the frame from which rows of the reference are interpolated.

    Parameters
    ----------
    transform : Transform
    rows : (int, int)
        First row of the reference, and the one after the last.
    source : (int, int)
        First row of the frame, and the one after the last.

    Returns
    -------
    (k, 2) ndarray of int64
        First column of each row of the frame, and the one after the last; where rows of the
        reference are curved, all columns.
    """
    nx, (first, last) = transform.frame_shape[1], source
    columns = np.tile(np.array([0, nx]), (last - first, 1))
    if transform.backward_cubic is not None:
        return columns
    (start, stop), right = rows, transform.reference_shape[1] - 1
    corners = np.array([(0, start), (right, start), (right, stop - 1), (0, stop - 1)], np.float64)
    _find_columns(transform.backward(corners), first, columns)
    return columns


def columns_of_any(columns: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Tell which columns (k, 2) of each row are among any of these, and between them."""
    each = np.stack(columns)
    is_none = each[..., 0] >= each[..., 1]
    first = np.where(is_none, np.iinfo(np.int64).max, each[..., 0]).min(axis=0)
    last = np.where(is_none, 0, each[..., 1]).max(axis=0)
    return np.stack([np.minimum(first, last), last], axis=1)


@compiled
def _find_columns(corners: NDArray[np.float64], first: int, columns: NDArray[np.int64]) -> None:
    """Find the columns near a convex area with these corners (n, 2), in rows from the first on."""
    nx = columns[0, 1] if len(columns) else 0
    lowest, highest = np.full(len(columns), np.inf), np.full(len(columns), -np.inf)
    for k in range(len(corners)):
        x, y = corners[k]
        to_x, to_y = corners[(k + 1) % len(corners)]
        if to_y < y:
            x, y, to_x, to_y = to_x, to_y, x, y
        slope = (to_x - x) / (to_y - y) if to_y > y else 0.0
        begin = max(int(np.ceil(y - BESIDE)) - first, 0)
        end = min(int(np.floor(to_y + BESIDE)) + 1 - first, len(columns))
        for row in range(begin, end):
            top, bottom = first + row - BESIDE, first + row + BESIDE
            left = x + slope * (top - y) if y < top else x
            right = x + slope * (bottom - y) if to_y > bottom else to_x
            lowest[row] = min(lowest[row], left, right)
            highest[row] = max(highest[row], left, right)
    for row in range(len(columns)):
        columns[row] = 0
        if lowest[row] <= highest[row]:
            columns[row, 0] = min(max(int(np.floor(lowest[row] - BESIDE)), 0), nx)
            columns[row, 1] = max(min(int(np.floor(highest[row] + BESIDE)) + 1, nx), 0)


@compiled
def locate(maps: RowMaps, row: int, steps: NDArray[np.int64]) -> None:
    """Map a row of the reference to positions (x, y) on the frame [1 / PHASES pixel]."""
    inverse, cubics, y = maps.inverse, maps.cubics[row], maps.rows[row]
    from_x = inverse[0, 1] * y + inverse[0, 2]
    from_y = inverse[1, 1] * y + inverse[1, 2]
    if not maps.curved:
        for x in range(steps.shape[1]):
            steps[0, x] = np.int64(np.floor((inverse[0, 0] * x + from_x) * PHASES + 0.5))
            steps[1, x] = np.int64(np.floor((inverse[1, 0] * x + from_y) * PHASES + 0.5))
        return
    for x in range(steps.shape[1]):
        u = (x - maps.centre) / maps.extent
        to_x = inverse[0, 0] * x + from_x + _cubic(cubics[0], u)
        to_y = inverse[1, 0] * x + from_y + _cubic(cubics[1], u)
        steps[0, x] = np.int64(np.floor(to_x * PHASES + 0.5))
        steps[1, x] = np.int64(np.floor(to_y * PHASES + 0.5))


@compiled
def measure_areas(maps: RowMaps, row: int, areas: NDArray[np.float32]) -> None:
    """Measure the areas on the frame of a row of the reference's pixels [frame pixels]."""
    inverse, cubics = maps.inverse, maps.cubics[row]
    if not maps.curved:
        areas[:] = abs(inverse[0, 0] * inverse[1, 1] - inverse[0, 1] * inverse[1, 0])
        return
    for x in range(areas.size):
        u = (x - maps.centre) / maps.extent
        xx = inverse[0, 0] + _slope(cubics[0], u) / maps.extent
        xy = inverse[0, 1] + _cubic(cubics[2], u)
        yx = inverse[1, 0] + _slope(cubics[1], u) / maps.extent
        yy = inverse[1, 1] + _cubic(cubics[3], u)
        areas[x] = abs(xx * yy - xy * yx)


@compiled
def _extent(maps: RowMaps, columns: NDArray[np.int64]) -> tuple[int, int]:
    """Find the lowest and the highest row of the frame on which these columns lie."""
    lowest, highest = 2**62, -(2**62)
    for row in range(maps.rows.size):
        for x in columns:
            step = int(_step(maps, row, x, 1))
            lowest = min(lowest, step)
            highest = max(highest, step)
    return lowest // PHASES, highest // PHASES


@inlined
def _step(maps: RowMaps, row: int, x: int, axis: int) -> np.int64:
    """Map a pixel of the reference to the frame, along one axis [1 / PHASES pixel]."""
    inverse, u = maps.inverse, (x - maps.centre) / maps.extent
    constant = inverse[axis, 1] * maps.rows[row] + inverse[axis, 2]
    to = inverse[axis, 0] * x + constant + _cubic(maps.cubics[row, axis], u)
    return np.int64(np.floor(to * PHASES + 0.5))


@compiled
def _cubic(c: NDArray[np.float64], u: float) -> float:
    return float(c[0] + u * (c[1] + u * (c[2] + u * c[3])))


@compiled
def _slope(c: NDArray[np.float64], u: float) -> float:
    return float(c[1] + u * (2 * c[2] + u * 3 * c[3]))
