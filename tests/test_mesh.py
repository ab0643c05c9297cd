"""The mesh beside which stars are sought: flat, and no hindrance to stars."""

import numpy as np
import pytest

from scripts.lightstack.sky.mesh import mesh_of, subtract_mesh

NOISE = 20.0


def sky_of(shape: tuple[int, int]) -> np.ndarray:
    """Make a curved sky."""
    y, x = np.indices(shape) / np.array(shape)[:, np.newaxis, np.newaxis]
    return np.asarray(700 + 90 * x - 60 * y + 40 * x * y, np.float32)


def noisy(shape: tuple[int, int]) -> np.ndarray:
    """Make a frame of sky and noise in whole numbers."""
    noise = np.random.default_rng(5).normal(0, NOISE, shape)
    return np.rint(sky_of(shape) + noise).astype(np.float32)


@pytest.mark.parametrize("shape", [(512, 640), (511, 641), (191, 300)])
@pytest.mark.parametrize("gaps", [False, True])
def test_it_is_the_sky(shape: tuple[int, int], gaps: bool) -> None:
    frame = noisy(shape)
    if gaps:
        frame[::9, ::4] = np.nan
        frame[90:110, 30:200] = np.nan
    cleaned = frame.copy()
    subtract_mesh(cleaned, 64, 1.0)
    np.testing.assert_array_equal(np.isnan(cleaned), np.isnan(frame))
    error = (frame - cleaned - sky_of(shape))[~np.isnan(frame)] / NOISE
    assert np.sqrt(np.mean(error**2)) < 0.15
    other = frame.copy()
    mesh_of(other, 64, 1.0).subfrom(other)
    of_pixels = (frame - other - sky_of(shape))[~np.isnan(frame)] / NOISE
    assert np.std(error) < 1.2 * np.std(of_pixels) + 0.01


def test_it_follows_the_sky_from_pixel_to_pixel() -> None:
    shape = (256, 320)
    y, x = np.indices(shape)
    cleaned = (30 * x + 20 * y + 5).astype(np.float32)
    subtract_mesh(cleaned, 64, 0.0)
    # A step between squares of 2 x 2 would show as half a pixel of the slope.
    inside = cleaned[64:-64, 64:-64]
    assert np.abs(np.diff(inside, axis=1)).max() < 3
    assert np.abs(np.diff(inside, axis=0)).max() < 3


def test_small_cells_are_made_of_pixels() -> None:
    frame = noisy((128, 128))
    cleaned, expected = frame.copy(), frame.copy()
    subtract_mesh(cleaned, 16, 1.0)
    mesh_of(expected, 16, 1.0).subfrom(expected)
    np.testing.assert_array_equal(cleaned, expected)
