"""The sky is measured between the steps of digitized frames."""

import numpy as np
import pytest
import sep

from scripts.lightstack.simulator import Light, make_sky, star_profile
from scripts.lightstack.sky.dithering import dithered, step_of
from scripts.subtract_background import subtract_background

SHAPE = (600, 900)


def expose(level: float, noise: float, seed: int = 1) -> np.ndarray:
    """Give a sky with a gradient, stars and noise, before it is digitized."""
    rng = np.random.default_rng(seed)
    y, x = np.indices(SHAPE)
    image = level * (1 + 0.03 * x / SHAPE[1] + 0.02 * (y / SHAPE[0]) ** 2)
    image += rng.normal(0, noise, SHAPE)
    sky = make_sky(rng, SHAPE, 300, margin=-15)
    for (star_x, star_y), flux in zip(sky.xy, sky.flux, strict=True):
        near = np.s_[int(star_y) - 12 : int(star_y) + 13, int(star_x) - 12 : int(star_x) + 13]
        profile = star_profile(x[near] - star_x, y[near] - star_y, Light(fwhm=3))
        image[near] += flux * noise / 25 * profile
    return image


def sky_of(image: np.ndarray) -> tuple[np.ndarray, float]:
    """Give the sky that is subtracted [ADU], and its noise [ADU]."""
    data = image.astype(np.float32)
    noise = subtract_background(data, 64).noise
    return image - data, noise


def dark(n: int) -> np.ndarray:
    """Median of n darks of whole numbers."""
    darks = np.random.default_rng(9).normal(50, 3, (n, *SHAPE)).round()
    return np.asarray(np.median(darks, axis=0))


@pytest.mark.parametrize("level", [5, 20, 100, 1000])
@pytest.mark.parametrize("noise", [1, 3, 6])
def test_the_sky_of_whole_numbers_is_that_of_the_light(level: float, noise: float) -> None:
    image = expose(level, noise)
    expected, expected_noise = sky_of(image)
    found, found_noise = sky_of(np.round(image))
    assert np.sqrt(np.mean((found - expected) ** 2)) < 0.1
    assert found_noise == pytest.approx(np.hypot(expected_noise, 12**-0.5), rel=0.02)


@pytest.mark.parametrize("noise", [10, 30, 100])
def test_whole_numbers_cost_noisy_skies_no_more_than_their_noise(noise: float) -> None:
    image = expose(1000, noise)
    expected, _ = sky_of(image)
    found, _ = sky_of(np.round(image))
    # A median moves wherever pixels change sides of it, whatever moves them.
    as_noisy, _ = sky_of(image + np.random.default_rng(5).uniform(-0.5, 0.5, SHAPE))
    assert np.std(found - expected) < 1.4 * np.std(as_noisy - expected)


def test_a_sky_of_eight_bits_is_that_of_the_light() -> None:
    image = expose(8, 2)
    expected, _ = sky_of(image)
    found, _ = sky_of(np.clip(np.round(image), 0, 255))
    assert np.sqrt(np.mean((found - expected) ** 2)) < 0.1


@pytest.mark.parametrize("n_darks", [1, 2, 3, 4])
def test_the_sky_is_right_without_the_dark_too(n_darks: int) -> None:
    image = expose(200, 6)
    expected, _ = sky_of(image + 50 - dark(n_darks))
    found, _ = sky_of(np.round(image + 50) - dark(n_darks))
    assert np.sqrt(np.mean((found - expected) ** 2)) < 0.1


def test_a_sky_without_steps_is_what_sep_finds() -> None:
    image = expose(800, 8).astype(np.float32)
    image[100:110, 200:220] = np.nan
    sky = sep.Background(image, mask=np.isnan(image), bw=64, bh=64)
    data = image.copy()
    assert subtract_background(data, 64).level == sky.globalback
    assert data.tobytes() == (image - sky.back(dtype=np.float32)).tobytes()


def test_the_product_is_not_dithered() -> None:
    pixels = np.round(expose(100, 3)).astype(np.float32)
    sky, _ = sky_of(pixels)
    assert np.abs(np.diff(sky, axis=1)).max() < 0.1


def test_steps_are_found_whatever_their_size() -> None:
    image = expose(500, 8)
    few_halves = np.where(np.random.default_rng(1).random(SHAPE) < 0.05, 0.5, 0)
    steps = {
        1.0: [np.round(image), np.round(image) + 0.3, np.round(image) - few_halves],
        0.5: [np.round(image) - dark(2)],
        16.0: [np.round(image / 16) * 16],
        1 / 65535: [np.round(image) / 65535],
        0.0: [image, image + 60_000, image / 65535, np.full(SHAPE, 7), np.full(SHAPE, np.nan)],
    }
    for step, images in steps.items():
        for pixels in images:
            assert step_of(pixels.astype(np.float32)) == pytest.approx(step, rel=0.01)


def test_steps_are_found_in_few_pixels() -> None:
    assert step_of(np.array([[1, 2, 3, 4, 4, 3, 2, 1]], np.float32)) == 1
    assert step_of(np.array([[np.nan, 2]], np.float32)) == 0


def test_a_sky_within_one_step_has_the_step_of_its_stars() -> None:
    pixels = np.full((40, 50), 1000, np.float32)
    pixels[::9, ::9] = np.linspace(1500, 4000, 6)[np.arange(30) % 6].reshape(5, 6)
    assert step_of(pixels) == 500


def test_values_are_spread_evenly_over_their_steps() -> None:
    image = np.full((300, 1000), 7, np.float32)
    image[3, 4] = np.nan
    spread = dithered(image, 2.0)
    assert np.isnan(spread[3, 4])
    for part in (spread[:64, :64], spread[100:164, 500:564]):
        counts, _ = np.histogram(part, 16, (6, 8))
        assert counts.sum() == part.size - np.isnan(part).sum()
        assert counts == pytest.approx(part.size / 16, rel=0.05)
