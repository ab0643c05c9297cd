"""The colours of a frame on disk, read a few rows at a time."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.colour.demosaicing import REACH, colours_of_mosaic, columns_around
from scripts.lightstack.colour.halves import average_places
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

    def read_rows(
        self, first: int, last: int, columns: NDArray[np.int64] | None = None
    ) -> NDArray[np.float32]:
        """Read rows of the colour as `files.frame_file.PixelFile` does."""
        if self._pattern is None:
            return self._planes[self._colour].read_rows(first, last, columns)
        if columns is None:
            columns = np.tile(np.array([0, self.shape[1]]), (last - first, 1))
        return self.read_colours(first, last, columns)[..., self._colour].copy()

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
            return np.stack(
                [plane.read_rows(first, last, columns) for plane in self._planes], axis=-1
            )
        above, below = max(first - REACH, 0), min(last + REACH, self.shape[0])
        around = columns_around(columns, (first, last), self.shape)
        mosaic = self._planes[0].read_rows(above, below, around)
        return colours_of_mosaic(mosaic, (first, last), self.shape, self._pattern, columns)


class HalvedFile:
    """One colour of a mosaic or of three planes on disk, at half the size, or all of them.

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
    """

    def __init__(self, path: Path, pattern: str | None, colour: int) -> None:
        planes = range(1 if pattern else len(COLOURS))
        self._planes = [PixelFile(path, plane) for plane in planes]
        self._pattern, self._colour = pattern, colour
        ny, nx = self._planes[0].shape
        self.shape = (ny // 2, nx // 2)

    @property
    def places(self) -> list[tuple[int, int]]:
        """Row and column, in 2 x 2 pixels, of those that are averaged."""
        return self._places_of(self._colour)

    def _places_of(self, colour: int) -> list[tuple[int, int]]:
        return [
            (row, column)
            for row, column in np.ndindex(2, 2)
            if self._pattern is None or self._pattern[2 * row + column] == COLOURS[colour]
        ]

    @property
    def offset(self) -> tuple[float, float]:
        """Where the first pixel lies on the frame, ``(x, y)`` [pixels]."""
        n = len(self.places)
        rows, columns = zip(*self.places, strict=True)
        return sum(columns) / n, sum(rows) / n

    def read_rows(
        self, first: int, last: int, columns: NDArray[np.int64] | None = None
    ) -> NDArray[np.float32]:
        """Read rows as `files.frame_file.PixelFile` does."""
        if columns is None:
            columns = np.tile(np.array([0, self.shape[1]]), (last - first, 1))
        half: NDArray[np.float32] = self.read_colours(first, last, columns)[self._colour]
        return half

    def read_colours(
        self, first: int, last: int, columns: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Read rows of all colours.

        Parameters
        ----------
        first, last, columns
            As in `ColourFile.read_colours`.

        Returns
        -------
        (3, last - first, nx) ndarray of float32
            [ADU]; what lies in other columns means nothing.
        """
        halves: NDArray[np.float32] = np.empty(
            (len(COLOURS), last - first, self.shape[1]), np.float32
        )
        whole = np.repeat(2 * columns, 2, axis=0)
        rows = [plane.read_rows(2 * first, 2 * last, whole) for plane in self._planes]
        for colour, half in enumerate(halves):
            places = np.array(self._places_of(colour))
            average_places(rows[min(colour, len(rows) - 1)], places, columns, half)
        return halves


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

    Returns
    -------
    ColourFile
    """
    pattern = header.get(MOSAIC)
    return ColourFile(path, pattern if isinstance(pattern, str) else None, colour)
