"""Surfaces and bins of the sky, compiled, are what their formulas say."""

import numpy as np
import pytest

from scripts.lightstack.sky.cells import Bins
from scripts.lightstack.sky.surface import N_TERMS, Surface, terms

SHAPE = (50, 71)


@pytest.mark.parametrize("n_terms", N_TERMS)
def test_a_surface_is_the_sum_of_its_terms(n_terms: int) -> None:
    coefficients = np.random.default_rng(n_terms).normal(0, 40, n_terms)
    surface = Surface(SHAPE, coefficients)
    y, x = (at.ravel().astype(float) for at in np.indices(SHAPE))
    expected = (terms(x, y, SHAPE, surface.degree) * coefficients).sum(axis=1).reshape(SHAPE)
    np.testing.assert_allclose(surface.rows(0, SHAPE[0]), expected, rtol=1e-5, atol=1e-4)
    np.testing.assert_array_equal(surface.rows(7, 31), surface.rows(0, SHAPE[0])[7:31])
    data = np.random.default_rng(1).normal(900, 30, SHAPE).astype(np.float32)
    cleaned = data.copy()
    surface.subtract_from(cleaned)
    np.testing.assert_array_equal(cleaned, data - surface.rows(0, SHAPE[0]))


def test_bins_are_means_of_what_has_data() -> None:
    data = np.random.default_rng(2).normal(900, 30, (45, 61)).astype(np.float32)
    data[8:12, 12:14] = np.nan  # half of a bin
    data[16:20, 20:23] = np.nan  # more
    data[30, 30] = np.inf
    squares = data[:44, :60].reshape(11, 4, 15, 4).swapaxes(1, 2).reshape(11, 15, 16)
    known = np.where(np.isfinite(squares), squares, np.nan)
    enough = np.isfinite(known).sum(axis=2) >= 8
    expected = np.where(enough, np.nanmean(np.where(enough[..., None], known, 0), axis=2), np.nan)
    assert np.isnan(expected).sum() == 1
    np.testing.assert_allclose(Bins(data)._values, expected, rtol=1e-6)
