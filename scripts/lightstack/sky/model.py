"""A smooth model of the sky that leaves extended light alone.

Light of nebulae and galaxies adds to the sky and takes nothing from it. So the cells of an image
are a mixture: of sky, whose levels scatter about a surface of low order as their noise says, and
of light above it. The surface with the greatest likelihood under that mixture is the sky, also
where only a tenth of the image is, as long as its levels stand out from those of the light by how
densely they lie. Where they do not, as in a nebula that fills the image, the sky is the plane that
few cells lie below: light of the others does not change it. What is left in doubt is the order of
the surface, as light that is wider than the image looks like a curved sky. So the sky is taken to
be curved only where a plane does not do, and where there is enough of it beside the light. All
these are matters of degree, and so is the sky, lest a little light make it another one.
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

CURVED = 12.0
"""A surface of the next order is needed if it takes so much from the squared residuals of all
cells of sky [squared errors]."""

CURVED_BESIDE_LIGHT, CURVED_WITHOUT = 0.5, 0.06
"""The same, from those of each cell, beside light that fills the image, whose rim looks like a
curved sky, and where no light is seen, as faint light that is as wide as the image does."""

NEED = (0.8, 1.2)
"""It is not needed at all and wholly where it takes so much of that."""

MOSTLY_SKY = 0.6
"""Share of the cells that are sky, from which on light does not fill the image."""

NEARLY_ALL_SKY = (0.8, 0.9)
"""Share of the cells that are sky, from which on a surface is believed a little and wholly, though
a lower order may do: it leaves no light."""

ENOUGH = ((0.0, 0.0), (0.03, 0.05), (0.18, 0.23), (0.2, 0.25))
"""Share of the cells that are sky, from which on a surface of this degree is believed a little and
wholly."""

AS_MUCH = (0.8, 0.9)
"""The same, over the share of a surface of a lower degree."""

FARTHEST = (4.0, 2.0)
"""Greatest error of a surface, anywhere on the image, over that of one cell, from which on it is
believed a little and wholly."""

PEAK = (8.0, 10.0)
"""How much more densely levels lie within 2 errors of the sky than between 3 and 15 above it, from
which on it stands out a little and wholly."""

DISTINCT = (120.0, 180.0)
"""The same, times the median of what is more than 3 errors above the sky [errors]."""

LOWEST = 0.05
"""Share of the cells below a sky that does not stand out."""

SETTLING = 0.7
"""How much of the scatter of the sky is left from one round of the search to the next. With half
of it, and with 0.9, a little light in a nebula changes its sky (`tests/test_sky_model.py`)."""

FEWEST_APART = 0.03
"""Share of the cells that are sky and lie apart from light, from which on a surface is fitted to
these alone. The tests of the sky hold with half and twice of it."""

SHARES_OF_LIGHT = 0.02, 0.98
"""Bounds of the share of light, lest the search lose sky or light for good. The tests of the sky
hold with half and twice their distance from 0 and 1."""

QUARTER = 0.3186
"""A quarter of normal values are closer to zero than so many standard deviations: a quarter of an
image, at least, is taken to be free of the texture of nebulae."""


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
    return fit_sky(bins.cells(model.surface), data.shape, model.surface)


def fit_sky(cells: Cells, shape: tuple[int, int], first: Surface | None = None) -> SkyModel | None:
    """Fit a surface to those cells that are sky.

    Parameters
    ----------
    cells : Cells
    shape : (int, int)
        ``(ny, nx)`` of the image [pixels].
    first : Surface, optional
        Where to begin.

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
        """Join the surfaces of all degrees, each as far as it is believed.

        Lower ones than the first are looked at only where that is in doubt.
        """
        joined, need, belief = None, 1.0, 0.0
        if first is not None and first.degree > 0:
            start = first.coefficients.copy()
            start[0] -= self._middle
            fit = self.fit(first.degree, start)
            belief = self._belief(fit, 0.0, need)
        if belief < 1:
            fit = self.fit(1)
            belief = self._belief(fit, 0.0, need)
        while True:
            if belief == 1:
                joined = fit
            elif belief > 0 or joined is None:
                joined = _joined(joined or self._envelope(), fit, belief)
            if fit.degree == HIGHEST_DEGREE:
                return joined
            start, gain = self._next_order(fit)
            need = min(need, 1 - belief * (1 - _ramp(gain, *NEED)))
            if need == 0 and fit.share > MOSTLY_SKY:
                return joined
            fit = self.fit(fit.degree + 1, start)
            belief = self._belief(fit, joined.share, need)

    def _belief(self, fit: _Fit, share: float, need: float) -> float:
        """Tell how far a surface is believed.

        Parameters
        ----------
        fit : _Fit
        share : float
            Of the cells that are sky by what is believed already.
        need : float
            How far what is believed already does not do.
        """
        columns = self._terms[:, : len(fit.coefficients)]
        above = (self._levels - (columns * fit.coefficients).sum(axis=1)) / self._errors
        near, around = (np.abs(above) < 2).sum(), ((above > 3) & (above < 15)).sum()
        peak = float(near / max(around / 3, 1))
        light = above[above > 3]
        contrast = float(np.median(light)) if light.size else np.inf
        needed = need * _ramp(fit.share, *ENOUGH[fit.degree])
        return (
            max(_ramp(peak, *PEAK), _ramp(peak * contrast, *DISTINCT))
            * max(needed, _ramp(fit.share, *NEARLY_ALL_SKY))
            * _ramp(fit.share, *(share * part for part in AS_MUCH))
            * _ramp(self._farthest(fit), *FARTHEST)
        )

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
        if apart.sum() < max(4 * N_TERMS[degree], FEWEST_APART * len(sky)):
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
            least, most = SHARES_OF_LIGHT
            share_of_light = min(max(1 - float(is_sky.mean()), least), most)
            excess = float(((1 - is_sky) * np.maximum(residuals, 0)).sum())
            light = max(excess / max(float((1 - is_sky).sum()), 1.0), least_light)
            scatter = np.maximum(errors, SETTLING * scatter)
        return likelihood, coefficients, is_sky > 0.5

    def _envelope(self) -> _Fit:
        """Find the plane below which few cells lie."""
        columns = self._terms[:, : N_TERMS[1]]
        coefficients = self._below(columns, LOWEST, 100)
        rest = self._levels - (columns * coefficients).sum(axis=1)
        is_sky = np.zeros(self._known.shape, bool)
        is_sky[self._known] = rest < 2 * self._errors
        return _Fit(1, coefficients, is_sky, 0.0)

    def _below(self, columns: Floats, share: float, rounds: int = 8) -> Floats:
        """Find the surface below which this share of the cells lies, nearly."""
        residuals = self._levels - np.quantile(self._levels, share)
        coefficients = np.zeros(columns.shape[1])
        for _ in range(rounds):
            before = coefficients
            side = np.where(residuals > 0, share, 1 - share)
            weight = side / (np.abs(residuals) + self._median_error)
            coefficients = self._least_squares(columns, weight)
            residuals = self._levels - (columns * coefficients).sum(axis=1)
            if np.abs(coefficients - before).max() < 1e-3 * self._median_error:
                break
        return coefficients

    def _least_squares(self, columns: Floats, weight: Floats) -> Floats:
        return np.asarray(least_squares(columns, self._levels[:, np.newaxis], weight)[:, 0])

    def _next_order(self, fit: _Fit) -> tuple[Floats, float]:
        """Fit the next order to the same cells, and tell what it gains, over what it should."""
        columns = self._terms[:, : N_TERMS[fit.degree + 1]]
        chosen = fit.is_sky[self._known] / self._errors**2
        coefficients = self._least_squares(columns, chosen)
        lower = self._levels - (columns[:, : len(fit.coefficients)] * fit.coefficients).sum(axis=1)
        higher = self._levels - (columns * coefficients).sum(axis=1)
        gain = float((chosen * (lower**2 - higher**2)).sum())
        of_each = CURVED_WITHOUT * _ramp(fit.share, *NEARLY_ALL_SKY)
        if fit.share <= MOSTLY_SKY:
            of_each = CURVED_BESIDE_LIGHT
        return coefficients, gain / (of_each * np.count_nonzero(chosen) + CURVED)

    def _farthest(self, fit: _Fit) -> float:
        """Greatest error of a surface, anywhere on the image, over that of one cell.

        Infinite where none of them is sky by it.
        """
        if not fit.is_sky.any():
            return np.inf
        columns = self._terms[:, : N_TERMS[fit.degree]]
        weight = fit.is_sky[self._known] / self._errors**2
        normal = products(weight[:, np.newaxis] * columns, columns)
        size = len(normal)
        normal += np.eye(size) * np.trace(normal) * 1e-12
        covariance = solve(normal, np.eye(size))
        spread = np.stack([(columns * row).sum(axis=1) for row in covariance], axis=1)
        variance = (spread * columns).sum(axis=1)
        return float(np.sqrt(variance.max())) / self._median_error


def _joined(one: _Fit, other: _Fit, belief: float) -> _Fit:
    """Go from one surface towards one of no lower degree, as far as that is believed."""
    coefficients = belief * other.coefficients
    coefficients[: len(one.coefficients)] += (1 - belief) * one.coefficients
    is_sky = other.is_sky if belief > 0.5 else one.is_sky
    share = one.share + belief * (other.share - one.share)
    return _Fit(other.degree, coefficients, is_sky, share)


def _ramp(value: float, low: float, high: float) -> float:
    """Go from 0 at one value to 1 at another, which may be lower, or the same."""
    if low == high:
        return float(value >= high)
    return min(max((value - low) / (high - low), 0.0), 1.0)


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
    ratio = float(np.quantile(np.abs(contrasts[known]) / error[known], 0.25)) / QUARTER
    return np.asarray(cells.error * max(ratio, 1.0))
