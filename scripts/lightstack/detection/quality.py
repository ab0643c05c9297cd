"""The verdict on a frame."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.detection.doubling import doubling
from scripts.lightstack.detection.sharpness import sharpest_star
from scripts.lightstack.reason import Reason
from scripts.lightstack.robust import scatter

FEWEST_COMPARED = 20
"""Of the brighter stars, the width of the bright and of the faint half are compared: 38 stars of a
real frame leave an error of 5 %."""


@dataclass(frozen=True)
class Limits:
    """The settings that decide on a frame; their meanings stand in ``config/schema.yaml``."""

    min_star_count: int
    fwhm0: float
    fwhm_max_ratio: float
    ellip_max: float
    outlier_mad_thresh: float
    saturated_max_fraction: float


@dataclass(frozen=True)
class Quality:
    """What a frame's stars say about it.

    Parameters
    ----------
    n_sources, n_stars : int
        Sources found, and those of them that are stars.
    fwhm_px, ellipticity : float or None
        Medians over the stars [pixels; 1 - b/a]; None without stars.
    saturated_fraction : float or None
        Share of the stars that are saturated.
    star_fwhm_px : (float, float) or None
        FWHM of the sharpest and of the widest star [pixels]: `stars` picks them again.
    bright_fwhm_ratio : float or None
        FWHM of the bright over that of fainter stars: 1 in a frame whose numbers are in proportion
        to the light. None of few stars.
    doubled : dict or None
        The `Reason` to leave a frame out whose stars are there twice.
    reasons : list of dict
        Every `Reason` to reject the frame.
    """

    n_sources: int
    n_stars: int
    fwhm_px: float | None
    ellipticity: float | None
    saturated_fraction: float | None
    star_fwhm_px: tuple[float, float] | None
    bright_fwhm_ratio: float | None
    doubled: Reason | None
    reasons: list[Reason]


def fwhm_range(fwhm: NDArray[np.floating], outlier_mad_thresh: float) -> tuple[float, float]:
    """FWHM between which sources are stars.

    Parameters
    ----------
    fwhm : (n,) ndarray of float
        Of all sources [pixels].
    outlier_mad_thresh : float
        Half the width of the range [standard deviations, by the MAD].

    Returns
    -------
    (float, float)
        [pixels]; neither the median nor the MAD looks at sources that are too sharp for any
        star, so that a cloud of hot pixels does not pass for the stars. Not a number if no
        source is left.
    """
    sharpest = sharpest_star(fwhm)
    possible = fwhm[fwhm >= sharpest].astype(float)
    if possible.size == 0:
        return float("nan"), float("nan")
    median = float(np.median(possible))
    reach = outlier_mad_thresh * scatter(possible)
    return max(median - reach, sharpest), median + reach


def stars(sources: NDArray[Any], star_fwhm_px: tuple[float, float] | None) -> NDArray[Any]:
    """Pick the sources whose FWHM lies within a range [pixels]."""
    if star_fwhm_px is None:
        return sources[:0]
    low, high = star_fwhm_px
    return sources[(sources["fwhm"] >= low) & (sources["fwhm"] <= high)]


def grade(sources: NDArray[Any], limits: Limits) -> Quality:
    """Judge a frame by its sources.

    Parameters
    ----------
    sources : (n,) structured ndarray
        As `lightstack.detection.sources.measure` gives them.
    limits : Limits

    Returns
    -------
    Quality
        The frame is accepted if it has no reasons.
    """
    low, high = fwhm_range(sources["fwhm"], limits.outlier_mad_thresh)
    chosen = stars(sources, (low, high))
    n_stars = len(chosen)
    too_few = {"code": "too_few_stars", "value": n_stars, "limit": limits.min_star_count}
    reasons = [too_few] if n_stars < limits.min_star_count else []
    if n_stars == 0:
        return Quality(len(sources), 0, None, None, None, None, None, None, reasons)
    fwhm = float(np.median(chosen["fwhm"]))
    ellipticity = float(np.median(chosen["ellipticity"]))
    saturated = float(np.mean(chosen["saturated"]))
    factors = {"fwhm_max_ratio": limits.fwhm_max_ratio, "fwhm0": limits.fwhm0}
    reasons += [
        {"code": code, "value": value, "limit": limit, **details}
        for code, value, limit, details in (
            ("too_wide", fwhm, limits.fwhm_max_ratio * limits.fwhm0, factors),
            ("too_elongated", ellipticity, limits.ellip_max, {}),
            ("too_saturated", saturated, limits.saturated_max_fraction, {}),
        )
        if value > limit
    ]
    return Quality(
        len(sources),
        n_stars,
        fwhm,
        ellipticity,
        saturated,
        (float(chosen["fwhm"].min()), float(chosen["fwhm"].max())),
        _bright_fwhm_ratio(chosen[~chosen["saturated"].astype(bool)]),
        doubling(np.column_stack([chosen["x"], chosen["y"]]), chosen["flux"]),
        reasons,
    )


def _bright_fwhm_ratio(chosen: NDArray[Any]) -> float | None:
    """Compare the widths of the brighter half of the stars: the faint ones are hardly measured."""
    brightest = chosen[np.argsort(-chosen["flux"], kind="stable")]
    half = len(brightest) // 4
    if 2 * half < FEWEST_COMPARED:
        return None
    bright, fainter = (np.median(brightest["fwhm"][at : at + half]) for at in (0, half))
    return float(bright / fainter)
