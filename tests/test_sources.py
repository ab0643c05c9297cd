"""Sources are measured as they are, not as detection sees them."""

import hashlib
import os
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from scipy.spatial import KDTree

from scripts.lightstack.detection.moments import centred_moments
from scripts.lightstack.detection.sources import SIGMA_TO_FWHM, detect, measure
from scripts.lightstack.simulator import Light, Sky, add_star, make_sky, star_profile
from tests.conftest import ROOT, older_processor

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


@pytest.mark.parametrize("fwhm", [2.0, 3.5, 8.0])
@pytest.mark.parametrize("beta", [np.inf, 4.765, 3.5, 2.5])
def test_fwhm_is_right_whatever_the_wings(fwhm: float, beta: float) -> None:
    """Within 5 % from the faintest stars on that are found as they are."""
    pitch = int(9 * fwhm) + 10
    for signal_to_noise in (20, 200):
        rng = np.random.default_rng(8)
        image = rng.normal(0, NOISE, (12 * pitch, 12 * pitch)).astype(np.float32)
        flux = signal_to_noise * NOISE * np.sqrt(np.pi / np.log(2) / 2) * fwhm
        for row, column in np.ndindex(12, 12):
            stamp = np.s_[row * pitch : (row + 1) * pitch, column * pitch : (column + 1) * pitch]
            dy, dx = np.indices((pitch, pitch)) - pitch / 2 - rng.uniform(-0.5, 0.5, (2, 1, 1))
            image[stamp] += flux * round_profile(np.hypot(dx, dy), fwhm, beta)
        smoothing = fwhm / 2.35
        threshold = 3 / (2 * np.sqrt(np.pi) * smoothing)
        guesses = detect(
            image, NOISE, threshold_sigma=threshold, minarea=5, smoothing_sigma=smoothing
        )
        table = measure(image, np.zeros(image.shape, bool), guesses, NOISE)
        bright = table[table["flux"] > flux / 2]
        assert len(bright) >= 130
        assert np.median(bright["fwhm"]) == pytest.approx(fwhm, rel=0.05)


def round_profile(distance: np.ndarray, fwhm: float, beta: float) -> np.ndarray:
    """Moffat profiles of total one; of infinite beta, the Gaussian."""
    if np.isinf(beta):
        squared = 4 * np.log(2) / fwhm**2
        return np.asarray(squared / np.pi * np.exp(-squared * distance**2))
    width = fwhm / 2 / np.sqrt(2 ** (1 / beta) - 1)
    return np.asarray((beta - 1) / np.pi / width**2 * (1 + (distance / width) ** 2) ** -beta)


def test_wings_are_told_from_trails() -> None:
    """A trail flattens the stars along it; what their wings add is seen across it."""
    sky = make_sky(np.random.default_rng(3), (500, 700), 120, margin=0)
    light = Light(fwhm=3, trail_px=5, theta=0.7)
    table = find(expose_trails(sky, light, (500, 700)))
    bright = table[table["peak"] > 100 * NOISE]
    assert len(bright) >= 7
    assert np.median(SIGMA_TO_FWHM * bright["b"]) == pytest.approx(3, rel=0.05)


def expose_trails(sky: Sky, light: Light, shape: tuple[int, int]) -> np.ndarray:
    image = np.random.default_rng(5).normal(0, NOISE, shape).astype(np.float32)
    for (x, y), flux in zip(sky.xy, sky.flux, strict=True):
        add_star(image, x, y, flux, light)
    return image


def test_a_few_stars_have_the_usual_wings() -> None:
    image = expose(Sky(np.array([[40.0, 40.0]]), np.array([5e4])), Light(fwhm=3), (80, 80))
    (star,) = find(image)
    assert star["fwhm"] == pytest.approx(3, rel=0.05)


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


def star_field(n_stars: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Give an image with missing data, and guesses of its sources."""
    shape = (200, 300)
    sky = make_sky(np.random.default_rng(3), shape, n_stars, margin=-5)
    image = expose(sky, Light(fwhm=3), shape)
    x, y = sky.xy[np.argmax(sky.flux)].astype(int)
    image[y + 3 : y + 5, x - 8 : x + 9] = np.nan
    return image, detect(image, NOISE, threshold_sigma=5, minarea=5, smoothing_sigma=1)


def test_moments_of_a_source_do_not_depend_on_the_others() -> None:
    image, guesses = star_field()
    moments = centred_moments(image, guesses, 1.3)
    assert np.isfinite(moments).all(axis=1).sum() > 20
    order = np.random.default_rng(1).permutation(len(guesses))[::2]
    assert centred_moments(image, guesses[order], 1.3).tobytes() == moments[order].tobytes()


def test_moments_are_those_of_their_definition() -> None:
    image, guesses = star_field()
    window = 1.3
    moments = centred_moments(image, guesses, window)
    gap = np.argwhere(np.isnan(image))[:, ::-1].mean(axis=0)
    assert np.hypot(*(moments[:, :2] - gap).T)[np.isfinite(moments[:, 0])].min() < 5
    for x, y, flux, cxx, cyy, cxy in moments[np.isfinite(moments[:, 0])]:
        inverse = np.linalg.inv([[cxx, cxy], [cxy, cyy]])
        weighted = np.linalg.inv(inverse + np.eye(2) / window**2)
        j, i = np.indices(image.shape)
        light = np.nan_to_num(image) * np.exp(-((i - x) ** 2 + (j - y) ** 2) / 2 / window**2)
        mean = np.array([(light * (i - x)).sum(), (light * (j - y)).sum()]) / light.sum()
        spread = [[(light * a * b).sum() for a in (i - x, j - y)] for b in (i - x, j - y)]
        found = np.array(spread) / light.sum() - np.outer(mean, mean)
        step = np.array([[cxx, cxy], [cxy, cyy]]) @ np.linalg.inv(weighted) @ mean
        assert np.hypot(*step) < 1e-3
        assert found == pytest.approx(weighted, abs=3e-3)
        gain = np.sqrt(np.linalg.det([[cxx, cxy], [cxy, cyy]]) / np.linalg.det(weighted))
        assert flux == pytest.approx(light.sum() * gain, rel=3e-3)


def test_a_table_has_the_same_bytes_on_an_older_processor() -> None:
    code = """
import hashlib
from tests.test_sources import find, star_field
print(hashlib.sha256(find(star_field()[0]).tobytes()).hexdigest())
"""
    here = hashlib.sha256(find(star_field()[0]).tobytes()).hexdigest()
    there = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, **older_processor()},
        capture_output=True,
        text=True,
        check=True,
    )
    assert there.stdout.strip() == here


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
