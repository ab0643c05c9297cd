"""A smooth model of the sky that leaves extended light alone.

Light of nebulae and galaxies adds to the sky and takes nothing from it. So the cells of an image
are a mixture: of sky, whose levels scatter about a surface of low order as their noise says, and
of light above it. The surface with the greatest likelihood under that mixture is the sky, also
where only a tenth of the image is. What is left in doubt is its order: light that is wider than
the image looks like a curved sky. So the sky is taken to be curved only where a plane does not do,
and where there is enough of it beside the light.
"""

from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.linear import least_squares, products, solve
from scripts.lightstack.sky.cells import Bins, Cells
from scripts.lightstack.sky.masks import grown_by_its_size
from scripts.lightstack.sky.surface import HIGHEST_DEGREE, N_TERMS, Surface, terms

Floats = NDArray[np.float64]

QUANTILES = (0.5, 0.15, 0.03)
"""Surfaces below which these shares of the cells lie are where the search begins. Tuned, as what
follows: `benchmarks/sky_table.py`."""

NEVER_BELOW = 1e-3
"""How rarely a cell that is not sky is darker than it, over how often it is brighter."""

MARGIN = 0.25
"""How far what surrounds extended light is not trusted, over the light's own radius."""

CURVED, CURVED_BESIDE_LIGHT, CURVED_OF_ALL = 0.15, 0.5, 12.0
"""A surface of the next order is tried if it takes so much from the squared residuals of each
cell of sky (beside light that fills the image, whose rim looks like a curved sky), and so much
from them all [squared errors]."""

MOSTLY_SKY = 0.6
"""Share of the cells that are sky, from which on light does not fill the image."""

NEARLY_ALL_SKY = 0.85
"""Share of the cells that are sky, from which on a surface is believed, though a lower order may
do: it leaves no light."""

ENOUGH = (0.0, 0.05, 0.25, 0.4)
"""Share of the cells that are sky, without which a surface of this degree is not believed."""

FARTHEST = 3.0
"""Greatest error of a surface, anywhere on the image, over that of one cell."""

PROBABLE = 0.6745
"""Half of normal values are closer to zero than so many standard deviations."""


@dataclass(frozen=True)
class SkyModel:
    """The sky of an image, and where it was seen.

    Parameters
    ----------
    surface : Surface
        [ADU]
    cells : Cells
        The levels to which it was fitted.
    is_sky : (k,) ndarray of bool
        Cells in which there is sky alone.
    """

    surface: Surface
    cells: Cells
    is_sky: NDArray[np.bool_]


def model_sky(data: NDArray[np.float32]) -> SkyModel | None:
    """Model the sky of an image.

    Parameters
    ----------
    data : (ny, nx) ndarray of float32
        Pixels [ADU], NaN where there is no data.

    Returns
    -------
    SkyModel or None
        None if there is no cell with data.
    """
    bins = Bins(data)
    model = fit_sky(bins.cells(), data.shape)
    if model is None:
        return None
    beside_stars = bins.cells(model.surface)
    refined = fit_sky(beside_stars, data.shape, model.surface) or model
    if refined.is_sky.mean() > MOSTLY_SKY:
        return refined
    anew = fit_sky(beside_stars, data.shape) or refined
    return anew if anew.is_sky.mean() > MOSTLY_SKY else refined


def fit_sky(cells: Cells, shape: tuple[int, int], first: Surface | None = None) -> SkyModel | None:
    """Fit a surface to those cells that are sky.

    Parameters
    ----------
    cells : Cells
    shape : (int, int)
        ``(ny, nx)`` of the image [pixels].
    first : Surface, optional
        A first model, of no higher degree.

    Returns
    -------
    SkyModel or None
        None if no cell has a level.
    """
    known = np.isfinite(cells.level)
    if not known.any():
        return None
    middle = float(np.median(cells.level[known]))
    search = _Search(cells, shape, middle)
    best = search.fit(0) if known.sum() < 2 * N_TERMS[1] else search.best(first)
    coefficients = best.coefficients.copy()
    coefficients[0] += middle
    return SkyModel(Surface(shape, coefficients), cells, best.is_sky)


