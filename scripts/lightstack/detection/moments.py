"""Moments of sources under a Gaussian window, compiled.

What they mean stands at `lightstack.detection.sources.measure`. Each source is measured for
itself, and each of its sums has one order: down the rows, many columns at once, then along the
columns. So neither other sources nor the width of the processor's registers change a bit.
"""

import math

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.compiling import compiled

Floats = NDArray[np.float64]

Three = tuple[float, float, float]

SHARPEST = 0.02
"""Least variance of weighted light along an axis [pixels squared]; a single pixel has none.

With this width a hot pixel stays sharper than any star (`lightstack.detection.sharpness`).
"""

LONGEST = 0.99
"""Greatest squared correlation of x and y; light along a line has no inverse covariance."""

WIDEST = 3.0
"""Width of a source with a flat top, over that of its guess or of the window.

P is W then but for a tenth, and their difference no longer tells the width.
"""

FARTHEST = 2.0
"""How far a window may move, over the width of the guess: farther lies another source."""

TOLERANCE = 1e-3
"""Last step of a window [pixels]: a tenth of the error of a bright star's position."""

MOST_STEPS = 20
"""Windows of stars stand after a few steps; one that goes on is on no source."""


@compiled
def centred_moments(data: NDArray[np.float32], guesses: Floats, window: float) -> Floats:
    """Move the window of each source until it is centred, and measure there.

    Parameters
    ----------
    data : (ny, nx) ndarray of float32
        Frame without its background [ADU]; NaN, where there is no data, counts as zero.
    guesses : (n, 3) ndarray of float64
        x, y and width [pixels].
    window : float
        Standard deviation of the window [pixels].

    Returns
    -------
    (n, 6) ndarray of float64
        x, y [pixels], flux [ADU] and covariance xx, yy, xy [pixels squared]; NaN where the light
        has no measurable shape.
    """
    rows = np.full((guesses.shape[0], 6), np.nan)
    reach = math.ceil(4 * window)
    work = np.empty((7, 2 * reach + 1))
    for source in range(guesses.shape[0]):
        x0, y0, width = guesses[source]
        x, y = x0, y0
        farthest = FARTHEST * max(width, 1.0)
        widest = WIDEST * max(width, window)
        for _ in range(MOST_STEPS):
            light, mean, p = _weighted_moments(data, x, y, window, work)
            c = _without_window(p, window)
            # The offset that the window lets through, scaled to the whole: C P^-1 m.
            determinant = p[0] * p[1] - p[2] * p[2]
            ux = (p[1] * mean[0] - p[2] * mean[1]) / determinant
            uy = (p[0] * mean[1] - p[2] * mean[0]) / determinant
            dx, dy = c[0] * ux + c[2] * uy, c[2] * ux + c[1] * uy
            x, y = x + dx, y + dy
            stray = (x - x0) ** 2 + (y - y0) ** 2 > farthest**2
            flat = max(c[0], c[1]) > widest**2
            if not (light > 0 and c[0] > 0) or stray or flat:
                break
            if dx**2 + dy**2 < TOLERANCE**2:
                flux = light * math.sqrt((c[0] * c[1] - c[2] * c[2]) / determinant)
                rows[source, 0], rows[source, 1], rows[source, 2] = x, y, flux
                rows[source, 3], rows[source, 4], rows[source, 5] = c
                break
    return rows


