"""The FITS files in which the steps hand frames to each other."""

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from io import BufferedReader
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.files import handover
from scripts.lightstack.files.atomic import atomic_write
from scripts.lightstack.job import JobError
from scripts.lightstack.raw.image import UnusableFrameError
from scripts.lightstack.text import printable

if TYPE_CHECKING:
    from astropy.io import fits

BLOCK = 2880
"""What the parts of a FITS file are multiples of [bytes]."""

CHUNK_PIXELS = 2**18
"""Pixels whose byte order is changed at a time, 1 MB: tuned by ``benchmarks/frame_steps.py``."""

FEW = 4
"""Less than one pixel in so many is read where it lies, without the others."""

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


def write_frame(path: Path, frame: Frame, *, durable: bool = True) -> None:
    """Write a frame: its pixels, and the runs of saturated pixels as a table ``SATURATED``.

    The arrays of the frame are given away: `read_frame` hands them to the next step if it runs in
    the same process. Whether the file is to be on the disk is told as to `atomic_write`.
    """
    runs = _runs(frame.saturated.ravel()).astype(">i8")
    with atomic_write(path, durable=durable) as file:
        file.write(_image_header(frame))
        _write_pixels(file, frame.data)
        file.write(_table_header(len(runs)))
        file.write(runs.tobytes())
        file.write(bytes(-runs.nbytes % BLOCK))
        sealed = handover.seal(file)
    handover.keep(path, sealed, (frame.data, frame.saturated))


def read_frame(path: Path) -> Frame:
    """Read what `write_frame` wrote.

    Raises
    ------
    JobError
        If the file is damaged; the sentence names it.
    """
    with _naming_damage(path), path.open("rb") as file:
        header = _read_cards(file)
        arrays = handover.take(file)
        if arrays is None:
            shape = header["NAXIS2"], header["NAXIS1"]
            data = _read_pixels(file, shape)
            file.seek(-data.nbytes % BLOCK, os.SEEK_CUR)
            arrays = data, _read_flags(file, shape)
    return Frame(arrays[0], header, arrays[1])


def _image_header(frame: Frame) -> bytes:
    """Cards of a frame's image, which a table follows."""
    from astropy.io import fits

    # The cards need the shape alone: this array takes no memory.
    image = fits.PrimaryHDU(np.broadcast_to(np.float32(0), frame.data.shape), frame.header)
    image.header.set("EXTEND", True, after="NAXIS2")
    return _as_bytes(image.header)


@cache
def _table_header(rows: int) -> bytes:
    """Cards of a table ``SATURATED`` of this many rows."""
    from astropy.io import fits

    cards = [
        ("XTENSION", "BINTABLE", "binary table extension"),
        ("BITPIX", 8, "array data type"),
        ("NAXIS", 2, "number of array dimensions"),
        ("NAXIS1", 16, "length of dimension 1"),
        ("NAXIS2", rows, "length of dimension 2"),
        ("PCOUNT", 0, "number of group parameters"),
        ("GCOUNT", 1, "number of groups"),
        ("TFIELDS", 2, "number of table fields"),
        ("TTYPE1", "START"),
        ("TFORM1", "K"),
        ("TTYPE2", "LENGTH"),
        ("TFORM2", "K"),
        ("EXTNAME", "SATURATED", "extension name"),
    ]
    return _as_bytes(fits.Header(cards))


def _as_bytes(header: "fits.Header") -> bytes:
    text: str = header.tostring()
    return text.encode("ascii")


def _write_pixels(file: IO[bytes], data: NDArray[np.float32]) -> None:
    """Write an image in the byte order of FITS, as many pixels at a time as fit a cache."""
    pixels = data.reshape(-1)
    for first in range(0, pixels.size, CHUNK_PIXELS):
        file.write(pixels[first : first + CHUNK_PIXELS].astype(">f4").data)
    file.write(bytes(-4 * pixels.size % BLOCK))


