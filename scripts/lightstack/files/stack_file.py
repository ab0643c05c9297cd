"""A stack's FITS file, written a band of rows at a time."""

import math
import mmap
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.files.checksum import add_checksums, sum_of_bytes, sum_of_words

if TYPE_CHECKING:
    from astropy.io import fits

BLOCK = 2880
"""A FITS file consists of blocks of so many bytes."""


class Extension(NamedTuple):
    """A further HDU, made once for several files.

    Attributes
    ----------
    header : bytes
    data : memoryview
        In the file's byte order.
    """

    header: bytes
    data: memoryview


def count_extension(name: str, count: NDArray[np.integer]) -> Extension:
    """Make an image HDU of counts, which get the file's byte order in their own memory."""
    from astropy.io import fits

    header = fits.ImageHDU(count, name=name).header
    if count.dtype.isnative:
        count = count.byteswap(inplace=True).view(count.dtype.newbyteorder(">"))
    return _extension(header, count.data.cast("B"))


def image_extension(name: str, image: NDArray[np.float32], cards: list[Any]) -> Extension:
    """Make an image HDU with further cards."""
    from astropy.io import fits

    header = fits.ImageHDU(image, fits.Header(cards), name).header
    return _extension(header, image.astype(">f4").data.cast("B"))


def table_extension(name: str, table: NDArray[Any]) -> Extension:
    """Make a table HDU of a structured array that is big-endian."""
    from astropy.io import fits

    header = fits.BinTableHDU(table, name=name).header
    return _extension(header, memoryview(table.tobytes()))


def _extension(header: "fits.Header", data: memoryview) -> Extension:
    add_checksums(header, sum_of_bytes(data))
    return Extension(header.tostring().encode("ascii"), data)


class SpooledImage:
    """An image of float32 for an extension, on disk until the image before it is written.

    Parameters
    ----------
    file : binary file
        Open for writing and reading, and empty.
    name : str
        Of the extension.
    shape : tuple of int
        As of a `StackWriter`.
    cards : dict
        Further cards.
    """

    def __init__(
        self, file: IO[bytes], name: str, shape: tuple[int, ...], cards: dict[str, Any]
    ) -> None:
        from astropy.io import fits

        # The cards need the shape alone: this array takes no memory.
        image = np.broadcast_to(np.float32(0), shape)
        self._header = fits.ImageHDU(image, fits.Header(list(cards.items())), name).header
        self._file, self._row_bytes = file, 4 * shape[-1]

    def write_rows(self, image: NDArray[np.float32], first: int) -> None:
        """Write rows of the image from one on, counted on from one plane to the next."""
        self._file.seek(first * self._row_bytes)
        self._file.write(image.astype(">f4").data)

    def extension(self) -> Extension:
        """Give the whole image."""
        self._file.flush()
        data = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        return _extension(self._header, memoryview(data))


class StackWriter:
    """A stack whose image is written a band of rows at a time.

    Parameters
    ----------
    file : binary file
        Open for writing, and empty.
    header : astropy.io.fits.Header
        Cards of the image.
    shape : tuple of int
        ``(ny, nx)``, or ``(3, ny, nx)`` of an image with colours, one after the other [pixels].
    """

    def __init__(self, file: IO[bytes], header: "fits.Header", shape: tuple[int, ...]) -> None:
        from astropy.io import fits

        self._file, self._size, self._datasum = file, 4 * math.prod(shape), 0
        self._header = fits.PrimaryHDU(header=header).header
        self._header["BITPIX"] = -32
        self._header["NAXIS"] = len(shape)
        # The fastest axis is the last one here, and the first one in the header.
        for axis, length in zip(range(len(shape), 0, -1), shape, strict=True):
            self._header.insert("NAXIS", (f"NAXIS{axis}", length), after=True)
        add_checksums(self._header, 0)
        file.write(self._header.tostring().encode("ascii"))
        self._begin, self._row_bytes = file.tell(), 4 * shape[-1]

    def write_rows(self, image: NDArray[np.float32], first: int) -> None:
        """Write rows of the image from one on, counted on from one plane to the next.

        All are written once, in any order.
        """
        self._datasum = sum_of_words(image.view(np.uint32), self._datasum)
        self._file.seek(self._begin + first * self._row_bytes)
        self._file.write(image.astype(">f4").data)

    def finish(self, extensions: list[Extension]) -> None:
        """Fill up the image's last block, append extensions, and complete the header."""
        self._file.seek(self._begin + self._size)
        self._file.write(bytes(-self._size % BLOCK))
        for extension in extensions:
            self._file.write(extension.header)
            self._file.write(extension.data)
            self._file.write(bytes(-len(extension.data) % BLOCK))
        add_checksums(self._header, self._datasum)
        self._file.seek(0)
        self._file.write(self._header.tostring().encode("ascii"))
