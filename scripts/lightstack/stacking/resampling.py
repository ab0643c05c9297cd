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

from typing import NamedTuple

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
"""How high the mean of the 6 x 6 pixels is in noise at least, between their lowest and highest."""

FLAT = np.float32(0.97)
"""Pixels nearly as high as the highest, or as saturation; three of them are no peak."""

TAPS = 2 * RADIUS

SHORTEST_RUN, LONGEST_RUN = 8, 128
"""How many positions whose pixels lie side by side are interpolated together (tuned:
`benchmarks/stack_kernels.py`)."""

Index = int | np.uint64


class _Frame(NamedTuple):
    """Rows of a frame, in one line.

    Attributes
    ----------
    pixels : (k * nx,) ndarray of float32
        Rows from `first_row` on.
    first_row : int
        The frame's row that comes first.
    ny, nx : int
        Shape of the whole frame.
    saturation : float32
        Level of saturated pixels.
    """

    pixels: NDArray[np.float32]
    first_row: int
    ny: int
    nx: int
    saturation: np.float32


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
    """

    rows: NDArray[np.int64]
    inverse: NDArray[np.float64]
    cubics: NDArray[np.float64]
    centre: float
    extent: float


def kernel_weights(phases: int = PHASES) -> NDArray[np.float32]:
    """Weights of the taps for positions ``0, 1 / phases, …`` between two pixels.

    The kernel has three smooth lobes, quartics of the distance. Interpolating a pixel's centre, a
    constant and a slope are exact, which leaves three coefficients free: they are those with the
    least squared error on Gaussian stars of FWHM 2 to 4 pixels, each place on a star counted by
    its brightness, rounded to 0.01 (least-squares design of local interpolators: Schaum 1993,
    CVGIP: Graph. Models Image Process. 55, 464). `benchmarks/star_kernel.py` makes the fit.

    Returns
    -------
    (phases, 6) ndarray of float32
        For the pixels -2 … 3 from the position's lower neighbour. Their sum is one, and their
        centre of mass is the position: without that, the flux of a star depends on where it falls
        between the pixels of a grid of another scale.
    """
    place = np.arange(phases) / phases
    return np.stack([*_lobes(place), *reversed(_lobes(1 - place))], axis=1).astype(np.float32)


def _lobes(t: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Kernel at the distances ``2 + t``, ``1 + t`` and ``t``, for t from 0 to 1."""
    return [
        t * (0.13 + t * (0.11 + t * (-0.61 + t * 0.37))),
        t * (-0.76 + t * (0.61 + t * (0.93 - t * 0.78))),
        1 + t * t * (-1.83 + t * (0.42 + t * 0.41)),
    ]


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
    numbers = np.arange(start, stop)
    if transform.backward_cubic is None:
        numbers = numbers[[0, -1]]  # a plane is highest and lowest on its border
    lowest, highest = _extent(_row_maps(transform, numbers), transform.reference_shape[1])
    first = min(max(lowest - RADIUS + 1, 0), ny)
    return first, max(min(highest + RADIUS + 1, ny), first)


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
    start, stop = rows
    shape = (stop - start, transform.reference_shape[1])
    if out is None:
        out = np.empty(shape, np.float32)
    if out.shape != shape or out.dtype != np.float32 or not out.flags.c_contiguous:
        raise ValueError(f"out must be a C-contiguous float32 array of shape {shape}")
    first, last = source_rows(transform, rows)
    if first == last:
        out.fill(np.nan)
        return out
    if source.ndim != 2 or source.shape[1] != transform.frame_shape[1]:
        raise ValueError(f"source {source.shape} is not cut from {transform.frame_shape} by rows")
    if first < first_row or last > first_row + source.shape[0]:
        raise ValueError(
            f"rows {start}-{stop} of the reference need rows {first}-{last} of the frame, "
            f"source holds {first_row}-{first_row + source.shape[0]}"
        )
    source = np.ascontiguousarray(source, np.float32)
    level = np.float32(saturation)
    frame = _Frame(source.reshape(-1), first_row, *transform.frame_shape, level)
    maps = _row_maps(transform, np.arange(start, stop))
    _resample_rows(frame, maps, float(scale), WEIGHTS.T, out)
    return out


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
    return _RowMaps(rows, affine_inverse(transform.matrix), cubics, float(centre_x), float(extent))


@compiled
def _cubic(c: NDArray[np.float64], u: float) -> float:
    return float(c[0] + u * (c[1] + u * (c[2] + u * c[3])))


@compiled
def _slope(c: NDArray[np.float64], u: float) -> float:
    return float(c[1] + u * (2 * c[2] + u * 3 * c[3]))


