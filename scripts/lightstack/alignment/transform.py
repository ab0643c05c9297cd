"""The map from a frame's pixels to the reference's, and back."""

import math
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.alignment.polynomials import evaluated, mapped, terms_at
from scripts.lightstack.linear import affine_inverse

Model = Literal["similarity", "affine", "polynomial"]

POWERS = tuple((i, j) for order in range(4) for j in range(order + 1) for i in [order - j])
"""Exponents ``(i, j)`` of the ten terms ``u**i v**j`` of a cubic, in the order of the columns."""


@dataclass(frozen=True)
class Transform:
    """Map between a frame and the reference.

    Parameters
    ----------
    matrix : (3, 3) ndarray of float64
        Maps ``(x, y, 1)`` of the frame to the reference [pixels].
    frame_shape, reference_shape : (int, int)
        ``(ny, nx)`` of both images [pixels].
    model : {"similarity", "affine", "polynomial"}
        What the matrix is; with "polynomial" the two cubics are added to it.
    forward_cubic, backward_cubic : (2, 10) ndarray of float64, or None
        Corrections [pixels] to x and to y, in the order of `POWERS`: `forward_cubic` is added to
        what the matrix makes of a frame's position, `backward_cubic` to what the inverse matrix
        makes of a reference's. Their arguments ``(u, v)`` are the position that is mapped, less
        the centre of its image, over half of that image's longer side: between -1 and 1.
    """

    matrix: NDArray[np.float64]
    frame_shape: tuple[int, int]
    reference_shape: tuple[int, int]
    model: Model = "similarity"
    forward_cubic: NDArray[np.float64] | None = None
    backward_cubic: NDArray[np.float64] | None = None

    def forward(self, xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where positions of the frame fall on the reference.

        Parameters
        ----------
        xy : (n, 2) ndarray of float64
            Positions on the frame [pixels].

        Returns
        -------
        (n, 2) ndarray of float64
            Positions on the reference [pixels].
        """
        return _apply(xy, self.matrix, self.forward_cubic, self.frame_shape)

    def backward(self, xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where positions of the reference fall on the frame; shapes and units as in `forward`."""
        return _apply(xy, affine_inverse(self.matrix), self.backward_cubic, self.reference_shape)

    @property
    def corners(self) -> NDArray[np.float64]:
        """(4, 2) positions on the reference of the frame's corner pixels, counter-clockwise."""
        ny, nx = self.frame_shape
        return self.forward(np.array([[0, 0], [nx - 1, 0], [nx - 1, ny - 1], [0, ny - 1]], float))

    @property
    def shift(self) -> tuple[float, float]:
        """(x, y) by which the frame's centre is displaced on the reference [pixels]."""
        centre, _ = centre_and_extent(self.frame_shape)
        x, y = self.forward(centre[np.newaxis])[0] - centre
        return float(x), float(y)

    @property
    def rotation_deg(self) -> float:
        """Angle by which the frame is turned, from the x axis towards the y axis [degrees]."""
        a, b, c, d = self.matrix[:2, :2].ravel()
        return math.degrees(math.atan2(c - b, a + d))

    @property
    def scale(self) -> float:
        """Reference pixels per frame pixel."""
        a, b, c, d = self.matrix[:2, :2].ravel()
        return float(np.sqrt(abs(a * d - b * c)))

    def halved(self, offset: tuple[float, float]) -> "Transform":
        """Give the same map for images of half the size.

        Parameters
        ----------
        offset : (float, float)
            Where the first pixel of the small frame lies on the frame, ``(x, y)`` [pixels]; that
            of the small reference is the middle of 2 x 2 pixels.

        Returns
        -------
        Transform
            Odd last rows and columns are left out; a polynomial is then off by less than a
            hundredth of a pixel.
        """
        from_small = np.array([[2.0, 0, offset[0]], [0, 2, offset[1]], [0, 0, 1]])
        to_small = np.array([[0.5, 0, -0.25], [0, 0.5, -0.25], [0, 0, 1]])
        matrix = np.zeros((3, 3))
        for i, j, k, m in np.ndindex(3, 3, 3, 3):
            matrix[i, m] += to_small[i, j] * self.matrix[j, k] * from_small[k, m]
        shape, reference_shape = (
            (ny // 2, nx // 2) for ny, nx in (self.frame_shape, self.reference_shape)
        )
        forward, backward = (
            None if cubic is None else cubic / 2
            for cubic in (self.forward_cubic, self.backward_cubic)
        )
        return Transform(matrix, shape, reference_shape, self.model, forward, backward)

    def to_json(self) -> dict[str, Any]:
        """Plain values from which `from_json` makes the same transform."""
        values: dict[str, Any] = {
            "model": self.model,
            "matrix": self.matrix.tolist(),
            "corners_px": self.corners.tolist(),
        }
        for name in ("forward_cubic", "backward_cubic"):
            cubic = getattr(self, name)
            if cubic is not None:
                values[name] = cubic.tolist()
        return values

    @classmethod
    def from_json(
        cls,
        values: dict[str, Any],
        frame_shape: tuple[int, int],
        reference_shape: tuple[int, int],
    ) -> Self:
        """Read what `to_json` wrote."""
        cubics = {
            name: np.array(values[name])
            for name in ("forward_cubic", "backward_cubic")
            if name in values
        }
        matrix = np.array(values["matrix"])
        return cls(matrix, frame_shape, reference_shape, values["model"], **cubics)


def identity(shape: tuple[int, int]) -> Transform:
    """Map an image of this ``(ny, nx)`` onto itself."""
    return Transform(np.eye(3), shape, shape)


def centre_and_extent(shape: tuple[int, int]) -> tuple[NDArray[np.float64], float]:
    """Centre ``(x, y)`` of an image and half of its longer side [pixels]."""
    ny, nx = shape
    return np.array([(nx - 1) / 2, (ny - 1) / 2]), max(ny, nx) / 2


def inside(xy: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """(n,) whether (n, 2) positions ``(x, y)`` lie on an image of this ``(ny, nx)`` [pixels]."""
    ny, nx = shape
    x, y = xy.T
    return np.asarray((x >= -0.5) & (y >= -0.5) & (x < nx - 0.5) & (y < ny - 0.5), np.bool_)


def cubic_terms(xy: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.float64]:
    """Values of the ten terms of a cubic at positions of an image.

    Parameters
    ----------
    xy : (n, 2) ndarray of float64
        Positions [pixels].
    shape : (int, int)
        ``(ny, nx)`` of the image that they lie on.

    Returns
    -------
    (n, 10) ndarray of float64
    """
    centre, extent = centre_and_extent(shape)
    return terms_at(xy, centre[0], centre[1], extent)


def _apply(
    xy: NDArray[np.float64],
    matrix: NDArray[np.float64],
    cubic: NDArray[np.float64] | None,
    shape: tuple[int, int],
) -> NDArray[np.float64]:
    if cubic is None:
        return mapped(xy, matrix)
    return mapped(xy, matrix) + evaluated(cubic, cubic_terms(xy, shape))
