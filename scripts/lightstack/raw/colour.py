"""Three colours made grey, one after the other, so that an image is never in memory thrice.

By products and sums alone: the last bits of a library's matrix product depend on the processor.
"""

import numpy as np
from numpy.typing import NDArray

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in a grey (ITU-R BT.601)."""


Weights = tuple[float, float, float]

ALONE: tuple[Weights, Weights, Weights] = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
"""Weights with which one colour is read in place of a grey."""


def add_colour(
    number: int,
    colour: NDArray[np.float32],
    grey: NDArray[np.float32],
    peak: NDArray[np.float32],
    weights: Weights = LUMA,
) -> None:
    """Add red, green or blue to a grey image, in place.

    Parameters
    ----------
    number : int
        0 for red, which begins the image, 1 for green, 2 for blue.
    colour : (ny, nx) ndarray of float32
        [ADU].
    grey, peak : (ny, nx) ndarray of float32
        Luma and brightest colour [ADU] of those added so far.
    weights : (float, float, float), optional
        Of red, green and blue in the grey.
    """
    if number == 0:
        np.multiply(colour, np.float32(weights[0]), out=grey)
        peak[...] = colour
    else:
        grey += colour * np.float32(weights[number])
        np.maximum(peak, colour, out=peak)
