"""Smoothing does what its formula says, to the last bit and up to the edges."""

import numpy as np
import pytest

from scripts.lightstack.detection.smoothing import gaussian_kernel, smoothed


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (30, 1), (4, 5), (60, 70)])
@pytest.mark.parametrize("sigma", [0.6, 1.27, 3.0])
def test_it_is_a_weighted_sum_along_both_axes(shape: tuple[int, int], sigma: float) -> None:
    image = np.random.default_rng(7).normal(100, 10, shape).astype(np.float32)
    kernel = gaussian_kernel(sigma)
    expected = image
    for axis in (0, 1):
        reach = len(kernel) // 2
        padding = [(reach, reach) if axis == at else (0, 0) for at in (0, 1)]
        parts = np.moveaxis(np.pad(expected, padding, mode="edge"), axis, 0)
        n = shape[axis]
        total = parts[reach : reach + n] * kernel[reach]
        for k in range(reach, 0, -1):
            total += (parts[reach - k :][:n] + parts[reach + k :][:n]) * kernel[reach + k]
        expected = np.moveaxis(total, 0, axis)
    np.testing.assert_array_equal(smoothed(image, kernel), expected)


def test_it_keeps_the_light() -> None:
    image = np.zeros((41, 41), np.float32)
    image[20, 20] = 1000
    spread = smoothed(image, gaussian_kernel(2.0))
    assert spread.sum() == pytest.approx(1000, rel=1e-5)
    y, x = np.indices(image.shape) - 20
    assert np.sqrt((spread * x**2).sum() / 1000) == pytest.approx(2.0, rel=0.01)
    assert np.sqrt((spread * y**2).sum() / 1000) == pytest.approx(2.0, rel=0.01)