@compiled
def _locate(maps: _RowMaps, row: int, steps: NDArray[np.int64]) -> None:
    """Map a row of the reference to positions (x, y) on the frame [1 / PHASES pixel]."""
    inverse, cubics, y = maps.inverse, maps.cubics[row], maps.rows[row]
    for x in range(steps.shape[1]):
        u = (x - maps.centre) / maps.extent
        to_x = inverse[0, 0] * x + (inverse[0, 1] * y + inverse[0, 2]) + _cubic(cubics[0], u)
        to_y = inverse[1, 0] * x + (inverse[1, 1] * y + inverse[1, 2]) + _cubic(cubics[1], u)
        steps[0, x] = np.int64(np.floor(to_x * PHASES + 0.5))
        steps[1, x] = np.int64(np.floor(to_y * PHASES + 0.5))


@compiled
def _measure(maps: _RowMaps, row: int, areas: NDArray[np.float32]) -> None:
    """Measure the areas on the frame of a row of the reference's pixels [frame pixels]."""
    inverse, cubics = maps.inverse, maps.cubics[row]
    for x in range(areas.size):
        u = (x - maps.centre) / maps.extent
        xx = inverse[0, 0] + _slope(cubics[0], u) / maps.extent
        xy = inverse[0, 1] + _cubic(cubics[2], u)
        yx = inverse[1, 0] + _slope(cubics[1], u) / maps.extent
        yy = inverse[1, 1] + _cubic(cubics[3], u)
        areas[x] = abs(xx * yy - xy * yx)


@compiled
def _extent(maps: _RowMaps, nx: int) -> tuple[int, int]:
    """Find the lowest and the highest row of the frame on which a position lies."""
    steps = np.empty((2, nx), np.int64)
    lowest, highest = 2**62, -(2**62)
    for row in range(maps.rows.size):
        _locate(maps, row, steps)
        for step in steps[1]:
            lowest = min(lowest, step)
            highest = max(highest, step)
    return lowest // PHASES, highest // PHASES


@inlined
def _sum(
    pixels: NDArray[np.float32],
    corner: Index,
    nx: Index,
    across: NDArray[np.float32],
    at_x: Index,
    down: NDArray[np.float32],
    at_y: Index,
) -> np.float32:
    """Sum 6 x 6 weighted pixels: down six columns side by side, then across them.

    The columns have a name each, so that the compiler keeps them in registers and can sum many
    columns or positions at a time without changing the order of any sum. Indices are unsigned, as
    Numba would otherwise ask whether each of them is negative, which takes as long as the sum.
    """
    a = b = c = d = e = f = np.float32(0)
    for j in range(np.uint64(TAPS)):
        weight, p = down[j, at_y], corner + j * nx
        a += weight * pixels[p]
        b += weight * pixels[p + np.uint64(1)]
        c += weight * pixels[p + np.uint64(2)]
        d += weight * pixels[p + np.uint64(3)]
        e += weight * pixels[p + np.uint64(4)]
        f += weight * pixels[p + np.uint64(5)]
    left = a * across[0, at_x] + b * across[1, at_x]
    middle = c * across[2, at_x] + d * across[3, at_x]
    right = e * across[4, at_x] + f * across[5, at_x]
    total: np.float32 = left + middle + right
    return total


