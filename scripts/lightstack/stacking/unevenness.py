"""How the noise of the frames' skies varies over the grid of their stack."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.alignment.transform import inside
from scripts.lightstack.linear import least_squares
from scripts.lightstack.sky.noise_map import DEGREE, LEAST
from scripts.lightstack.sky.surface import Surface, terms
from scripts.lightstack.stacking.aligned import AlignedFrame

PLACES = 16
"""Along either axis of the grid, where the frames' noise is looked up."""


def unevenness(frames: Sequence[AlignedFrame]) -> Surface | None:
    """Find what the frames' noise has in common, over their typical noise.

    Parameters
    ----------
    frames : sequence of AlignedFrame

    Returns
    -------
    Surface or None
        Over the grid of the stack; None if all are even.
    """
    if all((frame.noise_map[1:] == 0).all() for frame in frames):
        return None
    ny, nx = shape = frames[0].transform.reference_shape
    y, x = np.mgrid[:PLACES, :PLACES].reshape(2, -1) + 0.5
    grid = np.stack([x * nx, y * ny], axis=1) / PLACES - 0.5
    total, number = np.zeros((2, len(grid)))
    for frame in frames:
        here = frame.transform.backward(grid)
        covered = inside(here, frame.transform.frame_shape)
        surface = Surface(frame.transform.frame_shape, frame.noise_map)
        total[covered] += np.maximum(surface.at(*here[covered].T), LEAST) ** 2
        number += covered
    seen = np.maximum(number, 1)
    columns = terms(grid[:, 0], grid[:, 1], shape, DEGREE)
    return Surface(
        shape, least_squares(columns, np.sqrt(total / seen)[:, np.newaxis], number)[:, 0]
    )


def variance_rows(surface: Surface | None, first: int, last: int, nx: int) -> NDArray[np.float32]:
    """Give what variances are multiplied by in rows `first` to `last`: (last - first, nx)."""
    if surface is None:
        return np.ones((last - first, nx), np.float32)
    return np.asarray(np.maximum(surface.rows(first, last), np.float32(LEAST)) ** 2)
