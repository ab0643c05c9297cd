"""Noise that varies over frames is told, and counts where values are clipped."""

from unittest.mock import Mock

import numpy as np
import pytest
from astropy.io import fits

from scripts.lightstack.alignment.transform import Transform
from scripts.lightstack.sky.noise import noise_in_cells
from scripts.lightstack.sky.noise_map import (
    NOISE_MAP,
    noise_map_in,
    noise_surface,
    note_noise_map,
)
from scripts.lightstack.sky.surface import Surface
from scripts.lightstack.stacking.aligned import AlignedFrame
from scripts.lightstack.stacking.combining import combine
from scripts.lightstack.stacking.unevenness import unevenness, variance_rows
from scripts.subtract_background import subtract_background

SHAPE = (700, 1000)


def raised() -> np.ndarray:
    """Noise of a frame of which a flat has raised the corners, from the middle on."""
    y, x = np.indices(SHAPE)
    square = ((x - 499.5) / 500) ** 2 + ((y - 349.5) / 350) ** 2
    return 10 * (1 + 0.4 * square)


def noted(noise: np.ndarray) -> fits.Header:
    pixels = np.random.default_rng(3).normal(800, noise).astype(np.float32)
    sky, header = subtract_background(pixels, 64), fits.Header()
    header["NOISEADU"] = sky.noise
    note_noise_map(header, NOISE_MAP, sky.noise_map)
    return header


def frame_of(header: fits.Header, matrix: np.ndarray) -> AlignedFrame:
    header["SATURATE"] = 6e4
    return AlignedFrame("a", Mock(), header, Transform(matrix, SHAPE, SHAPE), 1.0)


def test_noise_that_varies_is_told_all_over_the_frame() -> None:
    noise = raised()
    header = noted(noise)
    assert len(header[NOISE_MAP]) <= 68
    told = header["NOISEADU"] * Surface(SHAPE, noise_map_in(header, NOISE_MAP)).rows(0, SHAPE[0])
    assert np.abs(told / noise - 1).max() < 0.04


def test_even_noise_is_one_number() -> None:
    header = noted(np.full(SHAPE, 10.0))
    assert NOISE_MAP not in header
    assert noise_map_in(header, NOISE_MAP).tolist() == [1, 0, 0, 0, 0, 0]
    assert unevenness([frame_of(header, np.eye(3))]) is None


def test_too_few_cells_have_no_surface() -> None:
    places, sigma = noise_in_cells(np.ones((100, 100), np.float32))
    assert noise_surface(places, sigma, (100, 100)) is None


def test_a_bright_nebula_is_no_vignetting() -> None:
    y, x = np.indices(SHAPE)
    light = 3000 * np.exp(-((x - 300) ** 2 + (y - 250) ** 2) / 2 / 60**2)
    header = noted(np.sqrt(100 + light / 1.5))
    told = Surface(SHAPE, noise_map_in(header, NOISE_MAP)).rows(0, SHAPE[0])
    assert np.abs(told - 1).max() < 0.1


def test_noise_lies_on_the_grid_where_the_frames_lie() -> None:
    header = fits.Header([("NOISEADU", 10.0), (NOISE_MAP, "1.1 0.2 0 0.1 0 0")])
    turned = np.array([[-1.0, 0, 999], [0, -1, 699], [0, 0, 1]])
    straight, both = (
        unevenness([frame_of(header.copy(), matrix) for matrix in matrices])
        for matrices in ((np.eye(3),), (np.eye(3), turned))
    )
    assert straight is not None
    assert straight.coefficients == pytest.approx([1.1, 0.2, 0, 0.1, 0, 0], abs=1e-6)
    assert both is not None
    assert both.coefficients[1] == pytest.approx(0, abs=1e-6)


def test_noise_clip_grants_corners_their_noise() -> None:
    noise = np.repeat((1 + 0.4 * np.linspace(-1, 1, 900) ** 2)[np.newaxis], 120, axis=0)
    scatter = np.random.default_rng(1).normal(0, np.repeat(noise[np.newaxis], 12, 0))
    cube = scatter.astype(np.float32)
    typical = np.full(12, 1.1)
    uneven = ((noise / 1.1) ** 2).astype(np.float32)
    plain, told = (
        combine(cube, ["noise_clip"], noise=typical, uneven=each).rejected["noise_clip"]
        for each in (None, uneven)
    )
    assert plain[:, :60].mean() > 5 * told[:, :60].mean()
    assert told.mean() < 12 * 3e-4


def test_surfaces_have_a_floor() -> None:
    steep = Surface((10, 10), np.array([1.0, 2.0, 0, 0, 0, 0]))
    assert variance_rows(steep, 0, 10, 10).min() == pytest.approx(1 / 16)
    assert (variance_rows(None, 0, 4, 10) == 1).all()
