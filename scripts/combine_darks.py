"""Combine the darks of one kind into a master: their median, pixel by pixel."""

import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

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

    with atomic_write(master) as file, tempfile.TemporaryFile(dir=master.parent) as scratch:
        headers, pixels = zip(*(_store(dark, scratch) for dark in darks), strict=True)
        header = headers[0]
        header["NCOMBINE"] = (len(darks), "darks combined")
        header["DARKNAME"] = printable(_describe(exposure_of(header, pixels[0].shape), len(darks)))
        log.info("%s: %s", header["DARKNAME"], ", ".join(map(str, darks)))
        fits.PrimaryHDU(_median(pixels), header).writeto(file)


def _store(dark: Path, scratch: IO[bytes]) -> tuple["fits.Header", NDArray[np.float32]]:
    """Read a dark and keep its pixels on disk: darks need not fit into memory together."""
    try:
        image = read_image(dark)
    except UnusableFrameError as error:
        raise JobError(f"{error} It was another file when the run began: run again.") from error
    offset = scratch.tell()
    scratch.write(np.ascontiguousarray(image.data).data)
    scratch.flush()
    return image.header, np.memmap(scratch, np.float32, "r", offset, image.data.shape)


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
    from scripts.lightstack.stacking.combining import combine

    ny, nx = darks[0].shape
    rows = max(1, BAND_BYTES // (len(darks) * nx * 4))
    master = np.empty((ny, nx), np.float32)
    for start in range(0, ny, rows):
        band = np.stack([dark[start : start + rows] for dark in darks])
        master[start : start + rows] = combine(band, ("median",)).images["median"]
    return master


if "snakemake" in globals():
    with job_log(snakemake):
        run(
            [Path(dark) for dark in snakemake.input.darks],
            Path(snakemake.output.master),
        )
