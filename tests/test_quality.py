"""A frame is accepted or rejected with every reason that applies."""

import numpy as np
import pytest

from scripts.lightstack.detection.quality import Limits, fwhm_range, grade, stars
from scripts.lightstack.detection.sources import SOURCE
from scripts.lightstack.report.reasons import sentences

LIMITS = Limits(
    min_star_count=50,
    fwhm0=3.0,
    fwhm_max_ratio=2.0,
    ellip_max=0.5,
    outlier_mad_thresh=3.0,
    saturated_max_fraction=0.1,
)


def sources(fwhm: np.ndarray, ellipticity: float = 0.1, n_saturated: int = 0) -> np.ndarray:
    table = np.zeros(len(fwhm), SOURCE)
    table["fwhm"], table["ellipticity"] = fwhm, ellipticity
    table["saturated"][:n_saturated] = 1
    return table


def scattered(median: float, count: int) -> np.ndarray:
    """FWHM of a clean frame: normal quantiles, sigma 0.1 px."""
    from scipy.stats import norm

    return np.asarray(median + 0.1 * norm.ppf((np.arange(count) + 0.5) / count))


def test_a_good_frame_is_accepted() -> None:
    quality = grade(sources(scattered(3, 100), n_saturated=5), LIMITS)
    assert quality.reasons == []
    assert quality.n_stars == 100
    assert quality.fwhm_px == pytest.approx(3, abs=0.02)
    assert quality.saturated_fraction == pytest.approx(0.05)


def test_outliers_are_no_stars_by_median_and_mad() -> None:
    fwhm = np.concatenate([scattered(3, 100), [0.3, 2.0, 4.5, 9.0]])
    low, high = fwhm_range(fwhm, 3.0)
    # Normal values: 1.4826 MAD is their standard deviation.
    assert (low, high) == pytest.approx((2.7, 3.3), abs=0.03)
    assert grade(sources(fwhm), LIMITS).n_stars == 100


def test_hot_pixels_do_not_pass_for_the_stars() -> None:
    fwhm = np.concatenate([np.full(500, 0.4), scattered(3, 60)])
    quality = grade(sources(fwhm), LIMITS)
    assert quality.n_stars == 60
    assert quality.fwhm_px == pytest.approx(3, abs=0.05)
    assert quality.n_sources == 560


def test_every_reason_is_told_with_value_and_limit() -> None:
    quality = grade(sources(scattered(7, 40), ellipticity=0.6, n_saturated=20), LIMITS)
    assert [(reason["code"], reason["limit"]) for reason in quality.reasons] == [
        ("too_few_stars", 50),
        ("too_wide", 6.0),
        ("too_elongated", 0.5),
        ("too_saturated", 0.1),
    ]
    values = [reason["value"] for reason in quality.reasons]
    assert values == [40, quality.fwhm_px, quality.ellipticity, quality.saturated_fraction]
    assert sentences(quality.reasons) == (
        "40 stars < min_star_count 50; "
        "FWHM 7.00 px > 6.00 px (fwhm_max_ratio 2 x fwhm0 3); "
        "ellipticity 0.600 > ellip_max 0.5; "
        "saturated fraction 0.500 > saturated_max_fraction 0.1"
    )


def test_a_frame_at_its_limits_is_accepted() -> None:
    limits = Limits(100, 3.5, 2.0, 0.5, 3.0, 0.1)
    quality = grade(sources(np.full(100, 7.0), ellipticity=0.5, n_saturated=10), limits)
    assert quality.reasons == []


def test_bright_stars_are_wider_where_numbers_are_not_in_proportion_to_the_light() -> None:
    table = sources(scattered(3, 100))
    table["flux"] = 1e3 * np.random.default_rng(1).pareto(1, 100) + 100
    assert grade(table, LIMITS).bright_fwhm_ratio == pytest.approx(1, abs=0.03)
    table["fwhm"] *= (table["flux"] / 1e3) ** 0.1
    assert (grade(table, LIMITS).bright_fwhm_ratio or 1) > 1.1
    # Those that are saturated do not count, and few stars do not tell.
    table["saturated"][:70] = 1
    assert grade(table, LIMITS).bright_fwhm_ratio is None


def test_no_stars_at_all() -> None:
    for fwhm in (np.zeros(0), np.full(30, 0.4)):
        quality = grade(sources(fwhm), LIMITS)
        assert sentences(quality.reasons) == "0 stars < min_star_count 50"
        assert quality.fwhm_px is None
        assert len(stars(sources(fwhm), quality.star_fwhm_px)) == 0
    alone = grade(sources(np.full(1, 3.0)), LIMITS)
    assert sentences(alone.reasons) == "1 star < min_star_count 50"
