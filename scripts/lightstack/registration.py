"""Alignment of one frame's stars on the reference's.

A guess comes from a few bright stars, first by astroalign, then by triangles. Every star is then
matched through it, and the match is believed only if chance could not have made it. What is
believed is refitted to all matched stars, each with the weight that its centroid deserves.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.fitting import (
    RICHER_MODELS,
    SIMILARITY,
    fit,
    predicts_better,
    with_backward,
)
from scripts.lightstack.guesses import LARGEST_SCALE, guesses
from scripts.lightstack.quality import SHARPEST_STAR
from scripts.lightstack.transform import Transform, identity, inside

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

FIRST_TOLERANCE_PX = 6.0
"""How far a guess may be off, distortion included [pixels]."""
CHANCE = 1e-4
"""Expected number of matches as good as this one between fields that have nothing in common."""
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
class Stars:
    """Sources of one frame.

    Parameters
    ----------
    xy : (n, 2) ndarray of float64
        Positions ``(x, y)``, 0-based, pixel centres at integers [pixels].
    flux : (n,) ndarray of float64
        [ADU]
    fwhm : (n,) ndarray of float64
        [pixels]
    shape : (int, int)
        ``(ny, nx)`` of the image [pixels].
    saturated : (n,) ndarray of bool, optional
        Sources whose flux is cut; default: none.
    """

    xy: Floats
    flux: Floats
    fwhm: Floats
    shape: tuple[int, int]
    saturated: NDArray[np.bool_] | None = None

    def __getitem__(self, chosen: slice | NDArray[Any]) -> "Stars":
        """Pick some of the sources, by slice, index or mask."""
        saturated = None if self.saturated is None else self.saturated[chosen]
        return Stars(self.xy[chosen], self.flux[chosen], self.fwhm[chosen], self.shape, saturated)

    def without(self, dropped: Indices) -> "Stars":
        """Leave out some of the sources, by index."""
        return self[np.setdiff1d(np.arange(len(self)), dropped)]

    @property
    def cut(self) -> NDArray[np.bool_]:
        """Which fluxes saturation has cut."""
        return np.zeros(len(self), bool) if self.saturated is None else self.saturated

    def __len__(self) -> int:
        """How many sources there are."""
        return len(self.flux)


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


@dataclass(frozen=True)
class _Match:
    """Pairs ``(frame[k], reference[k])`` that a transform brings within `tolerance` [pixels]."""

    transform: Transform
    frame: Indices
    reference: Indices
    distance: Floats
    tolerance: float


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
    frame, reference = _voters(frame), _voters(reference)
    match = _search_sky(frame, reference)
    frame, reference = _without_stuck(match.transform, frame, reference)
    match = _polish(match, frame, reference)
    objection = _objection(match, frame, reference, LEAST_SHARE_OF_REST)
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


def _voters(stars: Stars) -> Stars:
    """Keep what may be stars, the brightest first: an order that the input's has no part in.

    Hot pixels may outnumber the stars, so the stars' width is not that of the majority: an
    absolute limit comes first.
    """
    usable = np.isfinite(stars.xy).all(axis=1) & np.isfinite(stars.flux) & (stars.flux > 0)
    stars = stars[usable & (stars.fwhm >= SHARPEST_STAR)]
    stars = stars[np.lexsort((stars.xy[:, 1], stars.xy[:, 0], -stars.flux))]
    if len(stars):
        # The brightest may be saturated, the rest may be hot pixels: the smaller is safe.
        typical = min(np.median(stars.fwhm), np.median(stars.fwhm[:50]))
        stars = stars[stars.fwhm >= 0.6 * typical]
    return stars


def _search_sky(frame: Stars, reference: Stars) -> _Match:
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
    return _pair(identity(frame.shape), frame, reference, 0.5)[:2]


def _without_stuck(transform: Transform, frame: Stars, reference: Stars) -> tuple[Stars, Stars]:
    """Leave out what stays on its pixel where the sky moves."""
    still, still_reference = _still(frame, reference)
    xy, target = frame.xy[still], reference.xy[still_reference]
    off_sky, off_pixel = (np.hypot(*(at - target).T) for at in (transform.forward(xy), xy))
    stuck = off_sky - off_pixel > 0.25
    return frame.without(still[stuck]), reference.without(still_reference[stuck])


def _search(frame: Stars, reference: Stars, least_share: float) -> _Match:
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
        doubt = _objection(match, frame, reference, least_share)
        if not doubt:
            return match
        if len(match.frame) > most:
            most, objection = len(match.frame), doubt
    raise UnalignedError(objection)


def _pair(
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


def _match(transform: Transform, frame: Stars, reference: Stars, tolerance: float) -> _Match:
    return _Match(transform, *_pair(transform, frame, reference, tolerance), tolerance)


def _tighter(match: _Match) -> float:
    """Five sigma of a Rayleigh distribution with the median of these distances [pixels]."""
    return float(min(match.tolerance, max(0.5, 5 * np.median(match.distance) / 1.1774)))


def _follow(guess: Transform, frame: Stars, reference: Stars) -> _Match | None:
    """Improve a guess on all stars; None if it is hopeless."""
    from scipy.special import bdtrc

    if not _is_plausible(guess):
        return None
    # In a crowd, tell a star from its neighbour.
    tolerance = min(FIRST_TOLERANCE_PX, 0.5 / np.sqrt(_density(reference)))
    match = _match(guess, frame, reference, tolerance)
    n_pairs, n_trials, chance = _odds(match, frame, reference)
    if n_pairs < 3 or bdtrc(n_pairs - 3, n_trials - 2, chance) > 0.01:
        return None
    for _ in range(10):
        xy, target = frame.xy[match.frame], reference.xy[match.reference]
        fitted = fit(SIMILARITY, guess, xy, target, np.ones(len(xy)))
        if not _is_plausible(fitted):
            return None
        found = _match(fitted, frame, reference, _tighter(match))
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


def _odds(match: _Match, frame: Stars, reference: Stars) -> tuple[int, int, float]:
    """Pairs found, stars that might have been paired, and the chance of each to be by accident."""
    n_trials = min(sum(inside) for inside in _overlap(match.transform, frame, reference))
    radius = match.distance.max(initial=0.0)
    density = max(_density(frame) / match.transform.scale**2, _density(reference))
    return (
        len(match.frame),
        max(int(n_trials), len(match.frame)),
        float(-np.expm1(-np.pi * radius**2 * density)),
    )


def _overlap(
    transform: Transform, frame: Stars, reference: Stars
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which stars of either list lie on the other image."""
    on_reference, on_frame = transform.forward(frame.xy), transform.backward(reference.xy)
    return inside(on_reference, reference.shape), inside(on_frame, frame.shape)


