"""Sources of a frame: found on the smoothed image, measured on the frame itself."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.detection import smoothing
from scripts.lightstack.detection.extraction import extract
from scripts.lightstack.detection.moments import centred_moments, cores
from scripts.lightstack.detection.sharpness import SHARPEST_STAR
from scripts.lightstack.robust import MEDIAN_ERROR, scatter

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
"""Width of the window for the shape over that of a typical star.

The widest, seeing most of the wings, that adds no noise: of simulated stars of FWHM 3.5 pixels,
widths scatter alike from 0.8 to 1.2, by a third more at 1.5 and twice as much at 2.
"""

USUAL_GROWTH = 1.02
"""Of widths from the typical window to that of the shape, for a seeing disc.

It is that of a Moffat profile of beta 4.765 (Trujillo et al. 2001, MNRAS 328, 977). A Gaussian has
1, a profile with the wings of beta 2.5 has 1.04.
"""

SPREAD_OF_GROWTHS = 0.03
"""How far that of a frame's stars may well be from the usual one: medians of frames of four real
nights are 0.005 to 0.03 wider. Ten stars of theirs, and simulated ones of beta 3 and more, have an
FWHM that is closer to the truth by a quarter than with half of it; twice as much gains nothing.
"""

SPREAD_OF_ONE = 0.05
"""How far that of a single star may be, of which a scatter says nothing: of the same stars, it is
0.01 to 0.045. With half of it, single stars are up to twice as wrong."""

_NARROWEST_WINDOW = 1.0
"""Least width of the window [pixels]: in a narrower one too few pixels have weight."""


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

    Raises
    ------
    UnusableFrameError
        If what exceeds the threshold cannot be stars.

    Notes
    -----
    Thresholding and deblending are those of SExtractor (Bertin & Arnouts 1996, A&AS 117, 393) as
    the package SEP implements them.
    """
    no_data = np.isnan(data)
    mask = no_data if no_data.any() else None
    smoothed = data if mask is None else np.where(mask, np.float32(0), data)
    if smoothing_sigma > 0:
        smoothed = smoothing.smoothed(smoothed, smoothing.gaussian_kernel(smoothing_sigma))
    found = extract(smoothed, np.float32(threshold_sigma * noise), minarea, mask)
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
    that detection needs and of the truncation that a threshold brings. Wings make other stars
    wider, the more the wider the window is; how much more tells what to divide by (`_of_wings`).
    ``FWHM = 2 sqrt(2 ln 2) sqrt((a**2 + b**2) / 2)``. Noise makes round sources look elongated:
    its expected share is taken out of the elongation (as for a polarisation: Wardle & Kronberg
    1974, ApJ 194, 249).
    """
    rows, window = _through_typical_window(data, guesses)
    shape_window = SHAPE_WINDOW * window
    shapes = centred_moments(data, _as_guesses(rows), shape_window)
    both = np.isfinite(shapes[:, 0])
    rows, shapes = rows[both], shapes[both]
    x, y, flux = rows[:, :3].T
    peak, touched = cores(data, saturated, rows)
    cxx, cyy, cxy = shapes[:, 3:].T / _of_wings(rows[~touched], shapes[~touched]) ** 2
    middle = (cxx + cyy) / 2
    spread_by_noise = _elongation_noise(middle, shapes[:, 2], noise, shape_window)
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
        "saturated": touched,
    }.items():
        table[name] = values
    return table[np.lexsort((table["x"], table["y"], -table["flux"]))]


def _through_typical_window(
    data: NDArray[np.float32], guesses: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """Measure through a window as wide as the median source; return moments and its width."""
    rows = np.empty((0, 6))
    window = 0.0
    for _ in range(4):
        typical = float(np.median(guesses[:, 2])) if len(guesses) else 0.0
        before, window = window, max(typical, _NARROWEST_WINDOW)
        if abs(window - before) < 0.02 * window:
            break
        rows = centred_moments(data, guesses, window)
        rows = rows[np.isfinite(rows[:, 0])]
        guesses = _as_guesses(rows)
    return rows, window


def _as_guesses(moments: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return x, y and width (n, 3) of measured sources, from where to measure them again."""
    widths = np.sqrt((moments[:, 3] + moments[:, 4]) / 2)
    return np.column_stack([moments[:, :2], widths])


def _of_wings(typical: NDArray[np.float64], wide: NDArray[np.float64]) -> float:
    """Tell how much wider a window shows stars than their FWHM, from another 1.2 times as wide.

    To 0.7 %, for a Gaussian and for Moffat profiles of beta 2.5 to 4.765, it is the fifth power of
    how much wider a star is in the wide window than in the typical one. Of this growth the median
    is taken over all that may be stars; the less it is certain, the more the usual one counts.
    It is measured across the direction in which the stars are long, as trails look like no wings.
    """
    possible = _as_guesses(typical)[:, 2] >= SHARPEST_STAR / SIGMA_TO_FWHM
    n = np.count_nonzero(possible)
    if n == 0:
        return float(USUAL_GROWTH**5)
    typical, wide = typical[possible], wide[possible]
    cxx, cyy, cxy = np.median(wide[:, 3:], axis=0)
    long, slanted = (cxx - cyy) / 2, cxy
    length = max(math.sqrt(long**2 + slanted**2), 1e-30)
    before, after = (
        (xx + yy) / 2 - (long * (xx - yy) / 2 + slanted * xy) / length
        for xx, yy, xy in (typical[:, 3:].T, wide[:, 3:].T)
    )
    growths = np.sqrt(after / before)
    median = float(np.median(growths))
    error = MEDIAN_ERROR * scatter(growths) / math.sqrt(n)
    error += SPREAD_OF_ONE / n
    trust = 1 / (1 + (error / SPREAD_OF_GROWTHS) ** 2)
    growth = USUAL_GROWTH + trust * (median - USUAL_GROWTH)
    return float(max(growth, 1.0) ** 5)


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
