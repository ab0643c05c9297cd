"""The FITS files in which the steps hand frames to each other."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.files.atomic import atomic_write
from scripts.lightstack.raw.image import UnusableFrameError
from scripts.lightstack.text import printable

if TYPE_CHECKING:
    from astropy.io import fits


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
