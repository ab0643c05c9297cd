"""Frames whose skies differ from the others' as no light on the sky does."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from scripts.lightstack.raw.values import Cards
from scripts.lightstack.telling import and_more
from scripts.lightstack.text import printable, text_of

if TYPE_CHECKING:
    from astropy.io import fits

    from scripts.lightstack.stacking.aligned import AlignedFrame

CARDS = ("NSKYODD", "SKYODD", "SKYODDBY")
"""What is read of a stack's header."""

FEWEST = 3
"""Frames of which one can be the odd one."""

MOST_NOISE = 0.5
"""What is left of the differences of a sky is less than so much of a pixel's noise, or it is odd:
in four real nights it is 0.06 to 0.12 of it."""

MOST_TIMES = 5.0
"""Times that it is what half of the frames have, or it is odd: in frames of a crowded field that
were taken over weeks, of 560 to 15,000 ADU, it is up to 1.5 of the noise, and 3.7 times."""


def note_odd_skies(header: "fits.Header", planes: "Sequence[Sequence[AlignedFrame]]") -> None:
    """Write into the header of a stack how many frames have odd skies, and which the oddest.

    Parameters
    ----------
    header : astropy.io.fits.Header
    planes : sequence of sequences of AlignedFrame
        The frames once, or each of their colours; their ``sky`` is as `gradients.match_skies`
        has it.
    """
    if any(frame.sky is None for plane in planes for frame in plane) or len(planes[0]) < FEWEST:
        return
    unlike = np.array([[frame.sky.unlike for frame in plane if frame.sky] for plane in planes])
    noise = np.array([[frame.noise for frame in plane] for plane in planes])
    shares = unlike / noise
    usual = np.median(shares, axis=1, keepdims=True)
    odd = (shares > np.maximum(MOST_NOISE, MOST_TIMES * usual)).any(axis=0)
    if not odd.any():
        return
    worst = int(np.argmax(np.where(odd, shares.max(axis=0), 0)))
    header["NSKYODD"] = (int(odd.sum()), "frames whose sky is unlike the others'")
    header["SKYODD"] = (printable(planes[0][worst].name), "the one that is most unlike")
    header["SKYODDBY"] = (float(unlike[:, worst].max()), "[ADU] by so much, in parts of it")


def told_of_odd_skies(header: Cards) -> str:
    """Say which frames' skies are unlike the others', and what is to be done.

    Parameters
    ----------
    header : Cards
        Of a stack; `CARDS` are enough.

    Returns
    -------
    str
        A sentence, or an empty string.
    """
    number, name, size = (header.get(card) for card in CARDS)
    if not number:
        return ""
    odd = text_of(name).rstrip()  # short texts fill their cards
    return (
        f"Skies unlike those of the other frames, beside any gradient: {odd} (by {size:.3g} ADU "
        f"in parts of it){and_more(number - 1)}. Something was in the way of the light or shone "
        "in, or the camera read a part of the image otherwise: look, and take what shows it out "
        "of the folder."
    )
