"""A stack's FITS file, written a band of rows at a time."""

from typing import IO, TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from astropy.io import fits


def append_image(file: IO[bytes], hdu: "fits.ImageHDU") -> None:
    """Write an image HDU at the end of a file that is being written."""
    file.write(hdu.header.tostring().encode("ascii"))
    file.write(hdu.data.astype(hdu.data.dtype.newbyteorder(">")).data)
    file.write(bytes(-hdu.data.nbytes % 2880))


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
