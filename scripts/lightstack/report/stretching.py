"""From pixel values to greys in which stars and sky both show."""

import numpy as np
from numpy.typing import NDArray

NO_DATA = 40
SKY_LEVEL = 0.15


def stretch(image: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Map an image to 8-bit greys so that stars and sky both show.

    Parameters
    ----------
    image : (ny, nx) ndarray of float
        NaN where there is no data.

    Returns
    -------
    (ny, nx) ndarray of uint8
        An inverse hyperbolic sine between three standard deviations below the sky, estimated by
        median and MAD, and the brightest 0.1 percent (Lupton et al. 2004, PASP 116, 133).
    """
    values = image[np.isfinite(image)]
    if values.size == 0:
        return np.full(image.shape, NO_DATA, np.uint8)
    sky = np.median(values)
    sigma = 1.4826 * np.median(np.abs(values - sky))
    low = max(sky - 3 * sigma, values.min())
    high = max(np.percentile(values, 99.9), low + 10 * sigma, low + 1e-9)
    position = np.clip((image - low) / (high - low), 0, 1)
    # The softening that puts the sky at its grey, found on a grid.
    grid = np.geomspace(1e-4, 10, 400)
    sky_position = (sky - low) / (high - low)
    greys = np.arcsinh(sky_position / grid) / np.arcsinh(1 / grid)
    softening = grid[np.argmin(np.abs(greys - SKY_LEVEL))]
    grey = 255 * np.arcsinh(position / softening) / np.arcsinh(1 / softening)
    return np.where(np.isfinite(grey), grey, NO_DATA).astype(np.uint8)
