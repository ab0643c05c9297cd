"""Which sources are too sharp for stars."""

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.robust import scatter

SHARPEST_STAR = 1.2
"""FWHM [pixels] below which nothing is a star of a camera that samples its stars."""

SHARPEST_UNDERSAMPLED = 0.75
"""FWHM [pixels] below which nothing is a star: with the pixel's own width, nine in ten stars of an
optical FWHM of 0.7 pixels have more, and 98 % of hot pixels less."""

UNDERSAMPLED = 1.6
"""Median FWHM [pixels] of the others from which on stars are well sampled; with 1.45 to 2
`tests/test_undersampled.py` holds."""

FEW = 0.2
"""Others that are so few, over the sharp ones, may be pairs of stars and galaxies. With half of it
the same tests fail, with four times as much they hold."""

ALIKE = 0.15
"""Scatter of the widths of stars over their median, at most: pairs and galaxies scatter more. With
half and with twice of it the same tests hold."""


def sharpest_star(fwhm: NDArray[np.floating]) -> float:
    """Tell how sharp a star can be among the sources of a frame.

    Parameters
    ----------
    fwhm : (n,) ndarray of float
        Of all sources [pixels].

    Returns
    -------
    float
        FWHM [pixels]: `SHARPEST_STAR`, or `SHARPEST_UNDERSAMPLED` where hardly anything wider
        looks like stars. Which of the sharp sources are, those tell that move with the sky.
    """
    fwhm = fwhm[np.isfinite(fwhm)].astype(float)
    wide = fwhm[fwhm >= SHARPEST_STAR]
    sharp = np.count_nonzero((fwhm >= SHARPEST_UNDERSAMPLED) & (fwhm < SHARPEST_STAR))
    if wide.size == 0:
        return SHARPEST_UNDERSAMPLED
    median = float(np.median(wide))
    if median <= UNDERSAMPLED:
        return SHARPEST_UNDERSAMPLED
    if wide.size > FEW * sharp or scatter(wide) < ALIKE * median:
        return SHARPEST_STAR
    return SHARPEST_UNDERSAMPLED
