"""What of the artificial light a stack shows: completeness, fluxes, depth."""

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.checking.artificial import BINS, SCALES, Truth, aperture, seen
from scripts.lightstack.robust import scatter

NEAR = 2.0
"""Distance within which a star is found [pixels]."""

ZERO_POINT = 25.0
"""Magnitude of one ADU of the reference."""

COLUMNS = (
    "mode",
    "colour",
    "source",
    "magnitude",
    "n",
    "found",
    "completeness",
    "flux_percent",
    "scatter_percent",
)


class Recovery(NamedTuple):
    """What became of the light in the stack of a mode.

    Attributes
    ----------
    rows : list of dict
        In the columns of the table.
    depth : float
        Magnitude at which half of the stars are found; NaN if it lies beyond those there are.
    """

    rows: list[dict[str, Any]]
    depth: float


def magnitude(flux: float) -> float:
    """Give the magnitude of a flux [ADU of the reference]."""
    return float(ZERO_POINT - 2.5 * np.log10(flux))


def recover(
    of: tuple[str, str],
    before: NDArray[np.float32],
    after: NDArray[np.float32],
    noise: float,
    truth: Truth,
) -> Recovery:
    """Compare the stacks of a mode without and with the artificial light.

    Parameters
    ----------
    of : (str, str)
        Mode and colour, which is empty of a grey stack.
    before, after : (ny, nx) ndarray of float32
        They have the same noise, so what differs is the light that came through [ADU].
    noise : float
        Of the stacks [ADU].
    truth : Truth

    Returns
    -------
    Recovery
    """
    gained = np.where(np.isfinite(before) & np.isfinite(after), after - before, 0).astype(float)
    there = seen(after, noise)
    found = np.array([bool((np.hypot(*(there - at).T) < NEAR).any()) for at in truth.xy], bool)
    measured = np.array([aperture(gained, *at) for at in truth.xy])
    flux = measured / truth.share / truth.flux
    rows, shares = [], []
    for step in range(BINS):
        these = truth.step == step
        if not these.any():
            continue
        shares.append((magnitude(truth.flux[these][0]), found[these].mean()))
        spread = scatter(flux[these])
        rows.append(_row(of, "star", shares[-1][0], found[these], np.median(flux[these]), spread))
    y, x = np.indices(gained.shape)
    radius = np.hypot(x - truth.disc[0], y - truth.disc[1]) / truth.scale
    inside = radius < SCALES
    whole = truth.brightness * np.exp(-radius[inside]).sum()
    kept = gained[inside].sum() / whole
    rows.append(_row(of, "disc", magnitude(whole), None, kept, None))
    return Recovery(rows, _half(shares))


def _row(
    of: tuple[str, str],
    source: str,
    brightness: float,
    found: NDArray[np.bool_] | None,
    flux: float,
    scatter: float | None,
) -> dict[str, Any]:
    return {
        "mode": of[0],
        "colour": of[1],
        "source": source,
        "magnitude": round(brightness, 2),
        "n": 1 if found is None else len(found),
        "found": "" if found is None else int(found.sum()),
        "completeness": "" if found is None else round(float(found.mean()), 3),
        "flux_percent": round(100 * float(flux), 2),
        "scatter_percent": "" if scatter is None else round(100 * float(scatter), 2),
    }


def _half(shares: list[tuple[float, float]]) -> float:
    """Magnitude where the share that is found falls to a half; shares from the faintest on."""
    for (faint, low), (bright, high) in pairwise(shares):
        if low < 0.5 <= high:
            return float(faint + (bright - faint) * (0.5 - low) / (high - low))
    return float("nan")
