"""Map the bad pixels of a sensor, as its dark or some frames of it show them."""

import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.calibration.bad_pixels import find_bad_pixels
from scripts.lightstack.calibration.masters import Image, open_master, readable, write_master
from scripts.lightstack.calibration.median import median
from scripts.lightstack.calibration.reading import Reading
from scripts.lightstack.job import job_log
from scripts.lightstack.raw.exposure import Exposure
from scripts.lightstack.raw.image import PLANES, RawImage

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log = logging.getLogger(__name__)


def run(
    frames: list[Path],
    dark: Path | None,
    bad: Path,
    *,
    threads: int = 1,
    **reading: Any,
) -> None:
    """Write a map of bad pixels.

    Parameters
    ----------
    frames : list of Path
        Raw frames of one sensor, where there is no dark.
    dark : Path or None
        What `combine_darks` wrote.
    bad : Path
        FITS file to write, as `lightstack.calibration.masters` writes them: 1 where a pixel is
        bad, else 0.
    threads : int, optional
        How many threads to use; they change nothing but the time.
    **reading
        How raw files are read: see `lightstack.calibration.reading.Reading`.
    """
    read = readable(frames, Reading(**reading))
    images = _of_dark(dark) if dark is not None else _even(read)
    offered = 1 if dark is not None else len(frames)
    write_master(
        lambda _: images,
        offered,
        bad,
        median,
        noun="frames",
        told=("exposure", "gain"),
        finish=partial(_marked, shows_sky=dark is None),
        threads=threads,
    )


def _even(frames: Iterator[tuple[Path, RawImage]]) -> Iterator[Image]:
    """Take off the level of the frames' sky; a bad pixel is so in all colours."""
    for _, image in frames:
        image.header.remove(PLANES, ignore_missing=True)
        image.data[...] -= np.float32(np.nanmedian(image.data))
        yield image.header, image.data


def _of_dark(dark: Path) -> Iterator[Image]:
    """Read a master dark."""
    from astropy.io import fits

    opened = open_master(dark)
    if opened is not None:
        pixels = opened[1]
        yield fits.getheader(dark), pixels.read_rows(0, pixels.shape[0])


def _marked(pixels: NDArray[np.float32], taken: Exposure, *, shows_sky: bool) -> None:
    bad = find_bad_pixels(pixels, is_mosaic=taken.bayer is not None, shows_sky=shows_sky)
    log.info("%d bad pixels.", np.count_nonzero(bad))
    pixels[...] = bad


if "snakemake" in globals():
    with job_log(snakemake):
        run(
            [Path(frame) for frame in snakemake.input.frames],
            Path(snakemake.input.dark) if snakemake.input.dark else None,
            Path(snakemake.output.bad),
            **snakemake.params.settings,
            threads=snakemake.threads,
        )
