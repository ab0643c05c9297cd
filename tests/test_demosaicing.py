"""Colours of a mosaic: true where they were measured, and of no other colour's light."""

import numpy as np
import pytest

from scripts.lightstack.colour.demosaicing import (
    REACH,
    colour_of_mosaic,
    colours_of_mosaic,
    covariance_of_noise,
    planes_of_mosaic,
)

PATTERNS = ("RGGB", "GRBG", "BGGR", "GBRG")
SHAPE = (60, 51)

every_pattern = pytest.mark.parametrize("pattern", PATTERNS)
every_colour = pytest.mark.parametrize("colour", range(3))


def sites(pattern: str, colour: int) -> np.ndarray:
    """Mark the pixels at which a colour is measured."""
    marks = np.zeros(SHAPE, bool)
    for (row, column), name in zip(np.ndindex(2, 2), pattern, strict=True):
        marks[row::2, column::2] = name == "RGB"[colour]
    return marks


def whole(mosaic: np.ndarray, pattern: str, colour: int) -> np.ndarray:
    return colour_of_mosaic(mosaic, (0, len(mosaic)), mosaic.shape, pattern, colour)


@every_pattern
@every_colour
def test_measured_pixels_stay_and_bands_change_nothing(pattern: str, colour: int) -> None:
    mosaic = np.random.default_rng(1).normal(100, 10, SHAPE).astype(np.float32)
    image = whole(mosaic, pattern, colour)
    own = sites(pattern, colour)
    np.testing.assert_array_equal(image[own], mosaic[own])
    bands = []
    for first, last in ((0, 1), (1, 8), (8, 35), (35, 59), (59, 60)):
        rows = mosaic[max(first - REACH, 0) : last + REACH]
        bands.append(colour_of_mosaic(rows, (first, last), SHAPE, pattern, colour))
    assert np.concatenate(bands).tobytes() == image.tobytes()


@every_pattern
def test_all_colours_at_once_are_those_one_by_one(pattern: str) -> None:
    rng = np.random.default_rng(2)
    mosaic = rng.normal(100, 10, SHAPE).astype(np.float32)
    mosaic[rng.random(SHAPE) < 0.03] = np.nan
    expected = np.stack([whole(mosaic, pattern, colour) for colour in range(3)])
    assert planes_of_mosaic(mosaic, pattern).tobytes() == expected.tobytes()
    for first, last in ((0, 60), (0, 1), (7, 30), (59, 60)):
        rows = mosaic[max(first - REACH, 0) : last + REACH]
        columns = np.sort(rng.integers(0, SHAPE[1] + 1, (last - first, 2)), axis=1)
        made = colours_of_mosaic(rows, (first, last), SHAPE, pattern, columns)
        for row, (left, right) in enumerate(columns):
            one_by_one = expected[:, first + row, left:right].T
            assert made[row, left:right].tobytes() == one_by_one.tobytes()


@every_colour
def test_the_covariance_of_noise_is_that_of_simulated_noise(colour: int) -> None:
    noise = np.array([5.0, 8.0, 6.0])
    shape = (1200, 1200)
    deviations = np.zeros(shape)
    for (row, column), name in zip(np.ndindex(2, 2), "GBRG", strict=True):
        deviations[row::2, column::2] = noise["RGB".index(name)]
    mosaic = np.random.default_rng(3).normal(0, deviations).astype(np.float32)
    plane = colour_of_mosaic(mosaic, (0, shape[0]), shape, "GBRG", colour).astype(float)
    expected = np.tensordot(noise**2, covariance_of_noise()[colour], axes=1)
    for y, x in ((0, 0), (0, 1), (1, 1), (2, 0), (0, 3), (2, -1)):
        moved = np.roll(plane, (y, x), axis=(0, 1))
        assert (plane * moved).mean() == pytest.approx(expected[4 + y, 4 + x], abs=0.25)


@every_pattern
@every_colour
def test_light_of_one_colour_is_all_in_that_colour(pattern: str, colour: int) -> None:
    # In a stack of frames that drift, a star falls on each place of the pattern equally often.
    light = np.zeros(3)
    places = [(y, x) for y in range(20, 22) for x in range(20, 22)]
    for place in places:
        mosaic = np.zeros(SHAPE, np.float32)
        mosaic[place] = sites(pattern, colour)[place]
        light += [whole(mosaic, pattern, other).sum() for other in range(3)]
    np.testing.assert_allclose(light / len(places), np.eye(3)[colour], atol=1e-6)


@every_pattern
@every_colour
def test_a_slope_of_all_colours_is_exact_up_to_the_border(pattern: str, colour: int) -> None:
    y, x = np.indices(SHAPE)
    slope = (3 * x - 2 * y + 500).astype(np.float32)
    levels = (0, 50, 200)
    mosaic = slope.copy()
    for other in range(3):
        mosaic[sites(pattern, other)] += levels[other]
    image = whole(mosaic, pattern, colour)
    inside = np.s_[REACH:-REACH, REACH:-REACH]
    np.testing.assert_allclose(image[inside], (slope + levels[colour])[inside], atol=1e-3)
    assert np.abs(image - slope - levels[colour]).max() < 10


@every_pattern
@every_colour
def test_a_bad_pixel_costs_its_own_colour_alone(pattern: str, colour: int) -> None:
    mosaic = np.zeros(SHAPE, np.float32)
    levels = (50, 90, 30)
    for other in range(3):
        mosaic[sites(pattern, other)] = levels[other]
    mosaic[20, 21] = np.nan
    image = whole(mosaic, pattern, colour)
    lost = np.isnan(image)
    own = "RGB".index(pattern[1])
    assert lost.sum() == (0 if colour != own else 5 if own == 1 else 9)
    y, x = np.nonzero(lost)
    assert (np.abs(y - 20) <= 1).all()
    assert (np.abs(x - 21) <= 1).all()
    np.testing.assert_allclose(image[~lost], levels[colour], atol=1e-3)
