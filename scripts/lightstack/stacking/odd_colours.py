"""Frames whose stars are blue where those of the others are red."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.raw.values import Cards
from scripts.lightstack.telling import and_more
from scripts.lightstack.text import printable, text_of

if TYPE_CHECKING:
    from astropy.io import fits

    from scripts.lightstack.stacking.aligned import AlignedFrame

CARDS = ("NREDBLUE", "REDBLUE")
"""What is read of a stack's header."""

FEWEST = 10
"""Stars that tell: ten can do it only if their colours run against the others' almost in order."""

N_SIGMA = 5.0
"""Standard errors by which colours run against each other: no chance in a million frames."""


def run_against(light: NDArray[np.float64], wanted: NDArray[np.float64]) -> bool:
    """Tell whether stars that are redder than others in one frame are bluer in another.

    Parameters
    ----------
    light, wanted : (n, 3) ndarray of float64
        Red, green and blue light of the same stars in both [ADU], above zero.

    Returns
    -------
    bool
        By the correlation of the ranks of red over blue (Fisher's transform of it): no outlier
        and no light that air takes of a colour weighs there.
    """
    n = len(light)
    if n < FEWEST:
        return False
    ranks = [np.argsort(np.argsort(each[:, 0] / each[:, 2])) for each in (light, wanted)]
    alike = float(np.asarray(np.corrcoef(ranks))[0, 1])
    return alike <= -math.tanh(N_SIGMA / math.sqrt(n - 3))


def note_odd_colours(
    header: "fits.Header", frames: "Sequence[AlignedFrame]", reference: str
) -> None:
    """Write into the header of a stack how many frames have others' colours, and one of them.

    Parameters
    ----------
    header : astropy.io.fits.Header
    frames : sequence of AlignedFrame
        One of their colours.
    reference : str
        Name of the one that the others are compared with: where most differ from it, it does.
    """
    odd = [frame.name for frame in frames if frame.is_exchanged]
    if not odd:
        return
    number = len(odd)
    if 2 * number > len(frames):
        number, odd = len(frames) - number, [reference]
    header["NREDBLUE"] = (number, "frames of exchanged red and blue")
    header["REDBLUE"] = (printable(odd[0]), "one of them")


def told_of_odd_colours(header: Cards) -> str:
    """Say which frames' colours are exchanged, and what is to be done.

    Parameters
    ----------
    header : Cards
        Of a stack; `CARDS` are enough.

    Returns
    -------
    str
        A sentence, or an empty string.
    """
    number, name = (header.get(card) for card in CARDS)
    if not number:
        return ""
    odd = text_of(name).rstrip() + and_more(number - 1)  # short texts fill their cards
    return (
        f"Red and blue exchanged: stars that are red in most frames are blue in {odd}. "
        "A program has turned these frames, or cut off a row and a column, or BAYERPAT is wrong: "
        "write the pattern that their pixels have into their headers, such as BAYERPAT = 'BGGR' "
        "for 'RGGB', or take them out of the folder."
    )
