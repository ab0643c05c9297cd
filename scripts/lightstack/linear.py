"""Linear algebra with the same last bit on every processor."""

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.compiling import compiled, copy_line

Floats = NDArray[np.float64]

RIDGE = 1e-12
"""Of the normal equations' diagonal: stars in one row are no error."""


@compiled
def products(a: Floats, b: Floats) -> Floats:
    """Multiply ``a.T @ b``, summed in the order of the rows.

    Parameters
    ----------
    a : (n, i) ndarray of float64
    b : (n, k) ndarray of float64

    Returns
    -------
    (i, k) ndarray of float64
    """
    result = np.zeros((a.shape[1], b.shape[1]))
    for row in range(a.shape[0]):
        for i in range(a.shape[1]):
            for k in range(b.shape[1]):
                result[i, k] += a[row, i] * b[row, k]
    return result


@compiled
def solve(matrix: Floats, values: Floats) -> Floats:
    """Solve ``matrix @ x = values`` by Gaussian elimination with partial pivoting.

    Parameters
    ----------
    matrix : (m, m) ndarray of float64
    values : (m, k) ndarray of float64

    Returns
    -------
    (m, k) ndarray of float64

    Raises
    ------
    numpy.linalg.LinAlgError
        If the matrix is singular.
    """
    size, right = matrix.shape[0], values.shape[1]
    work = np.empty((size, size + right))
    for row in range(size):
        copy_line(matrix[row], work[row, :size])
        copy_line(values[row], work[row, size:])
    for i in range(size):
        pivot = i
        for row in range(i + 1, size):
            if abs(work[row, i]) > abs(work[pivot, i]):
                pivot = row
        for k in range(size + right):
            work[i, k], work[pivot, k] = work[pivot, k], work[i, k]
        largest = work[i, i]
        if largest == 0:
            raise np.linalg.LinAlgError("the matrix is singular")
        for k in range(size + right):
            work[i, k] /= largest
        for row in range(size):
            if row != i:
                factor = work[row, i]
                for k in range(size + right):
                    work[row, k] -= factor * work[i, k]
    return work[:, size:].copy()


@compiled
def least_squares(terms: Floats, values: Floats, weight: Floats) -> Floats:
    """Find what to multiply terms by so that they come nearest to values, by the normal equations.

    Parameters
    ----------
    terms : (n, m) ndarray of float64
    values : (n, k) ndarray of float64
    weight : (n,) ndarray of float64
        Of each row: its inverse variance.

    Returns
    -------
    (m, k) ndarray of float64
        For ``values = terms @ result``; of terms that say nothing, the smallest result: zero if
        none of them does.
    """
    weighted = np.empty(terms.shape)
    for row in range(terms.shape[0]):
        for i in range(terms.shape[1]):
            weighted[row, i] = weight[row] * terms[row, i]
    normal = products(weighted, terms)
    trace = 0.0
    for i in range(normal.shape[0]):
        trace += normal[i, i]
    if trace * RIDGE == 0:
        return np.zeros((terms.shape[1], values.shape[1]))
    for i in range(normal.shape[0]):
        normal[i, i] += trace * RIDGE
    return solve(normal, products(weighted, values))


def affine_inverse(matrix: Floats) -> Floats:
    """Invert a (3, 3) matrix whose last row is 0, 0, 1."""
    (a, b, c), (d, e, f) = matrix[0], matrix[1]
    determinant = a * e - b * d
    return np.array(
        [
            [e / determinant, -b / determinant, (b * f - c * e) / determinant],
            [-d / determinant, a / determinant, (c * d - a * f) / determinant],
            [0.0, 0.0, 1.0],
        ]
    )
