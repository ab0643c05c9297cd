"""Draw all stacks side by side in one picture."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from scripts.lightstack.files.atomic import atomic_write
from scripts.lightstack.job import job_log
from scripts.lightstack.report.thumbnails import read_thumbnails

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

LABEL_PX = 36
COLUMNS = 3
GAP_PX = 8
NO_DATA = 40
SKY_LEVEL = 0.15
SOFTENING = 0.02


def stretch(image: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Map an image to 8-bit greys so that stars and sky both show.

    Parameters
    ----------
    image : (ny, nx) ndarray of float
        NaN where there is no data.

    Returns
    -------
    (ny, nx) ndarray of uint8
        An inverse hyperbolic sine between three standard deviations below the sky, estimated by
        median and MAD, and the brightest 0.1 percent (Lupton et al. 2004, PASP 116, 133).
    """
    values = image[np.isfinite(image)]
    if values.size == 0:
        return np.full(image.shape, NO_DATA, np.uint8)
    sky = np.median(values)
    sigma = 1.4826 * np.median(np.abs(values - sky))
    low = max(sky - 3 * sigma, values.min())
    high = max(np.percentile(values, 99.9), low + 10 * sigma, low + 1e-9)
    position = np.clip((image - low) / (high - low), 0, 1)
    # The softening that puts the sky at its grey, found on a grid.
    grid = np.geomspace(1e-4, 10, 400)
    sky_position = (sky - low) / (high - low)
    greys = np.arcsinh(sky_position / grid) / np.arcsinh(1 / grid)
    softening = grid[np.argmin(np.abs(greys - SKY_LEVEL))]
    grey = 255 * np.arcsinh(position / softening) / np.arcsinh(1 / softening)
    return np.where(np.isfinite(grey), grey, NO_DATA).astype(np.uint8)


def mosaic(panels: dict[str, NDArray[np.uint8]]) -> Image.Image:
    """Set labelled pictures of one size in rows of three."""
    height, width = next(iter(panels.values())).shape
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    step_x, step_y = width + GAP_PX, height + LABEL_PX + GAP_PX
    canvas = Image.new("L", (columns * step_x + GAP_PX, rows * step_y + GAP_PX), 0)
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(size=22)
    for number, (label, panel) in enumerate(panels.items()):
        x = GAP_PX + number % columns * step_x
        y = GAP_PX + number // columns * step_y
        draw.text((x + 4, y + LABEL_PX / 2), label, fill=255, font=font, anchor="lm")
        canvas.paste(Image.fromarray(panel), (x, y + LABEL_PX))
    return canvas


def run(thumbnails: Path, preview: Path, modes: list[str]) -> None:
    """Write the preview.

    Parameters
    ----------
    thumbnails : Path
        What `stack_frames` wrote.
    preview : Path
        PNG file to write.
    modes : list of str
        The stacks, in the order in which they are shown.
    """
    images, header = read_thumbnails(thumbnails)
    panels = {}
    for mode in modes:
        picture = stretch(images[mode])
        label = f"{mode}   {header['NCOMBINE']} frames"
        # FITS counts rows from the bottom, unless a card says otherwise.
        panels[label] = picture if header.get("ROWORDER") == "TOP-DOWN" else picture[::-1]
    with atomic_write(preview) as file:
        mosaic(panels).save(file, "PNG", optimize=True)


if "snakemake" in globals():
    with job_log(snakemake):
        run(
            Path(snakemake.input.thumbnails),
            Path(snakemake.output.preview),
            snakemake.params.settings["modes"],
        )
