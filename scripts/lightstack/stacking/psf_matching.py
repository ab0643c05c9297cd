"""What the seeing of each frame makes of the light that all frames share.

Two frames of a star differ by a convolution: the air, the focus and the guiding of one against
those of the other (Alard & Lupton 1998, ApJ 503, 325). So the light that a frame should have in a
pixel near a star is known from the other frames, and what differs from it is a trail or a cosmic
ray, in the middle of a star as on the sky. Each frame's kernel is fitted to the stars of some
bands of the image, once, and how badly it fits is measured with it.

Places of a kernel are ``(x, y)`` from its middle, at most `REACH` away.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.compiling import compiled, copy_line
from scripts.lightstack.linear import least_squares

REACH = 5
"""How far a kernel, and the surroundings of a pixel, extend [pixels]; tuned, as all that follows
without a source, on the nights of `benchmarks/seeing_table.py`."""

CORE = 2
"""How far from a pixel the top of a star is that reaches it [pixels]."""

WIDTHS = (0.8, 1.6)
"""Standard deviations of the Gaussians that kernels are made of [pixels]."""

N_FINE = 6
"""How many of the terms are of the narrower one."""

POWERS = ((0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2))
"""Exponents of x and y of the polynomials by which they are multiplied."""

MIDDLE_VARIANCE = 1.2
"""Variance of the mean of the values in the middle, over that of the mean of all: for a normal
distribution, with a quarter trimmed on either side (Huber 1981, Robust Statistics)."""

FIRST_ERROR = 0.3
"""Error of a kernel before the fit [detail of the light]."""

LEAST_FRAMES = 3
"""Of two that differ, none can tell what they share."""

N_PIXELS = 8000
"""How many pixels a fit takes: it is good to a hundredth of the noise, and soon done."""

LEAST_PIXELS = 20 * len(WIDTHS) * len(POWERS)
"""Fewer do not determine a kernel."""

N_ROUNDS = 4
"""Rounds of a fit."""

FIT_SIGMA = 5.0
"""What is further off is no starlight [standard deviations]."""

OF_MOVED = 3.0
"""How much the light that is moved counts in what is in doubt, beside the detail."""

BRIGHT, FEWEST_BRIGHT = 2.0, 100
"""So many pixels in which the error is so many times the noise tell its tail."""

IN_TAIL, TAIL = 0.99, 2.3
"""This share of them is to be off by so many errors at most: then none is off by 4, for the
highest is 1.7 times that quantile."""

MOST = 2.0
"""Factor by which an error is raised at most: what asks for more is no star's light."""

Image = NDArray[np.float32]

Floats = NDArray[np.float64]


def _terms() -> Floats:
    """(121, 12) terms of a kernel, by place.

    The sum of each is zero, so that a kernel moves light and adds none: frames are scaled to one
    flux before.
    """
    y, x = np.mgrid[-REACH : REACH + 1, -REACH : REACH + 1].astype(float)
    terms = []
    for width in WIDTHS:
        # NumPy's exponential has another last digit on other processors.
        profile = np.array([math.exp(-0.5 * at**2 / width**2) for at in range(-REACH, REACH + 1)])
        gaussian = np.round(profile[:, np.newaxis] * profile, 12)
        terms += [gaussian * (x / width) ** i * (y / width) ** j for i, j in POWERS]
    stacked = np.array(terms)
    stacked[:, REACH, REACH] -= stacked.sum(axis=(1, 2))
    return np.ascontiguousarray(stacked.reshape(len(stacked), -1).T)


TERMS = _terms()


class Seeing(NamedTuple):
    """How the light of each frame follows from that of all.

    Attributes
    ----------
    kernels : (n, 12) ndarray of float64
        Coefficients of `TERMS`; all zero for a frame that has the light of the others.
    errors : (n,) ndarray of float64
        Standard deviation of what the prediction misses [detail of the light].
    linear_below : float
        Pixels with brighter light around them are not predicted, as a star that saturates is
        no longer what a convolution makes of it [units of the stack].
    """

    kernels: Floats
    errors: Floats
    linear_below: float

    @property
    def amplification(self) -> Floats:
        """(n,) variance of what is moved, where the light has white noise of variance one."""
        return _amplification(self.kernels)


