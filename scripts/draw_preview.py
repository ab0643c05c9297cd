"""Draw all stacks side by side in one picture."""

import math
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from scripts.lightstack.files.atomic import atomic_write
from scripts.lightstack.files.frame_file import FAILURE, read_header
from scripts.lightstack.job import job_log
from scripts.lightstack.report.stretching import Scale, faded, scale_of, stretch
from scripts.lightstack.stacking.colours import WHITE
from scripts.lightstack.stacking.thumbnails import COVERAGE, read_thumbnails
from scripts.lightstack.text import text_of

if TYPE_CHECKING:
    from astropy.io import fits
    from snakemake.iocontainers import snakemake

LABEL_PX, LABEL_INDENT_PX = 36, 4
COLUMNS = 3
GAP_PX = 8

EXTREMES = ("max", "min")

OF_SPREAD = ("std",)
"""Modes whose values are no brightness; they have a scale of their own."""

NOTICE_PX, NOTICE_COLUMNS = 900, 70
"""Width of a picture of text [pixels, letters]."""


def mosaic(pictures: dict[str, NDArray[np.uint8]]) -> Image.Image:
    """Set labelled pictures of one size in rows of three, or four of them in a square."""
    first = next(iter(pictures.values()))
    height, width = first.shape[:2]
    columns = 2 if len(pictures) == 4 else min(COLUMNS, len(pictures))
    rows = -(-len(pictures) // columns)
    font = ImageFont.load_default(size=22)
    widest = max(width, *(LABEL_INDENT_PX + math.ceil(font.getlength(each)) for each in pictures))
    step_x, step_y = widest + GAP_PX, height + LABEL_PX + GAP_PX
    canvas = Image.new(
        "L" if first.ndim == 2 else "RGB", (columns * step_x + GAP_PX, rows * step_y + GAP_PX), 0
    )
    draw = ImageDraw.Draw(canvas)
    for number, (label, picture) in enumerate(pictures.items()):
        x = GAP_PX + number % columns * step_x
        y = GAP_PX + number // columns * step_y
        draw.text(
            (x + LABEL_INDENT_PX, y + LABEL_PX / 2), label, fill="white", font=font, anchor="lm"
        )
        canvas.paste(Image.fromarray(picture), (x, y + LABEL_PX))
    return canvas


def panels(
    images: Mapping[str, NDArray[np.floating]],
    header: "fits.Header",
    modes: list[str],
    offered: int,
) -> dict[str, NDArray[np.uint8]]:
    """Make pictures of stacks that compare: what is as bright has the same grey in all of them.

    Parameters
    ----------
    images : dict of str to (ny, nx) or (3, ny, nx) ndarray of float
        Stacks by mode [ADU], and how many frames contribute to each pixel.
    header : Header
        How many frames are stacked, which row comes first, and what makes colours white.
    modes : list of str
        The stacks, in the order in which they are shown.
    offered : int
        How many frames there are in the ledger.

    Returns
    -------
    dict of str to (ny, nx) or (ny, nx, 3) ndarray of uint8
        By label.

    Notes
    -----
    Colours are stretched alike, each from its own sky on, so that the sky is grey; before, they
    are multiplied by what makes the median star white.
    """
    used = header["NCOMBINE"]
    share = images[COVERAGE] / used
    if share.ndim == 3:
        share = share.mean(axis=0)[..., np.newaxis]
        white = np.array([header[card] for card in WHITE])[:, np.newaxis, np.newaxis]
        images = {mode: image * white for mode, image in images.items() if mode != COVERAGE}
    typical = next((mode for mode in modes if mode not in (*EXTREMES, *OF_SPREAD)), None)
    has_data = typical is not None and np.isfinite(images[typical]).any()
    common = scale_of(images[typical]) if typical is not None and has_data else None
    pictures = {}
    for mode in modes:
        picture = faded(_drawn(images[mode], None if mode in OF_SPREAD else common), share)
        label = f"{mode}   N = {used} of {offered} frames"
        # FITS counts rows from the bottom, unless a card says otherwise.
        pictures[label] = picture if header.get("ROWORDER") == "TOP-DOWN" else picture[::-1]
    return pictures


def _drawn(image: NDArray[np.floating], scale: Scale | None) -> NDArray[np.uint8]:
    """Stretch an image, or its three colours alike."""
    if image.ndim == 2:
        return stretch(image, scale)
    if scale is None and np.isfinite(image).any():
        scale = scale_of(image)
    return np.stack([stretch(colour, scale) for colour in image], axis=-1)


def notice(text: str) -> Image.Image:
    """Write a text where there are no pictures to show."""
    lines = textwrap.wrap(text, NOTICE_COLUMNS)
    canvas = Image.new("L", (NOTICE_PX, LABEL_PX * (len(lines) + 2)), 0)
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(size=22)
    for number, line in enumerate(lines, 1):
        draw.text((LABEL_PX, LABEL_PX * (number + 0.5)), line, fill=255, font=font, anchor="lm")
    return canvas


def run(thumbnails: Path, preview: Path, modes: list[str], offered: int) -> None:
    """Write the preview.

    Parameters
    ----------
    thumbnails : Path
        What `stack_frames` wrote.
    preview : Path
        PNG file to write.
    modes : list of str
        The stacks, in the order in which they are shown.
    offered : int
        How many frames of the group there are in the ledger.
    """
    header = read_header(thumbnails)
    if FAILURE in header:
        with atomic_write(preview) as file:
            notice(f"No stacks. {text_of(header[FAILURE])}").save(file, "PNG", optimize=True)
        return
    images, header = read_thumbnails(thumbnails)
    with atomic_write(preview) as file:
        mosaic(panels(images, header, modes, offered)).save(file, "PNG", optimize=True)


if "snakemake" in globals():
    with job_log(snakemake):
        run(
            Path(snakemake.input.thumbnails),
            Path(snakemake.output.preview),
            snakemake.params.settings["modes"],
            snakemake.params.offered,
        )
