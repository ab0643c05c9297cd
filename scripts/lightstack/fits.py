"""The FITS files that the steps hand to each other."""

import errno
import os
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.frames import on_one_line
from scripts.lightstack.images import UnusableFrameError
from scripts.lightstack.job import JobError

if TYPE_CHECKING:
    from astropy.io import fits

COLUMN_TYPES = {"B": "u1", "I": ">i2", "J": ">i4", "K": ">i8", "E": ">f4", "D": ">f8"}
"""How numbers are stored in the columns of a FITS table."""

FAILURE = "FAILURE"
"""Card of a file that stands for an unusable frame: the sentence that says why."""


@dataclass(frozen=True)
class Frame:
    """A frame on its way through the pipeline.

    Parameters
    ----------
    data : (ny, nx) ndarray of float32
        Pixels [ADU], NaN where there is no data.
    header : astropy.io.fits.Header
        The raw frame's cards and those that the steps add.
    saturated : (ny, nx) ndarray of bool
        Pixels that were saturated in the raw frame.
    """

    data: NDArray[np.float32]
    header: "fits.Header"
    saturated: NDArray[np.bool_] = field(repr=False)


@contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary file that takes the name `path` only once it is whole.

    Parameters
    ----------
    path : Path
        The final name; its folder is made if need be.

    Yields
    ------
    binary file
        In the same folder; it is removed if an exception leaves the block.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # One name per final name: what a killed run leaves behind, the next run overwrites.
    part = path.with_name(f".{zlib.crc32(os.fsencode(path.name)):08x}.part")
    try:
        with part.open("wb") as file:
            yield file
        part.replace(path)
    except BaseException as error:
        full = isinstance(error, OSError) and _is_full(error, path.parent)
        written = part.stat().st_size if part.exists() else 0
        part.unlink(missing_ok=True)
        if full:
            raise JobError(
                f"{path}: the disk is full (this file alone needs over {written / 1e6:.1f} MB). "
                "Make room and run again: all that is finished stays."
            ) from error
        raise


def _is_full(error: OSError, folder: Path) -> bool:
    """Whether a disk is full; NumPy does not say so when it cannot write."""
    if error.errno is None:
        return shutil.disk_usage(folder).free < 1_000_000
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def write_frame(path: Path, frame: Frame) -> None:
    """Write a frame: its pixels, and the runs of saturated pixels as a table ``SATURATED``."""
    from astropy.io import fits

    image = fits.PrimaryHDU(frame.data, frame.header)
    starts, lengths = _runs(frame.saturated.ravel())
    table = fits.BinTableHDU.from_columns(
        [
            fits.Column("START", "K", array=starts),
            fits.Column("LENGTH", "K", array=lengths),
        ],
        name="SATURATED",
    )
    with atomic_write(path) as file:
        fits.HDUList([image, table]).writeto(file)


def read_frame(path: Path) -> Frame:
    """Read what `write_frame` wrote."""
    from astropy.io import fits

    with fits.open(path, memmap=False) as hdus:
        data = np.ascontiguousarray(hdus[0].data, np.float32)
        runs = hdus["SATURATED"].data
        saturated = np.zeros(data.size, bool)
        for start, length in zip(runs["START"], runs["LENGTH"], strict=True):
            saturated[start : start + length] = True
        header = hdus[0].header
    return Frame(data, header, saturated.reshape(data.shape))


def write_failure(path: Path, failure: UnusableFrameError, cards: dict[str, Any]) -> None:
    """Write a file without pixels that stands for an unusable frame.

    Parameters
    ----------
    path : Path
        The file that the next step expects.
    failure : UnusableFrameError
        Its sentence goes into the card ``FAILURE``.
    cards : dict
        Further header cards.
    """
    from astropy.io import fits

    hdu = fits.PrimaryHDU(header=fits.Header(list(cards.items())))
    hdu.header[FAILURE] = printable(str(failure))
    with atomic_write(path) as file:
        hdu.writeto(file)


def pass_on_failure(source: Path, target: Path) -> bool:
    """Copy a file that stands for an unusable frame.

    Parameters
    ----------
    source : Path
        What the step before wrote.
    target : Path
        What the step after expects; written only if `source` stands for an unusable frame.

    Returns
    -------
    bool
        Whether it does.
    """
    if FAILURE not in read_header(source):
        return False
    with atomic_write(target) as file:
        file.write(source.read_bytes())
    return True


def printable(text: str) -> str:
    """Text as a FITS card can hold it: ASCII, all else as escapes."""
    return ascii(text)[1:-1]


def text_of(card: str) -> str:
    """Text that `printable` made a card of, on one line."""
    return on_one_line(card.encode("ascii").decode("unicode_escape"))


