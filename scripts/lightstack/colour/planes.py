"""The colours of a frame on disk, read a few rows at a time."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.colour.demosaicing import REACH, colour_of_mosaic, colours_of_mosaic
from scripts.lightstack.files.colour_file import COLOURS
from scripts.lightstack.files.frame_file import PixelFile
from scripts.lightstack.raw.values import Cards

MOSAIC = "MOSAIC"
"""Card of a file with a mosaic: the colours of its first 2 x 2 pixels in rows, such as RGGB."""


class ColourFile:
    """One colour of a frame on disk, or all of them.

    Parameters
    ----------
    path : Path
        What `clean_colours` wrote: a mosaic, or three planes.
    pattern : str or None
        Colours of a mosaic's first 2 x 2 pixels in rows.
    colour : {0, 1, 2}
        Red, green or blue.

    Attributes
    ----------
    shape : (int, int)
        ``(ny, nx)`` [pixels].
    """

    def __init__(self, path: Path, pattern: str | None, colour: int) -> None:
        planes = range(1 if pattern else len(COLOURS))
        self._planes = [PixelFile(path, plane) for plane in planes]
        self._pattern, self._colour = pattern, colour
        self.shape = self._planes[0].shape

    def read_rows(self, first: int, last: int) -> NDArray[np.float32]:
        """Read rows of the colour as `files.frame_file.PixelFile` does."""
        if self._pattern is None:
            return self._planes[self._colour].read_rows(first, last)
        if first == last:
            return np.empty((0, self.shape[1]), np.float32)
        rows = self._mosaic(first, last)
        return colour_of_mosaic(rows, (first, last), self.shape, self._pattern, self._colour)

    def read_colours(
        self, first: int, last: int, columns: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Read rows of all colours, those of a pixel side by side.

        Parameters
        ----------
        first, last : int
            The first row, and the one after the last.
        columns : (last - first, 2) ndarray of int64
            First column that is needed of each row, and the one after the last.

        Returns
        -------
        (last - first, nx, 3) ndarray of float32
            [ADU]; what lies in other columns means nothing.
        """
        if self._pattern is None:
            planes = [plane.read_rows(first, last) for plane in self._planes]
            return np.stack(planes, axis=-1)
        if first == last:
            return np.empty((0, self.shape[1], len(COLOURS)), np.float32)
        rows = self._mosaic(first, last)
        return colours_of_mosaic(rows, (first, last), self.shape, self._pattern, columns)

    def _mosaic(self, first: int, last: int) -> NDArray[np.float32]:
        """Read rows of the mosaic, and those beside them that colours are made of."""
        above, below = max(first - REACH, 0), min(last + REACH, self.shape[0])
        return self._planes[0].read_rows(above, below)


class HalvedFile:
    """One colour of a mosaic or of three planes on disk, at half the size.

    Parameters
    ----------
    path : Path
        What `clean_colours` wrote.
    pattern : str or None
        Colours of a mosaic's first 2 x 2 pixels in rows.
    colour : {0, 1, 2}
        Red, green or blue.

    Attributes
    ----------
    shape : (int, int)
        ``(ny, nx)`` [pixels of half the size].
    places : list of (int, int)
        Row and column, in 2 x 2 pixels, of those that are averaged.
    """

    def __init__(self, path: Path, pattern: str | None, colour: int) -> None:
        self._pixels = PixelFile(path, plane=0 if pattern else colour)
        ny, nx = self._pixels.shape
        self.shape = (ny // 2, nx // 2)
        self.places = [
            (row, column)
            for row, column in np.ndindex(2, 2)
            if pattern is None or pattern[2 * row + column] == COLOURS[colour]
        ]

    @property
    def offset(self) -> tuple[float, float]:
        """Where the first pixel lies on the frame, ``(x, y)`` [pixels]."""
        n = len(self.places)
        rows, columns = zip(*self.places, strict=True)
        return sum(columns) / n, sum(rows) / n

    def read_rows(self, first: int, last: int) -> NDArray[np.float32]:
        """Read rows as `files.frame_file.PixelFile` does."""
        rows, (_, nx) = self._pixels.read_rows(2 * first, 2 * last), self.shape
        total: NDArray[np.float32] = np.zeros((last - first, nx), np.float32)
        for row, column in self.places:
            total += rows[row::2, column : column + 2 * nx : 2]
        return total / np.float32(len(self.places))


def colour_file(path: Path, header: Cards, colour: int) -> ColourFile:
    """Open a colour of a frame.

    Parameters
    ----------
    path : Path
        What `clean_colours` wrote.
    header : mapping
        Its cards.
    colour : {0, 1, 2}
        Red, green or blue.
    """
    pattern = header.get(MOSAIC)
    return ColourFile(path, pattern if isinstance(pattern, str) else None, colour)
