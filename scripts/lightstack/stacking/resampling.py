"""A frame's pixels on the reference's grid.

Each pixel of the reference is mapped back to a position on the frame, where the image is
interpolated from 6 x 6 pixels by a kernel that is fitted to stars: see `kernel_weights`. Three
rules complete it; `docs/methods.md` has the measurements behind them.

Clamp
    A result is never below the lowest of the inner 4 x 4 pixels by more than `UNDERSHOOT` of the
    range of the 6 x 6: the kernel's negative lobes dig no ring around a saturated star or a cosmic
    ray. Stars narrower than two pixels keep theirs, which their flux needs. There is no limit from
    above, as the peak of a star between two pixels is above both.
No data
    A pixel that is NaN or beyond the frame's edge is left out, and the weights of the others are
    raised to a sum of one; where one of the inner 2 x 2 is missing, the result is NaN. So a bad
    pixel costs four pixels and not 36, the frame's border stays, and no invented value enters.
Flux
    Results are multiplied by the area of a reference pixel on the frame (the determinant of the
    backward map's derivative), which keeps the total flux of a star under a change of scale.

A shift by whole pixels makes the kernel a delta: the reference frame itself passes through this
code and comes out unchanged, bit by bit. The difference to its neighbours in the stack is its
noise, as interpolation averages: see *Noise* in `docs/methods.md`.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.alignment.transform import POWERS, Transform, centre_and_extent
from scripts.lightstack.compiling import compiled, inlined
from scripts.lightstack.linear import affine_inverse
from scripts.lightstack.raw.bayer import GREY_CORRELATION

RADIUS = 3
"""Reach of the kernel [pixels]: taps are -2 … 3 from the pixel left of or below a position."""

PHASE_BITS = 10

PHASES = 1 << PHASE_BITS
"""Steps in which a position between two pixels is known to the kernel (tuned: a star of FWHM 2 px
is wrong by under a thousandth of its peak)."""

UNDERSHOOT = 0.0018
"""How far a result may be below its surroundings [range of the 6 x 6 pixels]; tuned:
`benchmarks/kernel_table.py`."""

SHARPEST, WIDEST, DEEPENING = np.float32(0.01), np.float32(0.3), np.float32(0.4)
"""Stars narrower than 2 pixels have a ring of their own: from which to which product of two pixels
over the square of that between them (a Gaussian of FWHM 1.1 and of 2.1 pixels), and how deep it is
at most for each step below the latter [height of the peak] (tuned:
`benchmarks/kernel_table.py`)."""

FILLED = np.float32(0.25)
"""How high the mean of the 6 x 6 pixels is in noise at least, between their lowest and highest:
about a half, and far lower beside a narrow star."""

FLAT = np.float32(0.97)
"""Pixels nearly as high as the highest, or as saturation; three of them are no peak."""

F32 = np.float32

STEP = F32(1 / PHASES)

TAPS = 2 * RADIUS

LANES = 16
"""Positions that the widest processors interpolate at a time."""

SHORTEST_RUN, LONGEST_RUN = 8, 128
"""How many positions whose pixels lie side by side are interpolated together (tuned:
`benchmarks/stack_kernels.py`)."""

BESIDE = RADIUS + 0.01
"""Pixels around a place that count, and what a place may be off in steps of the kernel."""

BEYOND = -2
"""In the place of the corner of a position that the frame does not reach."""

N_COLOURS = 3

COLUMNS = N_COLOURS * TAPS
"""Columns of the 6 x 6 pixels of all colours."""

Index = int | np.uint64


class _Frame(NamedTuple):
    """Rows of a frame, in one line.

    Attributes
    ----------
    pixels : (k * nx * n_colours,) ndarray of float32
        Rows from `first_row` on; of colours, those of a pixel side by side.
    first_row : int
        The frame's row that comes first.
    ny, nx : int
        Shape of the whole frame.
    saturation : float32
        Level of saturated pixels.
    n_colours : int
    """

    pixels: NDArray[np.float32]
    first_row: int
    ny: int
    nx: int
    saturation: np.float32
    n_colours: int = 1


class _RowMaps(NamedTuple):
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


def kernel_weights() -> NDArray[np.float32]:
    """Weights of the taps for positions ``0, 1 / PHASES, …`` between two pixels.

    The kernel has three smooth lobes, quartics of the distance. Interpolating a pixel's centre, a
    constant and a slope are exact, which leaves three coefficients free: they are those with the
    least squared error on Gaussian stars of FWHM 2 to 4 pixels, each place on a star counted by
    its brightness, rounded to 0.01 (least-squares design of local interpolators: Schaum 1993,
    CVGIP: Graph. Models Image Process. 55, 464). `benchmarks/star_kernel.py` makes the fit.

    Returns
    -------
    (PHASES, 6) ndarray of float32
        For the pixels -2 … 3 from the position's lower neighbour. Their sum is one, and their
        centre of mass is the position: without that, the flux of a star depends on where it falls
        between the pixels of a grid of another scale.
    """
    place = np.arange(PHASES, dtype=np.float32) * STEP
    rest = np.float32(1) - place
    return np.stack([*_lobes(place, rest), *reversed(_lobes(rest, place))], axis=1)


def _lobes(t: Any, u: Any) -> tuple[Any, Any, Any]:
    """Kernel at the distances ``2 + t``, ``1 + t`` and ``t``, for t from 0 to 1 and u = 1 - t.

    It is computed as single-precision numbers, alike here and in compiled code; each lobe has the
    factor u, so that it ends in nothing but zero.
    """
    return (
        t * u * u * (F32(0.13) + F32(0.37) * t),
        -t * u * (F32(0.76) + t * (F32(0.15) - F32(0.78) * t)),
        u * (F32(1) + t * (F32(1) - t * (F32(0.83) + F32(0.41) * t))),
    )


_compiled_lobes = inlined(_lobes)

WEIGHTS = kernel_weights()


def correlated_with(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Correlate weights (n, 6) with those of neighbours, as noise of a grey mosaic is."""
    mixed = np.zeros_like(weights)
    for lag, share in enumerate(GREY_CORRELATION):
        mixed[:, lag:] += np.float32(share) * weights[:, : TAPS - lag]
        if lag:
            mixed[:, :-lag] += np.float32(share) * weights[:, lag:]
    return mixed


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
    lowest, highest = _extent(_row_maps(transform, numbers), columns)
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