class Starlight(NamedTuple):
    """Pixels of stars.

    Attributes
    ----------
    values : (n, m) ndarray of float32
        Each frame's pixels, NaN where there is no data [units of the stack].
    light : (m,) ndarray of float64
        Light that the frames share [units of the stack].
    responses : (12, m) ndarray of float64
        What each of `TERMS` makes of the light around [units of the stack].
    """

    values: Image
    light: Floats
    responses: Floats

    @property
    def detail(self) -> Floats:
        """How fine the light is: what changes of the seeing do to it [units of the stack]."""
        detail: Floats = np.sqrt((self.responses[:N_FINE] ** 2).sum(axis=0))
        return detail

    def doubt(self, moved: Floats) -> Floats:
        """Tell in proportion to what a prediction that moves (m,) light is in doubt."""
        return np.asarray(np.sqrt(self.detail**2 + (OF_MOVED * moved) ** 2))


def starlight(
    cube: Image, centres: Image, middles: Image, noise: Floats, linear_below: float, most: int
) -> Starlight:
    """Pick the pixels of a band that tell most about the seeing.

    Parameters
    ----------
    cube : (n, k, nx) ndarray of float32
        The frames on one grid; the first and the last `REACH` rows only surround the others.
    centres, middles : (k, nx) ndarray of float32
        Their light, as from `centres.find_centres`.
    noise : (n,) ndarray of float64
        Noise of the frames.
    linear_below : float
        See `Seeing`.
    most : int
        How many pixels to pick at most: those with the highest light.

    Returns
    -------
    Starlight
        Half of the frames have data there, and the light is higher than `FIT_SIGMA` times their
        noise.
    """
    n, k, nx = cube.shape
    heights = np.zeros((k, nx))
    brightest = np.empty(nx)
    for y in range(REACH, k - REACH):
        heights_of_row(centres, y, 0, heights[y])
        brightest_of_row(middles, y, 0, brightest)
        covered = np.count_nonzero(~np.isnan(cube[:, y]), axis=0) >= max(n / 2, LEAST_FRAMES)
        heights[y, ~((brightest < linear_below) & covered)] = 0
    lit = np.flatnonzero(heights > FIT_SIGMA * np.sqrt(np.mean(noise**2)))
    lit = np.sort(lit[np.argsort(-heights.ravel()[lit], kind="stable")[:most]])
    rows, columns = np.divmod(lit, nx)
    responses = np.empty((lit.size, TERMS.shape[1]))
    for pixel, (y, x) in enumerate(zip(rows, columns, strict=True)):
        respond(middles, y, x, responses[pixel])
    return Starlight(cube[:, rows, columns], middles[rows, columns].astype(float), responses.T)


def measure_seeing(
    pixels: Starlight, noise: Floats, gain: Floats, linear_below: float
) -> tuple[Seeing | None, Floats]:
    """Fit each frame's kernel, and what it misses, to the light of stars.

    Parameters
    ----------
    pixels : Starlight
    noise : (n,) ndarray of float64
        Noise of the frames.
    gain : (n,) ndarray of float64
        Electrons per unit of the stack; infinite where it is unknown.
    linear_below : float
        See `Seeing`.

    Returns
    -------
    seeing : Seeing or None
        None if there are too few pixels.
    gain : (n,) ndarray of float64
        With what the stars say of a gain that was unknown.
    """
    n = len(noise)
    if len(pixels.light) < LEAST_PIXELS:
        return None, gain
    kernels, errors, shot = np.zeros((n, TERMS.shape[1])), np.empty(n), 1 / gain
    for i in range(n):
        kernels[i], errors[i], shot[i] = _fit(
            pixels, pixels.values[i].astype(float), noise[i] ** 2, shot[i]
        )
    errors = _with_tails(pixels, kernels, errors, noise**2, shot)
    with np.errstate(divide="ignore"):
        return Seeing(kernels, errors, linear_below), 1 / shot