def _read_pixels(file: BufferedReader, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Read an image, as many pixels at a time as fit a cache."""
    if 4 * shape[0] * shape[1] > os.fstat(file.fileno()).st_size:
        raise EOFError  # before memory is taken for it
    data = np.empty(shape, np.float32)
    pixels = data.reshape(-1)
    for first in range(0, pixels.size, CHUNK_PIXELS):
        _fill(file, pixels[first : first + CHUNK_PIXELS])
    return data


def _read_flags(file: BufferedReader, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Read the table of saturated pixels."""
    count = _read_cards(file)["NAXIS2"]
    runs = np.frombuffer(file.read(), ">i8", 2 * count)
    saturated = np.zeros(shape, bool)
    flags = saturated.reshape(-1)
    for start, length in runs.reshape(-1, 2).tolist():
        flags[start : start + length] = True
    return saturated


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


class PixelFile:
    """Pixels of a frame on disk, read a few rows at a time; the file is open only meanwhile.

    Parameters
    ----------
    path : Path
        What `write_frame` wrote, or another file that begins with an image of float32.
    plane : int, optional
        Which plane of an image with several.

    Attributes
    ----------
    shape : (int, int)
        ``(ny, nx)`` [pixels].
    """

    def __init__(self, path: Path, plane: int = 0) -> None:
        self.path = path
        with _naming_damage(path), path.open("rb") as file:
            header = _read_cards(file)
            self.shape: tuple[int, int] = header["NAXIS2"], header["NAXIS1"]
            self._offset = file.tell() + 4 * plane * self.shape[0] * self.shape[1]

    def read_rows(
        self, first: int, last: int, columns: NDArray[np.int64] | None = None
    ) -> NDArray[np.float32]:
        """Read rows `first` to `last`, the latter not included.

        Parameters
        ----------
        first, last : int
        columns : (last - first, 2) ndarray of int64, optional
            First column that is wanted of each row, and the one after the last; what lies in
            others means nothing. Default: all.

        Returns
        -------
        (last - first, nx) ndarray of float32
            [ADU], native byte order.

        Raises
        ------
        JobError
            If the file is shorter than its header says; the sentence names it.
        """
        nx = self.shape[1]
        pixels = np.empty((last - first, nx), np.float32)
        start = self._offset + 4 * nx * first
        with _naming_damage(self.path), self.path.open("rb") as file:
            if columns is None or FEW * np.ptp(columns, axis=1).sum() >= pixels.size:
                file.seek(start)
                _fill(file, pixels)
            else:
                from scripts.lightstack.files.byte_order import read_columns

                read_columns(file.fileno(), start, columns, pixels)
        return pixels


def read_header(path: Path) -> "fits.Header":
    """Read the primary header of a file, without its pixels.

    Raises
    ------
    JobError
        If the file is damaged; the sentence names it.
    """
    with _naming_damage(path), path.open("rb") as file:
        return _read_cards(file)


def _read_cards(file: IO[bytes]) -> "fits.Header":
    """Read a header; of damaged ones astropy warns before it gives up."""
    from astropy.io import fits

    with warnings.catch_warnings(action="ignore"):
        return fits.Header.fromfile(file)


@contextmanager
def _naming_damage(path: Path) -> Iterator[None]:
    """Say which file is not what a step wrote, and what to do about it."""
    try:
        yield
    except (EOFError, KeyError, TypeError, ValueError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise JobError(f"{path} is damaged or cut short: delete it and run again.") from error


def _fill(file: BufferedReader, pixels: NDArray[np.float32]) -> None:
    """Read pixels in the byte order of FITS."""
    if file.readinto(pixels.data) != pixels.nbytes:
        raise EOFError
    if sys.byteorder == "little":
        pixels.byteswap(inplace=True)


def _runs(flags: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Find the starts and lengths (n, 2) of the runs of True."""
    places = np.flatnonzero(flags)
    starts = places[np.diff(places, prepend=-2) > 1]
    ends = places[np.diff(places, append=flags.size + 1) > 1] + 1
    return np.column_stack([starts, ends - starts])
