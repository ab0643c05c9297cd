"""Sources of a frame: found on the smoothed image, measured on the frame itself."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIGMA_TO_FWHM = 2.0 * np.sqrt(2.0 * np.log(2.0))

SOURCE = np.dtype(
    [
        ("x", "f8"),  # centroid [pixels]
        ("y", "f8"),
        ("flux", "f8"),  # [ADU]
        ("peak", "f4"),  # brightest pixel [ADU above the background]
        ("a", "f4"),  # semi-axes: standard deviations of the light along them [pixels]
        ("b", "f4"),
        ("theta", "f4"),  # of the longer axis, from x towards y [radians]
        ("fwhm", "f4"),  # [pixels]
        ("ellipticity", "f4"),  # 1 - b/a
        ("saturated", "u1"),  # 1: a saturated pixel lies in its core
    ]
)

SHAPE_WINDOW = 1.2
"""Width of the window for the shape over that of a typical star."""

WINGS = 1.057
"""What this window makes of the width of a star, between two profiles.

A Gaussian comes out 1.5 % wider than it is, a seeing disc (Moffat, beta 4.765: Trujillo et al.
2001, MNRAS 328, 977) with its wings 10 %. Divided by this factor both are right within 5 %.
"""

_NARROWEST_WINDOW = 1.0

_SHARPEST = 0.02

_WIDEST = 3.0

_TOLERANCE = 1e-3

_SOURCES_AT_A_TIME = 500

_PIXELS_AT_A_TIME = 2**16


def detect(
    data: NDArray[np.float32],
    noise: float,
    *,
    threshold_sigma: float,
    minarea: int,
    smoothing_sigma: float,
) -> NDArray[np.float64]:
    """Find the sources of a background-subtracted frame.

    Parameters
    ----------
    data : (ny, nx) ndarray of float32
        Frame without its background [ADU]; NaN where there is no data.
    noise : float
        Standard deviation of the background [ADU].
    threshold_sigma : float
        A source's pixels exceed this many `noise` on the smoothed frame.
    minarea : int
        Fewest connected pixels of a source.
    smoothing_sigma : float
        Standard deviation of the Gaussian that smooths the frame [pixels]; 0 for none.

    Returns
    -------
    (n, 3) ndarray of float64
        x, y [pixels] and the standard deviation of the light about them [pixels], as seen on the
        smoothed frame: first guesses for `measure`.

    Notes
    -----
    Thresholding and deblending are those of SExtractor (Bertin & Arnouts 1996, A&AS 117, 393) as
    the package SEP implements them.
    """
    import sep

    no_data = np.isnan(data)
    mask = no_data if no_data.any() else None
    smoothed = data if mask is None else np.where(mask, np.float32(0), data)
    if smoothing_sigma > 0:
        smoothed = _smoothed(smoothed, _gaussian_kernel(smoothing_sigma))
    threshold = np.float32(threshold_sigma * noise)
    # SEP gives up when its pixel buffer is full; it cannot be fuller than this.
    sep.set_extract_pixstack(max(300_000, int(np.count_nonzero(smoothed > threshold)) + 1))
    sep.set_sub_object_limit(16_384)
    found = sep.extract(smoothed, threshold, minarea=minarea, mask=mask, filter_kernel=None)
    width = np.sqrt((found["a"] ** 2 + found["b"] ** 2) / 2)
    guesses = np.column_stack([found["x"], found["y"], width])
    return np.asarray(guesses[np.isfinite(guesses).all(axis=1)])


def measure(
    data: NDArray[np.float32],
    saturated: NDArray[np.bool_],
    guesses: NDArray[np.float64],
    noise: float,
) -> NDArray[Any]:
    """Measure sources on the unsmoothed frame through a Gaussian window.

    Parameters
    ----------
    data : (ny, nx) ndarray of float32
        Frame without its background [ADU]; NaN where there is no data.
    saturated : (ny, nx) ndarray of bool
        Saturated pixels.
    guesses : (n, 3) ndarray of float64
        x, y and width [pixels] as `detect` gives them.
    noise : float
        Standard deviation of the background [ADU].

    Returns
    -------
    (m, ) structured ndarray
        Of dtype `SOURCE`, brightest first. A source whose light has no measurable shape, for
        instance because data is missing at its core, is left out.

    Notes
    -----
    Light is weighted by a round Gaussian about the source, whose width is that of the frame's
    typical source (for the shape, `SHAPE_WINDOW` of it). What this does to position, moments and
    flux of a Gaussian source is known exactly and undone: the covariance C of the source follows
    from the covariance P of the weighted light and the window's W by ``1/C = 1/P - 1/W`` (the idea
    of windowed and adaptive moments: Bertin & Arnouts 1996, A&AS 117, 393; Bernstein & Jarvis
    2002, AJ 123, 583). The moments are so those of the frame as recorded, free of the smoothing
    that detection needs and of the truncation that a threshold brings.
    ``FWHM = 2 sqrt(2 ln 2) sqrt((a**2 + b**2) / 2)``. Noise makes round sources look elongated:
    its expected share is taken out of the elongation (as for a polarisation: Wardle & Kronberg
    1974, ApJ 194, 249).
    """
    rows, window = _through_typical_window(data, saturated, guesses)
    shape_window = SHAPE_WINDOW * window
    widths = np.sqrt((rows[:, 4] + rows[:, 5]) / 2)
    shapes = _windowed(data, saturated, np.column_stack([rows[:, :2], widths]), shape_window)
    both = np.isfinite(shapes[:, 0])
    x, y, flux, peak = rows[both, :4].T
    cxx, cyy, cxy = shapes[both, 4:7].T / WINGS**2
    middle = (cxx + cyy) / 2
    spread_by_noise = _elongation_noise(middle, shapes[both, 2], noise, shape_window)
    half_squared = ((cxx - cyy) / 2) ** 2 + cxy**2 - 2 * spread_by_noise**2
    half = np.sqrt(np.maximum(half_squared, 0))
    a, b = np.sqrt(middle + half), np.sqrt(middle - half)
    table = np.zeros(len(x), SOURCE)
    for name, values in {
        "x": x,
        "y": y,
        "flux": flux,
        "peak": peak,
        "a": a,
        "b": b,
        "theta": [math.atan2(2 * xy, x - y) / 2 for x, y, xy in zip(cxx, cyy, cxy, strict=True)],
        "fwhm": SIGMA_TO_FWHM * np.sqrt(middle),
        "ellipticity": 1 - b / a,
        "saturated": rows[both, 7],
    }.items():
        table[name] = values
    return table[np.lexsort((table["x"], table["y"], -table["flux"]))]


def _through_typical_window(
    data: NDArray[np.float32], saturated: NDArray[np.bool_], guesses: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """Measure through a window as wide as the median source; return the rows and its width."""
    rows = np.empty((0, 8))
    window = 0.0
    for _ in range(4):
        typical = float(np.median(guesses[:, 2])) if len(guesses) else 0.0
        before, window = window, max(typical, _NARROWEST_WINDOW)
        if abs(window - before) < 0.02 * window:
            break
        rows = _windowed(data, saturated, guesses, window)
        rows = rows[np.isfinite(rows[:, 0])]
        guesses = np.column_stack([rows[:, :2], np.sqrt((rows[:, 4] + rows[:, 5]) / 2)])
    return rows, window


def _elongation_noise(
    variance: NDArray[np.float64], flux: NDArray[np.float64], noise: float, window: float
) -> NDArray[np.float64]:
    """Return the noise [pixels squared] of ``(cxx - cyy) / 2``, which is also that of ``cxy``.

    For a round source of this variance and flux: white noise under the window, divided by the
    light under the window and carried through ``1/C = 1/P - 1/W``.
    """
    weighted = variance * window**2 / (variance + window**2)
    light = flux * weighted / variance
    moment_noise = noise * np.sqrt(np.pi) * window**3 / (2 * light)
    return np.asarray(moment_noise * (variance / weighted) ** 2)


def _windowed(
    data: NDArray[np.float32],
    saturated: NDArray[np.bool_],
    guesses: NDArray[np.float64],
    window: float,
) -> NDArray[np.float64]:
    """Return x, y, flux, peak, covariance xx, yy, xy and saturation per source; NaN: no shape."""
    rows = np.full((len(guesses), 8), np.nan)
    for start in range(0, len(guesses), _SOURCES_AT_A_TIME):
        part = slice(start, start + _SOURCES_AT_A_TIME)
        rows[part] = _centred(data, saturated, guesses[part], window)
    return rows


def _centred(
    data: NDArray[np.float32],
    saturated: NDArray[np.bool_],
    guesses: NDArray[np.float64],
    window: float,
) -> NDArray[np.float64]:
    """Move the window of each source until it is centred, and measure there."""
    rows = np.full((len(guesses), 8), np.nan)
    first, reach = guesses[:, :2], 2 * np.maximum(guesses[:, 2], 1.0)
    widest = _WIDEST * np.maximum(guesses[:, 2], window)
    no_data = np.isnan(data)
    filled = np.where(no_data, np.float32(0), data) if no_data.any() else data
    position = first.copy()
    left = np.arange(len(guesses))
    for _ in range(20):
        light, mean, p = _weighted_moments(filled, position[left], window)
        c = _without_window(p, window)
        determinant = p[0] * p[1] - p[2] ** 2
        # The offset that the window lets through, scaled to the whole: C P^-1 m.
        ux = (p[1] * mean[0] - p[2] * mean[1]) / determinant
        uy = (p[0] * mean[1] - p[2] * mean[0]) / determinant
        step = np.column_stack([c[0] * ux + c[2] * uy, c[2] * ux + c[1] * uy])
        moved = position[left] + step
        stray = ((moved - first[left]) ** 2).sum(axis=1) > reach[left] ** 2
        # A flat top leaves the window as it is: its width cannot be told.
        flat = np.maximum(c[0], c[1]) > widest[left] ** 2
        good = (light > 0) & (c[0] > 0) & ~stray & ~flat
        position[left] = moved
        there = good & ((step**2).sum(axis=1) < _TOLERANCE**2)
        done = left[there]
        gain = np.sqrt((c[0] * c[1] - c[2] ** 2) / determinant)
        rows[done, :2] = moved[there]
        rows[done, 2] = (light * gain)[there]
        rows[done, 4:7] = c[:, there].T
        left = left[good & ~there]
        if len(left) == 0:
            break
    measured = np.flatnonzero(np.isfinite(rows[:, 0]))
    sigma = np.sqrt(rows[measured, 4:6].max(axis=1, initial=0))
    rows[measured, 3], rows[measured, 7] = _core(data, saturated, rows[measured, :2], sigma)
    return rows


def _stamps(
    shape: tuple[int, int], position: NDArray[np.float64], reach: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.bool_]]:
    """Return rows (n, k, 1) and columns (n, 1, k) about positions, and which pixels exist."""
    offsets = np.arange(-reach, reach + 1)
    corner = np.floor(position + 0.5).astype(np.intp)
    columns = (corner[:, :1] + offsets)[:, np.newaxis, :]
    rows = (corner[:, 1:] + offsets)[:, :, np.newaxis]
    exists = (rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1])
    return rows.clip(0, shape[0] - 1), columns.clip(0, shape[1] - 1), exists


def _weighted_moments(
    data: NDArray[np.float32], position: NDArray[np.float64], window: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return light (n,), mean x, y (2, n) and covariance xx, yy, xy (3, n) under the window.

    Pixels without data must be zero.
    """
    rows, columns, exists = _stamps(data.shape, position, int(np.ceil(4 * window)))
    dx = columns - position[:, 0, np.newaxis, np.newaxis]
    dy = rows - position[:, 1, np.newaxis, np.newaxis]
    light = _gaussian(dx / window) * _gaussian(dy / window)
    light *= data.ravel().take(rows * data.shape[1] + columns)
    if not exists.all():
        light[~exists] = 0.0
    along_x, along_y = light.sum(axis=1), light.sum(axis=2)
    dx, dy = dx[:, 0, :], dy[:, :, 0]
    total = along_x.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        mx, my = (along_x * dx).sum(axis=1) / total, (along_y * dy).sum(axis=1) / total
        pxx = (along_x * dx**2).sum(axis=1) / total - mx**2
        pyy = (along_y * dy**2).sum(axis=1) / total - my**2
        pxy = ((light * dx[:, np.newaxis, :]).sum(axis=2) * dy).sum(axis=1) / total - mx * my
        pxx, pyy = np.maximum(pxx, _SHARPEST), np.maximum(pyy, _SHARPEST)
        pxy = np.where(pxy**2 < 0.99 * pxx * pyy, pxy, 0.0)
    return total, np.stack([mx, my]), np.stack([pxx, pyy, pxy])


