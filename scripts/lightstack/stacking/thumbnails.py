"""Stacks shrunk while their rows go by, for the preview."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.compiling import compiled
from scripts.lightstack.files.atomic import atomic_write

if TYPE_CHECKING:
    from astropy.io import fits

LONGEST_PX = 640
"""Longest side of a thumbnail, at most."""

COVERAGE = "coverage"
"""Name of the thumbnail that tells how many frames contribute."""


class Thumbnail:
    """An image shrunk by a whole factor, made from bands of rows.

    Parameters
    ----------
    shape : tuple of int
        ``(ny, nx)`` of the image, or ``(3, ny, nx)``, whose rows are counted on from one plane to
        the next [pixels].
    longest : int
        No side of the thumbnail is longer [pixels].
    """

    def __init__(self, shape: tuple[int, ...], longest: int = LONGEST_PX) -> None:
        *planes, self._ny, nx = shape
        self._factor = -(-max(self._ny, nx) // longest)
        small = [max(1, length // self._factor) for length in (self._ny, nx)]
        self._total = np.zeros((*planes, *small))
        self._count = np.zeros((*planes, *small), np.int64)

    def add(self, rows: NDArray[np.float32], first: int) -> None:
        """Take rows of the image from one on; those of a plane come from the top down."""
        while len(rows):
            plane, row = divmod(first, self._ny)
            place = plane if self._total.ndim > 2 else ...
            of_plane = rows[: self._ny - row]
            _add(of_plane, row, self._factor, self._total[place], self._count[place])
            first += len(of_plane)
            rows = rows[len(of_plane) :]

    def image(self) -> NDArray[np.float64]:
        """Mean of the pixels of each block; NaN where none has data.

        Returns
        -------
        (my, mx) or (3, my, mx) ndarray of float64
            Rows and columns that fill no block are left out.
        """
        return np.where(self._count > 0, self._total / np.maximum(self._count, 1), np.nan)


@compiled
def _add(
    rows: NDArray[np.float32],
    first: int,
    factor: int,
    total: NDArray[np.float64],
    count: NDArray[np.int64],
) -> None:
    for j in range(rows.shape[0]):
        y = (first + j) // factor
        if y >= total.shape[0]:
            return
        for x in range(total.shape[1]):
            part, number = 0.0, 0
            for k in range(x * factor, min((x + 1) * factor, rows.shape[1])):
                value = rows[j, k]
                there = np.isfinite(value)
                part += value if there else 0.0
                number += there
            total[y, x] += part
            count[y, x] += number


def write_thumbnails(path: Path, thumbnails: dict[str, Thumbnail], header: "fits.Header") -> None:
    """Write an image HDU of the name of each stack, and cards into the primary header."""
    from astropy.io import fits

    images = [fits.ImageHDU(small.image(), name=name) for name, small in thumbnails.items()]
    with atomic_write(path) as file:
        fits.HDUList([fits.PrimaryHDU(header=header), *images]).writeto(file)


def read_thumbnails(path: Path) -> "tuple[dict[str, NDArray[np.float64]], fits.Header]":
    """Read what `write_thumbnails` wrote: the images by stack, and the cards."""
    from astropy.io import fits

    with fits.open(path, memmap=False) as hdus:
        images = {hdu.name.lower(): np.asarray(hdu.data, np.float64) for hdu in hdus[1:]}
        return images, hdus[0].header
