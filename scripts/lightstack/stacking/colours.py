"""The colours of frames: each is stacked as a grey image would be, on the scale of its stars."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.colour.planes import MOSAIC, HalvedFile, colour_file
from scripts.lightstack.files.colour_file import COLOURS, read_stars
from scripts.lightstack.raw.colour import LUMA
from scripts.lightstack.stacking.aligned import AlignedFrame
from scripts.lightstack.stacking.odd_colours import run_against

MOSAIC_GREY = (0.25, 0.5, 0.25)
"""Shares of red, green and blue pixels in a mosaic, and in the grey that is made of it."""

GREY = "GREY"
"""Card of a stack: the weights of its colours in the grey image that frames are graded by."""

WHITE = ("WHITER", "WHITEG", "WHITEB")
"""Cards of a stack: what its colours are multiplied by, so that the median star is white."""

NEAR = 1.5
"""How far stars are from those of the reference, at most [pixels]. With a third and four times
of it the pairs of a turned night (that of `benchmarks/colour_speed.py`) are the same."""

FEWEST_STARS = 10
"""Of fewer, no colour is said to be fainter or brighter than the frame. Of ten stars of that night
the scale is right to 1.7 % in red and blue, of five to 3 %, and of 230 to 0.2 %."""

Planes = tuple[Sequence[AlignedFrame], ...]


def planes_of(
    frames: Sequence[AlignedFrame],
    reference: str,
    paths: Mapping[str, Path],
    *,
    scaled: bool,
    halved: bool,
) -> Planes:
    """Open the colours of frames.

    Parameters
    ----------
    frames : sequence of AlignedFrame
    reference : str
        Name of the one on whose grid they lie.
    paths : mapping of str to Path
        What `clean_colours` wrote, by the names of these frames.
    scaled : bool
        Whether fluxes are brought to the reference's: of each colour by itself then, for air takes
        more of blue light than of red.
    halved : bool
        Whether 2 x 2 pixels become one, of which no colour is made up.

    Returns
    -------
    tuple of sequences of AlignedFrame
        Red, green and blue.
    """
    wanted = read_stars(paths[reference])
    planes: tuple[list[AlignedFrame], ...] = ([], [], [])
    for frame in frames:
        path = paths[frame.name]
        light, light_wanted = _light_of_pairs(frame, read_stars(path), wanted)
        scales = [1.0] * len(COLOURS)
        if scaled:
            scales = _scales(light, light_wanted, grey_weights(frame.header))
        coloured = replace(frame, is_exchanged=run_against(light, light_wanted))
        for number, plane in enumerate(planes):
            opened = _halved if halved else _whole
            plane.append(opened(coloured, path, number, frame.flux_scale * scales[number]))
    return planes


def _halved(frame: AlignedFrame, path: Path, number: int, flux_scale: float) -> AlignedFrame:
    """Open a colour of a frame at half its size."""
    pixels = HalvedFile(path, frame.header.get(MOSAIC), number)
    return replace(
        frame,
        pixels=pixels,
        transform=frame.transform.halved(pixels.offset),
        flux_scale=flux_scale,
        colour=COLOURS[number],
        share=float(len(pixels.places)),
    )


def _whole(frame: AlignedFrame, path: Path, number: int, flux_scale: float) -> AlignedFrame:
    """Open a colour of a frame."""
    return replace(
        frame,
        pixels=colour_file(path, frame.header, number),
        flux_scale=flux_scale,
        colour=COLOURS[number],
        share=MOSAIC_GREY[number] if MOSAIC in frame.header else 1.0,
    )


def cards_of_colours(header: Any, reference: Path) -> dict[str, tuple[Any, str]]:
    """Tell what a stack's header says of its colours.

    Parameters
    ----------
    header : mapping
        Cards of a frame.
    reference : Path
        What `clean_colours` wrote of the reference.

    Returns
    -------
    dict of str to (object, str)
        Value and comment of each card, by its keyword.
    """
    cards: dict[str, tuple[Any, str]] = {
        "PLANES": (COLOURS, "colours along the third axis"),
        GREY: (" ".join(map(str, grey_weights(header))), "weights of the colours in grey"),
    }
    light = read_stars(reference)["light"]
    light = light[(light > 0).all(axis=1)]
    white = np.ones(len(COLOURS))
    if len(light) >= FEWEST_STARS:
        white = np.median(light[:, 1:2] / light, axis=0)
    for card, colour, factor in zip(WHITE, ("red", "green", "blue"), white, strict=True):
        cards[card] = (float(factor), f"factor of {colour} that makes stars white")
    return cards


def grey_weights(header: Any) -> tuple[float, float, float]:
    """Weights of red, green and blue in the grey image of a frame or stack with this header."""
    return MOSAIC_GREY if MOSAIC in header else LUMA


def _scales(
    light: NDArray[np.float64], wanted: NDArray[np.float64], weights: tuple[float, float, float]
) -> list[float]:
    """Tell what brings each colour to the reference's beside what brings the grey image to it.

    Parameters
    ----------
    light, wanted : (n, 3) ndarray of float64
        Of stars in the frame and in the reference [ADU].
    weights : (float, float, float)
        Of red, green and blue in the grey image.
    """
    if len(light) < FEWEST_STARS:
        return [1.0] * len(COLOURS)
    parts, parts_wanted = (
        each / sum(weight * each[:, k : k + 1] for k, weight in enumerate(weights))
        for each in (light, wanted)
    )
    ratio = np.median(parts_wanted / parts, axis=0)
    return [float(value) for value in ratio]


def _light_of_pairs(
    frame: AlignedFrame, stars: NDArray[Any], wanted: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Light (n, 3) of stars of the frame, and of the reference, that have some in all colours."""
    own, other = _pairs(frame, stars, wanted)
    light, light_wanted = stars["light"][own], wanted["light"][other]
    good = (light > 0).all(axis=1) & (light_wanted > 0).all(axis=1)
    return light[good], light_wanted[good]


def _pairs(
    frame: AlignedFrame, stars: NDArray[Any], wanted: NDArray[Any]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find the stars of a frame that are stars of the reference: their places in both tables."""
    from scipy.spatial import KDTree

    none = np.empty(0, np.int64)
    if not (len(stars) and len(wanted)):
        return none, none
    here = frame.transform.forward(np.column_stack([stars["x"], stars["y"]]))
    tree = KDTree(np.column_stack([wanted["x"], wanted["y"]]))
    _, found = tree.query(here, distance_upper_bound=NEAR)
    is_found = found < len(wanted)
    return np.flatnonzero(is_found), found[is_found]
