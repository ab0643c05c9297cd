"""The value at which a camera's pixels saturate is found where they pile up, and nowhere else."""

import numpy as np
import pytest
from numpy.typing import NDArray

from scripts.lightstack.raw.saturation import cut_off, pile_up

ROWS, COLUMNS = np.mgrid[:300, :400]


def field(brightest: float, *, background: float = 300.0) -> NDArray[np.float32]:
    """Stars, of which the first is the brightest, and sky, as whole numbers [ADU]."""
    rng = np.random.default_rng(4)
    image = rng.normal(background, background**0.5, ROWS.shape)
    for k, (y, x) in enumerate(rng.uniform((10, 10), (290, 390), (80, 2))):
        image += brightest / (k + 1) * np.exp(-((ROWS - y) ** 2 + (COLUMNS - x) ** 2) / 5)
    return np.asarray(np.round(image.clip(0)), np.float32)


@pytest.mark.parametrize("top", [4095, 16383, 65520, 65300, 51234])
def test_pixels_pile_up_at_the_top(top: float) -> None:
    assert pile_up(field(8 * top).clip(None, top), 1.0) == top


def test_one_star_is_enough_at_the_top_of_a_converter() -> None:
    image = field(1000)
    image[100:102, 100:102] = 4095
    assert pile_up(image, 1.0) == 4095
    image[100:102, 100:102] = 4000
    assert pile_up(image, 1.0) is None


@pytest.mark.parametrize("brightest", [50, 500, 5_000, 50_000])
@pytest.mark.parametrize("background", [0.5, 3.0, 300.0])
def test_unsaturated_frames_have_no_top(brightest: float, background: float) -> None:
    assert pile_up(field(brightest, background=background), 1.0) is None


def test_a_frame_of_little_light_has_no_top() -> None:
    few = np.random.default_rng(1).poisson(0.5, (300, 400)).astype(np.float32)
    assert pile_up(few, 1.0) is None
    assert pile_up(np.zeros((9, 9), np.float32), 1.0) is None
    assert pile_up(np.full((9, 9), np.nan, np.float32), 1.0) is None


def test_pixels_without_data_do_not_count() -> None:
    image = field(100_000).clip(None, 16383)
    image[:20] = np.nan
    assert pile_up(image, 1.0) == 16383


def flat(level: float, *, noise: float = 1.0) -> NDArray[np.float32]:
    """Vignetting and photon noise [ADU]."""
    light = level * (1 - 0.4 * ((ROWS / 300 - 0.5) ** 2 + (COLUMNS / 400 - 0.5) ** 2))
    scatter = np.random.default_rng(5).normal(0, noise * np.sqrt(light))
    return np.asarray(np.round(light + scatter), np.float32)


@pytest.mark.parametrize(
    ("level", "top"), [(16_600, 16383), (20_000, 16383), (40_000, 16383), (20_000, 16000)]
)
def test_an_overexposed_flat_is_cut_off(level: float, top: float) -> None:
    assert cut_off(flat(level).clip(None, top), 1.0) == top


def test_a_good_flat_is_not_cut_off() -> None:
    for level in (200, 4000, 16_000, 60_000):
        assert cut_off(flat(level), 1.0) is None
        assert cut_off(4 * (flat(level) // 4), 1.0) is None
        assert cut_off(flat(level) / np.float32(level), 1e-7) is None
    # As those of 8 bits, without noise.
    assert cut_off(flat(200, noise=0), 1.0) is None
    assert cut_off(np.full((9, 9), 200, np.float32), 1.0) is None
