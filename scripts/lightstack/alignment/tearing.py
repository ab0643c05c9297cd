"""Frames of which a part is displaced: lost or repeated lines on the way from the camera.

The sky of such a frame lies in two pieces. Inside a range of rows or columns the bright stars of
both lists are there and do not match, outside they do. Clouds, trees, borders and satellites leave
no such pattern: where the one list has no stars, nothing of it is left unmatched.
"""

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.alignment.matching import CHANCE, N_BRIGHT, Match, in_overlap, match_stars
from scripts.lightstack.alignment.stars import Floats, Stars
from scripts.lightstack.reason import Reason

TEAR_PX = 3.0
"""Smallest displacement that is looked for: more than the optics' where few stars tell [pixels].

This and what follows: tuned with the torn and the whole nights of `tests/test_tearing.py`.
"""

FEWEST_BRIGHT, MOST_BRIGHT = 3 * N_BRIGHT, 200
"""The brighter half of the stars tells, but so many at least, and no more than tell enough."""

FEWEST_INSIDE = 5
"""Bright stars of either list in the displaced part, at least."""

LEAST_OF_OTHER = 0.4
"""So many stars has the displaced part in the one list, over those in the other."""

MOST_INSIDE, LEAST_OUTSIDE = 0.3, 0.7
"""Share of the bright stars that match inside of a displaced part, and outside of it."""


def tear(match: Match, frame: Stars, reference: Stars) -> Reason | None:
    """Find a part of either image whose stars lie elsewhere than the rest says.

    Parameters
    ----------
    match : Match
    frame, reference : Stars
        The lists that were matched, the brightest first.

    Returns
    -------
    dict or None
        The reason "torn" with the ``axis`` ("rows" or "columns"), the ``first`` and ``last`` of
        them [pixels], and as ``value`` the share of bright stars inside that match.
    """
    found = match_stars(match.transform, frame, reference, max(TEAR_PX, match.tolerance))
    n_common = min(int(common.sum()) for common in in_overlap(match.transform, frame, reference))
    n_bright = min(max(FEWEST_BRIGHT, n_common // 2), MOST_BRIGHT)
    lists = []
    for stars, common, paired in zip(
        (frame, reference),
        in_overlap(match.transform, frame, reference),
        (found.frame, found.reference),
        strict=True,
    ):
        bright = np.flatnonzero(common)[:n_bright]
        lists.append((stars.xy[bright], ~np.isin(bright, paired)))
    if min(int(lost.sum()) for _, lost in lists) < FEWEST_INSIDE:
        return None
    (xy, lost), (target, target_lost) = lists
    maps = match.transform.backward(target), match.transform.forward(xy)
    for axis in (1, 0):
        for at, at_target in ((xy, maps[0]), (maps[1], target)):
            inside = _displaced(at[:, axis], lost, at_target[:, axis], target_lost)
            if inside is not None:
                return {"code": "torn", "axis": ("columns", "rows")[axis], **inside}
    return None


def _displaced(
    at: Floats, lost: NDArray[np.bool_], at_target: Floats, target_lost: NDArray[np.bool_]
) -> Reason | None:
    """Find the range along one axis that holds the unmatched stars, if there is one."""
    edges = np.unique(np.concatenate([at[lost], at_target[target_lost]]))
    parts = []
    for places, unmatched in ((at, lost), (at_target, target_lost)):
        count, n_lost = _counts(places, edges), _counts(places[unmatched], edges)
        rest, n_rest_lost = len(places) - count, unmatched.sum() - n_lost
        torn = (
            (count >= FEWEST_INSIDE)
            & (rest >= FEWEST_INSIDE)
            & (count - n_lost <= MOST_INSIDE * count)
            & (rest - n_rest_lost >= LEAST_OUTSIDE * rest)
        )
        gain = _log_odds(count, n_lost) + _log_odds(rest, n_rest_lost)
        gain -= _log_odds(len(places), unmatched.sum())
        parts.append((count, 1 - n_lost / np.maximum(count, 1), np.where(torn, gain, -np.inf)))
    (count, share, gain), (count_target, share_target, gain_target) = parts
    # Either list has to tell it: where the one has few stars, the other's are lost for that.
    likelihood = 2 * np.minimum(gain, gain_target)
    fewer, more = np.minimum(count, count_target), np.maximum(count, count_target)
    likelihood[fewer < LEAST_OF_OTHER * more] = -np.inf
    share = np.maximum(share, share_target)
    first, last = np.unravel_index(int(np.argmax(likelihood)), likelihood.shape)
    # As many ranges are tried along two axes, with two maps each.
    if likelihood[first, last] < np.log(4 * likelihood.size / CHANCE):
        return None
    return {
        "value": float(share[first, last]),
        "limit": MOST_INSIDE,
        "first": float(edges[first]),
        "last": float(edges[last]),
    }


def _counts(places: Floats, edges: Floats) -> Floats:
    """(n, n) numbers of places from one edge to another, both included."""
    places = np.sort(places)
    before = np.searchsorted(places, edges, "left")
    until = np.searchsorted(places, edges, "right")
    return np.asarray(np.maximum(until[np.newaxis, :] - before[:, np.newaxis], 0), np.float64)


def _log_odds(count: Floats | int, n_lost: Floats | int) -> Floats:
    """Logarithm of the likelihood that so many of a number are lost, at the likeliest rate."""
    from scipy.special import xlogy

    share = n_lost / np.maximum(count, 1)
    return np.asarray(xlogy(n_lost, share) + xlogy(count - n_lost, 1 - share), np.float64)
