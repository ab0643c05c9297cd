"""From pixel values to greys in which stars and sky both show."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.robust import MAD_TO_SIGMA

NO_DATA = 90
"""Grey of pixels without data, lighter than the sky."""

SKY_LEVEL = 0.15
"""Share of white that the sky has."""


class Scale(NamedTuple):
    """How values about a sky become greys.

    Parameters
    ----------
    below : float
        How far below the sky black is.
    span : float
        From black to white.
    softening : float
        Share of the span up to which greys are linear.
    """

    below: float
    span: float
    softening: float


def scale_of(image: NDArray[np.floating]) -> Scale:
    """Find the scale that suits an image.

    Parameters
    ----------
    image : ndarray of float
        NaN where there is no data; somewhere there is some.

    Returns
    -------
    Scale
        From three standard deviations below the sky, estimated by median and MAD, to the brightest
        0.1 percent.
    """
    values = image[np.isfinite(image)]
    sky = np.median(values)
    sigma = MAD_TO_SIGMA * np.median(np.abs(values - sky))
    low = max(sky - 3 * sigma, values.min())
    high = max(np.percentile(values, 99.9), low + 10 * sigma, low + 1e-9)
    # The softening that puts the sky at its grey, found on a grid.
    grid = np.geomspace(1e-4, 10, 400)
    sky_position = (sky - low) / (high - low)
    greys = np.arcsinh(sky_position / grid) / np.arcsinh(1 / grid)
    softening = grid[np.argmin(np.abs(greys - SKY_LEVEL))]
    return Scale(float(sky - low), float(high - low), float(softening))


def stretch(image: NDArray[np.floating], scale: Scale | None = None) -> NDArray[np.uint8]:
    """Map an image to 8-bit greys so that stars and sky both show.

    Parameters
    ----------
    image : (ny, nx) ndarray of float
        NaN where there is no data.
    scale : Scale, optional
        Of another image that this one is to be compared with: what is as far above its sky is as
        bright. By default the image's own.

    Returns
    -------
    (ny, nx) ndarray of uint8
        An inverse hyperbolic sine of the values (Lupton et al. 2004, PASP 116, 133).
    """
    values = image[np.isfinite(image)]
    if values.size == 0:
        return np.full(image.shape, NO_DATA, np.uint8)
    below, span, softening = scale or scale_of(image)
    low = np.median(values) - below
    position = np.clip((image - low) / span, 0, 1)
    grey = 255 * np.arcsinh(position / softening) / np.arcsinh(1 / softening)
    return np.where(np.isfinite(grey), grey, NO_DATA).astype(np.uint8)


def faded(picture: NDArray[np.uint8], share: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Fade a picture towards the grey of no data where little is behind it.

    Parameters
    ----------
    picture : ndarray of uint8
    share : ndarray of float
        Between 0, where the picture is that grey, and 1, where it stays as it is.

    Returns
    -------
    ndarray of uint8
        Of the picture's shape.
    """
    return np.round(NO_DATA + share * (picture - float(NO_DATA))).astype(np.uint8)
