"""Free the colours of one frame of dark, bias, flat and sky."""

import logging
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.calibration.calibrating import Calibrated, calibrate
from scripts.lightstack.colour.demosaicing import planes_of_mosaic
from scripts.lightstack.colour.planes import MOSAIC
from scripts.lightstack.colour.starlight import add_light, brightest_stars, table_of_stars
from scripts.lightstack.files.colour_file import COLOURS, colour_card, write_colours
from scripts.lightstack.files.frame_file import pass_on_failure, write_failure
from scripts.lightstack.files.table_file import read_table
from scripts.lightstack.job import job_log
from scripts.lightstack.raw.bayer import MOSAIC_CARDS, PATTERN_KEYS, bayer_pattern
from scripts.lightstack.raw.colour import ALONE
from scripts.lightstack.raw.image import UnusableFrameError
from scripts.lightstack.raw.images import read_cards
from scripts.lightstack.raw.orientation import turn_header
from scripts.lightstack.sky.noise_map import NOISE_MAP, note_noise_map
from scripts.subtract_background import Subtracted, subtract_background

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log = logging.getLogger(__name__)

SMALLEST_BOX = 4
"""Side of the mesh's cells on a place of a mosaic, at least [pixels of that place]."""


EVERY = 4
"""Rows of which one is looked at to tell the greens of a mosaic apart: a hundred thousand pixels
of a small frame tell it to half a hundredth of their noise."""


