"""Frames that show the sky in a mirror or in other pixels, relabelled so that they look alike.

Software turns rows over, diagonals mirror, and cameras bin. Alignment looks for neither; it is
given the frame as it would be without, and the transform is put together with the relabelling.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from scripts.lightstack.alignment.stars import Floats, Stars
from scripts.lightstack.alignment.transform import POWERS, Transform, centre_and_extent

BINNED = 2.0
"""Ratio of pixel scales that is looked for between images of one size."""

LARGEST_FACTOR = 8.0
"""Ratio of the sizes of two images that may be that of their pixels: few cameras bin by more."""


class View(NamedTuple):
    """A frame as it would be with other pixels.

    Attributes
    ----------
    factor : float
        Pixels of the view per pixel of the frame, along either axis.
    mirrored : bool
        Whether the columns are in the other order.
    """

    factor: float = 1.0
    mirrored: bool = False


def views(frame: Stars, reference: Stars, largest_scale: float) -> Iterator[View]:
    """List how a frame that does not align as it is might be related to the reference.

    Parameters
    ----------
    frame, reference : Stars
    largest_scale : float
        Ratio of pixel scales that needs no view.

    Yields
    ------
    View
        The likeliest first.
    """
    by_size = max(reference.shape) / max(frame.shape)
    alike = 1 / largest_scale < by_size < largest_scale
    if alike or not 1 / LARGEST_FACTOR < by_size < LARGEST_FACTOR:
        yield View(mirrored=True)
        yield View(BINNED)
        yield View(1 / BINNED)
    else:
        # Another size is that of other pixels, or that of a window with the same ones.
        yield View(by_size)
        yield View(mirrored=True)
        yield View(by_size, mirrored=True)


def seen(view: View, frame: Stars) -> Stars:
    """Relabel a frame's stars."""
    shape = _shape(view, frame.shape)
    (middle, _), (centre, _) = centre_and_extent(shape), centre_and_extent(frame.shape)
    xy = middle + (frame.xy - centre) * _factors(view)
    return replace(frame, xy=xy, fwhm=view.factor * frame.fwhm, shape=shape)


def unseen(view: View, transform: Transform, frame_shape: tuple[int, int]) -> Transform:
    """Put a view and the transform of what it shows together.

    Parameters
    ----------
    view : View
    transform : Transform
        From what `seen` makes of the frame to the reference.
    frame_shape : (int, int)
        ``(ny, nx)`` of the frame [pixels].

    Returns
    -------
    Transform
        From the frame to the reference.
    """
    middle, extent = centre_and_extent(transform.frame_shape)
    centre, own_extent = centre_and_extent(frame_shape)
    factors = _factors(view)
    relabel = np.diag([*factors, 1])
    relabel[:2, 2] = middle - factors * centre
    u, v = factors * own_extent / extent
    powers = np.array([u**i * v**j for i, j in POWERS])
    forward, backward = transform.forward_cubic, transform.backward_cubic
    return replace(
        transform,
        matrix=transform.matrix @ relabel,
        frame_shape=frame_shape,
        forward_cubic=None if forward is None else forward * powers,
        backward_cubic=None if backward is None else backward / factors[:, np.newaxis],
    )


def _factors(view: View) -> Floats:
    """View pixels per frame pixel along x and y."""
    return np.array([-view.factor if view.mirrored else view.factor, view.factor])


def _shape(view: View, shape: tuple[int, int]) -> tuple[int, int]:
    ny, nx = (max(1, round(view.factor * side)) for side in shape)
    return ny, nx
