"""Where the darks are too few for their frames."""

import math
from typing import TYPE_CHECKING

from scripts.lightstack.colour.planes import COLOURS
from scripts.lightstack.stacking.aligned import colour_card

if TYPE_CHECKING:
    from astropy.io import fits

MOST_ADDED = 1.1
"""Noise of a stack over that with perfect darks, from which more darks are worth their time."""

DITHERED = 1.5
"""Median distance of the frames from where their noise is no longer the same [pixels]."""


def limited_by_darks(header: "fits.Header") -> str:
    """Say that the noise of the darks limits a stack, and how many darks it takes, if so.

    Parameters
    ----------
    header : astropy.io.fits.Header
        Of the stack of a mean.

    Returns
    -------
    str
        A sentence, or an empty string.
    """
    pairs = [
        [header.get(colour_card(key, colour), 0) for key in ("NOISEADU", "DARKADU")]
        for colour in ("", *COLOURS)
    ]
    noise, of_darks = max(pairs, key=lambda pair: pair[1] / pair[0] if pair[0] else 0)
    number = header.get("NDARKS", 0)
    of_frames = math.sqrt(max(noise**2 - of_darks**2, 0.0))
    if not (of_frames > 0 and number and noise > MOST_ADDED * of_frames):
        return ""
    needed = number * (of_darks / of_frames) ** 2 / (MOST_ADDED**2 - 1)
    dither = header["DITHERPX"]
    cause, more = ": ", ""
    if dither < DITHERED:
        cause = f". All frames share it, as they are dithered by {dither:.2g} pixels only: "
        more = " or more dither"
    return (
        f"The darks limit the stack: {number} of them add {of_darks:.3g} ADU of noise to the "
        f"{of_frames:.3g} ADU that the frames leave, so it has {noise / of_frames - 1:.0%} more "
        f"than with perfect darks{cause}{math.ceil(needed)} darks{more} bring "
        f"that below {MOST_ADDED - 1:.0%}."
    )