def resample(
    source: NDArray[np.float32],
    first_row: int,
    transform: Transform,
    rows: tuple[int, int],
    *,
    scale: float = 1.0,
    saturation: float = np.inf,
    out: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Interpolate rows of the reference's grid from a frame.

    The GIL is released: several frames, or several bands of one, can be resampled in threads. A
    pixel's value does not depend on the band that it is computed in.

    Parameters
    ----------
    source : (k, frame nx) ndarray of float32
        Rows ``first_row … first_row + k`` of the frame [ADU]; at least those that `source_rows`
        names. NaN is no data. Native byte order.
    first_row : int
        The frame's row with which `source` starts.
    transform : Transform
        Map between the frame and the reference.
    rows : (int, int)
        First row of the reference to compute, and the one after the last.
    scale : float
        Factor that brings the frame's fluxes to the reference's.
    saturation : float, optional
        Level of the frame's saturated pixels [ADU of the frame].
    out : (n_rows, reference nx) ndarray of float32, C-contiguous, optional
        Where the result is written.

    Returns
    -------
    (n_rows, reference nx) ndarray of float32
        The frame in units of the reference; NaN where it has no data. It is `out`, if given.

    Raises
    ------
    ValueError
        If `source` lacks rows or columns, or `out` has another shape, type or memory layout.
    """
    shape = (rows[1] - rows[0], transform.reference_shape[1])
    if out is None:
        out = np.empty(shape, np.float32)
    _check_out(out, shape)
    if not _reaches(source, first_row, transform, rows):
        out.fill(np.nan)
        return out
    source = np.ascontiguousarray(source, np.float32)
    level = np.float32(saturation)
    frame = _Frame(source.reshape(-1), first_row, *transform.frame_shape, level)
    maps = _row_maps(transform, np.arange(*rows))
    _resample_rows(frame, maps, float(scale), WEIGHTS.T, out)
    return out


def resample_colours(
    source: NDArray[np.float32],
    first_row: int,
    transform: Transform,
    rows: tuple[int, int],
    *,
    scales: Sequence[float],
    saturations: Sequence[float],
    out: Sequence[NDArray[np.float32]],
) -> None:
    """Interpolate red, green and blue together: what `resample` makes of each, bit by bit.

    Places and weights are found once, and the colours of a pixel lie side by side, so that a
    processor works on all of them at a time.

    Parameters
    ----------
    source : (k, frame nx, 3) ndarray of float32, C-contiguous
        Rows of the frame; of each row at least the columns that `source_columns` names.
    first_row, transform, rows
        As in `resample`.
    scales, saturations : three floats
        Of each colour, as in `resample`.
    out : three (n_rows, reference nx) ndarrays of float32, C-contiguous
        Where the colours are written.

    Raises
    ------
    ValueError
        As of `resample`.
    """
    for plane in out:
        _check_out(plane, (rows[1] - rows[0], transform.reference_shape[1]))
    if not _reaches(source, first_row, transform, rows):
        for plane in out:
            plane.fill(np.nan)
        return
    level = np.float32(np.inf)
    frame = _Frame(source.reshape(-1), first_row, *transform.frame_shape, level, N_COLOURS)
    maps = _row_maps(transform, np.arange(*rows))
    levels, factors = (np.array(each, np.float32) for each in (saturations, scales))
    _resample_rows_of_colours(frame, maps, factors, levels, WEIGHTS, tuple(out))


def _check_out(out: NDArray[np.float32], shape: tuple[int, int]) -> None:
    if out.shape != shape or out.dtype != np.float32 or not out.flags.c_contiguous:
        raise ValueError(f"out must be a C-contiguous float32 array of shape {shape}")


def _reaches(
    source: NDArray[np.float32], first_row: int, transform: Transform, rows: tuple[int, int]
) -> bool:
    """Tell whether a frame reaches rows of the reference; raise ValueError if rows of it lack."""
    first, last = source_rows(transform, rows)
    if first == last:
        return False
    if source.shape[1] != transform.frame_shape[1]:
        raise ValueError(f"source {source.shape} is not cut from {transform.frame_shape} by rows")
    if first < first_row or last > first_row + source.shape[0]:
        raise ValueError(
            f"rows {rows[0]}-{rows[1]} of the reference need rows {first}-{last} of the frame, "
            f"source holds {first_row}-{first_row + source.shape[0]}"
        )
    return True


def resample_variance(
    source: NDArray[np.float32],
    first_row: int,
    transform: Transform,
    rows: tuple[int, int],
    *,
    scale: float,
    out: NDArray[np.float32],
    of_grey: bool = False,
) -> None:
    """Find the variances of what `resample` makes of pixels of these variances.

    The clamp is left out, which lowers few of them.

    Parameters
    ----------
    source : (k, frame nx) ndarray of float32
        Variances of independent pixels [ADU of the frame, squared]; NaN is no data.
    first_row, transform, rows, scale
        As in `resample`.
    out : (n_rows, reference nx) ndarray of float32, C-contiguous
        Gets the variances [ADU of the reference, squared].
    of_grey : bool, optional
        Whether the frame was made grey of a mosaic: its pixels are not independent.
    """
    first, last = source_rows(transform, rows)
    if first == last:
        out.fill(np.nan)
        return
    source = np.ascontiguousarray(source, np.float32)
    frame = _Frame(source.reshape(-1), first_row, *transform.frame_shape, np.float32(np.inf))
    maps = _row_maps(transform, np.arange(*rows))
    squared = WEIGHTS * correlated_with(WEIGHTS) if of_grey else WEIGHTS**2
    _resample_variance_rows(frame, maps, float(scale), WEIGHTS.T, squared.T, out)


def _row_maps(transform: Transform, rows: NDArray[np.int64]) -> _RowMaps:
    """Collect what `_locate` needs to map rows of the reference to the frame."""
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
    return _RowMaps(rows, inverse, cubics, float(centre_x), float(extent), curved)


@compiled
def _find_columns(corners: NDArray[np.float64], first: int, columns: NDArray[np.int64]) -> None:
    """Find the columns near a convex area with these corners (n, 2), in rows from the first on."""
    nx = columns[0, 1] if len(columns) else 0
    for row in range(len(columns)):
        top, bottom = first + row - BESIDE, first + row + BESIDE
        lowest, highest = np.inf, -np.inf
        for k in range(len(corners)):
            x, y = corners[k]
            to_x, to_y = corners[(k + 1) % len(corners)]
            if to_y < y:
                x, y, to_x, to_y = to_x, to_y, x, y
            if to_y < top or y > bottom:
                continue
            slope = (to_x - x) / (to_y - y) if to_y > y else 0.0
            left = x + slope * (top - y) if y < top else x
            right = x + slope * (bottom - y) if to_y > bottom else to_x
            lowest = min(lowest, left, right)
            highest = max(highest, left, right)
        columns[row] = 0
        if lowest <= highest:
            columns[row, 0] = min(max(int(np.floor(lowest - BESIDE)), 0), nx)
            columns[row, 1] = max(min(int(np.floor(highest + BESIDE)) + 1, nx), 0)


@compiled
def _cubic(c: NDArray[np.float64], u: float) -> float:
    return float(c[0] + u * (c[1] + u * (c[2] + u * c[3])))


@compiled
def _slope(c: NDArray[np.float64], u: float) -> float:
    return float(c[1] + u * (2 * c[2] + u * 3 * c[3]))


@inlined
def _step(maps: _RowMaps, row: int, x: int, axis: int) -> np.int64:
    """Map a pixel of the reference to the frame, along one axis [1 / PHASES pixel]."""
    inverse, u = maps.inverse, (x - maps.centre) / maps.extent
    constant = inverse[axis, 1] * maps.rows[row] + inverse[axis, 2]
    to = inverse[axis, 0] * x + constant + _cubic(maps.cubics[row, axis], u)
    return np.int64(np.floor(to * PHASES + 0.5))


@compiled
def _locate(maps: _RowMaps, row: int, steps: NDArray[np.int64]) -> None:
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
def _measure(maps: _RowMaps, row: int, areas: NDArray[np.float32]) -> None:
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
def _extent(maps: _RowMaps, columns: NDArray[np.int64]) -> tuple[int, int]:
    """Find the lowest and the highest row of the frame on which these columns lie."""
    lowest, highest = 2**62, -(2**62)
    for row in range(maps.rows.size):
        for x in columns:
            step = int(_step(maps, row, x, 1))
            lowest = min(lowest, step)
            highest = max(highest, step)
    return lowest // PHASES, highest // PHASES


@inlined
def _sum(
    pixels: NDArray[np.float32],
    corner: Index,
    stride: Index,
    step: Index,
    across: NDArray[np.float32],
    at_x: Index,
    down: NDArray[np.float32],
    at_y: Index,
) -> np.float32:
    """Sum 6 x 6 weighted pixels: down six columns, a step apart, then across them.

    The columns have a name each, so that the compiler keeps them in registers and can sum many
    columns or positions at a time without changing the order of any sum. Indices are unsigned, as
    Numba would otherwise ask whether each of them is negative, which takes as long as the sum.
    """
    a = b = c = d = e = f = np.float32(0)
    for j in range(np.uint64(TAPS)):
        weight, p = down[j, at_y], corner + j * stride
        a += weight * pixels[p]
        b += weight * pixels[p + step]
        c += weight * pixels[p + np.uint64(2) * step]
        d += weight * pixels[p + np.uint64(3) * step]
        e += weight * pixels[p + np.uint64(4) * step]
        f += weight * pixels[p + np.uint64(5) * step]
    left = a * across[0, at_x] + b * across[1, at_x]
    middle = c * across[2, at_x] + d * across[3, at_x]
    right = e * across[4, at_x] + f * across[5, at_x]
    total: np.float32 = left + middle + right
    return total


@inlined
def _lowest(pixels: NDArray[np.float32], corner: Index, stride: Index, step: Index) -> np.float32:
    """Find the lowest of the inner 4 x 4 pixels."""
    first = corner + stride + step
    lowest: np.float32 = pixels[first]
    for j in range(np.uint64(4)):
        for i in range(np.uint64(4)):
            value = pixels[first + j * stride + i * step]
            lowest = value if value < lowest else lowest
    return lowest


@compiled
def _clamped(
    pixels: NDArray[np.float32],
    corner: Index,
    nx: Index,
    value: np.float32,
    lowest: np.float32,
    saturation: np.float32,
) -> np.float32:
    """Raise a value that is below the lowest to what the 6 x 6 pixels allow."""
    highest, mean = _highest_and_mean(pixels, corner, nx)
    least = np.float32(lowest - UNDERSHOOT * (highest - lowest))
    is_noise = mean - lowest > FILLED * (highest - lowest)
    if value >= least or is_noise or highest >= FLAT * saturation:
        return max(value, least)
    return max(value, np.float32(least - _ring_of_star(pixels, corner, nx, highest)))


@inlined
def _highest_and_mean(
    pixels: NDArray[np.float32], corner: Index, nx: Index
) -> tuple[np.float32, np.float32]:
    """Find the highest of 6 x 6 pixels and their mean, three columns at a time."""
    a = b = c = F32(0)
    high, higher, highest = pixels[corner], pixels[corner + nx], pixels[corner + nx + nx]
    for j in range(np.uint64(TAPS)):
        for i in range(np.uint64(2)):
            p = corner + j * nx + i * np.uint64(3)
            u, v, w = pixels[p], pixels[p + np.uint64(1)], pixels[p + np.uint64(2)]
            a, b, c = a + u, b + v, c + w
            high, higher = max(high, u), max(higher, v)
            highest = max(highest, w)
    return max(high, higher, highest), (a + b + c) / F32(TAPS * TAPS)


@compiled
def _ring_of_star(
    pixels: NDArray[np.float32], corner: Index, nx: Index, highest: np.float32
) -> np.float32:
    """Tell how deep a ring the brightest of the inner 4 x 4 pixels makes, if it is a star's.

    Of a Gaussian, wherever its centre is, the product of two pixels over the square of that
    between them depends on its width alone. A hot pixel has 0, what is flat has 1.
    """
    one = np.uint64(1)
    at_x: Index = one
    at_y: Index = one
    peak: Index = corner + nx + one
    for j in range(one, np.uint64(5)):
        for i in range(one, np.uint64(5)):
            if pixels[corner + j * nx + i] > pixels[peak]:
                peak, at_x, at_y = corner + j * nx + i, i, j
    sky, number = np.float32(0), 0
    for j in range(np.uint64(TAPS)):
        for i in range(np.uint64(TAPS)):
            if i + one < at_x or i > at_x + one or j + one < at_y or j > at_y + one:
                sky += pixels[corner + j * nx + i]
                number += 1
    sky /= np.float32(number)
    height = pixels[peak] - sky
    left, right = pixels[peak - one] - sky, pixels[peak + one] - sky
    below, above = pixels[peak - nx] - sky, pixels[peak + nx] - sky
    if min(left, right, below, above) <= 0:
        return np.float32(0)
    n_flat = 0
    for j in range(np.uint64(TAPS)):
        for i in range(np.uint64(TAPS)):
            n_flat += pixels[corner + j * nx + i] - sky > FLAT * (highest - sky)
    if n_flat > 2:
        return np.float32(0)
    along_x = _product(pixels, peak, one, at_x, sky)
    along_y = _product(pixels, peak, nx, at_y, sky)
    narrow, wide = min(along_x, along_y), max(along_x, along_y)
    share = min(max((narrow - SHARPEST) / SHARPEST, np.float32(0)), np.float32(1))
    depth = max(WIDEST - wide, np.float32(0)) * DEEPENING
    return np.float32(share * depth * height)


@compiled
def _product(
    pixels: NDArray[np.float32], peak: Index, step: Index, at: Index, sky: np.float32
) -> np.float32:
    """Give the product of a peak's neighbours over its square, or that of the higher neighbour."""
    height = pixels[peak] - sky
    before, after = pixels[peak - step] - sky, pixels[peak + step] - sky
    product = before * after / (height * height)
    if after > before and at <= np.uint64(3):
        beyond = pixels[peak + step + step] - sky
        product = max(product, height * beyond / (after * after))
    elif before >= after and at >= np.uint64(2):
        beyond = pixels[peak - step - step] - sky
        product = max(product, height * beyond / (before * before))
    return np.float32(product)


@compiled
def _resample_rows(
    frame: _Frame,
    maps: _RowMaps,
    scale: float,
    weights: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    n = out.shape[1]
    steps, corners = np.empty((2, n), np.int64), np.empty(n, np.int64)
    areas, line = np.empty(n, np.float32), np.empty(n, np.float32)
    places = np.zeros((2, n + LANES), np.float32)
    turned = maps.inverse[0, 0] < 0  # around: what lies side by side goes on from right to left
    across = np.empty((TAPS, LONGEST_RUN), np.float32)
    down = np.empty((TAPS, LONGEST_RUN), np.float32)
    values, lowest = np.empty(LONGEST_RUN, np.float32), np.empty(LONGEST_RUN, np.float32)
    for row in range(maps.rows.size):
        _locate(maps, row, steps)
        _measure(maps, row, areas)
        if turned:
            _reverse(steps[0])
            _reverse(steps[1])
        _find_corners(frame, steps, corners)
        for axis in range(2):
            for k in range(n):
                places[axis, k] = F32(np.int32(steps[axis, k] & (PHASES - 1))) * STEP
        column = 0
        while column < n:
            length = _run(corners, column)
            if length < SHORTEST_RUN:
                length = _without_run(corners, column)
                _interpolate_each(frame, corners, steps, weights, column, column + length, line)
            else:
                # Up to whole `LANES`, so that a processor's loops have no end of their own.
                more = (length + LANES - 1) // LANES * LANES
                there = corners[column] + TAPS * frame.nx + more < frame.pixels.size
                number = np.uint64(more if there else length)
                _weigh(places[0], column, number, across)
                _weigh(places[1], column, number, down)
                _interpolate_run(frame, corners[column], across, down, number, lowest, values)
                for k in range(length):
                    line[column + k] = values[k]
            column += length
        _complete(frame, corners, steps, weights, line)
        if turned:
            _reverse(line)
        for k in range(n):
            out[row, k] = line[k] * (areas[k] * np.float32(scale))


@compiled
def _resample_rows_of_colours(
    frame: _Frame,
    maps: _RowMaps,
    scales: NDArray[np.float32],
    saturations: NDArray[np.float32],
    weights: NDArray[np.float32],
    out: tuple[NDArray[np.float32], ...],
) -> None:
    n = out[0].shape[1]
    steps, corners = np.empty((2, n), np.int64), np.empty(n, np.int64)
    areas, lines = np.empty(n, np.float32), np.empty((N_COLOURS, n), np.float32)
    turned = maps.inverse[0, 0] < 0
    room = np.zeros((2 * TAPS + 4, N_COLOURS * LONGEST_RUN), np.float32)
    for row in range(maps.rows.size):
        _locate(maps, row, steps)
        _measure(maps, row, areas)
        if turned:
            _reverse(steps[0])
            _reverse(steps[1])
        _find_corners(frame, steps, corners)
        column = 0
        while column < n:
            length = _run(corners, column)
            if length < SHORTEST_RUN:
                length = _without_run(corners, column)
                last = column + length
                _interpolate_colours(
                    frame, corners, steps, weights, saturations, column, last, lines
                )
            else:
                _interpolate_run_of_colours(
                    frame, corners[column], steps, column, length, saturations, room, lines
                )
            column += length
        for colour in range(N_COLOURS):
            line = lines[colour]
            for k in range(n):
                if np.isnan(line[k]) and corners[k] != BEYOND:
                    step_x, step_y = steps[0, k], steps[1, k]
                    line[k] = _interpolate_incomplete(frame, weights.T, step_x, step_y, colour)
            if turned:
                _reverse(line)
            for k in range(n):
                out[colour][row, k] = line[k] * (areas[k] * scales[colour])


@compiled
def _interpolate_colours(
    frame: _Frame,
    corners: NDArray[np.int64],
    steps: NDArray[np.int64],
    weights: NDArray[np.float32],
    saturations: NDArray[np.float32],
    first: int,
    last: int,
    lines: NDArray[np.float32],
) -> None:
    """Interpolate at positions one by one: a processor sums the columns of all colours at a time.

    The sums are in memory of their own, or it could not tell that they are no pixels.
    """
    pixels, stride, taps = frame.pixels, np.uint64(N_COLOURS * frame.nx), np.uint64(TAPS)
    sums, lowest = np.empty(COLUMNS, np.float32), np.empty(COLUMNS, np.float32)
    cut = np.empty(TAPS * TAPS, np.float32)
    for k in range(np.uint64(first), np.uint64(last)):
        if corners[k] < 0:
            lines[:, k] = np.nan
            continue
        at_x = np.uint64(steps[0, k] & (PHASES - 1))
        at_y = np.uint64(steps[1, k] & (PHASES - 1))
        corner = np.uint64(N_COLOURS * corners[k])
        _sum_columns(pixels, corner, stride, weights, at_y, sums, lowest)
        for colour in range(np.uint64(N_COLOURS)):
            value = _sum_across(sums, weights, at_x, colour)
            low = _lowest_across(lowest, colour)
            if value < low:
                _cut_out(pixels, corner + colour, stride, cut)
                value = _clamped(cut, np.uint64(0), taps, value, low, saturations[colour])
            lines[colour, k] = value


@compiled
def _interpolate_run_of_colours(
    frame: _Frame,
    corner: int,
    steps: NDArray[np.int64],
    column: int,
    length: int,
    saturations: NDArray[np.float32],
    room: NDArray[np.float32],
    lines: NDArray[np.float32],
) -> None:
    """Interpolate at positions of a run, whose colours are a run of three times as many values."""
    pixels, first, step = frame.pixels, np.uint64(N_COLOURS * corner), np.uint64(N_COLOURS)
    stride = step * np.uint64(frame.nx)
    across, down, places = room[:TAPS], room[TAPS : 2 * TAPS], room[2 * TAPS : 2 * TAPS + 2]
    values, lowest = room[2 * TAPS + 2], room[2 * TAPS + 3]
    for axis in range(2):
        for k in range(np.uint64(length)):
            place = F32(np.int32(steps[axis, np.uint64(column) + k] & (PHASES - 1))) * STEP
            for colour in range(step):
                places[axis, step * k + colour] = place
    number = N_COLOURS * length
    more = (number + LANES - 1) // LANES * LANES
    if N_COLOURS * (corner + TAPS * frame.nx) + more < pixels.size:
        number = more
    count = np.uint64(number)
    _weigh(places[0], 0, count, across)
    _weigh(places[1], 0, count, down)
    for k in range(count):
        values[k] = _sum(pixels, first + k, stride, step, across, k, down, k)
    for k in range(count):
        lowest[k] = _lowest(pixels, first + k, stride, step)
    cut = np.empty(TAPS * TAPS, np.float32)
    for colour in range(step):
        level = saturations[colour]
        for k in range(np.uint64(length)):
            value, low = values[step * k + colour], lowest[step * k + colour]
            if value < low:
                _cut_out(pixels, first + step * k + colour, stride, cut)
                value = _clamped(cut, np.uint64(0), np.uint64(TAPS), value, low, level)
            lines[colour, np.uint64(column) + k] = value


@inlined
def _sum_columns(
    pixels: NDArray[np.float32],
    first: Index,
    nx: Index,
    down: NDArray[np.float32],
    at_y: Index,
    sums: NDArray[np.float32],
    lowest: NDArray[np.float32],
) -> None:
    """Sum the columns of the 6 x 6 pixels of all colours, and find the lowest of the inner four.

    Sums are in the order of `_sum`.
    """
    a, b, c = down[at_y, 0], down[at_y, 1], down[at_y, 2]
    d, e, f = down[at_y, 3], down[at_y, 4], down[at_y, 5]
    for k in range(np.uint64(COLUMNS)):
        p = first + k
        q, r, s = p + nx, p + np.uint64(2) * nx, p + np.uint64(3) * nx
        t, u = p + np.uint64(4) * nx, p + np.uint64(5) * nx
        total = np.float32(0) + a * pixels[p]
        total += b * pixels[q]
        total += c * pixels[r]
        total += d * pixels[s]
        total += e * pixels[t]
        total += f * pixels[u]
        sums[k] = total
        low = pixels[q]
        low = pixels[r] if pixels[r] < low else low
        low = pixels[s] if pixels[s] < low else low
        lowest[k] = pixels[t] if pixels[t] < low else low


@inlined
def _sum_across(
    sums: NDArray[np.float32], across: NDArray[np.float32], at_x: Index, colour: Index
) -> np.float32:
    """Sum the columns of one colour."""
    k = colour + np.uint64(N_COLOURS)
    m = k + np.uint64(N_COLOURS)
    n = m + np.uint64(N_COLOURS)
    p = n + np.uint64(N_COLOURS)
    q = p + np.uint64(N_COLOURS)
    left = sums[colour] * across[at_x, 0] + sums[k] * across[at_x, 1]
    middle = sums[m] * across[at_x, 2] + sums[n] * across[at_x, 3]
    right = sums[p] * across[at_x, 4] + sums[q] * across[at_x, 5]
    total: np.float32 = left + middle + right
    return total


@inlined
def _lowest_across(lowest: NDArray[np.float32], colour: Index) -> np.float32:
    """Find the lowest of the inner columns of one colour."""
    k = colour + np.uint64(N_COLOURS)
    left = min(lowest[k], lowest[k + np.uint64(N_COLOURS)])
    k += np.uint64(2 * N_COLOURS)
    right = min(lowest[k], lowest[k + np.uint64(N_COLOURS)])
    return min(left, right)


@compiled
def _cut_out(
    pixels: NDArray[np.float32], first: Index, nx: Index, cut: NDArray[np.float32]
) -> None:
    """Copy the 6 x 6 pixels of one colour."""
    for j in range(np.uint64(TAPS)):
        for i in range(np.uint64(TAPS)):
            cut[j * np.uint64(TAPS) + i] = pixels[first + j * nx + np.uint64(N_COLOURS) * i]


@compiled
def _resample_variance_rows(
    frame: _Frame,
    maps: _RowMaps,
    scale: float,
    weights: NDArray[np.float32],
    squared: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    n, nx = out.shape[1], np.uint64(frame.nx)
    steps, corners = np.empty((2, n), np.int64), np.empty(n, np.int64)
    areas = np.empty(n, np.float32)
    for row in range(maps.rows.size):
        _locate(maps, row, steps)
        _measure(maps, row, areas)
        _find_corners(frame, steps, corners)
        for k in range(n):
            value = np.float32(np.nan)
            if corners[k] >= 0:
                corner = np.uint64(corners[k])
                value = _interpolate(frame.pixels, corner, nx, squared, steps[0, k], steps[1, k])
            if np.isnan(value) and corners[k] != BEYOND:
                value = _variance_of_incomplete(frame, weights, steps[0, k], steps[1, k])
            factor = areas[k] * np.float32(scale)
            out[row, k] = value * (factor * factor)


@compiled
def _variance_of_incomplete(
    frame: _Frame, weights: NDArray[np.float32], step_x: int, step_y: int
) -> np.float32:
    """Find the variance of what `_interpolate_incomplete` gives."""
    corner_x, corner_y = step_x // PHASES - RADIUS + 1, step_y // PHASES - RADIUS + 1
    total, total_weight = 0.0, 0.0
    for j in range(TAPS):
        for i in range(TAPS):
            x, y = corner_x + i, corner_y + j
            weight = weights[i, step_x % PHASES] * weights[j, step_y % PHASES]
            value = np.float32(np.nan)
            if x >= 0 and y >= 0 and x < frame.nx and y < frame.ny:
                value = frame.pixels[(y - frame.first_row) * frame.nx + x]
            if not np.isnan(value):
                total += weight * weight * value
                total_weight += weight
            elif weight != 0 and 2 <= i <= 3 and 2 <= j <= 3:
                return np.float32(np.nan)
    return np.float32(total / (total_weight * total_weight))


@compiled
def _reverse(line: NDArray[np.generic]) -> None:
    """Reverse a line in place."""
    for k in range(line.size // 2):
        line[k], line[line.size - 1 - k] = line[line.size - 1 - k], line[k]


@compiled
def _find_corners(frame: _Frame, steps: NDArray[np.int64], corners: NDArray[np.int64]) -> None:
    """Find where the 6 x 6 pixels of each position begin.

    It is -1 where they are not all there, and `BEYOND` where one of the inner 2 x 2 is not that
    has a weight.
    """
    for k in range(corners.size):
        to_x, to_y = steps[0, k] >> PHASE_BITS, steps[1, k] >> PHASE_BITS
        x, y = to_x - RADIUS + 1, to_y - RADIUS + 1
        whole = (x >= 0) & (y >= 0) & (x + TAPS <= frame.nx) & (y + TAPS <= frame.ny)
        near = (to_x >= 0) & (to_y >= 0) & (to_x < frame.nx) & (to_y < frame.ny)
        corners[k] = (y - frame.first_row) * frame.nx + x if whole else -1 if near else BEYOND


@compiled
def _run(corners: NDArray[np.int64], first: int) -> int:
    """Count the positions from the first on whose 6 x 6 pixels lie side by side."""
    corner = corners[first]
    if corner < 0:
        return 0
    length, most = 1, min(LONGEST_RUN, corners.size - first)
    while length + SHORTEST_RUN <= most:
        n_further = 0
        for k in range(SHORTEST_RUN):
            n_further += corners[np.uint64(first + length + k)] == corner + length + k
        if n_further < SHORTEST_RUN:
            break
        length += SHORTEST_RUN
    while length < most and corners[first + length] == corner + length:
        length += 1
    return length


@compiled
def _without_run(corners: NDArray[np.int64], first: int) -> int:
    """Count the positions from the first on before the next run begins."""
    last = first
    while last < corners.size and _run(corners, last) < SHORTEST_RUN:
        last = min(last + SHORTEST_RUN, corners.size)
    return last - first


@compiled
def _interpolate(
    pixels: NDArray[np.float32],
    corner: Index,
    nx: Index,
    weights: NDArray[np.float32],
    step_x: int,
    step_y: int,
) -> np.float32:
    """Interpolate at one position."""
    at_x, at_y = np.uint64(step_x & (PHASES - 1)), np.uint64(step_y & (PHASES - 1))
    one = np.uint64(1)
    return _sum(pixels, np.uint64(corner), np.uint64(nx), one, weights, at_x, weights, at_y)


@compiled
def _weigh(
    places: NDArray[np.float32], first: int, number: np.uint64, weights: NDArray[np.float32]
) -> None:
    """Compute the weights (6, number) for places between two pixels: those of `WEIGHTS`."""
    for k in range(number):
        t = places[np.uint64(first) + k]
        u = F32(1) - t
        weights[0, k], weights[1, k], weights[2, k] = _compiled_lobes(t, u)
        weights[5, k], weights[4, k], weights[3, k] = _compiled_lobes(u, t)


@compiled
def _interpolate_run(
    frame: _Frame,
    corner: int,
    across: NDArray[np.float32],
    down: NDArray[np.float32],
    number: np.uint64,
    lowest: NDArray[np.float32],
    values: NDArray[np.float32],
) -> None:
    """Interpolate at so many positions of a run; `lowest` is room."""
    pixels, first, nx = frame.pixels, np.uint64(corner), np.uint64(frame.nx)
    for k in range(number):
        values[k] = _sum(pixels, first + k, nx, np.uint64(1), across, k, down, k)
    for k in range(number):
        lowest[k] = _lowest(pixels, first + k, nx, np.uint64(1))
    n_low = 0
    for k in range(number):
        n_low += values[k] < lowest[k]
    for k in range(number if n_low > 0 else np.uint64(0)):
        if values[k] < lowest[k]:
            values[k] = _clamped(pixels, first + k, nx, values[k], lowest[k], frame.saturation)


@compiled
def _interpolate_each(
    frame: _Frame,
    corners: NDArray[np.int64],
    steps: NDArray[np.int64],
    weights: NDArray[np.float32],
    first: int,
    last: int,
    line: NDArray[np.float32],
) -> None:
    """Interpolate at positions of a row, one by one; NaN where some of the 6 x 6 are not there."""
    pixels, nx = frame.pixels, np.uint64(frame.nx)
    for k in range(first, last):
        line[k] = np.nan
        if corners[k] >= 0:
            corner = np.uint64(corners[k])
            value = _interpolate(pixels, corner, nx, weights, steps[0, k], steps[1, k])
            lowest = _lowest(pixels, corner, nx, np.uint64(1))
            line[k] = value
            if value < lowest:
                line[k] = _clamped(pixels, corner, nx, value, lowest, frame.saturation)


@compiled
def _complete(
    frame: _Frame,
    corners: NDArray[np.int64],
    steps: NDArray[np.int64],
    weights: NDArray[np.float32],
    line: NDArray[np.float32],
) -> None:
    """Interpolate where a pixel of the 6 x 6 is missing; few rows have such places."""
    n_missing = 0
    for k in range(line.size):
        n_missing += np.isnan(line[k])
    for k in range(line.size if n_missing > 0 else 0):
        if np.isnan(line[k]) and corners[k] != BEYOND:
            line[k] = _interpolate_incomplete(frame, weights, steps[0, k], steps[1, k], 0)


@compiled
def _interpolate_incomplete(
    frame: _Frame, weights: NDArray[np.float32], step_x: int, step_y: int, colour: int
) -> np.float32:
    """Interpolate where a pixel of the 6 x 6 is missing, from those that are not."""
    corner_x, corner_y = step_x // PHASES - RADIUS + 1, step_y // PHASES - RADIUS + 1
    total, total_weight = 0.0, 0.0
    lowest, highest = np.float32(np.inf), np.float32(-np.inf)
    for j in range(TAPS):
        for i in range(TAPS):
            x, y = corner_x + i, corner_y + j
            weight = weights[i, step_x % PHASES] * weights[j, step_y % PHASES]
            value = np.float32(np.nan)
            if x >= 0 and y >= 0 and x < frame.nx and y < frame.ny:
                place = (y - frame.first_row) * frame.nx + x
                value = frame.pixels[place * frame.n_colours + colour]
            if not np.isnan(value):
                total += weight * value
                total_weight += weight
                highest = max(highest, value)
                if 1 <= i <= 4 and 1 <= j <= 4:
                    lowest = min(lowest, value)
            elif weight != 0 and 2 <= i <= 3 and 2 <= j <= 3:
                return np.float32(np.nan)
    value = np.float32(total / total_weight)
    return max(value, np.float32(lowest - UNDERSHOOT * (highest - lowest)))
