"""What detection finds at other settings than those that are set."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.detection.quality import fwhm_range
from scripts.lightstack.detection.sources import SOURCE, detect, measure
from scripts.lightstack.raw.image import UnusableFrameError

THRESHOLDS = (3.0, 4.0, 5.0, 7.0, 10.0, 15.0, 20.0)
AREAS = (3, 5, 8, 12, 20)
"""Settings that are tried: from what finds noise to what finds the brightest stars alone."""

REGION_PX = 1000
"""Side of the square in the middle of a frame that is looked at [pixels]."""

MOST_FALSE = 0.02
"""Share of false finds among the stars that is still good: more of them, and noise is counted."""

ROOM = 2.0
"""Stars that a good frame should show, over those that are asked of any: worse ones show fewer."""


@dataclass(frozen=True)
class Trial:
    """What is found in a region at one pair of settings.

    Parameters
    ----------
    threshold_sigma : float
    minarea : int
        The settings.
    n_stars : float
        Stars, as many as the whole frame would have if it were like the region.
    n_false : float
        Sources in the region with its sign turned, where there are no stars; for the whole frame.
    fwhm_px, ellipticity : float
        Medians of the stars; NaN without any.
    """

    threshold_sigma: float
    minarea: int
    n_stars: float
    n_false: float
    fwhm_px: float
    ellipticity: float

    @property
    def is_clean(self) -> bool:
        """Whether what is found are stars, and no more noise than does not matter."""
        return self.n_false <= max(1.0, MOST_FALSE * self.n_stars)


def settings_to_try(threshold_sigma: float, minarea: int) -> tuple[list[float], list[int]]:
    """List thresholds and areas, those that are set among them."""
    return sorted({*THRESHOLDS, threshold_sigma}), sorted({*AREAS, minarea})


def try_settings(
    data: NDArray[np.float32],
    saturated: NDArray[np.bool_],
    noise: float,
    *,
    threshold_sigma: float,
    minarea: int,
    smoothing_sigma: float,
    outlier_mad_thresh: float,
) -> tuple[NDArray[Any], NDArray[np.bool_], int]:
    """Find the sources of a region.

    Parameters
    ----------
    data : (ny, nx) ndarray of float32
        Region without its background [ADU]; NaN where there is no data.
    saturated : (ny, nx) ndarray of bool
        Saturated pixels.
    noise : float
        Standard deviation of the background [ADU].
    threshold_sigma, minarea, smoothing_sigma, outlier_mad_thresh
        Settings.

    Returns
    -------
    sources : (n,) structured ndarray
        Of dtype `SOURCE`.
    kept : (n,) ndarray of bool
        Which of them are stars.
    n_false : int
        Sources in the region with its sign turned: the noise has as many peaks as holes.
    """
    options: dict[str, Any] = {
        "threshold_sigma": threshold_sigma,
        "minarea": minarea,
        "smoothing_sigma": smoothing_sigma,
    }
    try:
        guesses = detect(data, noise, **options)
        n_false = len(detect(-data, noise, **options))
    except UnusableFrameError:
        # More is found than there can be stars: all of it is false.
        return np.zeros(0, SOURCE), np.zeros(0, bool), data.size
    sources = measure(data, saturated, guesses, noise)
    low, high = fwhm_range(sources["fwhm"], outlier_mad_thresh)
    kept = (sources["fwhm"] >= low) & (sources["fwhm"] <= high)
    return sources, kept, n_false


def suggestion(trials: list[Trial], set_now: Trial, min_star_count: int) -> Trial | None:
    """Pick settings for a wished number of stars.

    Parameters
    ----------
    trials : list of Trial
    set_now : Trial
        What is found with the settings as they are; they stay if they do.
    min_star_count : int
        Stars that every frame must show.

    Returns
    -------
    Trial or None
        The least deep that leaves `ROOM` for worse frames; if none does, that with the most stars.
        Settings that count noise are no choice: None if there are no others with a star.
    """
    clean = [trial for trial in trials if trial.is_clean and trial.n_stars >= 1]
    enough = [trial for trial in clean if trial.n_stars >= ROOM * min_star_count]
    if set_now in enough:
        return set_now
    if enough:
        return min(enough, key=lambda trial: trial.n_stars)
    return max(clean, key=lambda trial: trial.n_stars, default=None)