@compiled
def cores(
    data: NDArray[np.float32], saturated: NDArray[np.bool_], moments: Floats
) -> tuple[Floats, NDArray[np.bool_]]:
    """Look at the pixels within 1.5 standard deviations of sources.

    Parameters
    ----------
    data, saturated : (ny, nx) ndarrays of float32 and bool
        The frame [ADU] and its saturated pixels.
    moments : (n, 6) ndarray of float64
        As `centred_moments` gives them, without NaN.

    Returns
    -------
    peak : (n,) ndarray of float64
        Brightest pixel [ADU].
    touched : (n,) ndarray of bool
        Whether a pixel is saturated.
    """
    ny, nx = data.shape
    peak = np.full(moments.shape[0], -np.inf)
    touched = np.zeros(moments.shape[0], np.bool_)
    for source in range(moments.shape[0]):
        x, y, _, cxx, cyy, _ = moments[source]
        reach = max(1.5 * math.sqrt(max(cxx, cyy)), 1.0)
        for j in range(max(math.ceil(y - reach), 0), min(int(y + reach), ny - 1) + 1):
            for i in range(max(math.ceil(x - reach), 0), min(int(x + reach), nx - 1) + 1):
                if (i - x) ** 2 + (j - y) ** 2 <= reach**2:
                    if data[j, i] > peak[source]:  # noqa: PLR1730 - NaN is never the greater
                        peak[source] = data[j, i]
                    touched[source] |= saturated[j, i]
    return peak, touched


@compiled
def _weighted_moments(
    data: NDArray[np.float32], x: float, y: float, window: float, work: Floats
) -> tuple[float, tuple[float, float], Three]:
    """Return light, mean x, y and covariance xx, yy, xy under the window at a position."""
    ny, nx = data.shape
    size = work.shape[1]
    dx, dy, along_x, along_y, light, light_y, light_yy = work
    left, bottom = math.floor(x + 0.5) - size // 2, math.floor(y + 0.5) - size // 2
    for k in range(size):
        dx[k], dy[k] = left + k - x, bottom + k - y
        along_x[k], along_y[k] = _gaussian(dx[k] / window), _gaussian(dy[k] / window)
        light[k] = light_y[k] = light_yy[k] = 0.0
    first, last = max(-left, 0), min(nx - left, size)
    for j in range(max(-bottom, 0), min(ny - bottom, size)):
        pixels = data[bottom + j, left + first : left + last] if first < last else data[0, :0]
        _add(pixels, along_y[j], dy[j], light[first:], light_y[first:], light_yy[first:])
    total = sx = sy = sxx = syy = sxy = 0.0
    for k in range(size):
        total += along_x[k] * light[k]
        sx += along_x[k] * light[k] * dx[k]
        sxx += along_x[k] * light[k] * dx[k] * dx[k]
        sy += along_x[k] * light_y[k]
        sxy += along_x[k] * light_y[k] * dx[k]
        syy += along_x[k] * light_yy[k]
    mx, my = sx / total, sy / total
    pxx = max(sxx / total - mx * mx, SHARPEST)
    pyy = max(syy / total - my * my, SHARPEST)
    pxy = sxy / total - mx * my
    if not pxy * pxy < LONGEST * pxx * pyy:
        pxy = 0.0
    return total, (mx, my), (pxx, pyy, pxy)


@compiled
def _add(
    pixels: NDArray[np.float32],
    weight: float,
    dy: float,
    light: Floats,
    light_y: Floats,
    light_yy: Floats,
) -> None:
    """Add a row to the weighted sums over columns, of the light and its moments along y."""
    weight_y, weight_yy = weight * dy, weight * dy * dy
    for k in range(pixels.size):
        value = 0.0 if np.isnan(pixels[k]) else np.float64(pixels[k])
        light[k] += weight * value
        light_y[k] += weight_y * value
        light_yy[k] += weight_yy * value


@compiled
def _gaussian(x: float) -> float:
    """Return ``exp(-x**2 / 2)`` to 1e-4 within 4 sigma, by products alone.

    Exponential functions differ in their last bits from one mathematical library to the next.
    """
    value = 1 - x * x / 2**21
    for _ in range(20):
        value = value * value
    return value


@compiled
def _without_window(p: Three, window: float) -> Three:
    """Return the covariance of a source from that of its weighted light; zeros if it has none."""
    determinant = p[0] * p[1] - p[2] * p[2]
    inverse_window = 1 / (window * window)
    ixx, iyy = p[1] / determinant - inverse_window, p[0] / determinant - inverse_window
    ixy = -p[2] / determinant
    determinant = ixx * iyy - ixy * ixy
    if not (ixx > 0 and iyy > 0 and determinant > 0):
        return 0.0, 0.0, 0.0
    return iyy / determinant, ixx / determinant, -ixy / determinant
