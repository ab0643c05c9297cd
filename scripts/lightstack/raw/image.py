"""An image as it came from the camera, and the bounds that every reader keeps."""

import contextlib
import errno
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from astropy.io import fits


MAX_PIXELS = 250_000_000
"""Larger images are refused before they are decoded: none is a camera's."""

MODEST_PIXELS = 64_000_000
"""As many as a sensor of 24 x 36 mm has: their memory is at hand, however small the file."""

MAX_PIXELS_PER_BYTE = 250
"""Fewer bytes cannot hold a larger frame: the noise of a sensor does not compress."""


IMAGES = "N_IMAGES"
"""Card that tells how many images a file holds."""


PLANES = "N_PLANES"
"""Card that tells that an image has three colours at each pixel."""


FIRST = "first"
"""Chooses the first image of a FITS file, and not the one of a name or a number."""


FEW_APART = 16
"""Of pixels so far apart two mostly differ already: the others need not be looked at."""


class UnusableFrameError(Exception):
    """The file holds no usable image; the message is a sentence for the ledger."""


class UnreadableFileError(UnusableFrameError):
    """The system cannot read this file now, whatever it holds: it is worth another try."""


@dataclass(frozen=True)
class RawImage:
    """An image as it came from the camera.

    Parameters
    ----------
    data : (ny, nx) ndarray of float32
        Pixels [ADU], native byte order, NaN where there is no data.
    peak : (ny, nx) ndarray of float32
        Brightest channel of each pixel [ADU]: `data` itself if the image is grey.
    ceiling : float
        Largest value that the file's numbers can hold [ADU]; infinite for floats without a known
        range.
    step : float
        Smallest difference that the file's numbers can hold [ADU]: 1 for counts.
    header : astropy.io.fits.Header
        Cards that a stack may keep: none of those that describe the file's layout.
    pixel_type : str
        Of the file's numbers, such as uint16.
    overscan : ndarray of float32, optional
        Level of each pixel, or of each row or column, that is to be subtracted [ADU]: see
        `overscan.without_overscan`.
    overscan_noise : float, optional
        Noise of a pixel of the overscan, as a share of that of what was exposed; 0 without any.
    """

    data: NDArray[np.float32]
    peak: NDArray[np.float32]
    ceiling: float
    step: float
    header: "fits.Header"
    pixel_type: str = ""
    overscan: NDArray[np.float32] | None = None
    overscan_noise: float = 0.0


def check_usable(data: NDArray[np.float32]) -> None:
    """Refuse pixels that show nothing.

    Parameters
    ----------
    data : (ny, nx) ndarray of float32
        Pixels [ADU], NaN where there is no data.

    Raises
    ------
    UnusableFrameError
        If no pixel has data, or all have the same value.
    """
    few = data[::FEW_APART, ::FEW_APART]
    if np.fmin.reduce(few, axis=None) < np.fmax.reduce(few, axis=None):
        return
    low, high = np.fmin.reduce(data, axis=None), np.fmax.reduce(data, axis=None)
    if np.isnan(low):
        raise UnusableFrameError("no pixel has data.")
    if low == high:
        raise UnusableFrameError("every pixel has the same value.")


def central_region(shape: tuple[int, int], size: int) -> tuple[slice, slice]:
    """Rows and columns of the central `size` x `size` pixels; all if `size` is 0, or if fewer."""
    starts = [max(0, (length - size) // 2) if size else 0 for length in shape]
    rows, columns = (slice(start, start + size if size else None) for start in starts)
    return rows, columns


OF_THE_FILE = frozenset(
    getattr(errno, name, None)
    for name in (
        *("EACCES", "EPERM", "EIO", "ENOENT", "ENOTDIR", "EISDIR", "ELOOP", "ENXIO"),
        # A bad sector, or a checksum of the file system, by other names.
        *("EBADMSG", "ENODATA", "EUCLEAN", "EREMOTEIO"),
    )
)
"""What the system says when this one file cannot be read, and others perhaps can."""


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let a failure to read say of which file: the system does so only when it opens one.

    Raises
    ------
    UnreadableFileError
        If it is this file that cannot be read.
    OSError
        If it is the machine that fails, with the file's name.
    """
    try:
        yield
    except OSError as error:
        if error.errno in OF_THE_FILE:
            raise UnreadableFileError(f"{path.name}: cannot be read: {error.strerror}.") from error
        error.filename = error.filename or str(path)
        raise


def damage(error: BaseException) -> str:
    """Say that a decoder gave up, in its own words as far as they mean anything."""
    first = error.args[0] if error.args else ""
    said = first.decode(errors="replace") if isinstance(first, bytes) else str(error)
    words = " ".join(said.split())[:200]
    cause = f"{type(error).__name__}: {words}" if words else type(error).__name__
    return f"cannot be read: the file is damaged or of an unknown kind ({cause})."


def check_size(shape: tuple[int, ...]) -> None:
    """Refuse an image that has more pixels than any camera's."""
    if int(np.prod(shape, dtype=object)) > MAX_PIXELS:
        raise UnusableFrameError(
            f"{' x '.join(map(str, shape[::-1]))} pixels are more than the {MAX_PIXELS:,} allowed."
        )


TRUNCATED = "cannot be read: the data is truncated or damaged."


def without_data(shape: tuple[int, int], header: "fits.Header", pixel_type: str) -> RawImage:
    """Stand for an image whose pixels are not read; it takes no memory."""
    data = np.broadcast_to(np.float32(np.nan), shape)
    return RawImage(data, data, np.inf, 1.0, header, pixel_type)


def check_density(shape: tuple[int, ...], n_bytes: int, value_bytes: int = 4) -> None:
    """Refuse a large image that is too large for its file, before memory is taken for it."""
    modest = 4 * MODEST_PIXELS // max(value_bytes, 4)
    if int(np.prod(shape, dtype=object)) > max(modest, MAX_PIXELS_PER_BYTE * n_bytes):
        raise UnusableFrameError(
            f"cannot be read: {n_bytes} bytes are too few for "
            f"{' x '.join(map(str, shape[::-1]))} pixels."
        )
