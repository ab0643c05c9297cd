"""Scatter that outliers do not sway."""

import numpy as np
from numpy.typing import NDArray

MAD_TO_SIGMA = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""

MEDIAN_ERROR = 1.2533
"""Error of a median over that of a mean, of normal values: sqrt(pi / 2)."""


def scatter(values: NDArray[np.floating]) -> float:
    """Tell the standard deviation of values about their median, were they normal.

    Parameters
    ----------
    values : ndarray of float
        One or more, all finite.

    Returns
    -------
    float
        In their unit, by the median absolute deviation.
    """
    return MAD_TO_SIGMA * float(np.median(np.abs(values - np.median(values))))
