"""Alignment of one frame's stars on the reference's.

A guess comes from a few bright stars, first by astroalign, then by triangles. Every star is then
matched through it, and the match is believed only if chance could not have made it. What is
believed is refitted to all matched stars, each with the weight that its centroid deserves.
"""

from dataclasses import dataclass

import numpy as np

from scripts.lightstack.alignment.fitting import (
    RICHER_MODELS,
    SIMILARITY,
    fit,
    predicts_better,
    with_backward,
)
from scripts.lightstack.alignment.guesses import LARGEST_SCALE, guesses
from scripts.lightstack.alignment.matching import (
    CHANCE,
    Match,
    crowding,
    match_through,
    objection_to,
    odds,
    pair,
    tighter,
)
from scripts.lightstack.alignment.stars import Floats, Indices, Stars, voters
from scripts.lightstack.alignment.transform import Transform, identity

FIRST_TOLERANCE_PX = 6.0
"""How far a guess may be off, distortion included [pixels]."""

LEAST_SHARE = 0.3
"""Share of the brighter stars in the overlap that ought to have a counterpart."""

LEAST_SHARE_OF_REST = 0.1
"""The same, when what stays on its pixel is left out: most of the rest may be flickering."""

SETTLED_PX = 1e-4
"""Change of a fit that is not worth another one [pixels]."""

CENTROID_FLOOR_PX = 0.01
"""No centroid is better than this [pixels]: it keeps one bright star from ruling the fit."""


class UnalignedError(Exception):
    """No trustworthy transform; the message is one sentence that says why."""


@dataclass(frozen=True)
class Alignment:
    """A trusted transform.

    Parameters
    ----------
    transform : Transform
        From the frame to the reference.
    n_matched : int
        How many stars of the frame have a counterpart.
    residual_px : float
        RMS distance of matched stars on the reference [pixels].
    flux_scale : float
        What the frame's fluxes are to be multiplied by to become the reference's.
    """

    transform: Transform
    n_matched: int
    residual_px: float
    flux_scale: float


