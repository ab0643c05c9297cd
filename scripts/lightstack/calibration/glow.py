"""Whether light that only a dark has was taken off a frame."""

import math

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.calibration.shadows import FEWEST_CELLS, FIELD_CELLS, square_levels
from scripts.lightstack.calibration.suspicions import noise_of
from scripts.lightstack.linear import least_squares
from scripts.lightstack.robust import MAD_TO_SIGMA, MEDIAN_ERROR

OF_CHANCE = 4.0
"""Times what noise alone makes squares of a dark differ by, from which on it has a glow: those of
80 simulated nights without one have up to 2."""

MISSING = (0.7, 1.3)
"""Share of a dark's glow that a frame lacks where it has none of it."""

N_ERRORS = 15.0
"""By so many standard errors: of good darks of even skies it is 5 at most, and nebulae are no
errors of chance."""

LEFT = 0.25
"""Most of the variance of the sky's levels that the glow leaves unexplained: nebulae that chanced
to look like a glow left 0.37 of it and more, in 3 of 1,200 simulated nights with good darks."""

NOISY = 2.0
"""Or it leaves no more than so many times what noise alone makes the levels differ by."""

OUTLIER = 4.0
"""Squares further from the fit than this x the scatter are of nebulae."""

ROUNDS = 3


def doubt_of_glow(
    after: NDArray[np.float32], dark: NDArray[np.float32], flat: NDArray[np.float32]
) -> str:
    """Tell whether the sky of a calibrated frame has a hole where its dark has a glow.

    The light of a lamp or of the day leaks into darks through covers and viewfinders; amplifiers
    may glow in darks alone. A surface of the second order stands for the sky.

    Parameters
    ----------
    after : (ny, nx) ndarray of float32
        Some pixels of the frame without dark and flat [ADU]; NaN is no data.
    dark, flat : (ny, nx) ndarray of float32
        The same pixels of both.

    Returns
    -------
    str
        A sentence's part with numbers; empty where nothing speaks against the dark.
    """
    side = max(2, round(math.sqrt(after.size / FIELD_CELLS)))
    glow = (dark - np.nanmedian(dark)) / flat if np.isfinite(dark).any() else dark
    sky, light = square_levels(after, side), square_levels(glow, side)
    known = np.isfinite(sky) & np.isfinite(light)
    if np.count_nonzero(known) < FEWEST_CELLS:
        return ""
    rows, columns = np.nonzero(known)
    y, x = rows / sky.shape[0] - 0.5, columns / sky.shape[1] - 0.5
    surface = np.stack([np.ones(len(x)), x, y, x * x, x * y, y * y], axis=1)
    values = np.column_stack([sky[known], light[known]]).astype(np.float64)
    least_glow = OF_CHANCE * _by_chance(glow, side)
    for _ in range(ROUNDS):
        of_sky, of_glow = _beside(values, surface).T
        total = float((of_glow * of_glow).sum())
        if total / len(of_glow) <= least_glow**2:
            return ""
        share = float((of_sky * of_glow).sum()) / total
        rest = of_sky - share * of_glow
        kept = np.abs(rest) <= OUTLIER * MAD_TO_SIGMA * np.median(np.abs(rest))
        if kept.all():
            break
        values, surface = values[kept], surface[kept]
    of_rest = float((rest * rest).sum())
    error = math.sqrt(of_rest / len(rest) / total)
    least = len(rest) * (NOISY * _by_chance(after, side)) ** 2
    is_explained = of_rest < max(LEFT * float((of_sky * of_sky).sum()), least)
    if not (MISSING[0] < -share < MISSING[1] and -share > N_ERRORS * error and is_explained):
        return ""
    size = float(np.ptp(of_glow))
    return (
        f"the frame lacks {min(-share, 1.0):.0%} of a glow of {size:.3g} ADU that the dark has: "
        "light leaked into it, or its amplifier glowed"
    )


def _by_chance(image: NDArray[np.float32], side: int) -> float:
    """Tell what noise makes medians of squares differ by [ADU]."""
    return MEDIAN_ERROR * noise_of(image) / side


def _beside(values: NDArray[np.float64], surface: NDArray[np.float64]) -> NDArray[np.float64]:
    """Take off each column of values (n, k) what it shares with the surface."""
    factors = least_squares(surface, values, np.ones(len(values)))
    fitted = [(surface * factor).sum(axis=1) for factor in factors.T]
    return np.asarray(values - np.stack(fitted, axis=1))
