"""Stars of two lists paired through a transform, and whether chance could have done it."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.alignment.stars import Floats, Indices, Stars
from scripts.lightstack.alignment.transform import Transform, inside
from scripts.lightstack.reason import Reason

CHANCE = 1e-4
"""Expected number of matches as good as this one between fields that have nothing in common.

Moisan & Stival (2004) take 1; here a wrong match costs more than a frame left out.
"""

FEWEST_PAIRS = 4
"""A similarity takes two; the others have to agree with it."""

N_BRIGHT = 10
"""So many of the brightest stars at least are the brighter half."""


@dataclass(frozen=True)
class Match:
    """Pairs ``(frame[k], reference[k])`` that a transform brings within `tolerance`.

    Parameters
    ----------
    transform : Transform
        From the frame to the reference.
    frame, reference : (n,) ndarray of int
        Indices into either list.
    distance : (n,) ndarray of float64
        Between the stars of each pair, on the reference [pixels].
    tolerance : float
        [pixels]
    """

    transform: Transform
    frame: Indices
    reference: Indices
    distance: Floats
    tolerance: float

    @property
    def tighter_tolerance(self) -> float:
        """Five sigma of a Rayleigh distribution with the median of the distances [pixels]."""
        five_sigma = 5 * np.median(self.distance) / 1.1774
        return float(min(self.tolerance, max(0.5, five_sigma)))


class Odds(NamedTuple):
    """Pairs found, stars that might have been paired, and the chance of each by accident."""

    n_pairs: int
    n_trials: int
    chance: float

    @property
    def by_accident(self) -> float:
        """Probability of as many pairs beside the two that define a similarity."""
        from scipy.special import bdtrc

        return float(bdtrc(self.n_pairs - 3, self.n_trials - 2, self.chance))


def match_stars(transform: Transform, frame: Stars, reference: Stars, tolerance: float) -> Match:
    """Pair stars through a transform: nearest ones, one to one.

    Parameters
    ----------
    transform : Transform
        From the frame to the reference.
    frame, reference : Stars
    tolerance : float
        Largest distance of a pair [pixels].

    Returns
    -------
    Match
        In the order of the frame's list.
    """
    mapped = transform.forward(frame.xy)
    distance, nearest = reference.tree.query(mapped, distance_upper_bound=tolerance)
    near = np.flatnonzero(np.isfinite(distance))
    farthest_first = near[np.argsort(distance[near], kind="stable")[::-1]]
    partner = np.empty(len(reference), np.intp)
    partner[nearest[farthest_first]] = farthest_first  # of several, the last one stays
    kept = near[partner[nearest[near]] == near]
    return Match(transform, kept, nearest[kept], distance[kept], tolerance)


def odds_of(match: Match, frame: Stars, reference: Stars) -> Odds:
    """Tell how likely unrelated fields are to make as good a match."""
    n_trials = min(sum(common) for common in in_overlap(match.transform, frame, reference))
    radius = match.distance.max(initial=0.0)
    density = max(frame.density / match.transform.scale**2, reference.density)
    chance = float(-np.expm1(-np.pi * radius**2 * density))
    return Odds(len(match.frame), max(int(n_trials), len(match.frame)), chance)


def in_overlap(
    transform: Transform, frame: Stars, reference: Stars
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which stars of either list lie on the other image."""
    on_reference, on_frame = transform.forward(frame.xy), transform.backward(reference.xy)
    return inside(on_reference, reference.shape), inside(on_frame, frame.shape)


def reason_to_doubt(
    match: Match, frame: Stars, reference: Stars, least_share: float
) -> Reason | None:
    """Why a match is not to be trusted; None if it is.

    The expected number of accidental matches as good as this one is the number of similarities
    that two pairs of stars define, times the binomial chance that so many others fall within the
    largest residual (Moisan & Stival 2004, IJCV 57, 201).

    Parameters
    ----------
    match : Match
    frame, reference : Stars
        The lists that were matched, the brightest first.
    least_share : float
        Of the brighter half of the stars in the overlap, this share has to have counterparts.

    Returns
    -------
    dict or None
        With ``code``, ``value`` and ``limit``; ``n_pairs`` and ``n_trials`` as in `Odds`.
    """
    odds = odds_of(match, frame, reference)
    counts = {"n_pairs": odds.n_pairs, "n_trials": odds.n_trials}
    if odds.n_pairs < FEWEST_PAIRS:
        return {"code": "too_few_pairs", "value": odds.n_pairs, "limit": FEWEST_PAIRS, **counts}
    tests = float(len(frame) * len(reference)) ** 2 * odds.n_trials
    expected = tests * odds.by_accident
    if expected > CHANCE:
        return {"code": "as_good_by_chance", "value": expected, "limit": CHANCE, **counts}
    common = in_overlap(match.transform, frame, reference)
    paired = match.frame, match.reference
    fewer = int(np.argmin([mask.sum() for mask in common]))
    candidates = np.flatnonzero(common[fewer])
    bright = candidates[: max(N_BRIGHT, len(candidates) // 2)]
    share = float(np.isin(bright, paired[fewer]).sum() / max(len(bright), 1))
    if share < least_share:
        return {"code": "too_few_of_the_bright", "value": share, "limit": least_share, **counts}
    return None
