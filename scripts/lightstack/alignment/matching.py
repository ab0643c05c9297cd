"""Stars of two lists paired through a transform, and whether chance could have done it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.alignment.stars import Floats, Indices, Stars
from scripts.lightstack.alignment.transform import Transform, inside

CHANCE = 1e-4
"""Expected number of matches as good as this one between fields that have nothing in common."""


@dataclass(frozen=True)
class Match:
    """Pairs ``(frame[k], reference[k])`` that a transform brings within `tolerance` [pixels]."""

    transform: Transform
    frame: Indices
    reference: Indices
    distance: Floats
    tolerance: float


def pair(
    transform: Transform, frame: Stars, reference: Stars, tolerance: float
) -> tuple[Indices, Indices, Floats]:
    """One-to-one pairs of nearest stars, and their distances on the reference [pixels]."""
    from scipy.spatial import KDTree

    mapped = transform.forward(frame.xy)
    distance, nearest = KDTree(reference.xy).query(mapped, distance_upper_bound=tolerance)
    order = np.argsort(distance, kind="stable")
    order = order[np.isfinite(distance[order])]
    _, first = np.unique(nearest[order], return_index=True)
    kept = np.sort(order[first])
    return kept, nearest[kept], distance[kept]


def match_through(transform: Transform, frame: Stars, reference: Stars, tolerance: float) -> Match:
    """Pair stars through a transform."""
    return Match(transform, *pair(transform, frame, reference, tolerance), tolerance)


def tighter(match: Match) -> float:
    """Five sigma of a Rayleigh distribution with the median of these distances [pixels]."""
    return float(min(match.tolerance, max(0.5, 5 * np.median(match.distance) / 1.1774)))


def odds(match: Match, frame: Stars, reference: Stars) -> tuple[int, int, float]:
    """Pairs found, stars that might have been paired, and the chance of each to be by accident."""
    n_trials = min(sum(inside) for inside in overlap(match.transform, frame, reference))
    radius = match.distance.max(initial=0.0)
    density = max(crowding(frame) / match.transform.scale**2, crowding(reference))
    return (
        len(match.frame),
        max(int(n_trials), len(match.frame)),
        float(-np.expm1(-np.pi * radius**2 * density)),
    )


def overlap(
    transform: Transform, frame: Stars, reference: Stars
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which stars of either list lie on the other image."""
    on_reference, on_frame = transform.forward(frame.xy), transform.backward(reference.xy)
    return inside(on_reference, reference.shape), inside(on_frame, frame.shape)


def crowding(stars: Stars) -> float:
    """Stars per square pixel in the surroundings of a star: more than the mean in a cluster."""
    side = 64
    _, count = np.unique(stars.xy // side, axis=0, return_counts=True)
    surroundings = np.sum(count * (count - 1.0)) / len(stars) / side**2
    return float(max(surroundings, len(stars) / np.prod(stars.shape)))


def objection_to(match: Match, frame: Stars, reference: Stars, least_share: float) -> str:
    """Why a match is not to be trusted, in one sentence; empty if it is.

    The expected number of accidental matches as good as this one is the number of similarities
    that two pairs of stars define, times the binomial chance that so many others fall within the
    largest residual (Moisan & Stival 2004, IJCV 57, 201).
    """
    from scipy.special import bdtrc

    n_pairs, n_trials, chance = odds(match, frame, reference)
    said = f"{n_pairs} of {n_trials} stars in the overlap match"
    if n_pairs < 4:
        return f"{said}: too few to trust"
    tests = float(len(frame) * len(reference)) ** 2 * n_trials
    if tests * bdtrc(n_pairs - 3, n_trials - 2, chance) > CHANCE:
        return f"{said}: unrelated fields do as well by chance"
    inside = overlap(match.transform, frame, reference)
    paired = match.frame, match.reference
    few = int(np.argmin([mask.sum() for mask in inside]))
    candidates = np.flatnonzero(inside[few])
    bright = candidates[: max(10, len(candidates) // 2)]
    share = np.isin(bright, paired[few]).mean()
    if share < least_share:
        return f"{said}, {share:.0%} of the brighter half: too few to trust"
    return ""
