"""Alignment of one frame's stars on the reference's.

A guess comes from a few bright stars, first by astroalign, then by triangles. Every star is then
matched through it, and the match is believed only if chance could not have made it. What is
believed is refitted to all matched stars, each with the weight that its centroid deserves. A frame
for which there is none may be a mirror image or have other pixels.
"""

from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from scripts.lightstack.alignment.centroids import pair_weights
from scripts.lightstack.alignment.fitting import (
    RICHER_MODELS,
    SIMILARITY,
    Bend,
    Model,
    bend,
    fit,
    predicts_better,
    with_backward,
)
from scripts.lightstack.alignment.guesses import LARGEST_SCALE, guesses
from scripts.lightstack.alignment.light import LightScale, light_scale
from scripts.lightstack.alignment.matching import (
    CHANCE,
    FEWEST_PAIRS,
    Match,
    match_stars,
    odds_of,
    reason_to_doubt,
)
from scripts.lightstack.alignment.stars import Stars
from scripts.lightstack.alignment.tearing import tear
from scripts.lightstack.alignment.transform import Transform, identity
from scripts.lightstack.alignment.views import seen, unseen, views
from scripts.lightstack.detection.sharpness import SHARPEST_STAR
from scripts.lightstack.reason import Reason

FIRST_TOLERANCE_PX = 6.0
"""How far a guess may be off, distortion included [pixels].

Tuned with the distorted fields of `benchmarks.alignment_table`.
"""

HOPELESS = 0.01
"""Probability of a guess's matches by accident above which it is not followed.

Tuned with `benchmarks.alignment_table`: the check proper comes after the fit.
"""

LEAST_SHARE = 0.3
"""Share of the brighter stars in the overlap that ought to have a counterpart.

Tuned with the unrelated and the overlapping fields of `tests/test_registration.py`.
"""

LEAST_SHARE_OF_REST = 0.1
"""The same, when what stays on its pixel is left out: most of the rest may be flickering.

Tuned with the hot pixels of `tests/test_registration.py`.
"""

NO_MATTER_OF_VIEW = ("too_few_sources", "hot_pixels", "torn")
"""Reasons that no other look at the frame would do away with."""

SETTLED_PX = 1e-4
"""Change of a fit that is not worth another one: a hundredth of the best centroid [pixels]."""

STILL_PX = 0.5
"""What moves no farther stays on its pixel [pixels]."""

MANY_STILL = 0.1
"""Share of the sources that stays on its pixel, from which on the others are matched first.

The tests of hot pixels (`tests/test_registration.py`) hold from 0.02 to 0.4.
"""

MANY_UNMATCHED = 5
"""By so many, and so many times, more sources wider than those that stay are the stars, where few
of them match without a shift: the same tests hold from 2 to 20."""

SCALE_ERROR = 1.03
"""How far the scale of a guess may be off: the same tests hold with 1.1."""

STUCK_PX = 0.25
"""By so much nearer to its pixel than to the sky is a hot pixel, tuned as LEAST_SHARE_OF_REST."""

CENTRAL_PX = 0.2
"""How near to the middle of its pixel a hot pixel's centroid is, tuned as LEAST_SHARE_OF_REST."""

WIDER = 1.5
"""Width of stars over that of hot pixels, at least; tuned as LEAST_SHARE_OF_REST."""


