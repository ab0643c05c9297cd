"""Sources of a frame: found on the smoothed image, measured on the frame itself."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.compiling import compiled

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
    from scipy.ndimage import gaussian_filter

    no_data = np.isnan(data)
    smoothed = np.where(no_data, np.float32(0), data)
    if smoothing_sigma > 0:
        smoothed = gaussian_filter(smoothed, smoothing_sigma, mode="nearest")
    # SEP gives up when its pixel buffer is full; it cannot be fuller than this.
    sep.set_extract_pixstack(max(300_000, data.size))
    sep.set_sub_object_limit(16_384)
    found = sep.extract(
        smoothed,
        threshold_sigma * noise,
        minarea=minarea,
        mask=no_data,
        filter_kernel=None,
    )
    width = np.sqrt((found["a"] ** 2 + found["b"] ** 2) / 2)
    return np.column_stack([found["x"], found["y"], width])


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
        "theta": np.arctan2(2 * cxy, cxx - cyy) / 2,
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
    window = _NARROWEST_WINDOW
    typical = float(np.median(guesses[:, 2])) if len(guesses) else 0.0
    for _ in range(3):
        window = max(typical, _NARROWEST_WINDOW)
        rows = _windowed(data, saturated, guesses, window)
        rows = rows[np.isfinite(rows[:, 0])]
        if len(rows) == 0:
            break
        typical = float(np.median(np.sqrt((rows[:, 4] + rows[:, 5]) / 2)))
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


@compiled
def _windowed(
    data: NDArray[np.float32],
    saturated: NDArray[np.bool_],
    guesses: NDArray[np.float64],
    window: float,
) -> NDArray[np.float64]:
    """Return x, y, flux, peak, covariance xx, yy, xy and saturation per source; NaN: no shape."""
    rows = np.full((len(guesses), 8), np.nan)
    for i in range(len(guesses)):
        x_first, y_first, width = guesses[i]
        x, y = x_first, y_first
        for _ in range(20):
            total, mx, my, pxx, pyy, pxy = _weighted_moments(data, x, y, window)
            cxx, cyy, cxy = _without_window(pxx, pyy, pxy, window)
            if not (total > 0 and cxx > 0):
                break
            # The offset that the window lets through, scaled to the whole: C P^-1 m.
            determinant = pxx * pyy - pxy * pxy
            ux, uy = (pyy * mx - pxy * my) / determinant, (pxx * my - pxy * mx) / determinant
            dx, dy = cxx * ux + cxy * uy, cxy * ux + cyy * uy
            if (x + dx - x_first) ** 2 + (y + dy - y_first) ** 2 > 4 * max(width, 1.0) ** 2:
                break
            x, y = x + dx, y + dy
            if dx * dx + dy * dy < 1e-6:
                gain = np.sqrt((cxx * cyy - cxy * cxy) / determinant)
                peak, core_saturated = _core(data, saturated, x, y, np.sqrt(max(cxx, cyy)))
                rows[i, :4] = x, y, total * gain, peak
                rows[i, 4:7] = cxx, cyy, cxy
                rows[i, 7] = core_saturated
                break
    return rows


@compiled
def _weighted_moments(
    data: NDArray[np.float32], x: float, y: float, window: float
) -> tuple[float, float, float, float, float, float]:
    """Return light, mean x, y about (x, y) and covariance xx, yy, xy under a Gaussian weight."""
    ny, nx = data.shape
    reach = int(np.ceil(4 * window))
    total = sx = sy = sxx = syy = sxy = 0.0
    for row in range(max(int(y) - reach, 0), min(int(y) + reach + 2, ny)):
        dy = row - y
        for column in range(max(int(x) - reach, 0), min(int(x) + reach + 2, nx)):
            dx = column - x
            radius = (dx * dx + dy * dy) / (window * window)
            value = data[row, column]
            if radius > 16.0 or np.isnan(value):
                continue
            light = value * np.exp(-0.5 * radius)
            total += light
            sx += light * dx
            sy += light * dy
            sxx += light * dx * dx
            syy += light * dy * dy
            sxy += light * dx * dy
    mx, my = sx / total, sy / total
    pxx = max(sxx / total - mx * mx, _SHARPEST)
    pyy = max(syy / total - my * my, _SHARPEST)
    pxy = sxy / total - mx * my
    if pxy * pxy >= 0.99 * pxx * pyy:
        pxy = 0.0
    return total, mx, my, pxx, pyy, pxy


@compiled
def _without_window(
    pxx: float, pyy: float, pxy: float, window: float
) -> tuple[float, float, float]:
    """Return the covariance of a source from that of its weighted light; zeros if it has none."""
    determinant = pxx * pyy - pxy * pxy
    ixx = pyy / determinant - 1 / window**2
    iyy = pxx / determinant - 1 / window**2
    ixy = -pxy / determinant
    determinant = ixx * iyy - ixy * ixy
    if not (ixx > 0 and iyy > 0 and determinant > 0):
        return 0.0, 0.0, 0.0
    return iyy / determinant, ixx / determinant, -ixy / determinant


@compiled
def _core(
    data: NDArray[np.float32], saturated: NDArray[np.bool_], x: float, y: float, sigma: float
) -> tuple[float, bool]:
    """Return the brightest pixel within 1.5 sigma and whether one of them is saturated."""
    ny, nx = data.shape
    peak, any_saturated = -np.inf, False
    reach = max(1.5 * sigma, 1.0)
    for row in range(max(int(y - reach), 0), min(int(y + reach) + 2, ny)):
        for column in range(max(int(x - reach), 0), min(int(x + reach) + 2, nx)):
            if (column - x) ** 2 + (row - y) ** 2 <= reach * reach:
                peak = max(peak, data[row, column])
                any_saturated = any_saturated or saturated[row, column]
    return peak, any_saturated