def run(
    raw: Path,
    sources: Path,
    colours: Path,
    *,
    sha256: str,
    masters: Mapping[str, Path],
    turned: bool = False,
    background: str = "mesh",
    background_box: int,
    **calibration: Any,
) -> None:
    """Write the colours of a frame, or a file that says why it is unusable.

    Parameters
    ----------
    raw : Path
        The raw frame.
    sources : Path
        What `detect_sources` found in its grey image.
    colours : Path
        FITS file to write: a mosaic, whose pattern stands in ``MOSAIC``, or three planes [ADU],
        and a table of stars with their light in each colour. The level of the sky, its noise and
        that of saturated pixels [ADU] stand in ``BKGADU``, ``NOISEAD`` and ``SATURAT`` with R, G
        or B at the end.
    sha256, masters, turned
        As in `calibrate_frame`.
    background, background_box
        As in `subtract_background`. Each place of a mosaic's pattern, and each plane, has a sky
        of its own.
    **calibration
        Further arguments of `lightstack.calibration.calibrating.calibrate`.
    """
    if pass_on_failure(sources, colours):
        return
    try:
        found, pixels = _calibrated(raw, masters, calibration)
    except UnusableFrameError as error:
        log.warning("Unusable: %s", error)
        write_failure(colours, error, {"RAWSHA": sha256})
        return
    header = found.header
    pixels = np.ascontiguousarray(pixels[..., ::-1, :] if turned else pixels)
    ny = pixels.shape[-2]
    pattern = bayer_pattern(header)
    for key in MOSAIC_CARDS:
        header.remove(key, ignore_missing=True)
    if pattern is not None:
        # Of an even number of rows, the last one has the colours of the second.
        is_swapped = turned and ny % 2 == 0
        pattern = pattern[2:] + pattern[:2] if is_swapped else pattern
    if turned:
        turn_header(header, ny)
    found.note(sha256)
    skies: dict[str, list[Subtracted]] = {colour: [] for colour in COLOURS}
    box = background_box if pattern is None else max(background_box // 2, SMALLEST_BOX)
    how = {"box": box, "raw_step": found.step, "background": background}
    greens = []
    for colour, plane in _planes(pixels, pattern):
        if pattern is not None and colour == "G" and background != "mesh":
            greens.append(plane)
        else:
            skies[colour].append(_without_sky(plane, raw, how))
    if greens:
        skies["G"].append(_without_shared_sky(greens, raw, how))
    if pattern is not None:
        header[MOSAIC] = (pattern, "colours of the first 2 x 2 pixels")
    for colour, each in skies.items():
        level = float(np.mean([sky.level for sky in each]))
        noise = float(np.sqrt(np.mean([sky.noise**2 for sky in each])))
        header[f"BKGADU{colour}"] = (level, "[ADU] level of the sky that was subtracted")
        header[f"NOISEAD{colour}"] = (noise, "[ADU] standard deviation of the sky")
        note_noise_map(header, colour_card(NOISE_MAP, colour), each[0].noise_map)
        header[f"SATURAT{colour}"] = (found.level - level, "[ADU] level of saturated pixels")
    header["SKYMODEL"] = (background, "model of the sky that was subtracted")
    chosen, radius = brightest_stars(read_table(sources))
    stars = table_of_stars(chosen)
    planes = pixels if pattern is None else planes_of_mosaic(pixels, pattern)
    for number, plane in enumerate(planes):
        add_light(stars, number, plane, radius)
    write_colours(colours, pixels, header, stars)


def _calibrated(
    raw: Path, masters: Mapping[str, Path], calibration: Mapping[str, Any]
) -> tuple[Calibrated, NDArray[np.float32]]:
    """Calibrate a mosaic (ny, nx), or red, green and blue (3, ny, nx) one after the other.

    Of three colours, one that shows nothing has no data. Masters of colour pictures have each
    colour, others take the same off all.
    """
    reading = {
        key.removeprefix("fits_"): value
        for key, value in calibration.items()
        if key == "fits_extension"
    }
    calibration = {**calibration, "identified": False}  # as the grey frame is already
    if bayer_pattern(read_cards(raw, PATTERN_KEYS, **reading)[1]) is not None:
        found = calibrate(raw, masters, **calibration)
        return found, found.data
    planes: list[Calibrated | None] = []
    problem = UnusableFrameError(f"{raw.name}: no colour has data.")
    for weights in ALONE:
        try:
            planes.append(calibrate(raw, masters, weights=weights, **calibration))
        except UnusableFrameError as error:
            log.warning("A colour is left out: %s", error)
            planes.append(None)
            problem = error
    first = next(filter(None, planes), None)
    if first is None:
        raise problem
    pixels = np.full((len(COLOURS), *first.data.shape), np.nan, np.float32)
    for plane, calibrated in zip(pixels, planes, strict=True):
        if calibrated is not None:
            plane[...] = calibrated.data
    return first, pixels


def _planes(
    pixels: NDArray[np.float32], pattern: str | None
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Give views of what has a colour of its own, and that colour."""
    if pattern is None:
        yield from zip(COLOURS, pixels, strict=True)
    else:
        for (row, column), colour in zip(np.ndindex(2, 2), pattern, strict=True):
            yield colour, pixels[row::2, column::2]


def _without_sky(plane: NDArray[np.float32], raw: Path, how: Mapping[str, Any]) -> Subtracted:
    """Subtract the sky of a plane, in place."""
    whole = np.ascontiguousarray(plane)
    try:
        sky = subtract_background(whole, **how, tells_light=False)
    except UnusableFrameError as error:
        log.warning("%s: a colour is left out: %s", raw, error)
        whole, sky = np.full(plane.shape, np.nan, np.float32), Subtracted(0.0, 0.0, 0.0, 0.0)
    plane[...] = whole
    return sky


def _without_shared_sky(
    greens: list[NDArray[np.float32]], raw: Path, how: Mapping[str, Any]
) -> Subtracted:
    """Subtract the sky of both green places of a mosaic, in place.

    One of their mean leaves no pattern between them, as two of their own would. By how much one
    place shows more than the other is the median of their neighbours' differences.
    """
    # Of an odd number of rows or columns one place has one more.
    shape = np.max([plane.shape for plane in greens], axis=0)
    both = np.full((2, *shape), np.nan, np.float32)
    for padded, plane in zip(both, greens, strict=True):
        padded[: plane.shape[0], : plane.shape[1]] = plane
    apart = (both[0, ::EVERY] - both[1, ::EVERY]).ravel()
    apart = apart[np.isfinite(apart)]
    if apart.size:
        half = np.float32(np.median(apart)) / 2
        both[0] -= half
        both[1] += half
    mean = (both[0] + both[1]) * np.float32(0.5)
    lost = ~np.isfinite(mean)
    if lost.any():
        one, other = both[:, lost]
        mean[lost] = np.where(np.isfinite(one), one, other)
    with_sky = mean.copy()
    sky = _without_sky(mean, raw, how)
    both -= with_sky - mean
    for padded, plane in zip(both, greens, strict=True):
        plane[...] = padded[: plane.shape[0], : plane.shape[1]]
    return replace(sky, noise=math.sqrt(2) * sky.noise)


if "snakemake" in globals():
    with job_log(snakemake):
        run(
            Path(snakemake.input.raw),
            Path(snakemake.input.sources),
            Path(snakemake.output.colours),
            sha256=snakemake.params.sha256,
            masters={
                noun: Path(path)
                for noun in ("own", "dark", "bias", "flat", "bad_pixels")
                if (path := snakemake.input.get(noun))
            },
            **snakemake.params.facts,
            **snakemake.params.settings,
        )