class UnalignedError(Exception):
    """No trustworthy transform.

    Attributes
    ----------
    reason : dict
        Why: a ``code`` with its numbers, of which `report.reasons` makes a sentence.
    """

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


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
    light : LightScale
        What the frame's fluxes are to be multiplied by to become the reference's.
    bend : Bend, optional
        How the transform would change with the distortion of the optics, if these may be the
        reference's.
    """

    transform: Transform
    n_matched: int
    residual_px: float
    light: LightScale
    bend: Bend | None = None


@np.errstate(all="ignore")  # what overflows or has no value does not come through the checks
def align(frame: Stars, reference: Stars) -> Alignment:
    """Find the transform that lays a frame's stars on the reference's.

    Parameters
    ----------
    frame, reference : Stars
        Sources in any order; sources sharper than stars, such as hot pixels, do not vote.

    Returns
    -------
    Alignment
        Of a mirror image too, and of a frame with pixels of another size.

    Raises
    ------
    UnalignedError
        If no transform explains the stars better than chance or than a static pattern would.
    """
    frame, reference = frame.candidates, reference.candidates
    try:
        return _align(frame, reference)
    except UnalignedError as error:
        if error.reason["code"] in NO_MATTER_OF_VIEW:
            raise
        for view in views(frame, reference, LARGEST_SCALE):
            with suppress(UnalignedError):
                found = _align(seen(view, frame), reference)
                transform = unseen(view, found.transform, frame.shape)
                return replace(found, transform=transform, bend=None)
        raise


def _align(frame: Stars, reference: Stars) -> Alignment:
    """Align a frame that is neither mirrored nor of other pixels, the brightest stars first."""
    match = _search_sky(frame, reference)
    frame, reference = _without_stuck(match.transform, frame, reference)
    match, model = _refine(match, frame, reference)
    doubt = reason_to_doubt(match, frame, reference, LEAST_SHARE_OF_REST)
    doubt = doubt or tear(match, frame, reference)
    width = float(np.median(frame.fwhm[match.frame])) if len(match.frame) else np.inf
    if width < SHARPEST_STAR and not _moves(match.transform):
        # Sharp sources that stay may be neighbouring hot pixels.
        doubt = {"code": "hot_pixels", "value": len(match.frame), "limit": None}
    if doubt:
        raise UnalignedError(doubt)
    return Alignment(
        transform=with_backward(match.transform),
        n_matched=len(match.frame),
        residual_px=float(np.sqrt(np.mean(match.distance**2))),
        light=light_scale(match, frame, reference),
        bend=_bend(model, match, frame, reference),
    )


def _bend(model: Model, match: Match, frame: Stars, reference: Stars) -> Bend | None:
    """Fit what images share if they have the same optics, as images of one shape may have."""
    if frame.shape != reference.shape:
        return None
    pairs = frame.xy[match.frame], reference.xy[match.reference]
    return bend(model, match.transform, *pairs, pair_weights(match, frame, reference))


def _search_sky(frame: Stars, reference: Stars) -> Match:
    """Match what moves before what stays on its pixel.

    Hot pixels stay, and where no dark was subtracted they may outnumber the stars. If sources
    that do not stay agree on a movement, it is the sky's. If they do not, the sky stands still,
    unless what stays looks like hot pixels, or is too sharp to be told from neighbouring ones.
    """
    still = _still(frame, reference)
    if len(still.frame) > MANY_STILL * min(len(frame), len(reference)):
        rest = frame.without(still.frame), reference.without(still.reference)
        try:
            match = _search(*rest, LEAST_SHARE_OF_REST)
            if _moves(match.transform):
                return match
        except UnalignedError:
            pass
    match = _search(frame, reference, LEAST_SHARE)
    if _moves(match.transform):
        return match
    width = float(np.median(frame.fwhm[match.frame]))
    wide = SHARPEST_STAR if width < SHARPEST_STAR else WIDER * width
    wider = frame[frame.fwhm > wide], reference[reference.fwhm > wide]
    n_wide_matched = int((frame.fwhm[match.frame] > wide).sum())
    if (
        width < SHARPEST_STAR
        or _lie_in_the_middle_of_pixels(match, frame, reference)
        or min(map(len, wider)) > MANY_UNMATCHED * (n_wide_matched + 1)
    ):
        try:
            return _search_sky(*wider)
        except UnalignedError:
            raise UnalignedError(
                {"code": "hot_pixels", "value": len(match.frame), "limit": None}
            ) from None
    return match


def _moves(transform: Transform) -> bool:
    still = identity(transform.frame_shape).corners
    return bool(np.abs(transform.corners - still).max() > STILL_PX)


def _still(frame: Stars, reference: Stars) -> Match:
    """Match what is at the same place on either image."""
    return match_stars(identity(frame.shape), frame, reference, STILL_PX)


def _lie_in_the_middle_of_pixels(match: Match, frame: Stars, reference: Stars) -> bool:
    """Whether more of the matched sources do than stars would by chance: hot pixels do."""
    from scipy.special import bdtrc

    xy = np.hstack([frame.xy[match.frame], reference.xy[match.reference]])
    n_central = int((np.abs(xy - np.rint(xy)) < CENTRAL_PX).all(axis=1).sum())
    # Of stars, (2 * CENTRAL_PX)**2 do so: a larger share leaves room for doubt.
    return bool(bdtrc(n_central - 1, len(xy), 2 * CENTRAL_PX) < CHANCE)


def _without_stuck(transform: Transform, frame: Stars, reference: Stars) -> tuple[Stars, Stars]:
    """Leave out what stays on its pixel where the sky moves."""
    still = _still(frame, reference)
    xy, target = frame.xy[still.frame], reference.xy[still.reference]
    off_sky, off_pixel = (np.hypot(*(at - target).T) for at in (transform.forward(xy), xy))
    stuck = off_sky - off_pixel > STUCK_PX
    return frame.without(still.frame[stuck]), reference.without(still.reference[stuck])


def _search(frame: Stars, reference: Stars, least_share: float) -> Match:
    """Match through the first guess that survives the check."""
    for stars, which in ((frame, "frame"), (reference, "reference")):
        if len(stars) < FEWEST_PAIRS:
            raise UnalignedError(
                {
                    "code": "too_few_sources",
                    "value": len(stars),
                    "limit": FEWEST_PAIRS,
                    "which": which,
                }
            )
    reason: Reason = {"code": "no_arrangement", "value": 0, "limit": FEWEST_PAIRS}
    most = 0
    for guess in guesses(frame, reference):
        match = _follow(guess, frame, reference)
        if match is None:
            continue
        doubt = reason_to_doubt(match, frame, reference, least_share)
        if not doubt:
            return match
        if len(match.frame) > most:
            most, reason = len(match.frame), doubt
    raise UnalignedError(reason)


def _follow(guess: Transform, frame: Stars, reference: Stars) -> Match | None:
    """Improve a guess on all stars; None if it is hopeless."""
    if not _is_plausible(guess):
        return None
    # In a crowd, tell a star from its neighbour.
    tolerance = min(FIRST_TOLERANCE_PX, 0.5 / np.sqrt(reference.density))
    match = match_stars(guess, frame, reference, tolerance)
    odds = odds_of(match, frame, reference)
    if odds.n_pairs < 3 or odds.by_accident > HOPELESS:
        return None
    for _ in range(10):
        xy, target = frame.xy[match.frame], reference.xy[match.reference]
        fitted = fit(SIMILARITY, guess, xy, target, np.ones(len(xy)))
        if not _is_plausible(fitted):
            return None
        found = match_stars(fitted, frame, reference, match.tighter_tolerance)
        if len(found.frame) < 3:
            return None
        settled = np.array_equal(found.frame, match.frame) and found.tolerance == match.tolerance
        match = found
        if settled:
            break
    return match


def _is_plausible(transform: Transform) -> bool:
    """Whether the scale is one that is looked for, but for the error of a guess; no mirror."""
    largest = SCALE_ERROR * LARGEST_SCALE
    (a, b), (c, d) = transform.matrix[:2, :2]
    mirrored = a * d - b * c < 0
    finite = np.isfinite(transform.corners).all()
    return bool(1 / largest < transform.scale < largest and not mirrored and finite)


def _refine(match: Match, frame: Stars, reference: Stars) -> tuple[Match, Model]:
    """Refit to all stars with weights, by the richest model that predicts stars left out."""
    match = match_stars(match.transform, frame, reference, match.tolerance)
    chosen = SIMILARITY
    weighed = None
    for model in (SIMILARITY, *RICHER_MODELS):
        for step in range(5):
            if len(match.frame) < FEWEST_PAIRS:
                return match, chosen
            if match is not weighed:
                weighed, weight = match, pair_weights(match, frame, reference)
            pairs = frame.xy[match.frame], reference.xy[match.reference], weight
            before = match.transform
            if (
                step == 0
                and model != chosen
                and not predicts_better(model, chosen, before, *pairs)
            ):
                break
            transform = fit(model, before, *pairs)
            if not _is_plausible(transform):
                break
            chosen = model
            match = match_stars(transform, frame, reference, match.tighter_tolerance)
            if np.abs(transform.corners - before.corners).max() < SETTLED_PX:
                break
    return match, chosen
