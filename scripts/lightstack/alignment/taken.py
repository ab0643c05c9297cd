"""What is known of an accepted frame before it is aligned."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Taken:
    """How a frame was taken, and what came of it.

    Parameters
    ----------
    shape : (int, int)
        ``(ny, nx)`` [pixels].
    exptime : float or None
        [s]
    fwhm : float
        Median of its stars [pixels].
    noise : float
        Of its sky [ADU].
    optics : hashable
        Frames with the same catch the same share of the light.
    stack : str
        Name of the stack of which the frame is to be a part.
    """

    shape: tuple[int, int]
    exptime: float | None
    fwhm: float
    noise: float
    optics: Hashable = None
    stack: str = ""


def taken(record: Mapping[str, Any], stack: str = "") -> Taken:
    """Read what `grade_frame` wrote."""
    ny, nx = record["shape"]
    optics = (record["filter"], record["gain"], record["egain"], ny, nx)
    exptime, fwhm, noise = (record[key] for key in ("exptime_s", "fwhm_px", "noise_adu"))
    return Taken((ny, nx), exptime, fwhm, noise, optics, stack)