def write_table(path: Path, table: NDArray[Any], cards: dict[str, Any]) -> None:
    """Write a structured array as a FITS table, and cards into the primary header."""
    from astropy.io import fits

    with atomic_write(path) as file:
        fits.HDUList(
            [fits.PrimaryHDU(header=fits.Header(list(cards.items()))), fits.BinTableHDU(table)]
        ).writeto(file)


def read_table(path: Path) -> NDArray[Any]:
    """Read the structured array that `write_table` wrote, in native byte order."""
    from astropy.io import fits

    with path.open("rb") as file:
        fits.Header.fromfile(file)
        header = fits.Header.fromfile(file)
        columns = range(1, header["TFIELDS"] + 1)
        stored = [(header[f"TTYPE{n}"], COLUMN_TYPES[header[f"TFORM{n}"]]) for n in columns]
        table = np.fromfile(file, stored, header["NAXIS2"])
    if len(table) < header["NAXIS2"]:
        raise EOFError(f"{path} is shorter than its header says.")
    return table.astype(table.dtype.newbyteorder("="))


def append_image(file: IO[bytes], hdu: "fits.ImageHDU") -> None:
    """Write an image HDU at the end of a file that is being written."""
    file.write(hdu.header.tostring().encode("ascii"))
    file.write(hdu.data.astype(hdu.data.dtype.newbyteorder(">")).data)
    file.write(bytes(-hdu.data.nbytes % 2880))


class PixelFile:
    """Pixels of a frame on disk, read a few rows at a time; the file is open only meanwhile.

    Parameters
    ----------
    path : Path
        What `write_frame` wrote.

    Attributes
    ----------
    shape : (int, int)
        ``(ny, nx)`` [pixels].
    """

    def __init__(self, path: Path) -> None:
        from astropy.io import fits

        self.path = path
        with fits.open(path, memmap=False) as hdus:
            self.shape: tuple[int, int] = hdus[0].shape
            self._offset = hdus[0].fileinfo()["datLoc"]

    def read_rows(self, first: int, last: int) -> NDArray[np.float32]:
        """Read rows `first` to `last`, the latter not included.

        Returns
        -------
        (last - first, nx) ndarray of float32
            [ADU], native byte order.
        """
        nx = self.shape[1]
        pixels = np.empty((last - first, nx), ">f4")
        with self.path.open("rb") as file:
            file.seek(self._offset + 4 * nx * first)
            if file.readinto(pixels.data) != pixels.nbytes:
                raise EOFError(f"{self.path} is shorter than its header says.")
        return in_native_order(pixels)


class StackWriter:
    """A stack whose image is written a band of rows at a time.

    Parameters
    ----------
    file : binary file
        Open for writing.
    header : astropy.io.fits.Header
        Cards of the image.
    shape : (int, int)
        ``(ny, nx)`` [pixels].
    """

    def __init__(self, file: IO[bytes], header: "fits.Header", shape: tuple[int, int]) -> None:
        from astropy.io import fits

        self._file, self._size = file, 4 * shape[0] * shape[1]
        image = fits.PrimaryHDU(header=header)
        image.header["BITPIX"] = -32
        image.header["NAXIS"] = 2
        image.header.insert("NAXIS", ("NAXIS1", shape[1]), after=True)
        image.header.insert("NAXIS1", ("NAXIS2", shape[0]), after=True)
        file.write(image.header.tostring().encode("ascii"))

    def write_rows(self, image: NDArray[np.float32]) -> None:
        """Append rows of the image."""
        self._file.write(image.astype(">f4").data)

    def finish(self, counts: dict[str, NDArray[np.int16]]) -> None:
        """Fill up the image's last block and append counts of frames per pixel, by name."""
        from astropy.io import fits

        self._file.write(bytes(-self._size % 2880))
        for name, count in counts.items():
            append_image(self._file, fits.ImageHDU(count, name=name))


def in_native_order(pixels: NDArray[Any]) -> NDArray[Any]:
    """Give an array the byte order of this machine, in its own memory."""
    if not pixels.dtype.isnative:
        pixels.byteswap(inplace=True)
    return pixels.view(pixels.dtype.newbyteorder("="))


def read_header(path: Path) -> "fits.Header":
    """Read the primary header of a file, without its pixels."""
    from astropy.io import fits

    with path.open("rb") as file:
        return fits.Header.fromfile(file)


def _runs(flags: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find the starts and lengths of the runs of True."""
    edges = np.flatnonzero(np.diff(flags, prepend=False, append=False))
    return edges[::2], edges[1::2] - edges[::2]