@inlined
def _lowest(pixels: NDArray[np.float32], corner: Index, nx: Index) -> np.float32:
    """Find the lowest of the inner 4 x 4 pixels."""
    first = corner + nx + np.uint64(1)
    lowest: np.float32 = pixels[first]
    for j in range(np.uint64(4)):
        for i in range(np.uint64(4)):
            value = pixels[first + j * nx + i]
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
    highest, total = pixels[corner], np.float32(0)
    for j in range(np.uint64(TAPS)):
        for i in range(np.uint64(TAPS)):
            highest = max(highest, pixels[corner + j * nx + i])
            total += pixels[corner + j * nx + i]
    least = np.float32(lowest - UNDERSHOOT * (highest - lowest))
    is_noise = total / np.float32(TAPS * TAPS) - lowest > FILLED * (highest - lowest)
    if value >= least or is_noise or highest >= FLAT * saturation:
        return max(value, least)
    return max(value, np.float32(least - _ring_of_star(pixels, corner, nx, highest)))


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
    n, pixels, nx = out.shape[1], frame.pixels, np.uint64(frame.nx)
    steps, corners = np.empty((2, n), np.int64), np.empty(n, np.int64)
    areas, line = np.empty(n, np.float32), np.empty(n, np.float32)
    across = np.empty((TAPS, LONGEST_RUN), np.float32)
    down = np.empty((TAPS, LONGEST_RUN), np.float32)
    values, lowest = np.empty(LONGEST_RUN, np.float32), np.empty(LONGEST_RUN, np.float32)
    for row in range(maps.rows.size):
        _locate(maps, row, steps)
        _measure(maps, row, areas)
        _find_corners(frame, steps, corners)
        column = 0
        while column < n:
            length, stride = _run(corners, column)
            if length < SHORTEST_RUN:
                length = min(SHORTEST_RUN, n - column)
                for k in range(column, column + length):
                    line[k] = np.nan
                    if corners[k] >= 0:
                        corner = np.uint64(corners[k])
                        value = _interpolate(pixels, corner, nx, weights, steps[0, k], steps[1, k])
                        low = _lowest(pixels, corner, nx)
                        line[k] = value
                        if value < low:
                            line[k] = _clamped(pixels, corner, nx, value, low, frame.saturation)
            else:
                # Side by side from right to left on a frame that is turned around.
                first = column if stride > 0 else column + length - 1
                _lay_weights(weights, steps, first, stride, length, across, down)
                _interpolate_run(frame, corners[first], across, down, length, lowest, values)
                for k in range(length):
                    line[first + k * stride] = values[k]
            column += length
        for k in range(n):
            value = line[k]
            if np.isnan(value):
                value = _interpolate_incomplete(frame, weights, steps[0, k], steps[1, k])
            out[row, k] = value * (areas[k] * np.float32(scale))


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
            if np.isnan(value):
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
def _find_corners(frame: _Frame, steps: NDArray[np.int64], corners: NDArray[np.int64]) -> None:
    """Find where the 6 x 6 pixels of each position begin; -1 where they are not all there."""
    for k in range(corners.size):
        x = (steps[0, k] >> PHASE_BITS) - RADIUS + 1
        y = (steps[1, k] >> PHASE_BITS) - RADIUS + 1
        whole = (x >= 0) & (y >= 0) & (x + TAPS <= frame.nx) & (y + TAPS <= frame.ny)
        corners[k] = (y - frame.first_row) * frame.nx + x if whole else -1


@compiled
def _run(corners: NDArray[np.int64], first: int) -> tuple[int, int]:
    """Count the positions from the first on whose 6 x 6 pixels lie side by side.

    The second number is 1 where they go on to the right, and -1 to the left.
    """
    if corners[first] < 0:
        return 0, 1
    length, most = 1, min(LONGEST_RUN, corners.size - first)
    stride = -1 if most > 1 and corners[first + 1] == corners[first] - 1 else 1
    while length < most and corners[first + length] == corners[first] + stride * length:
        length += 1
    return length, stride


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
    return _sum(pixels, np.uint64(corner), np.uint64(nx), weights, at_x, weights, at_y)


@compiled
def _lay_weights(
    weights: NDArray[np.float32],
    steps: NDArray[np.int64],
    first: int,
    stride: int,
    length: int,
    across: NDArray[np.float32],
    down: NDArray[np.float32],
) -> None:
    """Lay the weights of a run side by side."""
    for k in range(length):
        at = first + stride * k
        phase_x = np.uint64(steps[0, at] & (PHASES - 1))
        phase_y = np.uint64(steps[1, at] & (PHASES - 1))
        for tap in range(TAPS):
            across[tap, k] = weights[tap, phase_x]
            down[tap, k] = weights[tap, phase_y]


@compiled
def _interpolate_run(
    frame: _Frame,
    corner: int,
    across: NDArray[np.float32],
    down: NDArray[np.float32],
    length: int,
    lowest: NDArray[np.float32],
    values: NDArray[np.float32],
) -> None:
    """Interpolate at the positions of a run; `lowest` is room."""
    pixels, first, nx = frame.pixels, np.uint64(corner), np.uint64(frame.nx)
    for k in range(np.uint64(length)):
        values[k] = _sum(pixels, first + k, nx, across, k, down, k)
    for k in range(np.uint64(length)):
        lowest[k] = _lowest(pixels, first + k, nx)
    n_low = 0
    for k in range(np.uint64(length)):
        n_low += values[k] < lowest[k]
    for k in range(np.uint64(length if n_low > 0 else 0)):
        if values[k] < lowest[k]:
            values[k] = _clamped(pixels, first + k, nx, values[k], lowest[k], frame.saturation)


@compiled
def _interpolate_incomplete(
    frame: _Frame, weights: NDArray[np.float32], step_x: int, step_y: int
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
                value = frame.pixels[(y - frame.first_row) * frame.nx + x]
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