def _fit(
    pixels: Starlight, values: Floats, sky: float, shot: float
) -> tuple[Floats, float, float]:
    """Kernel, error and shot noise of one frame [1, detail of the light, units of the stack].

    Each depends on the others, and on which values are no starlight: rounds, of which the first
    takes the seeing as unknown.
    """
    light = np.maximum(pixels.light, 0)
    free = slice(1 if shot > 0 else 2)
    kernel, scatter = np.zeros(len(pixels.responses)), np.array([FIRST_ERROR**2, 0.0])
    change = values - pixels.light
    for _ in range(N_ROUNDS):
        shared = 1 + MIDDLE_VARIANCE / len(pixels.values) * _amplification(kernel[np.newaxis])[0]
        known = (sky + shot * light) * shared
        growth = np.stack([pixels.doubt(_combined(pixels.responses, kernel)) ** 2, light])
        variance = known + _combined(growth, scatter)
        kept = (change - _combined(pixels.responses, kernel)) ** 2 < FIT_SIGMA**2 * variance
        if np.count_nonzero(kept) < LEAST_PIXELS:
            return np.zeros_like(kernel), FIRST_ERROR, shot
        responses, weight = pixels.responses[:, kept], 1 / variance[kept]
        kernel = least_squares(responses.T, change[kept, np.newaxis], weight)[:, 0]
        excess = (change[kept] - _combined(responses, kernel)) ** 2 - known[kept]
        scatter[free] = _not_negative(growth[free, kept], excess, weight**2)
    return kernel, float(np.sqrt(scatter[0])), shot + float(scatter[1])


def _with_tails(
    pixels: Starlight, kernels: Floats, errors: Floats, sky: Floats, shot: Floats
) -> Floats:
    """Raise errors (n,) to what the middles of bright stars ask for.

    Where a frame is far sharper than the others, what its kernel misses is no noise: it is largest
    in the middle of each star. A limit that cuts the few pixels of the middles costs the stars
    their light.
    """
    moved = np.stack([_combined(pixels.responses, kernel) for kernel in kernels])
    unmoved = pixels.values - moved
    centre = np.nanmedian(unmoved, axis=0)
    raised = errors.copy()
    for i, (kernel, error) in enumerate(zip(kernels, errors, strict=True)):
        doubt = pixels.doubt(moved[i])
        known = sky[i] + shot[i] * np.maximum(centre + moved[i], 0)
        bright = (error * doubt > BRIGHT * np.sqrt(known)) & ~np.isnan(unmoved[i])
        if kernel.any() and np.count_nonzero(bright) >= FEWEST_BRIGHT:
            off = np.abs(unmoved[i, bright] - centre[bright]) / doubt[bright]
            raised[i] = error * min(max(float(np.quantile(off, IN_TAIL)) / TAIL / error, 1), MOST)
    return raised


def _amplification(kernels: Floats) -> Floats:
    places: Floats = (kernels[:, :, np.newaxis] * TERMS.T).sum(axis=1)
    return np.asarray((places**2).sum(axis=1))


def _combined(terms: Floats, factors: Floats) -> Floats:
    """Sum (n, m) terms, each times its factor."""
    total: Floats = (terms * factors[:, np.newaxis]).sum(axis=0)
    return total


def _not_negative(terms: Floats, values: Floats, weight: Floats) -> Floats:
    """Find the factors of one or two terms by least squares, none of them below zero."""
    unit = np.sqrt((terms**2).mean(axis=1, keepdims=True))
    terms = terms / unit
    factors = np.zeros(len(terms))
    used = np.full(len(terms), fill_value=True)
    while used.any():
        factors[used] = least_squares(terms[used].T, values[:, np.newaxis], weight)[:, 0]
        if (factors >= 0).all():
            break
        used &= factors > 0
        factors[:] = 0
    return np.asarray(factors / unit[:, 0])


