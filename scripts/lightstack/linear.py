"""Linear algebra with the same last bit on every processor.

BLAS, LAPACK and NumPy's einsum take other kernels, and add up in another order, where the
processor has wider registers. The systems here are small: plain sums serve as well.
"""

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.compiling import compiled

Floats = NDArray[np.float64]


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
    return np.asarray(_products(np.ascontiguousarray(a), np.ascontiguousarray(b)))


@compiled
def _products(a: Floats, b: Floats) -> Floats:
    total = np.zeros((a.shape[1], b.shape[1]))
    for row in range(a.shape[0]):
        for i in range(a.shape[1]):
            for k in range(b.shape[1]):
                total[i, k] += a[row, i] * b[row, k]
    return total


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
    size = len(matrix)
    work = np.concatenate([matrix, values], axis=1)
    if not _eliminate(work, size):
        raise np.linalg.LinAlgError("the matrix is singular")
    return work[:, size:]


@compiled
def _eliminate(work: Floats, size: int) -> bool:
    """Make the left part of a matrix one, in place; tell whether that is possible."""
    for i in range(size):
        pivot = i + int(np.argmax(np.abs(work[i:, i])))
        if work[pivot, i] == 0:
            return False
        for k in range(work.shape[1]):
            work[i, k], work[pivot, k] = work[pivot, k], work[i, k]
        work[i] /= work[i, i]
        for other in range(size):
            if other != i:
                work[other] -= work[other, i] * work[i]
    return True


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
    weighted = weight[:, np.newaxis] * terms
    normal = products(weighted, terms)
    ridge = np.trace(normal) * 1e-12
    if ridge == 0:
        return np.zeros((terms.shape[1], values.shape[1]))
    normal += np.eye(len(normal)) * ridge  # stars in one row are no error
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
