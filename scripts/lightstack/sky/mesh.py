"""The mesh: a model of the sky with small cells, so that it is flat where stars are sought."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.sky.dithering import dithered, step_of
from scripts.lightstack.sky.model import SkyModel

SURE = 5.0
"""Least light of a cell that the mesh took for sky [standard deviations of cells with sky]."""

SEEN = 0.25
"""Least light of a cell that the mesh took for sky [standard deviations of a pixel]."""


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
    unrest = 1.4826 * float(np.median(np.abs(of_sky - middle)))
    light = (excess - middle).reshape(cells.grid)
    squares = np.minimum(
        np.minimum(light[1:, 1:], light[1:, :-1]), np.minimum(light[:-1, 1:], light[:-1, :-1])
    )
    most = float(squares.max(initial=0.0))
    return most if most > max(SURE * unrest, SEEN * noise) else 0.0
