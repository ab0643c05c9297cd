"""Loops over matched stars: polynomials of positions, and the similarity next to pairs."""

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.compiling import compiled

Floats = NDArray[np.float64]

N_TERMS = 10
"""Of a cubic."""


@compiled
def terms_at(xy: Floats, x_centre: float, y_centre: float, extent: float) -> Floats:
    """Values (n, 10) of the terms of a cubic at positions (n, 2), in the order of `POWERS`."""
    terms = np.empty((xy.shape[0], N_TERMS))
    for k in range(xy.shape[0]):
        u, v = (xy[k, 0] - x_centre) / extent, (xy[k, 1] - y_centre) / extent
        terms[k, 0], terms[k, 1], terms[k, 2] = 1.0, u, v
        terms[k, 3], terms[k, 4], terms[k, 5] = u * u, u * v, v * v
        terms[k, 6], terms[k, 7] = u * u * u, u * u * v
        terms[k, 8], terms[k, 9] = u * (v * v), v * v * v
    return terms


@compiled
def evaluated(coefficients: Floats, terms: Floats) -> Floats:
    """Values (n, 2) of polynomials of coefficients (2, 10)."""
    values = np.zeros((terms.shape[0], 2))
    for k in range(terms.shape[0]):
        for axis in range(2):
            for i in range(N_TERMS):
                values[k, axis] += coefficients[axis, i] * terms[k, i]
    return values


@compiled
def mapped(xy: Floats, matrix: Floats) -> Floats:
    """Multiply positions (n, 2) by a matrix (3, 3): (n, 2)."""
    result = np.empty(xy.shape)
    for k in range(xy.shape[0]):
        for axis in range(2):
            x, y = matrix[axis, 0] * xy[k, 0], matrix[axis, 1] * xy[k, 1]
            result[k, axis] = x + y + matrix[axis, 2]
    return result


@compiled
def similarity_next_to(positions: Floats, target: Floats, weight: Floats) -> Floats:
    """Find the similarity with the least weighted sum of squared distances.

    Parameters
    ----------
    positions, target : (n, 2) ndarray of float64
    weight : (n,) ndarray of float64

    Returns
    -------
    (4,) ndarray of float64
        a, b and the shift (x, y): (u, v) becomes (a u - b v + x, b u + a v + y).
    """
    total = u_mean = v_mean = x_mean = y_mean = 0.0
    for k in range(len(weight)):
        total += weight[k]
        u_mean += weight[k] * positions[k, 0]
        v_mean += weight[k] * positions[k, 1]
        x_mean += weight[k] * target[k, 0]
        y_mean += weight[k] * target[k, 1]
    u_mean, v_mean, x_mean, y_mean = (
        u_mean / total,
        v_mean / total,
        x_mean / total,
        y_mean / total,
    )
    size = along = across = 0.0
    for k in range(len(weight)):
        du, dv = positions[k, 0] - u_mean, positions[k, 1] - v_mean
        dx, dy = target[k, 0] - x_mean, target[k, 1] - y_mean
        size += weight[k] * (du * du + dv * dv)
        along += weight[k] * (du * dx + dv * dy)
        across += weight[k] * (du * dy - dv * dx)
    a, b = along / size, across / size
    return np.array([a, b, x_mean - (a * u_mean - b * v_mean), y_mean - (b * u_mean + a * v_mean)])


@compiled
def cubed(position: Floats) -> Floats:
    """Coefficients (2, 10) of ``|p|**2 p`` for the position ``p = position @ (1, u, v)``."""
    squared = np.zeros((4, 4))  # coefficients, by the powers of u and v
    one = np.zeros((4, 4))
    one[0, 0] = 1.0
    for axis in range(2):
        squared += _times(_times(one, position[axis]), position[axis])
    coefficients = np.empty((2, N_TERMS))
    for axis in range(2):
        cube = _times(squared, position[axis])
        k = 0
        for order in range(4):
            for j in range(order + 1):
                coefficients[axis, k] = cube[order - j, j]
                k += 1
    return coefficients


@compiled
def _times(polynomial: Floats, linear: Floats) -> Floats:
    """Multiply by ``linear @ (1, u, v)``."""
    product = np.empty_like(polynomial)
    for i in range(len(polynomial)):
        for j in range(len(polynomial)):
            product[i, j] = linear[0] * polynomial[i, j]
            if i > 0:
                product[i, j] += linear[1] * polynomial[i - 1, j]
            if j > 0:
                product[i, j] += linear[2] * polynomial[i, j - 1]
    return product
