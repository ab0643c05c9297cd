"""Levels of a frame that are not of its sky: where something covered a part of it, or shone in."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.linear import least_squares
from scripts.lightstack.sky.surface import N_TERMS

Floats = NDArray[np.float64]

ODD_NOISE, ODD_TIMES = 3.0, 10.0
"""A level is odd that is so many times the noise of most frames' pixels, and so many times as far
as levels mostly are, from the other frames': none is in five real nights."""

CELLS_PER_TERM = 4
"""Fewest cells of a frame for each term of its surface."""

FEWEST_FRAMES = 3
"""Frames in a cell of which one can be the odd one."""

TRUSTED = 0.6
"""Share of a frame's levels that are of its sky, at least."""

STEPS = 10
"""Most rounds of choosing the levels that fit best; some are enough (Rousseeuw & Van Driessen
2006, Data Mining and Knowledge Discovery 12, 29)."""


class _Fit(NamedTuple):
    rest: Floats
    scatter: float


def odd_levels(levels: Floats, columns: Floats, own: Floats, noise: Floats) -> NDArray[np.bool_]:
    """Find the levels of frames that are not of their skies.

    Parameters
    ----------
    levels : (n, k) ndarray of float64
        Of the frames' skies in cells [ADU], NaN where a frame does not reach.
    columns : (k, m) ndarray of float64
        Terms of a surface in the cells.
    own : (n, m) ndarray of float64
        Coefficients of the frames' surfaces, as well as they can be known with these levels.
    noise : (n,) ndarray of float64
        Of the frames' pixels [ADU].

    Returns
    -------
    (n, k) ndarray of bool
    """
    rest = levels - surfaces(columns, own)
    judged = np.isfinite(rest).sum(axis=0) >= FEWEST_FRAMES
    odd = np.zeros(levels.shape, bool)
    if not judged.any():
        return odd
    away = np.abs(rest - _middle(rest))[:, judged]
    least = ODD_NOISE * float(np.median(noise))
    limit = max(least, ODD_TIMES * float(np.nanmedian(away)))
    suspect = (away > limit).any(axis=1)
    typical = _middle(rest[~suspect]) if not suspect.all() else _middle(rest)
    for k in np.flatnonzero(suspect):
        seen = np.flatnonzero(np.isfinite(levels[k] - typical))
        fit = _fit_of_most(columns[seen], levels[k, seen] - typical[seen])
        odd[k, seen] = np.abs(fit.rest) > max(least, ODD_TIMES * fit.scatter)
    return odd


def _middle(rest: Floats) -> Floats:
    """Medians (k,) of what frames have in cells; NaN where none reaches."""
    reached = np.isfinite(rest).any(axis=0)
    middle = np.full(rest.shape[1], np.nan)
    middle[reached] = np.nanmedian(rest[:, reached], axis=0)
    return middle


def surfaces(columns: Floats, own: Floats) -> Floats:
    """Evaluate the surfaces of frames, of coefficients (n, m), in cells: (n, k)."""
    return np.stack([(columns * one).sum(axis=1) for one in own])


def degree_of(n_cells: int) -> int:
    """Highest degree that so many cells hold."""
    return sum(n_cells >= CELLS_PER_TERM * number for number in N_TERMS[1:])


def _fit_of_most(columns: Floats, values: Floats) -> _Fit:
    """Fit a surface to those of the values that it fits best: least trimmed squares.

    It begins with all of them and with each half of the picture, as what is odd may be beside it.
    """
    count = math.ceil(TRUSTED * len(values))
    used = columns[:, : N_TERMS[degree_of(count)]]
    right, low = (column > np.median(column) for column in columns.T[1:3])
    fits = []
    for start in (np.ones(len(values), bool), right, ~right, low, ~low):
        chosen = start
        for _ in range(STEPS):
            fitted = least_squares(used, values[:, np.newaxis], chosen.astype(float))[:, 0]
            rest = values - (used * fitted).sum(axis=1)
            before, chosen = chosen, np.zeros(len(values), bool)
            chosen[np.argsort(np.abs(rest), kind="stable")[:count]] = True
            if (chosen == before).all():
                break
        fits.append(_Fit(rest, math.sqrt(np.mean(rest[chosen] ** 2))))
    return min(fits, key=lambda fit: fit.scatter)
