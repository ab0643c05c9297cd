"""Where the darks are too few for their frames."""

import math

from scripts.lightstack.files.colour_file import COLOURS, colour_card
from scripts.lightstack.raw.values import Cards

PAIRS = tuple(
    (colour_card("NOISEADU", colour), colour_card("DARKADU", colour)) for colour in ("", *COLOURS)
)

CARDS = (*sum(PAIRS, ()), "NDARKS", "DITHERPX")
"""What is read of a stack's header."""

MOST_ADDED = 1.1
"""Noise of a stack over that with perfect darks, from which more darks are worth their time: a
fifth more frames would do the same."""

DITHERED = 1.5
"""Median distance of the frames from where their noise is no longer the same [pixels]: by the
kernel, the dark of 20 frames that are dithered so far leaves 0.3 of its noise, and 0.2 if each
frame had its own; half as far 0.48, twice as far 0.23."""


def limited_by_darks(header: Cards) -> str:
    """Say that the noise of the darks limits a stack, and how many darks it takes, if so.

    Parameters
    ----------
    header : Cards
        Of the stack of a mean; `CARDS` are enough.

    Returns
    -------
    str
        A sentence, or an empty string.
    """
    pairs = [[header.get(card) or 0 for card in cards] for cards in PAIRS]
    noise, of_darks = max(pairs, key=lambda pair: pair[1] / pair[0] if pair[0] else 0)
    number = header.get("NDARKS")
    of_frames = math.sqrt(max(noise**2 - of_darks**2, 0.0))
    if not (of_frames > 0 and number and noise > MOST_ADDED * of_frames):
        return ""
    needed = number * (of_darks / of_frames) ** 2 / (MOST_ADDED**2 - 1)
    dither = header.get("DITHERPX")
    cause, more = ": ", ""
    if dither < DITHERED:
        cause = f". All frames share it, as they are dithered by {dither:.2g} pixels only: "
        more = " or more dither"
    add = "adds" if number == 1 else "add"
    return (
        f"The darks limit the stack: {number} of them {add} {of_darks:.3g} ADU of noise to the "
        f"{of_frames:.3g} ADU that the frames leave, so it has {noise / of_frames - 1:.0%} more "
        f"than with perfect darks{cause}{math.ceil(needed)} darks{more} bring "
        f"that below {MOST_ADDED - 1:.0%}."
    )
