"""A dark that does not belong to a frame is told of, with numbers; one that does is not."""

import numpy as np
import pytest
from numpy.typing import NDArray

from scripts.lightstack.calibration.suspicions import Compared, harms, sampling, suspicions

SHAPE = (256, 384)


def dark_signal(seed: int = 1, bias: float = 300.0) -> NDArray[np.float64]:
    """Bias and hot pixels of a sensor [ADU]."""
    rng = np.random.default_rng(seed)
    signal = np.full(SHAPE, bias)
    signal[rng.uniform(size=SHAPE) < 0.004] += 2000
    return signal


def frame(sky: float = 800.0, seed: int = 2) -> NDArray[np.float32]:
    """Sky with a gradient, stars and the sensor's dark signal [ADU]."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    image = sky * (1 - 0.2 * rows / SHAPE[0]) + dark_signal()
    for y, x, flux in rng.uniform((5, 5, 100), (250, 380, 20000), (200, 3)):
        image += flux * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 4)
    noisy: NDArray[np.float32] = (image + rng.normal(0, 20, SHAPE)).astype(np.float32)
    return noisy


def told(dark: NDArray[np.float64], sky: float = 800.0) -> tuple[list[str], list[str]]:
    """Tell what speaks against a dark, and in what it makes the frame worse."""
    noisy = (dark + np.random.default_rng(3).normal(0, 4, SHAPE)).astype(np.float32)
    step = sampling(SHAPE)
    some = Compared(frame(sky)[::step, ::step], noisy[::step, ::step])
    return suspicions(some), harms(some)


@pytest.mark.parametrize("sky", [800.0, 20.0, 0.0])
def test_the_right_dark_gives_no_cause(sky: float) -> None:
    assert told(dark_signal(), sky) == ([], [])


def test_a_dark_without_hot_pixels_gives_no_cause() -> None:
    assert told(np.full(SHAPE, 300.0)) == ([], [])


def test_a_dark_that_is_brighter_than_the_frame_is_told() -> None:
    (brighter, below), worse = told(dark_signal(bias=1500.0))
    assert brighter == "the dark is brighter than the frame, 1500 against 1033 ADU"
    assert below == "92% of the pixels are far below zero after it"
    # It takes hot pixels off all the same, and the sky's model the level.
    assert worse == []


def test_a_dark_a_little_brighter_than_a_dark_sky_gives_no_cause() -> None:
    assert told(dark_signal(bias=302.0), sky=0.0) == ([], [])


@pytest.mark.parametrize(("axis", "lines"), [(0, "rows"), (1, "columns")])
def test_a_band_that_only_the_dark_has_makes_the_frame_worse(axis: int, lines: str) -> None:
    dark = dark_signal()
    dark[(slice(None),) * axis + (slice(0, 30),)] += 500
    _, (text,) = told(dark)
    assert text.startswith(f"{lines} differ by ")
    after, before = (float(text.split(" by ")[k].split()[0]) for k in (1, 2))
    assert 400 < after < 700
    assert before < 200


def test_hot_pixels_that_only_the_dark_has_make_the_frame_worse() -> None:
    _, (text,) = told(dark_signal(seed=7))
    assert text.endswith("of the light of its hot pixels is in the frame")


@pytest.mark.parametrize("part", [1 / 16, 0.2])
def test_a_dark_that_takes_too_little_off_is_told(part: float) -> None:
    """Darks of 12 bits for lights that are shifted to 16; darks of a fifth of the exposure."""
    noise = np.random.default_rng(3).normal(0, 2, SHAPE)
    dark = (300 + part * (dark_signal() - 300) + noise).astype(np.float32)
    (text,) = suspicions(Compared(frame(), dark))
    assert text.startswith("its hot pixels are ")
    assert float(text.split()[4]) == pytest.approx(1 / part, rel=0.15)


@pytest.mark.parametrize("value", [0, 64])
def test_a_dark_of_one_value_is_told(value: float) -> None:
    dark = np.full(SHAPE, value, np.float32)
    assert suspicions(Compared(frame(), dark)) == [f"the dark is {value} ADU everywhere"]


def test_a_noisy_dark_makes_the_frame_worse() -> None:
    _, (text,) = told(dark_signal() + np.random.default_rng(5).normal(0, 40, SHAPE))
    assert text.startswith("noise grew from 2")


def test_pixels_without_data_do_not_count() -> None:
    raw = frame()
    raw[:40] = np.nan
    raw[:, 7] = np.nan
    dark = dark_signal().astype(np.float32)
    empty = np.full_like(raw, np.nan)
    for judge in (suspicions, harms):
        assert judge(Compared(raw, dark)) == []
        assert judge(Compared(raw, empty)) == []


def test_large_frames_are_sampled_and_mosaics_by_one_colour() -> None:
    assert sampling((100, 200)) == 1
    assert sampling((100, 200), 2) == 2
    for period in (1, 2):
        step = sampling((3000, 4000), period)
        assert step % period == 0
        assert 20_000 < 3000 * 4000 / step**2 < 55_000