def _smoothed(data: NDArray[np.float32], kernel: NDArray[np.float32]) -> NDArray[np.float32]:
    """Correlate with a symmetric kernel along both axes; beyond the edge, its pixels go on.

    As many rows at a time as stay in the processor's cache.
    """
    reach = len(kernel) // 2
    ny, nx = data.shape
    height = max(1, _PIXELS_AT_A_TIME // nx)
    smoothed = np.empty_like(data)
    for first in range(0, ny, height):
        last = min(first + height, ny)
        rows = np.arange(first - reach, last + reach).clip(0, ny - 1)
        across = _correlated(data[rows], kernel)
        padded = np.pad(across, ((0, 0), (reach, reach)), mode="edge")
        smoothed[first:last] = _correlated(padded.T, kernel).T
    return smoothed


def _correlated(values: NDArray[np.float32], kernel: NDArray[np.float32]) -> NDArray[np.float32]:
    """Correlate the first axis with a symmetric kernel where all of it fits in."""
    reach = len(kernel) // 2
    n = len(values) - 2 * reach
    total: NDArray[np.float32] = values[reach : reach + n] * kernel[reach]
    pair = np.empty_like(total)
    for k in range(reach, 0, -1):
        np.add(values[reach - k : reach - k + n], values[reach + k : reach + k + n], out=pair)
        pair *= kernel[reach + k]
        total += pair
    return total


def _gaussian_kernel(sigma: float) -> NDArray[np.float32]:
    """Return weights of a Gaussian out to 4 sigma, with a sum of one."""
    reach = int(4 * sigma + 0.5)
    kernel = np.array([math.exp(-0.5 * (x / sigma) ** 2) for x in range(-reach, reach + 1)])
    return np.asarray(kernel / kernel.sum(), np.float32)


def _gaussian(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return ``exp(-x**2 / 2)`` to 1e-4 within 4 sigma, by products alone.

    NumPy has several exponential functions and takes the one that suits the processor: their
    last bits differ.
    """
    value = 1 - x**2 / 2**21
    for _ in range(20):
        value = value * value
    return value


def _without_window(p: NDArray[np.float64], window: float) -> NDArray[np.float64]:
    """Return covariances (3, n) of sources from those of their weighted light; zeros if none."""
    determinant = p[0] * p[1] - p[2] ** 2
    ixx, iyy = p[1] / determinant - window**-2, p[0] / determinant - window**-2
    ixy = -p[2] / determinant
    determinant = ixx * iyy - ixy**2
    has_one = (ixx > 0) & (iyy > 0) & (determinant > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(has_one, np.stack([iyy, ixx, -ixy]) / determinant, 0.0)


def _core(
    data: NDArray[np.float32],
    saturated: NDArray[np.bool_],
    position: NDArray[np.float64],
    sigma: NDArray[np.float64],
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the brightest pixel within 1.5 sigma and whether one of them is saturated."""
    reach = np.maximum(1.5 * sigma, 1.0)
    widest = int(np.ceil(reach.max(initial=1.0)))
    rows, columns, exists = _stamps(data.shape, position, widest)
    dx = columns - position[:, 0, np.newaxis, np.newaxis]
    dy = rows - position[:, 1, np.newaxis, np.newaxis]
    core = exists & (dx**2 + dy**2 <= reach[:, np.newaxis, np.newaxis] ** 2)
    pixels = rows * data.shape[1] + columns
    values, cut = data.ravel().take(pixels), saturated.ravel().take(pixels)
    peak = np.fmax.reduce(np.where(core, values, -np.inf), axis=(1, 2))
    touched: NDArray[np.bool_] = np.logical_or.reduce(cut & core, axis=(1, 2))
    return peak, touched
