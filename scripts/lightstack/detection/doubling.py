"""Frames that show each star twice: the mount jumped while they were exposed."""

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.reason import Reason

N_BRIGHT = 60
"""Stars that are looked at: those of 73 real frames have one vector twice at most."""

FARTHEST_PX = 100.0
"""Longest jump that is looked for [pixels]."""

NEAREST_PX = 2.0
"""Shorter ones make stars long, not two [pixels]."""

CELL_PX = 2.0
"""Vectors that differ by less are the same, some tenths being the error of each star [pixels]."""

SHARE, FEWEST = 0.2, 8
"""Pairs with the same vector, as a share of the stars, and at least: of images of the same light
there are 25 in 60, of one that is four times as bright as the other 15."""


def doubling(xy: NDArray[np.floating], flux: NDArray[np.floating]) -> Reason | None:
    """Look for a vector that many stars have to another one.

    Parameters
    ----------
    xy : (n, 2) ndarray of float
        Positions of the stars [pixels].
    flux : (n,) ndarray of float
        Their light.

    Returns
    -------
    dict or None
        The reason not to stack the frame, with the number of pairs, of stars, and the length of
        the vector [pixels].
    """
    bright = xy[np.argsort(-flux, kind="stable")[:N_BRIGHT]].astype(float)
    vectors = (bright[:, np.newaxis] - bright).reshape(-1, 2)
    length = np.sqrt((vectors**2).sum(axis=1))
    vectors = vectors[(length > NEAREST_PX) & (length < FARTHEST_PX)]
    fewest = max(FEWEST, SHARE * len(bright))
    if len(vectors) < 2 * fewest:
        return None
    best, count = vectors[0], 0
    # On one of the grids, the same vectors are not parted by the sides of a cell.
    for shift in ((0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (0.5, 0.5)):
        cells = np.floor(vectors / CELL_PX + shift)
        _, which, counts = np.unique(cells, axis=0, return_inverse=True, return_counts=True)
        if counts.max() > count:
            best = np.median(vectors[which.ravel() == counts.argmax()], axis=0)
            count = int(counts.max())
    if count < fewest:
        return None
    distance = float(np.sqrt((best**2).sum()))
    return {"code": "doubled", "value": count, "limit": len(bright), "distance": distance}
