"""The distortion of the optics, which all frames of a night share.

A frame of few stars does not tell its own: a coefficient that it fits is more noise than
distortion. All frames together do, and the coefficient is taken if it comes nearer to the stars of
frames that it was not fitted to. Of each frame the fit is kept as a function of the coefficient,
so nothing is matched again, whichever frame arrives.
"""

import logging
import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.alignment.fitting import Bend, stands_out
from scripts.lightstack.alignment.pairs import BEND, Outcome
from scripts.lightstack.alignment.transform import centre_and_extent

FEWEST_FRAMES = 5
"""Fewer frames tell too little of how much chance there is in what they gain: the scatter of four
is known to 40 %."""

CONTRADICTION = 3.0**2
"""By so much less misfit, three standard errors of a coefficient, a frame's own model has to be
better for each coefficient that it has more [variances of a pair]."""

LEAST_MOVE = 0.01
"""Distortion that moves no frame's corner by more is left alone, however sure it is [pixels]: no
picture shows it, and frames without distortion are resampled in two thirds of the time."""

log = logging.getLogger(__name__)


def share_distortion(
    outcomes: Mapping[str, Outcome], shape: tuple[int, int]
) -> dict[str, Outcome]:
    """Give all frames the distortion that they have in common, if they have one.

    Parameters
    ----------
    outcomes : dict of str to dict
        What `pairs.Pairs.outcomes` found of each frame.
    shape : (int, int)
        ``(ny, nx)`` of the reference, and of frames with its optics [pixels].

    Returns
    -------
    dict of str to dict
        The same, without what only serves to find it.
    """
    bends = {
        name: Bend.from_json(found[BEND]) for name, found in outcomes.items() if BEND in found
    }
    others = {
        name: {key: value for key, value in found.items() if key != BEND}
        for name, found in outcomes.items()
    }
    amount, sharing = _fit(list(bends.values()))
    if amount is None:
        return others
    bent = {
        name: others[name]
        | bend.transform(amount, shape).to_json()
        | {"residual_px": bend.residual(amount, others[name]["n_matched"])}
        for (name, bend), shares in zip(bends.items(), sharing, strict=True)
        if shares
    }
    corners = np.array([[one[name]["corners_px"] for name in bent] for one in (others, bent)])
    if np.abs(corners[1] - corners[0]).max() < LEAST_MOVE:
        return others
    centre, extent = centre_and_extent(shape)
    corner = amount * float(np.hypot(*centre) / extent) ** 3
    log.info(
        "%d frames agree: the optics move stars in the corners by %.2f px.", len(bent), corner
    )
    return others | bent


def _fit(bends: Sequence[Bend]) -> tuple[float | None, NDArray[np.bool_]]:
    """Fit one coefficient to all frames but those whose stars contradict it.

    Parameters
    ----------
    bends : sequence of Bend, length n

    Returns
    -------
    amount : float or None
        The coefficient [pixels]; None if too few frames agree, or if that of the others comes no
        nearer to a frame's stars than none.
    sharing : (n,) ndarray of bool
        Which frames agree.
    """
    pull, stiffness, own_gain, n_more = (
        np.array([getattr(bend, name) for bend in bends], float)
        for name in ("pull", "stiffness", "own_gain", "n_more")
    )
    sharing = np.ones(len(bends), bool)
    least = max(FEWEST_FRAMES, len(bends) / 2)
    while sharing.sum() >= least:
        # Exact sums do not depend on the order of the frames.
        pulls, stiffnesses = (math.fsum(of_all[sharing]) for of_all in (pull, stiffness))
        if not (rests := stiffnesses - stiffness[sharing]).all():
            break
        amount = pulls / stiffnesses
        gain = amount * (2 * pull - amount * stiffness)
        against = own_gain - gain - CONTRADICTION * np.maximum(n_more, 1)
        if against[sharing].max() > 0:
            sharing &= against < against[sharing].max()
            continue
        by_others = (pulls - pull[sharing]) / rests
        gains = by_others * (2 * pull[sharing] - by_others * stiffness[sharing])
        return (amount if stands_out(np.sort(gains)) else None), sharing
    return None, sharing
