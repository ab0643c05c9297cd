"""Smooth surfaces: polynomials of low order over an image."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

HIGHEST_DEGREE = 3

N_TERMS = (1, 3, 6, 10)
"""Terms of a surface, by its degree."""

_PIXELS_AT_A_TIME = 2**16
"""Few enough for a processor's cache."""


@dataclass(frozen=True)
class Surface:
    """A polynomial over an image.

    Parameters
    ----------
    shape : (int, int)
        ``(ny, nx)`` of the image [pixels].
    coefficients : (m,) ndarray of float64
        Of the `terms`; m is one of `N_TERMS`.
    """

    shape: tuple[int, int]
    coefficients: Floats

    @property
    def degree(self) -> int:
        """Highest total power of x and y."""
        return N_TERMS.index(len(self.coefficients))

    @property
    def level(self) -> float:
        """Mean over the image."""
        return float(self.coefficients[0])

    def at(self, x: Floats, y: Floats) -> Floats:
        """Evaluate at n places [pixels]: (n,) ndarray of float64."""
        columns = terms(x, y, self.shape, self.degree)
        return np.asarray((columns * self.coefficients).sum(axis=1))

    def rows(self, first: int, last: int) -> NDArray[np.float32]:
        """Evaluate rows `first` to `last`, the latter not included: (last - first, nx)."""
        ny, nx = self.shape
        along_x, along_y = _legendre(np.arange(nx), nx), _legendre(np.arange(first, last), ny)
        lines = [np.zeros(nx) for _ in along_y]
        for coefficient, (i, j) in zip(self.coefficients, _powers(self.degree), strict=True):
            lines[j] += coefficient * along_x[i]
        rows = np.zeros((last - first, nx), np.float32)
        for line, column in zip(lines[: self.degree + 1], along_y, strict=False):
            rows += column.astype(np.float32)[:, np.newaxis] * line.astype(np.float32)
        return rows

    def subtract_from(self, data: NDArray[np.float32]) -> None:
        """Subtract from the image, in place."""
        height = max(1, _PIXELS_AT_A_TIME // self.shape[1])
        for first in range(0, self.shape[0], height):
            rows = data[first : first + height]
            rows -= self.rows(first, first + len(rows))


def terms(x: Floats, y: Floats, shape: tuple[int, int], degree: int) -> Floats:
    """Products of Legendre polynomials at n places of an image.

    Parameters
    ----------
    x, y : (n,) ndarray of float64
        [pixels]
    shape : (int, int)
        ``(ny, nx)`` of the image [pixels], over which the polynomials run from -1 to 1.
    degree : int
        Up to which total power of x and y.

    Returns
    -------
    (n, m) ndarray of float64
        Those of a lower degree come first.
    """
    along_x, along_y = _legendre(x, shape[1]), _legendre(y, shape[0])
    return np.stack([along_x[i] * along_y[j] for i, j in _powers(degree)], axis=1)


def _powers(degree: int) -> list[tuple[int, int]]:
    return [(total - j, j) for total in range(degree + 1) for j in range(total + 1)]


def _legendre(at: NDArray[np.number], size: int) -> list[Floats]:
    t = (2 * np.asarray(at, float) + 1) / size - 1
    # Products, as a library's powers take ten times as long and depend on the processor.
    return [np.ones_like(t), t, (3 * t * t - 1) / 2, (5 * t * t * t - 3 * t) / 2]
