"""The median of a few images, pixel by pixel.

Stacks have their own, beside all their other modes: that one may change without a new master dark
and, with it, new frames.
"""

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.compiling import compiled


def median(cube: NDArray[np.float32]) -> NDArray[np.float32]:
    """Find the median of each pixel.

    Parameters
    ----------
    cube : (n, ny, nx) ndarray of float32, C-contiguous
        The images; NaN is no data.

    Returns
    -------
    (ny, nx) ndarray of float32
        Of an even number of values the mean of the two in the middle; NaN where no image has
        data.
    """
    image = np.empty(cube.shape[1:], np.float32)
    _median(cube, image)
    return image


@compiled
def _median(cube: NDArray[np.float32], image: NDArray[np.float32]) -> None:
    """Sort the lower half of each row's values by exchanges, all columns at a time."""
    n, height, width = cube.shape
    ranked = np.empty((n, width), np.float32)
    for y in range(height):
        count = np.zeros(width, np.int64)
        for i in range(n):
            for x in range(width):
                missing = np.isnan(cube[i, y, x])
                ranked[i, x] = np.float32(np.inf) if missing else cube[i, y, x]
                count[x] += not missing
        for rank in range(n // 2 + 1):
            for i in range(rank + 1, n):
                for x in range(width):
                    a, b = ranked[rank, x], ranked[i, x]
                    ranked[rank, x] = a if a < b else b
                    ranked[i, x] = b if a < b else a
        for x in range(width):
            low, high = ranked[max(count[x] - 1, 0) // 2, x], ranked[count[x] // 2, x]
            middle = (np.float64(low) + np.float64(high)) / 2
            image[y, x] = middle if count[x] else np.nan