def align(frame: Stars, reference: Stars) -> Alignment:
    """Find the transform that lays a frame's stars on the reference's.

    Parameters
    ----------
    frame, reference : Stars
        Sources in any order; sources sharper than stars, such as hot pixels, do not vote.

    Returns
    -------
    Alignment

    Raises
    ------
    UnalignedError
        If no transform explains the stars better than chance or than a static pattern would.
    """
    frame, reference = voters(frame), voters(reference)
    match = _search_sky(frame, reference)
    frame, reference = _without_stuck(match.transform, frame, reference)
    match = _polish(match, frame, reference)
    objection = objection_to(match, frame, reference, LEAST_SHARE_OF_REST)
    if objection:
        raise UnalignedError(objection)
    # The faint half is biased: each list holds those of its faintest that noise made brighter.
    whole = ~(frame.cut[match.frame] | reference.cut[match.reference])
    pairs = np.flatnonzero(whole) if whole.any() else np.arange(len(whole))
    bright = pairs[: max(10, len(pairs) // 2)]
    ratio = reference.flux[match.reference[bright]] / frame.flux[match.frame[bright]]
    return Alignment(
        transform=with_backward(match.transform),
        n_matched=len(match.frame),
        residual_px=float(np.sqrt(np.mean(match.distance**2))),
        flux_scale=float(np.median(ratio)),
    )


def _search_sky(frame: Stars, reference: Stars) -> Match:
    """Match what moves before what stays on its pixel.

    Hot pixels stay, and where no dark was subtracted they may outnumber the stars. If sources
    that do not stay agree on a movement, it is the sky's. If they do not, the sky stands still,
    unless what stays looks like hot pixels.
    """
    from scipy.special import bdtrc

    still = _still(frame, reference)
    if len(still[0]) > 0.1 * min(len(frame), len(reference)):
        rest = frame.without(still[0]), reference.without(still[1])
        try:
            match = _search(*rest, LEAST_SHARE_OF_REST)
            if _moves(match.transform):
                return match
        except UnalignedError:
            pass
    match = _search(frame, reference, LEAST_SHARE)
    if _moves(match.transform):
        return match
    wide = 1.5 * float(np.median(frame.fwhm[match.frame]))
    wider = frame[frame.fwhm > wide], reference[reference.fwhm > wide]
    n_wide_matched = int((frame.fwhm[match.frame] > wide).sum())
    xy = np.hstack([frame.xy[match.frame], reference.xy[match.reference]])
    n_central = int((np.abs(xy - np.rint(xy)) < 0.2).all(axis=1).sum())
    # Hot pixels lie in the middle of pixels, of stars 0.4**2 do so; they are sharper than stars.
    if (
        bdtrc(n_central - 1, len(xy), 0.4) < CHANCE
        or min(map(len, wider)) > 5 * n_wide_matched + 5
    ):
        try:
            return _search_sky(*wider)
        except UnalignedError:
            raise UnalignedError(
                f"{len(xy)} sources match without any shift, but they look like hot pixels"
            ) from None
    return match


def _moves(transform: Transform) -> bool:
    still = identity(transform.frame_shape).corners
    return bool(np.abs(transform.corners - still).max() > 0.5)


def _still(frame: Stars, reference: Stars) -> tuple[Indices, Indices]:
    """Pairs within half a pixel of the same place on either image."""
    return pair(identity(frame.shape), frame, reference, 0.5)[:2]


def _without_stuck(transform: Transform, frame: Stars, reference: Stars) -> tuple[Stars, Stars]:
    """Leave out what stays on its pixel where the sky moves."""
    still, still_reference = _still(frame, reference)
    xy, target = frame.xy[still], reference.xy[still_reference]
    off_sky, off_pixel = (np.hypot(*(at - target).T) for at in (transform.forward(xy), xy))
    stuck = off_sky - off_pixel > 0.25
    return frame.without(still[stuck]), reference.without(still_reference[stuck])


def _search(frame: Stars, reference: Stars, least_share: float) -> Match:
    """Match through the first guess that survives the check."""
    for stars, name in ((frame, "frame"), (reference, "reference")):
        if len(stars) < 4:
            raise UnalignedError(
                f"the {name} has {len(stars)} sources as wide as stars: too few to align"
            )
    objection = "no arrangement of bright stars is found in both lists"
    most = 0
    for guess in guesses(frame, reference):
        match = _follow(guess, frame, reference)
        if match is None:
            continue
        doubt = objection_to(match, frame, reference, least_share)
        if not doubt:
            return match
        if len(match.frame) > most:
            most, objection = len(match.frame), doubt
    raise UnalignedError(objection)


def _follow(guess: Transform, frame: Stars, reference: Stars) -> Match | None:
    """Improve a guess on all stars; None if it is hopeless."""
    from scipy.special import bdtrc

    if not _is_plausible(guess):
        return None
    # In a crowd, tell a star from its neighbour.
    tolerance = min(FIRST_TOLERANCE_PX, 0.5 / np.sqrt(crowding(reference)))
    match = match_through(guess, frame, reference, tolerance)
    n_pairs, n_trials, chance = odds(match, frame, reference)
    if n_pairs < 3 or bdtrc(n_pairs - 3, n_trials - 2, chance) > 0.01:
        return None
    for _ in range(10):
        xy, target = frame.xy[match.frame], reference.xy[match.reference]
        fitted = fit(SIMILARITY, guess, xy, target, np.ones(len(xy)))
        if not _is_plausible(fitted):
            return None
        found = match_through(fitted, frame, reference, tighter(match))
        if len(found.frame) < 3:
            return None
        settled = np.array_equal(found.frame, match.frame) and found.tolerance == match.tolerance
        match = found
        if settled:
            break
    return match


def _is_plausible(transform: Transform) -> bool:
    """Whether the scale is one that is looked for, but for the error of a guess; no mirror."""
    largest = 1.03 * LARGEST_SCALE
    mirrored = np.linalg.det(transform.matrix) < 0
    return bool(1 / largest < transform.scale < largest and not mirrored)


def _polish(match: Match, frame: Stars, reference: Stars) -> Match:
    """Refit to all stars with weights, by the richest model that predicts stars left out."""
    match = match_through(match.transform, frame, reference, match.tolerance)
    chosen = SIMILARITY
    weighed = None
    for model in (SIMILARITY, *RICHER_MODELS):
        for step in range(5):
            if len(match.frame) < 4:
                return match
            if match is not weighed:
                weighed, weight = match, _weights(match, frame, reference)
            pairs = frame.xy[match.frame], reference.xy[match.reference], weight
            before = match.transform
            if (
                step == 0
                and model != chosen
                and not predicts_better(model, chosen, before, *pairs)
            ):
                break
            chosen = model
            transform = fit(chosen, before, *pairs)
            match = match_through(transform, frame, reference, tighter(match))
            if np.abs(transform.corners - before.corners).max() < SETTLED_PX:
                break
    return match


def _weights(match: Match, frame: Stars, reference: Stars) -> Floats:
    """Inverse variance of each pair [1 / pixels^2], less where the residual is an outlier's.

    Centroids err by ``sqrt(floor**2 + (fwhm * noise / flux)**2)``; the floor and the noise are
    those that the residuals show. The centroid's error is that of a background-limited star
    (King 1983, PASP 95, 163), the weight of outliers that of Geman & McClure (1987).
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
