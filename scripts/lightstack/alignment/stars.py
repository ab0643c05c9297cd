"""The stars of one frame, as the alignment sees them."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.detection.sharpness import sharpest_star

Floats = NDArray[np.float64]

Indices = NDArray[np.intp]

NARROWEST = 0.6
"""Width of the sharpest star over that of a typical one.

Tuned with the tests of hot pixels (`tests/test_registration.py`).
"""

SURROUNDINGS_PX = 64
"""Side of the squares in which stars are counted: a cluster's, but not a close pair's."""


@dataclass(frozen=True)
class Stars:
    """Sources of one frame.

    What is derived from them is kept: one reference serves a thousand frames.

    Parameters
    ----------
    xy : (n, 2) ndarray of float64
        Positions ``(x, y)``, 0-based, pixel centres at integers [pixels].
    flux : (n,) ndarray of float64
        [ADU]
    fwhm : (n,) ndarray of float64
        [pixels]
    shape : (int, int)
        ``(ny, nx)`` of the image [pixels].
    saturated : (n,) ndarray of bool, optional
        Sources whose flux is cut; default: none.
    """

    xy: Floats
    flux: Floats
    fwhm: Floats
    shape: tuple[int, int]
    saturated: NDArray[np.bool_] | None = None

    def __getitem__(self, chosen: slice | NDArray[Any]) -> "Stars":
        """Pick some of the sources, by slice, index or mask."""
        saturated = None if self.saturated is None else self.saturated[chosen]
        return Stars(self.xy[chosen], self.flux[chosen], self.fwhm[chosen], self.shape, saturated)

    def __len__(self) -> int:
        """How many sources there are."""
        return len(self.flux)

    def without(self, dropped: Indices) -> "Stars":
        """Leave out some of the sources, by index."""
        return self[np.setdiff1d(np.arange(len(self)), dropped)] if len(dropped) else self

    @cached_property
    def is_saturated(self) -> NDArray[np.bool_]:
        """Which fluxes saturation has cut."""
        return np.zeros(len(self), bool) if self.saturated is None else self.saturated

    @cached_property
    def candidates(self) -> "Stars":
        """What may be stars, the brightest first: an order that the input's has no part in.

        Hot pixels may outnumber the stars, so the stars' width is not that of the majority: a
        limit that hot pixels have no part in comes first.
        """
        usable = np.isfinite(self.xy).all(axis=1) & np.isfinite(self.flux) & (self.flux > 0)
        stars = self[usable & np.isfinite(self.fwhm) & (self.fwhm >= sharpest_star(self.fwhm))]
        stars = stars[np.lexsort((stars.xy[:, 1], stars.xy[:, 0], -stars.flux))]
        if len(stars):
            # The brightest may be saturated, the rest may be hot pixels: the smaller is safe.
            typical = min(np.median(stars.fwhm), np.median(stars.fwhm[:50]))
            stars = stars[stars.fwhm >= NARROWEST * typical]
        return stars

    @cached_property
    def faint_flux(self) -> float:
        """That of the stars which a tenth of all do not reach [ADU]."""
        return float(np.percentile(self.flux, 10))

    @cached_property
    def tree(self) -> Any:
        """(scipy.spatial.KDTree) All positions, to be searched for the nearest."""
        from scipy.spatial import KDTree

        return KDTree(self.xy)

    @cached_property
    def density(self) -> float:
        """Stars per square pixel around a star: more than the mean in a cluster."""
        if not len(self):
            return 0.0
        # One number per square: NumPy takes ten times as long to tell pairs apart.
        square = (self.xy // SURROUNDINGS_PX) @ (1.0, 1e6)
        _, count = np.unique(square, return_counts=True)
        surroundings = np.sum(count * (count - 1.0)) / len(self) / SURROUNDINGS_PX**2
        return float(max(surroundings, len(self) / np.prod(self.shape)))
