"""Stars narrower than the pixels are stars; hot pixels are not."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import erf

from scripts.lightstack.alignment.registration import align
from scripts.lightstack.alignment.stars import Stars
from scripts.lightstack.detection.quality import Limits, fwhm_range, grade, stars
from scripts.lightstack.detection.sharpness import (
    SHARPEST_STAR,
    SHARPEST_UNDERSAMPLED,
    sharpest_star,
)
from scripts.lightstack.detection.sources import detect, measure

SHAPE = (500, 700)

NOISE, N_STARS, N_HOT, N_COSMIC_RAYS = 20.0, 300, 500, 20

LIMITS = Limits(100, 3.0, 2.0, 0.5, 3.0, 1.0)

Table = NDArray[np.void]


def share(at: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    """Light of stars at these places that falls on each of the 11 pixels about them."""
    edges = np.arange(-5, 7) - 0.5 - (at - np.rint(at))[:, np.newaxis]
    return np.asarray(np.diff(erf(edges / sigma / np.sqrt(2)), axis=1) / 2)


class Field:
    """Stars on the sky, and a sensor with hot pixels and no dark."""

    def __init__(self, fwhm: float) -> None:
        rng = np.random.default_rng(4)
        self.sigma = fwhm / 2.3548
        self.xy = rng.uniform(-20, np.array(SHAPE[::-1]) + 20, (N_STARS, 2))
        self.flux = 10 ** rng.uniform(3, 4.8, N_STARS)
        self.hot = np.zeros(SHAPE)
        self.hot.flat[rng.choice(self.hot.size, N_HOT, replace=False)] = 10 ** rng.uniform(
            2.3, 4.5, N_HOT
        )

    def sources(self, shift: tuple[float, float], seed: int) -> Table:
        """Take a frame, and find its sources."""
        rng = np.random.default_rng(seed)
        image = rng.normal(0, NOISE, SHAPE) + self.hot
        xy = self.xy + shift
        seen = ((xy > 6) & (xy < np.array(SHAPE[::-1]) - 7)).all(axis=1)
        stamps = share(xy[:, 1], self.sigma)[:, :, None] * share(xy[:, 0], self.sigma)[:, None]
        for (x, y), flux, stamp in zip(
            np.rint(xy[seen]).astype(int), self.flux[seen], stamps[seen], strict=True
        ):
            image[y - 5 : y + 6, x - 5 : x + 6] += flux * stamp
        for _ in range(N_COSMIC_RAYS):
            y, x = (int(rng.integers(8, n - 8)) for n in SHAPE)
            image[y, x : x + int(rng.integers(1, 6))] += rng.uniform(500, 8000)
        pixels = image.astype(np.float32)
        found = detect(pixels, NOISE, threshold_sigma=5, minarea=5, smoothing_sigma=1.0)
        return measure(pixels, np.zeros(SHAPE, bool), found, NOISE)


def as_stars(table: Table) -> Stars:
    xy = np.column_stack([table["x"], table["y"]])
    return Stars(xy, table["flux"], table["fwhm"].astype(float), SHAPE)


@pytest.mark.parametrize("fwhm", [0.6, 0.7, 0.8, 1.0])
def test_stars_are_found_graded_and_aligned_among_hot_pixels(fwhm: float) -> None:
    field = Field(fwhm)
    reference, frame = field.sources((0, 0), 1), field.sources((7.3, -4.6), 2)
    quality = grade(reference, LIMITS)
    assert quality.reasons == []
    chosen = stars(reference, quality.star_fwhm_px)
    xy = np.column_stack([chosen["x"], chosen["y"]])
    to_star = np.hypot(*(xy[:, None] - field.xy).T).min(axis=0)
    hot = np.argwhere(field.hot > 0)[:, ::-1]
    to_hot = np.hypot(*(xy[:, None] - hot).T).min(axis=0)
    assert np.count_nonzero((to_hot < 0.3) & (to_star > 0.7)) <= 0.01 * N_HOT
    assert np.mean(to_star < 0.7) > 0.95
    assert len(chosen) > 0.4 * N_STARS
    found = align(as_stars(frame), as_stars(reference))
    error = found.transform.forward(np.array([[357.3, 245.4]]))[0] - [350, 250]
    assert np.hypot(*error) < 0.15
    assert found.n_matched > 0.25 * N_STARS


def scattered(median: float, scatter: float, count: int) -> NDArray[np.float64]:
    return np.random.default_rng(1).normal(median, scatter, count)


@pytest.mark.parametrize("n_sharp", [0, 50, 5000])
def test_sharp_sources_beside_stars_are_none(n_sharp: int) -> None:
    cosmic_rays = np.random.default_rng(2).uniform(0.3, 1.2, n_sharp)
    fwhm = np.concatenate([scattered(2.5, 0.1, 40), cosmic_rays])
    assert sharpest_star(fwhm) == SHARPEST_STAR
    low, high = fwhm_range(fwhm, 3.0)
    assert low > 2
    assert high < 3


def test_pairs_and_galaxies_beside_sharp_stars_are_no_rule() -> None:
    fwhm = np.concatenate([scattered(0.95, 0.1, 500), np.linspace(1.3, 6, 60)])
    assert sharpest_star(fwhm) == SHARPEST_UNDERSAMPLED
    low, high = fwhm_range(fwhm, 3.0)
    assert low < 0.8
    assert high < 1.6


def test_of_nothing_wide_the_sharp_may_be_stars() -> None:
    assert sharpest_star(np.array([0.9, np.nan])) == SHARPEST_UNDERSAMPLED
    assert sharpest_star(np.empty(0)) == SHARPEST_UNDERSAMPLED
