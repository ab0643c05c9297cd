"""How the light of a frame compares with the reference's: by a factor, or one that leans.

Thin clouds, the air at low altitude and flats that do not fit take more light on one side of a
frame than on the other.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.alignment.fitting import stands_out
from scripts.lightstack.alignment.matching import N_BRIGHT, Match
from scripts.lightstack.alignment.stars import Stars
from scripts.lightstack.compiling import compiled
from scripts.lightstack.linear import least_squares
from scripts.lightstack.robust import MAD_TO_SIGMA, MEDIAN_ERROR

Floats = NDArray[np.float64]

FOLDS = 5
"""Of a cross-validation, as Breiman & Spector advise (1992, International Statistical Review 60,
291)."""

N_ERRORS = 1.0
"""By so many standard errors a plane has to gain. A small lean that chance made costs less than
one that is missed (tuned: ``benchmarks/photometry_table.py``)."""

FEWEST = 30
"""Stars to which a leaning factor is fitted: ten for each of its numbers."""

STEEPEST = 0.5
"""Relative difference between the image's middle and a corner that no sky makes."""

UNEVEN = 0.125
"""Growth of the light with the brightness of stars, over that of the brightness itself, from which
on frames are not in proportion. In 215 pairs of frames of five real nights it is 0.03 at most, in
pictures that were stretched to show a nebula 0.5 and more."""

FEWEST_HALF = 5
"""Stars in each half of those that tell the growth."""

SURE = 3.0
"""Standard errors by which it has to stand out: stars of other filters have other fluxes."""

TUKEY = 4.685
"""Where the biweight ends [standard deviations]; 95 % efficient for normal errors (Beaton & Tukey
1974, Technometrics 16, 147)."""

ROUNDS = 20
"""More than any fit took to settle."""


@dataclass(frozen=True)
class LightScale:
    """What brings a frame's light to the reference's.

    Parameters
    ----------
    factor : float
        In the middle of the reference's image.
    lean : (float, float)
        From the middle to the last column, and to the last row, the factor grows by this share of
        the mean of both: by ``(1 + d / 2) / (1 - d / 2)`` with the lean d.
    growth : float
        From faint stars to bright ones, the factor grows by this share of the mean of both; 0
        where it does not for sure.
    """

    factor: float
    lean: tuple[float, float] = (0.0, 0.0)
    growth: float = 0.0


def light_scale(match: Match, frame: Stars, reference: Stars) -> LightScale:
    """Compare the fluxes of the brighter pairs, of those that saturation has not cut.

    Parameters
    ----------
    match : Match
        The stars of both that are the same, the frame's brightest first.
    frame, reference : Stars

    Returns
    -------
    LightScale
        The median ratio; one that leans only if it comes nearer to stars that it was not fitted
        to.
    """
    # The faint half is biased: each list holds those of its faintest that noise made brighter.
    whole = ~(frame.is_saturated[match.frame] | reference.is_saturated[match.reference])
    pairs = np.flatnonzero(whole) if whole.any() else np.arange(len(whole))
    bright = pairs[: max(N_BRIGHT, len(pairs) // 2)]
    stars = match.reference[bright]
    ratio = reference.flux[stars] / frame.flux[match.frame[bright]]
    factor = float(np.median(ratio))
    growth = 0.0
    if whole.any():
        growth = _growth(ratio, np.sqrt(reference.flux[stars] * frame.flux[match.frame[bright]]))
    if growth or len(ratio) < FEWEST:
        return LightScale(factor, growth=growth)
    # Symmetric in both, and without a logarithm, whose last bit is the processor's.
    difference = 2 * (ratio - factor) / (ratio + factor)
    ny, nx = reference.shape
    x, y = reference.xy[stars].T
    columns = np.stack([np.ones(len(x)), (2 * x + 1) / nx - 1, (2 * y + 1) / ny - 1], axis=1)
    if not _predicts_better(columns, difference):
        return LightScale(factor)
    middle, *lean = _robust_fit(columns, difference).tolist()
    if abs(lean[0]) + abs(lean[1]) > STEEPEST:
        return LightScale(factor)
    return LightScale(factor * (1 + middle / 2) / (1 - middle / 2), (lean[0], lean[1]))


def _growth(ratio: Floats, brightness: Floats) -> float:
    """Tell by which share a ratio grows with the brightness; 0 if not beyond doubt."""
    half = len(ratio) // 2
    if half < FEWEST_HALF:
        return 0.0
    order = np.argsort(brightness, kind="stable")
    halves = order[:half], order[-half:]
    grown = _difference(*(float(np.median(ratio[stars])) for stars in halves))
    spans = _difference(*(float(np.median(brightness[stars])) for stars in halves))
    scatter = [_scatter(ratio[stars] / np.median(ratio[stars]) - 1) for stars in halves]
    error = MEDIAN_ERROR * np.sqrt((scatter[0] ** 2 + scatter[1] ** 2) / half)
    return grown if abs(grown) > max(UNEVEN * spans, SURE * error) else 0.0


def _difference(first: float, last: float) -> float:
    """Difference of two numbers over their mean."""
    return 2 * (last - first) / (last + first)


def _predicts_better(columns: Floats, difference: Floats) -> bool:
    """Whether a plane comes nearer to stars that it was not fitted to than a constant does."""
    scatter = _scatter(difference - (columns * _robust_fit(columns, difference)).sum(axis=1))
    if scatter == 0:
        return True

    def misfit(terms: Floats, used: NDArray[np.bool_], held: NDArray[np.bool_]) -> Floats:
        fitted = _robust_fit(terms[used], difference[used])
        missed = difference[held] - (terms[held] * fitted).sum(axis=1)
        return np.asarray(np.minimum((missed / scatter) ** 2, TUKEY**2), np.float64)

    def gain(used: NDArray[np.bool_], held: NDArray[np.bool_]) -> Floats:
        return misfit(columns[:, :1], used, held) - misfit(columns, used, held)

    everything = np.ones(len(difference), bool)
    if not stands_out(gain(everything, everything), N_ERRORS):
        return False
    fold = np.arange(len(difference)) % FOLDS
    folds = [gain(fold != k, fold == k) for k in range(FOLDS)]
    return stands_out(np.concatenate(folds), N_ERRORS)


@compiled
def _robust_fit(columns: Floats, values: Floats) -> Floats:
    """Fit terms (n, m) to values (n,) of which some are far off: (m,)."""
    coefficients = np.zeros(columns.shape[1])
    weight = np.ones(len(values))
    residual = np.empty(len(values))
    for _ in range(ROUNDS):
        before = coefficients
        coefficients = least_squares(columns, values.reshape(-1, 1), weight)[:, 0]
        for k in range(len(values)):
            residual[k] = values[k]
            for i in range(len(coefficients)):
                residual[k] -= columns[k, i] * coefficients[i]
        scatter = _scatter(residual)
        if scatter == 0 or np.abs(coefficients - before).max() < 1e-3 * scatter:
            break
        for k in range(len(values)):
            weight[k] = max(1 - (residual[k] / (TUKEY * scatter)) ** 2, 0) ** 2
    return coefficients


@compiled
def _scatter(residual: Floats) -> float:
    return MAD_TO_SIGMA * float(np.median(np.abs(residual)))
