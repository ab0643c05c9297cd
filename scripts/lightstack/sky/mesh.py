"""The mesh: a model of the sky with small cells, so that it is flat where stars are sought."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.compiling import compiled
from scripts.lightstack.robust import scatter
from scripts.lightstack.sky.dithering import dithered, step_of
from scripts.lightstack.sky.model import SkyModel

Floats = NDArray[np.float32]

SMALLEST_BINNED = 32
"""Side of the cells from which on pixels are averaged 2 x 2 first: fewer would not tell a mode."""

SURE = 5.0
"""Least light of a cell that the mesh took for sky [standard deviations of cells with sky].

Without a nebula, up to 3000 stars under gradients as of `benchmarks/sky_table.py` leave 1.5 at
most, and the frames of a real field of few stars 3; a nebula of 120 pixels and 20 ADU, 0.8 of a
pixel's noise, leaves 4 to 13, and one of 60 pixels and as bright 1 to 6.
"""

SEEN = 0.25
"""Least light of a cell that the mesh took for sky [standard deviations of a pixel]: 0.04 and 0.09
at most without a nebula, and 0.14 to 0.46 of that of 120 pixels, in the same images."""


def mesh_of(data: NDArray[np.float32], box: int, step: float | None = None) -> Any:
    """Model the sky by a mesh.

    Parameters
    ----------
    data : (ny, nx) ndarray of float32
        Pixels [ADU], NaN where there is no data.
    box : int
        Side of the mesh's cells [pixels].
    step : float, optional
        Of the pixels' values [ADU], 0 for none; found in `data` by default.

    Returns
    -------
    sep.Background

    Notes
    -----
    In each cell of the mesh the mode is estimated from clipped pixels, the cells are median
    filtered 3 x 3 and joined by a bicubic spline (Bertin & Arnouts 1996, A&AS 117, 393), as the
    package SEP does it. Of pixels with steps, such as whole numbers, the sky between the steps is
    found by dithering.
    """
    import sep

    no_data = np.isnan(data)
    step = step_of(data) if step is None else step
    seen = dithered(data, step) if step else data
    return sep.Background(seen, mask=no_data if no_data.any() else None, bw=box, bh=box)


def subtract_mesh(data: Floats, box: int, step: float) -> None:
    """Subtract a mesh, in place, before stars are sought.

    Parameters
    ----------
    data : (ny, nx) ndarray of float32
        Pixels [ADU], NaN where there is no data.
    box, step
        As in `mesh_of`.

    Notes
    -----
    If cells are large enough, pixels are averaged 2 x 2 before. That takes a third of the time,
    and faint stars that a mode cannot tell from the sky raise the mesh half as much: see
    ``benchmarks/sky_table.py``.
    """
    if box < SMALLEST_BINNED:
        mesh_of(data, box, step).subfrom(data)
        return
    mesh = mesh_of(_binned(data), box // 2, step / 4)
    _subtract_bins(data, mesh.back(dtype=np.float32))


@compiled
def _binned(data: Floats) -> Floats:
    """Average 2 x 2 pixels, of those that have data; NaN where none has."""
    ny, nx = data.shape
    bins = np.empty(((ny + 1) // 2, (nx + 1) // 2), np.float32)
    for j in range(bins.shape[0]):
        above, below = data[2 * j], data[min(2 * j + 1, ny - 1)]
        for i in range(nx // 2):
            left, right = above[2 * i] + below[2 * i], above[2 * i + 1] + below[2 * i + 1]
            bins[j, i] = np.float32(0.25) * (left + right)
        if nx % 2:
            bins[j, -1] = np.float32(0.5) * (above[-1] + below[-1])
        for i in range(bins.shape[1]):
            if np.isnan(bins[j, i]):
                bins[j, i] = np.nanmean(data[2 * j : 2 * j + 2, 2 * i : 2 * i + 2])
    return bins


@compiled
def _subtract_bins(data: Floats, bins: Floats) -> None:
    """Subtract what stands in the middles of 2 x 2 pixels, and between them linearly."""
    ny, nx = data.shape
    n_y, n_x = bins.shape
    line = np.empty(n_x + 2, np.float32)
    for y in range(ny):
        near, far = bins[y // 2], bins[min(max(y // 2 + (1 if y % 2 else -1), 0), n_y - 1)]
        for i in range(n_x):
            line[i + 1] = np.float32(0.75) * near[i] + np.float32(0.25) * far[i]
        line[0], line[-1] = line[1], line[-2]
        for i in range(nx // 2):
            middle = np.float32(0.75) * line[i + 1]
            data[y, 2 * i] -= middle + np.float32(0.25) * line[i]
            data[y, 2 * i + 1] -= middle + np.float32(0.25) * line[i + 2]
        if nx % 2:
            data[y, -1] -= line[-2]


def light_in_mesh(mesh: NDArray[np.float32], model: SkyModel, noise: float) -> float:
    """Tell how much light of what is larger than stars a mesh took for sky.

    Parameters
    ----------
    mesh : (ny, nx) ndarray of float32
        The mesh's sky [ADU].
    model : SkyModel
        The sky beside extended light.
    noise : float
        Standard deviation of a pixel [ADU].

    Returns
    -------
    float
        The most that it took from a square of 2 x 2 cells [ADU]; 0 if it is less than the sky's
        own unrest, or what a single bright star spreads.
    """
    cells, (ny, nx) = model.cells, mesh.shape
    y, x = (np.minimum(at.astype(int), n - 1) for at, n in ((cells.y, ny), (cells.x, nx)))
    excess = mesh[y, x] - model.surface.at(cells.x, cells.y)
    of_sky = excess[model.is_sky]
    if of_sky.size == 0:
        return 0.0
    middle = float(np.median(of_sky))
    unrest = scatter(of_sky)
    light = (excess - middle).reshape(cells.grid)
    squares = np.minimum(
        np.minimum(light[1:, 1:], light[1:, :-1]), np.minimum(light[:-1, 1:], light[:-1, :-1])
    )
    most = float(squares.max(initial=0.0))
    return most if most > max(SURE * unrest, SEEN * noise) else 0.0