@dataclass(frozen=True)
class _Fit:
    """A surface of one degree.

    Parameters
    ----------
    degree : int
    coefficients : (m,) ndarray of float64
    is_sky : (k,) ndarray of bool
        Cells to which it was fitted.
    share : float
        Of the cells.
    """

    degree: int
    coefficients: Floats
    is_sky: NDArray[np.bool_]
    share: float


class _Search:
    """Surfaces of ever higher degree, through the cells of an image."""

    def __init__(self, cells: Cells, shape: tuple[int, int], middle: float) -> None:
        self._grid, self._middle = cells.grid, middle
        self._known = np.isfinite(cells.level)
        self._terms = terms(cells.x, cells.y, shape, HIGHEST_DEGREE)[self._known]
        self._levels = cells.level[self._known] - middle
        self._errors = _scatter(cells)[self._known]
        self._median_error = float(np.median(self._errors))

    def best(self, first: Surface | None = None) -> _Fit:
        """Choose the lowest degree that does, of those that can be believed, from a first on."""
        if first is None:
            believed, fit = self.fit(0), self.fit(1)
        else:
            start = first.coefficients.copy()
            start[0] -= self._middle
            believed = fit = self.fit(first.degree, start)
        is_needed = True
        while True:
            if is_needed:
                enough = max(ENOUGH[fit.degree], 0.9 * believed.share)
            else:
                enough = max(NEARLY_ALL_SKY, believed.share)
            if fit.share >= enough and self._is_supported(fit):
                believed = fit
            if fit.degree == HIGHEST_DEGREE:
                return believed
            start, is_better = self._next_order(fit)
            if fit is believed and not is_better:
                is_needed = False
                if fit.share > MOSTLY_SKY:
                    return believed
            fit = self.fit(fit.degree + 1, start)

    def fit(self, degree: int, *starts: Floats) -> _Fit:
        """Find the surface of a degree that makes the cells most likely."""
        columns = self._terms[:, : N_TERMS[degree]]
        found: list[tuple[float, Floats, NDArray[np.bool_]]] = []
        for start in chain(starts, (self._below(columns, share) for share in QUANTILES)):
            found.append(self._mixture(columns, start))
            if found[-1][2].sum() > MOSTLY_SKY * len(self._known):
                break
        sky = max(found, key=lambda one: one[0])[2]
        everywhere = np.zeros(self._known.shape, bool)
        everywhere[self._known] = sky
        light = np.zeros(self._known.shape, bool)
        light[self._known] = ~sky
        near = grown_by_its_size(light.reshape(self._grid), MARGIN).ravel()
        apart = everywhere & ~near
        if apart.sum() < max(4 * N_TERMS[degree], 0.03 * len(sky)):
            apart = everywhere
        chosen = apart[self._known]
        coefficients = self._least_squares(columns, chosen / self._errors**2)
        return _Fit(degree, coefficients, apart, float(apart.mean()))

    def _mixture(self, columns: Floats, start: Floats) -> tuple[float, Floats, NDArray[np.bool_]]:
        """Fit sky and light by expectation and maximization, from a surface on.

        Sky is normal about the surface; light is exponential above it. The scatter of the sky
        begins as it is below the surface, and falls to that of the noise.
        """
        errors, coefficients = self._errors, start
        residuals = self._levels - (columns * start).sum(axis=1)
        below = -residuals[residuals < 0]
        scatter = np.maximum(errors, np.median(below) if below.size else 0)
        least_light = 3 * self._median_error
        light = max(float(np.maximum(residuals, 0).mean()), least_light)
        share_of_light = 0.5
        likelihood = -np.inf
        for _ in range(60):
            sky = (1 - share_of_light) * np.exp(-((residuals / scatter) ** 2) / 2)
            sky /= scatter * np.sqrt(2 * np.pi)
            above = np.where(residuals > 0, np.exp(-np.maximum(residuals, 0) / light), NEVER_BELOW)
            other = share_of_light * above / light
            total = sky + other
            is_sky = sky / total
            before, likelihood = likelihood, float(np.log(total).sum())
            settled = bool((scatter <= errors).all())
            if settled and abs(likelihood - before) < 0.1:
                break
            coefficients = self._least_squares(columns, is_sky / scatter**2)
            residuals = self._levels - (columns * coefficients).sum(axis=1)
            share_of_light = min(max(1 - float(is_sky.mean()), 0.02), 0.98)
            excess = float(((1 - is_sky) * np.maximum(residuals, 0)).sum())
            light = max(excess / max(float((1 - is_sky).sum()), 1.0), least_light)
            scatter = np.maximum(errors, 0.7 * scatter)
        return likelihood, coefficients, is_sky > 0.5

    def _below(self, columns: Floats, share: float) -> Floats:
        """Find the surface below which this share of the cells lies, nearly."""
        residuals = self._levels - np.quantile(self._levels, share)
        coefficients = np.zeros(columns.shape[1])
        for _ in range(8):
            side = np.where(residuals > 0, share, 1 - share)
            weight = side / (np.abs(residuals) + self._median_error)
            coefficients = self._least_squares(columns, weight)
            residuals = self._levels - (columns * coefficients).sum(axis=1)
        return coefficients

    def _least_squares(self, columns: Floats, weight: Floats) -> Floats:
        return np.asarray(least_squares(columns, self._levels[:, np.newaxis], weight)[:, 0])

    def _next_order(self, fit: _Fit) -> tuple[Floats, bool]:
        """Fit the next order to the same cells, and tell whether it is much better there."""
        columns = self._terms[:, : N_TERMS[fit.degree + 1]]
        chosen = fit.is_sky[self._known] / self._errors**2
        coefficients = self._least_squares(columns, chosen)
        lower = self._levels - (columns[:, : len(fit.coefficients)] * fit.coefficients).sum(axis=1)
        higher = self._levels - (columns * coefficients).sum(axis=1)
        gain = float((chosen * (lower**2 - higher**2)).sum())
        of_each = CURVED if fit.share > MOSTLY_SKY else CURVED_BESIDE_LIGHT
        return coefficients, bool(gain > of_each * np.count_nonzero(chosen) + CURVED_OF_ALL)

    def _is_supported(self, fit: _Fit) -> bool:
        """Tell whether the cells hold the surface everywhere on the image."""
        columns = self._terms[:, : N_TERMS[fit.degree]]
        weight = fit.is_sky[self._known] / self._errors**2
        normal = products(weight[:, np.newaxis] * columns, columns)
        size = len(normal)
        normal += np.eye(size) * np.trace(normal) * 1e-12
        covariance = solve(normal, np.eye(size))
        spread = np.stack([(columns * row).sum(axis=1) for row in covariance], axis=1)
        variance = (spread * columns).sum(axis=1)
        return bool(np.sqrt(variance.max()) <= FARTHEST * self._median_error)


def _scatter(cells: Cells) -> Floats:
    """Error of each level, of noise and of all else in which a cell is not like its neighbours.

    The second differences along both axes are free of all light that is some cells wide.
    """
    level = cells.level.reshape(cells.grid)
    contrasts = np.diff(np.diff(level, 2, axis=0), 2, axis=1) / 6
    error = cells.error.reshape(cells.grid)[1:-1, 1:-1]
    known = np.isfinite(contrasts) & (error > 0)
    if not known.any():
        return np.maximum(cells.error, 1e-6 * float(np.nanmax(np.abs(cells.level), initial=1.0)))
    ratio = float(np.median(np.abs(contrasts[known]) / error[known])) / PROBABLE
    return np.asarray(cells.error * max(ratio, 1.0))