@compiled
def heights_of_row(centres: Image, y: int, start: int, heights: Floats) -> None:
    """Find how high light is over its surroundings: what another seeing can move.

    Parameters
    ----------
    centres : (k, nx) ndarray of float32
        The light that the frames share [units of the stack].
    y : int
        Row.
    start : int
        First column.
    heights : (m,) ndarray of float64
        Gets, for m columns, the highest of the 5 x 5 pixels over the lowest of the 11 x 11.
    """
    ny = centres.shape[0]
    width = heights.size + 2 * REACH
    line = np.empty(width, np.float32)
    highest = np.full(width, -np.inf, np.float32)
    lowest = np.full(width, np.inf, np.float32)
    for j in range(max(y - REACH, 0), min(y + REACH + 1, ny)):
        _fetch_line(centres[j], start - REACH, line)
        _keep_lower(line, lowest)
        if abs(j - y) <= CORE:
            _keep_higher(line, highest)
    top = np.full(heights.size, -np.inf, np.float32)
    ground = np.full(heights.size, np.inf, np.float32)
    for i in range(2 * REACH + 1):
        _keep_lower(lowest[i:], ground)
        if abs(i - REACH) <= CORE:
            _keep_higher(highest[i:], top)
    for k in range(heights.size):
        heights[k] = np.float64(top[k]) - np.float64(ground[k])


@compiled
def brightest_of_row(middles: Image, y: int, start: int, brightest: Floats) -> None:
    """Find the brightest of the 11 x 11 pixels around, infinite if one of them has no data.

    Parameters as for `heights_of_row`.
    """
    if not REACH <= y < middles.shape[0] - REACH:
        brightest[:] = np.inf
        return
    width = brightest.size + 2 * REACH
    line, highest = np.empty(width, np.float32), np.full(width, -np.inf, np.float32)
    for j in range(y - REACH, y + REACH + 1):
        _fetch_line(middles[j], start - REACH, line)
        for k in range(width):
            line[k] = np.float32(np.inf) if np.isnan(line[k]) else line[k]
        _keep_higher(line, highest)
    top = np.full(brightest.size, -np.inf, np.float32)
    for i in range(2 * REACH + 1):
        _keep_higher(highest[i:], top)
    copy_line(top, brightest)


@compiled
def _keep_lower(line: Image, lowest: Image) -> None:
    """Take over what is lower in a line; NaN is not."""
    for k in range(lowest.size):
        lowest[k] = line[k] if line[k] < lowest[k] else lowest[k]


@compiled
def _keep_higher(line: Image, highest: Image) -> None:
    """Take over what is higher in a line; NaN is not."""
    for k in range(highest.size):
        highest[k] = line[k] if line[k] > highest[k] else highest[k]


@compiled
def _fetch_line(row: Image, start: int, line: Image) -> None:
    """Copy a row from column `start` on; NaN beyond the image."""
    first, last = max(-start, 0), min(line.size, row.size - start)
    line[:first], line[last:] = np.nan, np.nan
    copy_line(row[start + first : start + last], line[first:last])


@compiled
def respond(middles: Image, y: int, x: int, responses: Floats) -> None:
    """Compute what each of `TERMS` makes of the light around a pixel.

    What is missing there counts as light of the pixel itself, which the terms do not move.
    """
    ny, nx = middles.shape
    responses[:] = 0.0
    for j in range(-REACH, REACH + 1):
        for i in range(-REACH, REACH + 1):
            inside = 0 <= y - j < ny and 0 <= x - i < nx
            value = np.float64(middles[y - j, x - i] if inside else np.nan) - middles[y, x]
            if not np.isnan(value):
                place = (j + REACH) * (2 * REACH + 1) + i + REACH
                for term in range(responses.size):
                    responses[term] += value * TERMS[place, term]
