"""Subtracting a dark from a frame, some rows at a time, if the pixels tell that it suits."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.calibration.suspicions import Compared, harms, sampling, suspicions

BAND_ROWS = 32
"""Rows of a dark that are in memory at a time; a multiple of `SAMPLING`."""

SAMPLING = 8
"""A dark's typical value is the median of every eighth pixel along both axes."""

Region = tuple[slice, slice]
"""Rows and columns of an image that are worked on."""


class Rows(Protocol):
    """An image that is read some rows at a time."""

    shape: tuple[int, int]

    def read_rows(self, first: int, last: int) -> NDArray[np.float32]:
        """Give rows `first` to `last`, the latter not included."""


class RowsInMemory:
    """An image in memory, read as one on disk is."""

    def __init__(self, pixels: NDArray[np.float32]) -> None:
        self.shape: tuple[int, int] = (pixels.shape[0], pixels.shape[1])
        self._pixels = pixels

    def read_rows(self, first: int, last: int) -> NDArray[np.float32]:
        """Give rows `first` to `last`, the latter not included."""
        return self._pixels[first:last]


@dataclass(frozen=True)
class Subtracted:
    """What became of a dark.

    Parameters
    ----------
    is_used : bool
        Whether it was subtracted.
    level : float
        Its typical value [ADU]; 0 if it was not.
    doubts : list of str
        What speaks against it.
    """

    is_used: bool
    level: float
    doubts: list[str]


def subtract_if_it_suits(
    data: NDArray[np.float32],
    dark: Rows,
    region: Region,
    *,
    is_turned: bool,
    period: int,
    at_any_price: bool,
    worse: Sequence[str] = (),
) -> Subtracted:
    """Subtract a dark in place, unless it makes the frame worse.

    Parameters
    ----------
    data, dark, region, is_turned
        As in `subtract`.
    period : int
        As in `suspicions.sampling`.
    at_any_price : bool
        Whether it is subtracted nonetheless.
    worse : sequence of str, optional
        What speaks against it already.

    Returns
    -------
    Subtracted
    """
    step = sampling((data.shape[0], data.shape[1]), period)
    some_of_dark = sample_of_rows(dark, region, step, is_turned=is_turned)
    some = Compared(data[::step, ::step].copy(), some_of_dark)
    worse = [*worse, *harms(some)]
    doubts = [*suspicions(some), *worse]
    if worse and not at_any_price:
        return Subtracted(is_used=False, level=0.0, doubts=doubts)
    level = subtract(data, dark, region, is_turned=is_turned)
    return Subtracted(is_used=True, level=level, doubts=doubts)


def subtract(
    data: NDArray[np.float32], dark: Rows, region: Region, *, is_turned: bool = False
) -> float:
    """Subtract a dark, in place.

    Parameters
    ----------
    data : (ny, nx) ndarray of float32
        A region of the frame [ADU].
    dark : Rows
        The whole dark [ADU].
    region : (slice, slice)
        Rows and columns of the frame.
    is_turned : bool, optional
        Whether the dark's rows run the other way than the frame's.

    Returns
    -------
    float
        The typical value of the whole dark [ADU].
    """
    rows, columns = region
    if is_turned:
        data, rows = data[::-1], _mirrored(rows, dark.shape[0])
    top = rows.start
    some = []
    for first in range(0, dark.shape[0], BAND_ROWS):
        last = min(first + BAND_ROWS, dark.shape[0])
        band = dark.read_rows(first, last)
        some.append(band[::SAMPLING, ::SAMPLING])
        start, stop = max(first, top), min(last, top + len(data))
        if start < stop:
            data[start - top : stop - top] -= band[start - first : stop - first, columns]
    values = np.concatenate(some)
    values = values[np.isfinite(values)]
    return float(np.median(values)) if values.size else 0.0


def sample_of_rows(
    image: Rows, region: Region, step: int, *, is_turned: bool = False
) -> NDArray[np.float32]:
    """Read every so many pixels of a region of an image, along both axes.

    Parameters
    ----------
    image : Rows
        The whole image.
    region : (slice, slice)
        Rows and columns of a frame.
    step : int
        Distance of the pixels.
    is_turned : bool, optional
        Whether the image's rows run the other way than the frame's.

    Returns
    -------
    ndarray of float32
        What ``frame[region][::step, ::step]`` is of the frame.
    """
    ny = image.shape[0]
    lines = range(ny)[region[0]][::step]
    places = [ny - 1 - line if is_turned else line for line in lines]
    return np.concatenate([image.read_rows(k, k + 1)[:, region[1]][:, ::step] for k in places])


def _mirrored(rows: slice, n_rows: int) -> slice:
    """Give rows of an image as those of the same image with its rows in the other order."""
    first, last, _ = rows.indices(n_rows)
    return slice(n_rows - last, n_rows - first)
