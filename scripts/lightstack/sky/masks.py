"""Masks that grow."""

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


def grown(mask: Mask) -> Mask:
    """Add the eight neighbours of all that is masked: (ny, nx)."""
    wider = mask.copy()
    wider[1:] |= mask[:-1]
    wider[:-1] |= mask[1:]
    result = wider.copy()
    result[:, 1:] |= wider[:, :-1]
    result[:, :-1] |= wider[:, 1:]
    return result


def grown_by_its_size(mask: Mask, share: float) -> Mask:
    """Let each part of a mask grow by a share of its own width.

    Parameters
    ----------
    mask : (ny, nx) ndarray of bool
    share : float
        How far it grows, over the radius of the largest square that it holds.

    Returns
    -------
    (ny, nx) ndarray of bool
        What is cut by the image's edge counts as if it went on beyond.
    """
    result, core, depth = mask.copy(), mask, 0
    while core.any() and not core.all():
        depth += 1
        wider = core
        for _ in range(depth - 1 + int(share * depth + 0.5)):  # halves up: of 2 cells, 1
            wider = grown(wider)
        result |= wider
        core = ~grown(~core)
    return result
