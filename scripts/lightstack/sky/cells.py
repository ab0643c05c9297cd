"""The level of the sky in the cells of an image, beside its stars."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.compiling import compiled, copy_line
from scripts.lightstack.robust import MEDIAN_ERROR
from scripts.lightstack.sky.masks import grown
from scripts.lightstack.sky.noise import noise_of_sky
from scripts.lightstack.sky.surface import Surface

Floats = NDArray[np.float64]

BIN = 4
"""Pixels that are averaged along either axis, before stars are told from the sky."""

CELLS = 400
"""About so many cells make an image: many for each coefficient of a surface."""

SMALLEST_CELL = 4
"""Least side of a cell [bins]."""

LIGHT = 3.0
"""Bins that are so much brighter than the sky are masked [standard deviations of a bin]; of bins
of sky one in 700 is."""

WINGS = 4.0
"""The mask reaches one bin further for each such factor of light."""

FEWEST = 1 / 20
"""Share of a cell's bins that must be sky for the cell to have a level: of 240, in 1.5 megapixels,
twelve tell it within 0.4 of a bin's noise."""


@dataclass(frozen=True)
class Cells:
    """Levels of the sky.

    Parameters
    ----------
    grid : (int, int)
        Cells along y and along x.
    x, y : (k,) ndarray of float64
        Their middles [pixels], row by row.
    level : (k,) ndarray of float64
        [ADU]; NaN where no sky is seen.
    error : (k,) ndarray of float64
        Standard deviation of the level by the noise of pixels [ADU].
    """

    grid: tuple[int, int]
    x: Floats
    y: Floats
    level: Floats
    error: Floats


class Bins:
    """An image averaged over small squares.

    Parameters
    ----------
    data : (ny, nx) ndarray of float32
        Pixels [ADU], NaN where there is no data.

    Attributes
    ----------
    noise : float
        Standard deviation of the bins of the sky [ADU].
    """

    def __init__(self, data: NDArray[np.float32]) -> None:
        self._values = _binned(data)
        self.noise = noise_of_sky(self._values)
        if not np.isfinite(self.noise):
            self.noise = float(np.nan_to_num(noise_of_sky(data) / BIN))

    def cells(self, sky: Surface | None = None) -> Cells:
        """Measure the level of the sky in each cell: the median of its bins.

        Parameters
        ----------
        sky : Surface, optional
            A first model of the sky: what is brighter is masked, and around it the further the
            brighter it is. Cells of which too little is left have the level of all their bins.
            It is taken off before and put on again at the middle of each cell, lest the sky's
            slope count as noise, and as light where more is masked on one side.

        Returns
        -------
        Cells
        """
        if sky is None:
            return _cells(self._values, self.noise)
        ny, nx = self._values.shape
        # A bin's level is the surface's at its middle, but for its curvature within the bin.
        binned = Surface((ny, nx), sky.coefficients)
        light = self._values - binned.rows(0, ny)
        cells = _cells(light, self.noise)
        beside_light = _cells(self._masked(light), self.noise)
        is_lit = np.isnan(beside_light.level)
        of_sky = binned.at((cells.x + 0.5) / BIN - 0.5, (cells.y + 0.5) / BIN - 0.5)
        return replace(
            beside_light,
            level=np.where(is_lit, cells.level, beside_light.level) + of_sky,
            error=np.where(is_lit, cells.error, beside_light.error),
        )

    def _masked(self, light: NDArray[np.float32]) -> NDArray[np.float32]:
        """Give what bins have beside the sky with NaN where it is light, and around."""
        limit = LIGHT * self.noise
        masked = np.zeros(light.shape, bool)
        levels = [limit]
        brightest = float(np.nanmax(light, initial=limit))
        # Of a sky that is clipped to one value no noise is known.
        while 0 < levels[-1] * WINGS < brightest:
            levels.append(levels[-1] * WINGS)
        for level in reversed(levels):
            masked = grown(masked) | (light > level)
        return np.where(grown(masked), np.float32(np.nan), light)


def _cells(bins: NDArray[np.float32], noise: float) -> Cells:
    """Take the median of the bins of each cell, whose noise is known."""
    ny, nx = bins.shape
    side = max(SMALLEST_CELL, round((ny * nx / CELLS) ** 0.5))
    n_y, n_x = -(-ny // side), -(-nx // side)
    padded = np.full((n_y * side, n_x * side), np.nan, np.float32)
    padded[:ny, :nx] = bins
    rows = padded.reshape(n_y, side, n_x, side).swapaxes(1, 2).reshape(n_y * n_x, -1)
    ranked = np.sort(rows, axis=1)  # NaN comes last
    number = np.count_nonzero(np.isfinite(ranked), axis=1)
    cell = np.arange(len(ranked))
    low = ranked[cell, np.maximum(number - 1, 0) // 2]
    high = ranked[cell, number // 2 % side**2]
    level = np.where(number >= FEWEST * side**2, (low.astype(float) + high) / 2, np.nan)
    error = MEDIAN_ERROR * noise / np.sqrt(np.maximum(number, 1))
    middles = (np.indices((n_y, n_x)).reshape(2, -1) + 0.5) * side * BIN - 0.5
    return Cells((n_y, n_x), middles[1], middles[0], level, error)


@compiled
def _binned(data: NDArray[np.float32]) -> NDArray[np.float32]:
    """Average squares of pixels, of those that have data; NaN where fewer than half have."""
    height, width = min(BIN, data.shape[0]), min(BIN, data.shape[1])
    bins = np.empty((data.shape[0] // height, data.shape[1] // width), np.float32)
    line = np.empty(data.shape[1], np.float32)
    for j in range(bins.shape[0]):
        rows = data[j * height : (j + 1) * height]
        copy_line(rows[0], line)
        for k in range(1, height):
            for x in range(line.size):
                line[x] += rows[k, x]
        for i in range(bins.shape[1]):
            total = line[i * width]
            for k in range(1, width):
                total += line[i * width + k]
            bins[j, i] = total / np.float32(height * width)
            if not np.isfinite(total):
                bins[j, i] = _mean_of_known(rows[:, i * width : (i + 1) * width])
    return bins


@compiled
def _mean_of_known(square: NDArray[np.float32]) -> np.float32:
    """Average the pixels that have data; NaN where fewer than half have."""
    total, number = np.float32(0), 0
    for x in range(square.shape[1]):
        of_column = np.float32(0)
        for y in range(square.shape[0]):
            if np.isfinite(square[y, x]):
                of_column += square[y, x]
                number += 1
        total += of_column
    return total / np.float32(number) if 2 * number >= square.size else np.float32(np.nan)
