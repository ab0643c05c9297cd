"""Combine the darks of one kind into a master: their median, pixel by pixel."""

import logging
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.calibration.median import median
from scripts.lightstack.files.atomic import atomic_write
from scripts.lightstack.files.frame_file import FAILURE
from scripts.lightstack.files.unread import NOTES, note
from scripts.lightstack.job import job_log
from scripts.lightstack.raw.exposure import Exposure, exposure_of
from scripts.lightstack.raw.image import UnusableFrameError
from scripts.lightstack.raw.images import read_image
from scripts.lightstack.text import printable

if TYPE_CHECKING:
    from astropy.io import fits
    from snakemake.iocontainers import snakemake

BAND_BYTES = 30_000_000

HELD_BYTES = 400_000_000
"""Pixels that are held in memory until all darks are read; more are kept in a file."""

Image = tuple["fits.Header", NDArray[np.float32]]

log = logging.getLogger(__name__)


def run(darks: list[Path], master: Path, *, unread: Path = NOTES) -> None:
    """Write a master dark, of those darks that can be read.

    Parameters
    ----------
    darks : list of Path
        Raw darks of one kind.
    master : Path
        FITS file to write: the image [ADU] with the header of the first dark, ``NCOMBINE`` and
        ``DARKNAME``; without an image if none can be read.
    unread : Path, optional
        Folder for notes of files that cannot be read.
    """
    from astropy.io import fits

    with atomic_write(master) as file:
        images = _readable(darks, unread)
        if len(darks) == 1:
            count, image = 1, next(images, None)
        else:
            count, image = _combined(images, master.parent)
        if image is None:
            card = (FAILURE, "none of its darks can be read.")
            fits.PrimaryHDU(header=fits.Header([card])).writeto(file)
            return
        header, pixels = image
        header["NCOMBINE"] = (count, "darks combined")
        taken = exposure_of(header, (pixels.shape[0], pixels.shape[1]))
        header["DARKNAME"] = printable(_describe(taken, count, len(darks)))
        log.info("%s: %s", header["DARKNAME"], ", ".join(map(str, darks)))
        fits.PrimaryHDU(pixels, header).writeto(file)


def _readable(darks: list[Path], unread: Path) -> Iterator[Image]:
    """Read darks; note those that cannot be read, and leave them out."""
    shape = None
    for dark in darks:
        try:
            image = _read(dark, shape)
        except UnusableFrameError as error:
            note(unread, dark, error)
            continue
        shape = image[1].shape
        yield image
        # It need not be in memory beside the next one.
        del image


def _read(dark: Path, shape: tuple[int, ...] | None) -> Image:
    image = read_image(dark)
    if shape not in (None, image.data.shape):
        raise UnusableFrameError(f"{dark.name}: it had another shape when the run began.")
    return image.header, image.data


def _combined(images: Iterable[Image], folder: Path) -> tuple[int, Image | None]:
    """Count images and give the first one's header and the median of all; None if there is none.

    They need not fit into memory together: the rest is kept in a file of this folder meanwhile.
    """
    with tempfile.TemporaryFile(dir=folder) as scratch:
        stored: list[Image] = []
        for image in images:
            held = image[1].nbytes * (len(stored) + 1)
            stored.append(image if held <= HELD_BYTES else _stored(image, scratch))
        if not stored:
            return 0, None
        headers, pixels = zip(*stored, strict=True)
        return len(stored), (headers[0], _median(pixels))


def _stored(image: Image, scratch: IO[bytes]) -> Image:
    """Move the pixels of an image to a file."""
    header, pixels = image
    offset = scratch.tell()
    scratch.write(np.ascontiguousarray(pixels).data)
    scratch.flush()
    return header, np.memmap(scratch, np.float32, "r", offset, pixels.shape)


def _describe(exposure: Exposure, count: int, offered: int) -> str:
    ny, nx = exposure.shape
    values: list[tuple[str, Any]] = [
        ("{:g} s", exposure.exptime),
        ("{:.1f} degC", exposure.temperature),
        ("gain {:g}", exposure.egain if exposure.gain is None else exposure.gain),
    ]
    known = [text.format(value) for text, value in values if value is not None]
    number = f"{count}" if count == offered else f"{count} of {offered}"
    return " ".join([f"master of {number}:", *known, f"{nx} x {ny}"])


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
