"""Small systems of equations are solved as a library does, and say when they cannot be."""

import numpy as np
import pytest

from scripts.lightstack.linear import least_squares, products, solve


@pytest.mark.parametrize("size", [1, 2, 3, 10])
def test_systems_are_solved(size: int) -> None:
    rng = np.random.default_rng(size)
    matrix, values = rng.normal(size=(size, size)), rng.normal(size=(size, 2))
    matrix[0, 0] = 0 if size > 1 else 3  # pivots are looked for
    before = matrix.copy()
    np.testing.assert_allclose(matrix @ solve(matrix, values), values, atol=1e-9)
    np.testing.assert_array_equal(matrix, before)


def test_a_singular_matrix_is_told() -> None:
    with pytest.raises(np.linalg.LinAlgError, match="singular"):
        solve(np.array([[1.0, 2.0], [2.0, 4.0]]), np.eye(2))


def test_products_are_summed_in_the_order_of_rows() -> None:
    rng = np.random.default_rng(4)
    a, b = rng.normal(size=(300, 3)), rng.normal(size=(300, 2))
    expected = np.zeros((3, 2))
    for of_a, of_b in zip(a, b, strict=True):
        expected += np.outer(of_a, of_b)
    for order in (np.ascontiguousarray, np.asfortranarray):
        np.testing.assert_array_equal(products(order(a), order(b)), expected)


def test_least_squares_weigh_the_rows() -> None:
    x = np.linspace(-1, 1, 50)
    terms, weight = np.stack([np.ones(50), x], axis=1), np.where(x < 0, 0.0, 2.0)
    values = np.where(x < 0, 9.0, 3 - 2 * x)[:, np.newaxis]
    np.testing.assert_allclose(least_squares(terms, values, weight)[:, 0], [3, -2], atol=1e-9)
    assert least_squares(terms, values, np.zeros(50)).tolist() == [[0], [0]]
