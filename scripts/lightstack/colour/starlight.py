"""How much light of each colour stars have."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.files.colour_file import STAR

MOST_STARS = 300
"""The brightest that are not saturated: their median is known to a thousandth."""

APERTURE = 1.5
"""Radius over the FWHM of the median star: holds all but a hundredth of its light."""


def brightest_stars(sources: NDArray[Any]) -> tuple[NDArray[Any], float]:
    """Choose the stars to measure, and the radius in which to do it [pixels].

    Parameters
    ----------
    sources : structured ndarray
        Of the dtype `lightstack.detection.sources.SOURCE`, brightest first.

    Returns
    -------
    structured ndarray
        Those to measure.
    float
        The radius [pixels].
    """
    chosen = sources[sources["saturated"] == 0][:MOST_STARS]
    return chosen, APERTURE * float(np.median(chosen["fwhm"])) if len(chosen) else 1.0


def table_of_stars(chosen: NDArray[Any]) -> NDArray[Any]:
    """Begin a table of type `files.colour_file.STAR` of these sources; they have no light yet."""
    table = np.zeros(len(chosen), STAR)
    table["x"], table["y"] = chosen["x"], chosen["y"]
    return table


SURROUNDINGS = (1.2, 1.8)
"""Radii between which the light around a star is no star's, over that of its aperture. Not
critical: a median star's colour in a field that turns is right to 0.2 % (`colour_speed`'s night)
with any from 1.1 to 1.5 and 1.5 to 2.5."""


def add_light(table: NDArray[Any], colour: int, plane: NDArray[np.float32], radius: float) -> None:
    """Sum the light of one colour, in place.

    Parameters
    ----------
    table : structured ndarray
        Of type `files.colour_file.STAR`.
    colour : {0, 1, 2}
        Red, green or blue.
    plane : (ny, nx) ndarray of float32
        The frame in this colour without its sky [ADU]; pixels without data, NaN, count as the
        mean of the others.
    radius : float
        Of the aperture [pixels].
    """
    import sep

    no_data = np.isnan(plane)
    light, _, _ = sep.sum_circle(
        plane,
        table["x"],
        table["y"],
        radius,
        mask=no_data if no_data.any() else None,
        bkgann=(SURROUNDINGS[0] * radius, SURROUNDINGS[1] * radius),
    )
    table["light"][:, colour] = light