def _density(stars: Stars) -> float:
    """Stars per square pixel in the surroundings of a star: more than the mean in a cluster."""
    side = 64
    _, count = np.unique(stars.xy // side, axis=0, return_counts=True)
    surroundings = np.sum(count * (count - 1.0)) / len(stars) / side**2
    return float(max(surroundings, len(stars) / np.prod(stars.shape)))


def _objection(match: _Match, frame: Stars, reference: Stars, least_share: float) -> str:
    """Why a match is not to be trusted, in one sentence; empty if it is.

    The expected number of accidental matches as good as this one is the number of similarities
    that two pairs of stars define, times the binomial chance that so many others fall within the
    largest residual (Moisan & Stival 2004, IJCV 57, 201).
    """
    from scipy.special import bdtrc

    n_pairs, n_trials, chance = _odds(match, frame, reference)
    said = f"{n_pairs} of {n_trials} stars in the overlap match"
    if n_pairs < 4:
        return f"{said}: too few to trust"
    tests = float(len(frame) * len(reference)) ** 2 * n_trials
    if tests * bdtrc(n_pairs - 3, n_trials - 2, chance) > CHANCE:
        return f"{said}: unrelated fields do as well by chance"
    inside = _overlap(match.transform, frame, reference)
    paired = match.frame, match.reference
    few = int(np.argmin([mask.sum() for mask in inside]))
    candidates = np.flatnonzero(inside[few])
    bright = candidates[: max(10, len(candidates) // 2)]
    share = np.isin(bright, paired[few]).mean()
    if share < least_share:
        return f"{said}, {share:.0%} of the brighter half: too few to trust"
    return ""


def _polish(match: _Match, frame: Stars, reference: Stars) -> _Match:
    """Refit to all stars with weights, by the richest model that predicts stars left out."""
    match = _match(match.transform, frame, reference, match.tolerance)
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
            match = _match(transform, frame, reference, _tighter(match))
            if np.abs(transform.corners - before.corners).max() < SETTLED_PX:
                break
    return match


def _weights(match: _Match, frame: Stars, reference: Stars) -> Floats:
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
