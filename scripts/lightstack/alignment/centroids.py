"""How well the centroids of matched stars are known."""

import numpy as np

from scripts.lightstack.alignment.matching import Match
from scripts.lightstack.alignment.stars import Floats, Stars

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
        stars.fwhm[k] * np.percentile(stars.flux, 10) / stars.flux[k]
        for stars, k in ((frame, match.frame), (reference, match.reference))
    ]
    faint = noise[0] ** 2 + noise[1] ** 2
    squared = match.distance**2 / 2
    floor = max(CENTROID_FLOOR_PX**2, 0.01 * float(np.median(squared)))
    slope = float(np.median(squared) / np.median(faint))
    for _ in range(10 if len(faint) >= 12 else 0):
        constant = 1 / (floor + slope * faint)
        linear = faint * constant
        values = np.minimum(squared * constant, 9)
        aa, ab, bb = (
            np.sum(x * y) for x, y in ((constant, constant), (constant, linear), (linear, linear))
        )
        determinant = aa * bb - ab * ab
        if determinant <= 1e-9 * aa * bb:
            break
        a, b = np.sum(constant * values), np.sum(linear * values)
        floor = max((bb * a - ab * b) / determinant, CENTROID_FLOOR_PX**2)
        slope = max((aa * b - ab * a) / determinant, 0)
    variance = floor + slope * faint
    return np.asarray(1 / variance / (1 + squared / (4 * variance)) ** 2, np.float64)
