"""Cosmic rays of single frames, found by L.A.Cosmic."""

import numpy as np
from numpy.typing import NDArray

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


def find_cosmic_rays(
    data: NDArray[np.float32], saturated: NDArray[np.bool_], egain: float | None
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

    Returns
    -------
    (ny, nx) ndarray of bool

    Notes
    -----
    The method is that of van Dokkum 2001 (PASP 113, 1420) as the package astroscrappy implements
    it. The noise is measured in the frame. On stars of 2 pixels FWHM its measure of sharpness
    fails now and then: peaks that are round are left alone, with the pixels about them.
    """
    from astroscrappy import detect_cosmics
    from scipy.ndimage import maximum_filter

    no_data = np.isnan(data)
    sky = float(np.nanmedian(data))
    steps = np.abs(np.diff(data, axis=1))
    noise = max(1.4826 * float(np.nanmedian(steps)) / 2**0.5, 1e-3)
    per_adu = 1 / egain if egain else noise**2 / max(sky, 1.0)
    filled = np.where(no_data, np.float32(sky), data)
    variance = noise**2 + np.maximum(filled - np.float32(sky), 0) * np.float32(per_adu)
    kept = no_data | maximum_filter(saturated, REACH)
    whole, masked, invar = (
        np.pad(each, BORDER, mode="reflect")
        for each in (filled, kept, variance.astype(np.float32))
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
    kept |= maximum_filter(_cores(filled - np.float32(sky), noise), REACH)
    return np.asarray(found[inner, inner] & ~kept, bool)


def _cores(excess: NDArray[np.float32], noise: float) -> NDArray[np.bool_]:
    """Find peaks whose light reaches all four pixels beside them, as no cosmic ray's does."""
    from scipy.ndimage import maximum_filter, minimum_filter

    beside = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], bool)
    is_peak = (excess == maximum_filter(excess, 3)) & (excess > PEAK * noise)
    lowest = minimum_filter(excess, footprint=beside)
    return np.asarray(is_peak & (lowest > STAR_BESIDE * excess))
