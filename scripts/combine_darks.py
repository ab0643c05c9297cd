"""Combine the darks of one kind into a master: their median, pixel by pixel."""

import logging
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.calibration.median import median
from scripts.lightstack.files.atomic import atomic_write
from scripts.lightstack.job import JobError, job_log
from scripts.lightstack.raw.exposure import Exposure, exposure_of
from scripts.lightstack.raw.image import UnusableFrameError
from scripts.lightstack.raw.images import read_image
from scripts.lightstack.text import printable

if TYPE_CHECKING:
    from astropy.io import fits
    from snakemake.iocontainers import snakemake

BAND_BYTES = 30_000_000

Image = tuple["fits.Header", NDArray[np.float32]]

log = logging.getLogger(__name__)


def run(darks: list[Path], master: Path) -> None:
    """Write a master dark.

    Parameters
    ----------
    darks : list of Path
        Raw darks of one kind.
    master : Path
        FITS file to write: the image [ADU] with the header of the first dark, ``NCOMBINE`` and
        ``DARKNAME``.
    """
    from astropy.io import fits

    with atomic_write(master) as file:
        images = (_read(dark) for dark in darks)
        header, pixels = next(images) if len(darks) == 1 else _combined(images, master.parent)
        header["NCOMBINE"] = (len(darks), "darks combined")
        header["DARKNAME"] = printable(_describe(exposure_of(header, pixels.shape), len(darks)))
        log.info("%s: %s", header["DARKNAME"], ", ".join(map(str, darks)))
        fits.PrimaryHDU(pixels, header).writeto(file)


def _combined(images: Iterable[Image], folder: Path) -> Image:
    """Give the first dark's header and the median of all.

    They are kept in a file of this folder meanwhile: they need not fit into memory together.
    """
    with tempfile.TemporaryFile(dir=folder) as scratch:
        headers, pixels = zip(*(_stored(image, scratch) for image in images), strict=True)
        return headers[0], _median(pixels)


def _read(dark: Path) -> Image:
    try:
        image = read_image(dark)
    except UnusableFrameError as error:
        raise JobError(f"{error} It was another file when the run began: run again.") from error
    return image.header, image.data


def _stored(image: Image, scratch: IO[bytes]) -> Image:
    """Move the pixels of an image to a file."""
    header, pixels = image
    offset = scratch.tell()
    scratch.write(np.ascontiguousarray(pixels).data)
    scratch.flush()
    return header, np.memmap(scratch, np.float32, "r", offset, pixels.shape)


def _describe(exposure: Exposure, count: int) -> str:
    ny, nx = exposure.shape
    values: list[tuple[str, Any]] = [
        ("{:g} s", exposure.exptime),
        ("{:.1f} degC", exposure.temperature),
        ("gain {:g}", exposure.gain),
    ]
    known = [text.format(value) for text, value in values if value is not None]
    return " ".join([f"master of {count}:", *known, f"{nx} x {ny}"])


def _median(darks: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Median of images, a band of rows at a time."""
    ny, nx = darks[0].shape
    rows = max(1, BAND_BYTES // (len(darks) * nx * 4))
    master = np.empty((ny, nx), np.float32)
    for start in range(0, ny, rows):
        band = np.stack([dark[start : start + rows] for dark in darks])
        master[start : start + rows] = median(band)
    return master


if "snakemake" in globals():
    with job_log(snakemake):
        run(
            [Path(dark) for dark in snakemake.input.darks],
            Path(snakemake.output.master),
        )
