"""Cosmic rays of single frames, found by L.A.Cosmic."""

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.robust import MAD_TO_SIGMA

APART, CONTRAST, GROWN = 7.0, 15.0, 0.3
"""Times the noise that a pixel stands out, times that it is sharper than what is fine in an image
otherwise, and part of the first limit for the pixels beside it.

Tuned on simulated stars of 2 and 3 pixels FWHM: none is touched, and nine in ten pixels of cosmic
rays are found."""

PEAK, STAR_BESIDE = 5.0, 0.12
"""Times the noise that a peak is above the sky, and share of its light that the darkest of the
four pixels beside it has where it is a star: 0.2 at 2 pixels FWHM, between pixels."""

BORDER = 8
"""Pixels by which the image is mirrored beyond its border, where the package does not filter."""

REACH = 5
"""Side of the square about saturated pixels in which nothing is looked for [pixels]."""


LIT, SHARE, FEWEST_LIT = 3.0, 0.02, 6
"""Of the eight pixels about a peak in a mosaic, so many have this many times the noise, and this
share of its light, where it is a star: those beside it may have little of a star of one colour."""

SURE = 10.0
"""Times the noise that starlight is above the sky where its colour is looked at: on fields of 3 to
150 stars with 30 and 100 cosmic rays, from a quarter of it to twice as much finds as many rays and
touches as few stars; four times loses some."""

FEWEST_CELLS = 100
"""Of fewer places with starlight its colour cannot be told. A quarter and four times as many do
for the same fields."""


def find_cosmic_rays(
    data: NDArray[np.float32],
    saturated: NDArray[np.bool_],
    egain: float | None,
    *,
    is_mosaic: bool = False,
) -> NDArray[np.bool_]:
    """Find what is sharper than a star.

    Parameters
    ----------
    data : (ny, nx) ndarray of float32
        Frame with its sky [ADU], NaN where there is no data.
    saturated : (ny, nx) ndarray of bool
        Saturated pixels.
    egain : float or None
        [electrons per ADU]; where it is not known, the noise of the sky is taken for that of its
        photons alone.
    is_mosaic : bool, optional
        Whether each of 2 x 2 pixels sees another colour.

    Returns
    -------
    (ny, nx) ndarray of bool

    Notes
    -----
    The method is that of van Dokkum 2001 (PASP 113, 1420) as the package astroscrappy implements
    it. The noise is measured in the frame. On stars of 2 pixels FWHM its measure of sharpness
    fails now and then: peaks that are round are left alone, with the pixels about them.

    A mosaic is first evened: its sky is taken from each place of the pattern, and its light
    brought to that of the median star in all of them.
    """
    from astroscrappy import detect_cosmics
    from scipy.ndimage import maximum_filter

    no_data = np.isnan(data)
    excess, noise, variance = (_evened if is_mosaic else _lit)(data, egain)
    kept = no_data | maximum_filter(saturated, 2 * REACH - 1 if is_mosaic else REACH)
    whole, masked, invar = (
        np.pad(each, BORDER, mode="reflect") for each in (excess, kept, variance)
    )
    found, _ = detect_cosmics(
        whole,
        inmask=masked,
        invar=invar,
        sigclip=APART,
        sigfrac=GROWN,
        objlim=CONTRAST,
        satlevel=np.inf,
        cleantype="meanmask",
    )
    inner = slice(BORDER, -BORDER)
    kept |= maximum_filter(_cores(excess, noise, is_mosaic=is_mosaic), REACH)
    return np.asarray(found[inner, inner] & ~kept, bool)


def _lit(
    data: NDArray[np.float32], egain: float | None
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Tell an image's light without its sky, the noise of the sky, and the light's variance.

    What is unknown has no light.
    """
    sky = float(np.nanmedian(data))
    steps = np.abs(np.diff(data, axis=1))
    noise = max(MAD_TO_SIGMA * float(np.nanmedian(steps)) / 2**0.5, 1e-3)
    per_adu = 1 / egain if egain else noise**2 / max(sky, 1.0)
    excess = np.where(np.isnan(data), np.float32(0), data - np.float32(sky))
    variance = noise**2 + np.maximum(excess, 0) * np.float32(per_adu)
    return excess, np.full_like(data, noise), variance.astype(np.float32)


def _evened(
    data: NDArray[np.float32], egain: float | None
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Tell the same of a mosaic, all of whose places then show the median star alike."""
    from scipy.ndimage import uniform_filter

    parts: list[NDArray[np.float32]] = [np.empty_like(data) for _ in range(3)]
    places = [np.s_[row::2, column::2] for row, column in np.ndindex(2, 2)]
    for place in places:
        for part, found in zip(parts, _lit(data[place], egain), strict=True):
            part[place] = found
    excess, noise, variance = parts
    ny, nx = data.shape[0] // 2, data.shape[1] // 2
    cells = np.stack([uniform_filter(excess[place][:ny, :nx], 3) for place in places])
    grey = cells.mean(axis=0)
    # A cosmic ray has light in one or two of the four places: as its colour, that is none.
    is_starlight = np.partition(cells, 1, axis=0)[1] > SURE * float(noise[:2, :2].mean())
    if np.count_nonzero(is_starlight) >= FEWEST_CELLS:
        shares = np.median(cells[:, is_starlight] / grey[is_starlight], axis=1)
        for place, share in zip(places, np.maximum(shares, SHARE), strict=True):
            excess[place] /= np.float32(share)
            noise[place] /= np.float32(share)
            variance[place] /= np.float32(share) ** 2
    return excess, noise, variance


def _cores(
    excess: NDArray[np.float32], noise: NDArray[np.float32], *, is_mosaic: bool
) -> NDArray[np.bool_]:
    """Find peaks whose light reaches the pixels about them, as no cosmic ray's does."""
    from scipy.ndimage import maximum_filter, minimum_filter, rank_filter

    beside = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], bool)
    is_peak = (excess == maximum_filter(excess, 3)) & (excess > PEAK * noise)
    is_core = minimum_filter(excess, footprint=beside) > STAR_BESIDE * excess
    if is_mosaic:
        about = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], bool)
        least = np.maximum(LIT * noise, SHARE * excess)
        is_core |= rank_filter(excess, -FEWEST_LIT, footprint=about) > least
    return np.asarray(is_peak & is_core)
