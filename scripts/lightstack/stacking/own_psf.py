"""The point-spread function of a stack, as its own stars show it."""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.detection.quality import fwhm_range, stars
from scripts.lightstack.detection.sources import detect, measure
from scripts.lightstack.raw.image import UnusableFrameError, central_region
from scripts.lightstack.robust import MAD_TO_SIGMA

REACH = 20
"""How far the point-spread function is told [pixels]; tuned, as what follows without a reason,
with `benchmarks/proper_table.py`."""

LARGEST = 2048
"""Side of the region in the middle whose stars are looked at, at most [pixels]."""

FOUND: dict[str, Any] = {"threshold_sigma": 10.0, "minarea": 5, "smoothing_sigma": 1.0}
"""What is worth measuring, as for `detection.sources.detect`."""

N_STARS, LEAST_STARS = 100, 3
"""Stars that are averaged, at most and at least."""

LINEAR_SHARE = 0.6
"""Of the level of saturation that the peak of a star may have, as in `stacking.seeing`."""

LEAST_PEAK = 30.0
"""Of the peak of a star [noise]."""

ALONE = 0.05
"""Light of other stars around a star, over its own, that is taken for none."""

OUTLIER = 4.0
"""What lies further from the median of the stars is another one's [standard deviations]."""

UNLIKELY = 3.0
"""Sources whose width lies further from the median are no stars [scaled MAD]."""

RIM = 2
"""Width of the rim that tells the sky around a star [pixels]."""

Floats = NDArray[np.float64]


class Psf(NamedTuple):
    """What a stack makes of a star.

    Attributes
    ----------
    image : (41, 41) ndarray of float32
        Of a star whose centroid is the middle pixel's centre; its sum is one.
    n_stars : int
        How many stars were averaged; 0 if there are too few, and the image is NaN.
    """

    image: NDArray[np.float32]
    n_stars: int


class Middle:
    """The middle of an image, kept while the bands of its rows go by.

    Parameters
    ----------
    shape : tuple of int
        As of a `files.stack_file.StackWriter`: planes follow each other.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        *planes, self._ny, nx = shape
        self._rows, self._columns = central_region((self._ny, nx), LARGEST)
        size = min(self._ny, LARGEST), min(nx, LARGEST)
        self.planes = np.empty((math.prod(planes), *size), np.float32)

    def add(self, rows: NDArray[np.float32], first: int) -> None:
        """Take rows of the image from one on."""
        top, bottom = self._rows.start, self._rows.stop
        for number, line in enumerate(rows, first):
            plane, row = divmod(number, self._ny)
            if top <= row < bottom:
                self.planes[plane, row - top] = line[self._columns]


def measure_psf(image: NDArray[np.float32], noise: float, saturation: float) -> Psf:
    """Average the stars of an image.

    Parameters
    ----------
    image : (ny, nx) ndarray of float32
        Without its sky [ADU]; NaN where there is no data.
    noise : float
        Standard deviation of the sky [ADU].
    saturation : float
        Level of saturated pixels [ADU].

    Returns
    -------
    Psf

    Notes
    -----
    A star is shifted by a part of a pixel in its transform, which is exact where the image is
    sampled well enough. Of each pixel, values that other stars have spoiled are left out.
    """
    unknown = Psf(np.full((2 * REACH + 1, 2 * REACH + 1), np.nan, np.float32), 0)
    if not noise > 0:
        return unknown
    try:
        guesses = detect(image, noise, **FOUND)
    except UnusableFrameError:
        return unknown
    sources = measure(image, np.zeros(image.shape, bool), guesses, noise)
    likely = stars(sources, fwhm_range(sources["fwhm"], UNLIKELY))
    usable = (likely["peak"] < LINEAR_SHARE * saturation) & (likely["peak"] > LEAST_PEAK * noise)
    stamps, fluxes = [], []
    for star in likely[usable]:
        near = np.hypot(sources["x"] - star["x"], sources["y"] - star["y"]) < 1.5 * REACH
        if sources["flux"][near].sum() > (1 + ALONE) * star["flux"]:
            continue
        stamp = _centred(image, float(star["x"]), float(star["y"]))
        if stamp is not None:
            stamps.append(stamp / stamp.sum())
            fluxes.append(float(star["flux"]))
        if len(stamps) == N_STARS:
            break
    if len(stamps) < LEAST_STARS:
        return unknown
    values, weights = np.array(stamps), np.array(fluxes)[:, np.newaxis, np.newaxis]
    off = np.abs(values - np.median(values, axis=0))
    kept = weights * (off <= OUTLIER * MAD_TO_SIGMA * np.median(off, axis=0))
    psf = (values * kept).sum(axis=0) / kept.sum(axis=0)
    return Psf(np.round(psf / psf.sum(), 9).astype(np.float32), len(stamps))


def _centred(image: NDArray[np.float32], x: float, y: float) -> Floats | None:
    """Cut out a star, without the sky around it, with its centroid in the middle pixel."""
    column, row = round(x), round(y)
    top, left = row - REACH - RIM, column - REACH - RIM
    size = 2 * (REACH + RIM) + 1
    stamp = image[max(top, 0) : top + size, max(left, 0) : left + size].astype(float)
    if stamp.shape != (size, size) or not np.isfinite(stamp).all():
        return None
    inner = np.s_[RIM:-RIM, RIM:-RIM]
    rim = np.full(stamp.shape, fill_value=True)
    rim[inner] = False
    stamp -= np.median(stamp[rim])
    along, across = np.fft.fftfreq(size)[:, np.newaxis], np.fft.rfftfreq(size)
    turned = np.exp(2j * np.pi * (along * (y - row) + across * (x - column)))
    shifted = np.fft.irfft2(np.fft.rfft2(stamp) * turned, stamp.shape)
    return np.asarray(shifted[inner])
