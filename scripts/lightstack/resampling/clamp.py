"""How far an interpolated value may be below the pixels around it."""

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.compiling import compiled, inlined
from scripts.lightstack.resampling.kernel import F32, TAPS, Index

UNDERSHOOT = 0.0018
"""How far a result may be below its surroundings [range of the 6 x 6 pixels]; tuned:
`benchmarks/kernel_table.py`."""

SHARPEST, WIDEST, DEEPENING = np.float32(0.01), np.float32(0.3), np.float32(0.4)
"""Stars narrower than 2 pixels have a ring of their own: from which to which product of two pixels
over the square of that between them (a Gaussian of FWHM 1.1 and of 2.1 pixels), and how deep it is
at most for each step below the latter [height of the peak] (tuned:
`benchmarks/kernel_table.py`)."""

FILLED = np.float32(0.25)
"""How high the mean of the 6 x 6 pixels is in noise at least, between their lowest and highest:
about a half, and far lower beside a narrow star."""

FLAT = np.float32(0.97)
"""Pixels nearly as high as the highest, or as saturation; three of them are no peak."""


@inlined
def lowest_near(
    pixels: NDArray[np.float32], corner: Index, stride: Index, step: Index
) -> np.float32:
    """Find the lowest of the inner 4 x 4 pixels."""
    first = corner + stride + step
    lowest: np.float32 = pixels[first]
    for j in range(np.uint64(4)):
        for i in range(np.uint64(4)):
            value = pixels[first + j * stride + i * step]
            lowest = value if value < lowest else lowest
    return lowest


@compiled
def clamped(
    pixels: NDArray[np.float32],
    corner: Index,
    nx: Index,
    value: np.float32,
    lowest: np.float32,
    saturation: np.float32,
) -> np.float32:
    """Raise a value that is below the lowest to what the 6 x 6 pixels allow."""
    highest, mean = _highest_and_mean(pixels, corner, nx)
    least = np.float32(lowest - UNDERSHOOT * (highest - lowest))
    is_noise = mean - lowest > FILLED * (highest - lowest)
    if value >= least or is_noise or highest >= FLAT * saturation:
        return max(value, least)
    return max(value, np.float32(least - _ring_of_star(pixels, corner, nx, highest)))


@inlined
def _highest_and_mean(
    pixels: NDArray[np.float32], corner: Index, nx: Index
) -> tuple[np.float32, np.float32]:
    """Find the highest of 6 x 6 pixels and their mean, three columns at a time."""
    a = b = c = F32(0)
    high, higher, highest = pixels[corner], pixels[corner + nx], pixels[corner + nx + nx]
    for j in range(np.uint64(TAPS)):
        for i in range(np.uint64(2)):
            p = corner + j * nx + i * np.uint64(3)
            u, v, w = pixels[p], pixels[p + np.uint64(1)], pixels[p + np.uint64(2)]
            a, b, c = a + u, b + v, c + w
            high, higher = max(high, u), max(higher, v)
            highest = max(highest, w)
    return max(high, higher, highest), (a + b + c) / F32(TAPS * TAPS)


@compiled
def _ring_of_star(
    pixels: NDArray[np.float32], corner: Index, nx: Index, highest: np.float32
) -> np.float32:
    """Tell how deep a ring the brightest of the inner 4 x 4 pixels makes, if it is a star's.

    Of a Gaussian, wherever its centre is, the product of two pixels over the square of that
    between them depends on its width alone. A hot pixel has 0, what is flat has 1.
    """
    one = np.uint64(1)
    at_x: Index = one
    at_y: Index = one
    peak: Index = corner + nx + one
    for j in range(one, np.uint64(5)):
        for i in range(one, np.uint64(5)):
            if pixels[corner + j * nx + i] > pixels[peak]:
                peak, at_x, at_y = corner + j * nx + i, i, j
    sky, number = np.float32(0), 0
    for j in range(np.uint64(TAPS)):
        for i in range(np.uint64(TAPS)):
            if i + one < at_x or i > at_x + one or j + one < at_y or j > at_y + one:
                sky += pixels[corner + j * nx + i]
                number += 1
    sky /= np.float32(number)
    height = pixels[peak] - sky
    left, right = pixels[peak - one] - sky, pixels[peak + one] - sky
    below, above = pixels[peak - nx] - sky, pixels[peak + nx] - sky
    if min(left, right, below, above) <= 0:
        return np.float32(0)
    n_flat = 0
    for j in range(np.uint64(TAPS)):
        for i in range(np.uint64(TAPS)):
            n_flat += pixels[corner + j * nx + i] - sky > FLAT * (highest - sky)
    if n_flat > 2:
        return np.float32(0)
    along_x = _product(pixels, peak, one, at_x, sky)
    along_y = _product(pixels, peak, nx, at_y, sky)
    narrow, wide = min(along_x, along_y), max(along_x, along_y)
    share = min(max((narrow - SHARPEST) / SHARPEST, np.float32(0)), np.float32(1))
    depth = max(WIDEST - wide, np.float32(0)) * DEEPENING
    return np.float32(share * depth * height)


@compiled
def _product(
    pixels: NDArray[np.float32], peak: Index, step: Index, at: Index, sky: np.float32
) -> np.float32:
    """Give the product of a peak's neighbours over its square, or that of the higher neighbour."""
    height = pixels[peak] - sky
    before, after = pixels[peak - step] - sky, pixels[peak + step] - sky
    product = before * after / (height * height)
    if after > before and at <= np.uint64(3):
        beyond = pixels[peak + step + step] - sky
        product = max(product, height * beyond / (after * after))
    elif before >= after and at >= np.uint64(2):
        beyond = pixels[peak - step - step] - sky
        product = max(product, height * beyond / (before * before))
    return np.float32(product)
