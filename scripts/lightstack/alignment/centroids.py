"""How well the centroids of matched stars are known."""

import numpy as np

from scripts.lightstack.alignment.matching import Match
from scripts.lightstack.alignment.stars import Floats, Stars
from scripts.lightstack.compiling import compiled

CENTROID_FLOOR_PX = 0.01
"""No centroid is better than this [pixels]: it keeps one bright star from ruling the fit.

Tuned with `benchmarks.alignment_table`.
"""


def pair_weights(match: Match, frame: Stars, reference: Stars) -> Floats:
    """Weigh matched pairs by what their centroids deserve, outliers less.

    Centroids err by ``sqrt(floor**2 + (fwhm * noise / flux)**2)``; the floor and the noise are
    those that the residuals show. The centroid's error is that of a background-limited star
    (King 1983, PASP 95, 163), the weight of outliers that of Geman & McClure (1987) for a scale of
    two standard deviations; for floor and noise none counts as more than three.

    Parameters
    ----------
    match : Match
    frame, reference : Stars
        The lists that were matched.

    Returns
    -------
    (n,) ndarray of float64
        Inverse variance of each pair [1 / pixels^2].
    """
    noise = [
        stars.fwhm[k] * stars.faint_flux / stars.flux[k]
        for stars, k in ((frame, match.frame), (reference, match.reference))
    ]
    faint = noise[0] ** 2 + noise[1] ** 2
    squared = match.distance**2 / 2
    floor = max(CENTROID_FLOOR_PX**2, 0.01 * float(np.median(squared)))
    slope = float(np.median(squared) / np.median(faint))
    if len(faint) >= 12:
        floor, slope = _floor_and_slope(squared, faint, floor, slope)
    variance = floor + slope * faint
    return np.asarray(1 / variance / (1 + squared / (4 * variance)) ** 2, np.float64)


@compiled
def _floor_and_slope(
    squared: Floats, faint: Floats, floor: float, slope: float
) -> tuple[float, float]:
    """Improve the variance ``floor + slope * faint`` of centroids by their squared errors."""
    for _ in range(10):
        aa = ab = bb = a = b = 0.0
        for k in range(len(faint)):
            constant = 1 / (floor + slope * faint[k])
            linear = faint[k] * constant
            value = min(squared[k] * constant, 9.0)
            aa += constant * constant
            ab += constant * linear
            bb += linear * linear
            a += constant * value
            b += linear * value
        determinant = aa * bb - ab * ab
        if determinant <= 1e-9 * aa * bb:
            break
        floor = max((bb * a - ab * b) / determinant, CENTROID_FLOOR_PX**2)
        slope = max((aa * b - ab * a) / determinant, 0.0)
    return floor, slope
