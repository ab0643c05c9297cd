"""Sources are measured as they are, not as detection sees them."""

import tracemalloc

import numpy as np
import pytest
from scipy.spatial import KDTree

from scripts.lightstack.detection.sources import detect, measure
from scripts.lightstack.simulator import Light, Sky, make_sky, star_profile

NOISE = 25.0


def expose(sky: Sky, light: Light, shape: tuple[int, int], seed: int = 5) -> np.ndarray:
    """Stars and white noise, without sky, as `measure` wants it."""
    y, x = np.indices(shape)
    image = np.random.default_rng(seed).normal(0, NOISE, shape)
    for (star_x, star_y), flux in zip(sky.xy, sky.flux, strict=True):
        near = np.s_[
            max(0, int(star_y) - 40) : int(star_y) + 41,
            max(0, int(star_x) - 40) : int(star_x) + 41,
        ]
        image[near] += flux * star_profile(x[near] - star_x, y[near] - star_y, light)
    return image.astype(np.float32)


def find(image: np.ndarray, saturation: float = 1e9) -> np.ndarray:
    guesses = detect(image, NOISE, threshold_sigma=5, minarea=5, smoothing_sigma=1)
    return measure(image, image >= saturation, guesses, NOISE)


@pytest.mark.parametrize(
    ("fwhm", "ellipticity", "theta"),
    [(2.2, 0.1, 1.0), (3.0, 0.0, 0.0), (3.0, 0.3, 0.5), (5.0, 0.2, 2.0)],
)
def test_fwhm_ellipticity_and_angle_above_twenty_sigma(
    fwhm: float, ellipticity: float, theta: float
) -> None:
    shape = (500, 700)
    sky = make_sky(np.random.default_rng(3), shape, 120, margin=0)
    light = Light(fwhm=fwhm, ellipticity=ellipticity, theta=theta)
    table = find(expose(sky, light, shape))
    truth = fwhm * np.sqrt((1 + 1 / (1 - ellipticity) ** 2) / 2)
    for low, high in ((20, 60), (60, 1e9)):
        part = table[(table["peak"] > low * NOISE) & (table["peak"] <= high * NOISE)]
        assert len(part) >= 7
        assert np.median(part["fwhm"]) == pytest.approx(truth, rel=0.05)
        assert np.median(part["ellipticity"]) == pytest.approx(ellipticity, abs=0.03)
        if ellipticity:
            turn = (part["theta"] - theta + np.pi / 2) % np.pi - np.pi / 2
            assert abs(np.median(turn)) < 0.1


def test_positions_and_fluxes_are_those_of_the_stars() -> None:
    shape = (500, 700)
    sky = make_sky(np.random.default_rng(3), shape, 120, margin=0)
    table = find(expose(sky, Light(fwhm=3), shape))
    bright = table[table["peak"] > 100 * NOISE]
    distance, index = KDTree(sky.xy).query(np.column_stack([bright["x"], bright["y"]]))
    assert len(bright) > 10
    assert np.median(distance) < 0.02
    # A Gaussian window misses the same share of a seeing disc's wings in every star.
    ratio = bright["flux"] / sky.flux[index]
    assert np.median(np.abs(ratio / np.median(ratio) - 1)) < 0.01


def test_a_hot_pixel_is_sharper_than_any_star() -> None:
    image = np.random.default_rng(1).normal(0, NOISE, (60, 60)).astype(np.float32)
    image[30, 30] = 5000
    (source,) = find(image)
    assert source["fwhm"] < 1
    assert (source["x"], source["y"]) == pytest.approx((30, 30), abs=0.05)


def test_brightest_come_first_and_saturation_is_seen() -> None:
    sky = Sky(np.array([[20.2, 20.0], [60.0, 40.7]]), np.array([5e4, 5e5]))
    image = expose(sky, Light(fwhm=3), (80, 80))
    table = find(image, saturation=20_000)
    assert list(table["saturated"]) == [1, 0]
    assert table["x"] == pytest.approx([60, 20.2], abs=0.05)
    assert table["peak"][0] == image[39:43, 58:63].max()


def test_missing_data_hides_only_what_it_covers() -> None:
    sky = Sky(np.array([[20.2, 20.0], [60.0, 40.7]]), np.array([5e5, 5e5]))
    image = expose(sky, Light(fwhm=3), (80, 80))
    image[10:30, 10:30] = np.nan
    (source,) = find(image)
    assert (source["x"], source["y"]) == pytest.approx((60, 40.7), abs=0.03)


def test_no_source_is_an_empty_table() -> None:
    noise = np.random.default_rng(1).normal(0, NOISE, (60, 60)).astype(np.float32)
    assert len(find(noise)) == 0


def test_a_star_with_a_wide_flat_top_costs_no_more_than_others() -> None:
    y, x = np.indices((300, 300))
    sky = Sky(np.array([[40.2, 50.0], [250.0, 240.7]]), np.array([5e5, 5e5]))
    image = expose(sky, Light(fwhm=3), (300, 300))
    image += np.minimum(60_000, 5e5 * np.exp(-np.hypot(x - 150, y - 150) / 5)).astype(np.float32)
    tracemalloc.start()
    table = find(image, saturation=60_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 30e6
    assert len(table) >= 2
    assert table["fwhm"].max() < 60


def test_absurd_pixels_do_not_stop_the_detection() -> None:
    sky = Sky(np.array([[20.2, 20.0]]), np.array([5e5]))
    image = expose(sky, Light(fwhm=3), (80, 80))
    image[50:53, 50:53] = 3e38
    with np.errstate(all="ignore"):
        table = find(image)
    assert np.isfinite(table["x"]).all()
