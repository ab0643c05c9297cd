"""Smooth surfaces: polynomials of low order over an image."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.compiling import compiled

Floats = NDArray[np.float64]

HIGHEST_DEGREE = 3

N_TERMS = (1, 3, 6, 10)
"""Terms of a surface, by its degree."""


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
        return _rows(*self._lines(first, last))

    def subtract_from(self, data: NDArray[np.float32], top: int = 0) -> None:
        """Subtract from the image, or from rows of it that begin with `top`, in place."""
        _subtract(data, *self._lines(top, top + len(data)))

    def _lines(self, first: int, last: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Give lines along x and along y, whose products add up: (n, nx) and (n, ny)."""
        ny, nx = self.shape
        along_x, along_y = _legendre(np.arange(nx), nx), _legendre(np.arange(first, last), ny)
        lines = np.zeros((self.degree + 1, nx))
        for coefficient, (i, j) in zip(self.coefficients, _powers(self.degree), strict=True):
            lines[j] += coefficient * along_x[i]
        columns = np.stack(along_y[: self.degree + 1])
        return lines.astype(np.float32), columns.astype(np.float32)


@dataclass(frozen=True)
class SkyOfFrame(Surface):
    """What a frame's sky has beside that of the others.

    Parameters
    ----------
    unlike : float
        How far its levels lie from those of the others without this surface, in nine tenths of
        the image at most [ADU].
    """

    unlike: float


@compiled
def _rows(lines: NDArray[np.float32], columns: NDArray[np.float32]) -> NDArray[np.float32]:
    """Add up the products of lines along x and along y: (ny, nx)."""
    rows = np.empty((columns.shape[1], lines.shape[1]), np.float32)
    for y in range(len(rows)):
        _add_up(lines, columns[:, y], rows[y])
    return rows


@compiled
def _subtract(
    data: NDArray[np.float32], lines: NDArray[np.float32], columns: NDArray[np.float32]
) -> None:
    """Subtract the products of lines along x and along y, in place."""
    row = np.empty(data.shape[1], np.float32)
    for y in range(data.shape[0]):
        _add_up(lines, columns[:, y], row)
        for x in range(row.size):
            data[y, x] -= row[x]


@compiled
def _add_up(
    lines: NDArray[np.float32], factors: NDArray[np.float32], row: NDArray[np.float32]
) -> None:
    """Put the sum of lines, each with its factor, into a row."""
    row[:] = 0
    for k in range(factors.size):
        for x in range(row.size):
            row[x] += factors[k] * lines[k, x]


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
