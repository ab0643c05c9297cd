"""How the noise of the sky varies over a frame: more in corners that a flat has raised."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.linear import least_squares
from scripts.lightstack.robust import MAD_TO_SIGMA
from scripts.lightstack.sky.surface import N_TERMS, terms
from scripts.lightstack.text import text_of

if TYPE_CHECKING:
    from astropy.io import fits

Floats = NDArray[np.float64]

NOISE_MAP = "NOISEMAP"
"""Card with the coefficients of a `Surface` through the noise, over its typical value."""

DEGREE = 2
"""Of that surface: vignetting and gradients are no rougher. Tuned, as what follows without a
reason: `benchmarks/sky_table.py`."""

SIZE = N_TERMS[DEGREE]

FEWEST_CELLS = 5 * SIZE
"""Cells from which a surface is fitted."""

ROUNDS, CLIP = 4, 3.0
"""Cells further than so many standard deviations from the surface are nebulae or crowded."""

UNEVEN = 0.03
"""Noise that varies less is told by one number [root mean square, over its mean]."""

LEAST = 0.25
"""Of the typical noise, below which no surface tells it."""


def noise_surface(
    places: Floats, sigma: NDArray[np.float32], shape: tuple[int, int]
) -> Floats | None:
    """Fit a surface to the noise in the cells of an image.

    Parameters
    ----------
    places : (m, 2) ndarray of float64
    sigma : (m,) ndarray of float32
        As from `noise.noise_in_cells`.
    shape : (int, int)
        ``(ny, nx)`` of the image [pixels].

    Returns
    -------
    (6,) ndarray of float64 or None
        Coefficients of a `Surface` [ADU]; None if there are too few cells.
    """
    noise = sigma.astype(np.float64)
    kept = noise > 0
    of_places = terms(places[:, 0], places[:, 1], shape, DEGREE)
    found = np.zeros(SIZE)
    for _ in range(ROUNDS):
        if np.count_nonzero(kept) < FEWEST_CELLS:
            return None
        found = least_squares(of_places, noise[:, np.newaxis], kept.astype(float))[:, 0]
        apart = np.abs(noise - (of_places * found).sum(axis=1))
        kept = apart <= CLIP * MAD_TO_SIGMA * np.median(apart[kept])
    return found


def note_noise_map(header: "fits.Header", card: str, noise_map: Floats | None) -> None:
    """Write a card with the coefficients (6,) over the typical noise, if it is not even."""
    if noise_map is None:
        return
    # Legendre polynomials of degree i have a mean square of 1 / (2 i + 1).
    of_terms = np.array([1 / 3, 1 / 3, 1 / 5, 1 / 9, 1 / 5])
    if float((noise_map[1:] ** 2 * of_terms).sum()) > (UNEVEN * noise_map[0]) ** 2:
        text = " ".join(f"{value:.4f}" for value in noise_map.tolist())
        header[card] = (text, "noise: 1 x y xx xy yy")


def noise_map_in(header: "fits.Header", card: str) -> Floats:
    """Read the coefficients (6,) of the surface, over the typical noise: 1 where it is even."""
    if card not in header:
        return np.array([1.0, *[0.0] * (SIZE - 1)])
    return np.array([float(word) for word in text_of(header[card]).split()])
