"""A dark scaled to a frame: of what it has beyond the bias, as much as suits.

By the ratio of the exposures, or by the factor that leaves the least noise in the frame, as
PixInsight and Siril search for it (J. Conejero 2012, "Dark frame optimization algorithm", in the
forum of PixInsight).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.calibration.repair import NEIGHBOURS
from scripts.lightstack.calibration.subtraction import BAND_ROWS, Region, Rows, sample_of_rows
from scripts.lightstack.calibration.suspicions import noise_of, sampling
from scripts.lightstack.robust import MAD_TO_SIGMA, MEDIAN_ERROR

MOST_FACTOR = 2.0
"""A dark that is multiplied by more would add more noise than two single ones."""

HOT = 10.0
"""Times the scatter of the dark's current that pixels have by which the factor is found."""

FEWEST_HOT = 50
"""Of fewer, one that is no pixel of the dark any more would tell the factor."""

LARGEST_ERROR = 0.05
"""Of the factor: one that is known no better is no better than that of the exposures."""

MOST_APART = 0.25
"""Share of the factor that hot pixels may say otherwise: their current is not all alike."""

MOST_SATURATED = 0.001
"""Share of the dark: single hot pixels saturate in any, and have no data then."""

BLOCK = 16
"""Sampled pixels along a side of the blocks in which a glow is looked for."""


class Turned:
    """An image with its rows in the other order."""

    def __init__(self, pixels: Rows) -> None:
        self.shape = pixels.shape
        self._pixels = pixels

    def read_rows(self, first: int, last: int) -> NDArray[np.float32]:
        """Give rows `first` to `last`, the latter not included."""
        ny = self.shape[0]
        return self._pixels.read_rows(ny - last, ny - first)[::-1]


class ScaledDark:
    """The bias, and a factor times what a dark has beyond it.

    Parameters
    ----------
    dark, bias : Rows
        [ADU]
    factor : float
    saturation : float
        From here on the dark's pixels do not tell their current [ADU]: they have no data.
    """

    def __init__(self, dark: Rows, bias: Rows, factor: float, saturation: float) -> None:
        self.shape = dark.shape
        self._dark, self._bias = dark, bias
        self._factor, self._saturation = np.float32(factor), saturation

    def read_rows(self, first: int, last: int) -> NDArray[np.float32]:
        """Give rows `first` to `last`, the latter not included."""
        dark, bias = self._dark.read_rows(first, last), self._bias.read_rows(first, last)
        scaled = bias + self._factor * (dark - bias)
        scaled[dark >= self._saturation] = np.nan
        return scaled


@dataclass(frozen=True)
class Scaled:
    """A dark that is scaled to a frame.

    Parameters
    ----------
    pixels : ScaledDark
    factor : float
    worse : list of str
        Why it would do harm.
    doubts : list of str
        What else speaks against it.
    """

    pixels: ScaledDark
    factor: float
    worse: list[str]
    doubts: list[str]


def scale(
    data: NDArray[np.float32],
    dark: Rows,
    bias: Rows,
    region: Region,
    *,
    by_exposure: float,
    optimize: bool,
    period: int,
    saturation: float,
) -> Scaled:
    """Scale a dark to a frame.

    Parameters
    ----------
    data : (ny, nx) ndarray of float32
        A region of the frame [ADU], bias and dark current in it.
    dark, bias : Rows
        Of the whole frame [ADU], in its order of rows.
    region : (slice, slice)
        Rows and columns of the frame.
    by_exposure : float
        The frame's exposure over the dark's.
    optimize : bool
        Whether the factor is the one that leaves the least noise, as far as the dark tells it.
    period : int
        As in `suspicions.sampling`.
    saturation : float
        Level of saturated pixels [ADU].

    Returns
    -------
    Scaled
    """
    step = sampling((data.shape[0], data.shape[1]), period)
    some_of_dark = sample_of_rows(dark, region, step)
    current = some_of_dark - sample_of_rows(bias, region, step)
    found, error = factor_of_hot_pixels(
        data, dark, bias, region, current, period=period, saturation=saturation
    )
    is_known = error <= LARGEST_ERROR
    factor = found if optimize and is_known else by_exposure
    worse, doubts = [], []
    if not 0 < factor <= MOST_FACTOR * (1 + LARGEST_ERROR):
        worse.append(f"its factor would be {factor:.2f}, and {MOST_FACTOR:g} at most")
    if (share := float(np.mean(some_of_dark >= saturation))) > MOST_SATURATED:
        worse.append(f"{share:.1%} of it is saturated, which does not scale")
    glow = _glow(current)
    if abs(1 - factor) * glow > noise_of(data[::step, ::step]):
        worse.append(f"its glow of {glow:.0f} ADU may not scale with its hot pixels")
    if (beneath := -float(np.nanmedian(current))) > noise_of(data[::step, ::step]):
        doubts.append(f"the bias is {beneath:.0f} ADU brighter than it: of another offset or gain")
    if optimize and not is_known and by_exposure != 1:
        doubts.append("it has too few hot pixels to tell its factor, which is that of exposures")
    is_apart = abs(found - by_exposure) > max(MOST_APART * by_exposure, 5 * error)
    if is_known and is_apart and not optimize:
        doubts.append(f"its hot pixels tell a factor of {found:.2f}, exposures {by_exposure:.2f}")
    return Scaled(ScaledDark(dark, bias, factor, saturation), factor, worse, doubts)


def factor_of_hot_pixels(
    data: NDArray[np.float32],
    dark: Rows,
    bias: Rows,
    region: Region,
    current: NDArray[np.float32],
    *,
    period: int,
    saturation: float,
) -> tuple[float, float]:
    """Find the factor of a dark that leaves the least noise in a frame.

    Parameters
    ----------
    data, dark, bias, region
        As in `scale`.
    current : ndarray of float32
        Some pixels of what the dark has beyond the bias [ADU].
    period, saturation
        As in `scale`.

    Returns
    -------
    factor, error : float
        The error is infinite if the dark has too few hot pixels.

    Notes
    -----
    Noise is the mean absolute difference between each hot pixel and the median of its eight
    neighbours, which neither sky nor most stars contribute to; all other pixels have current that
    is lost in their noise. Its minimum over all factors is the weighted median of the ratios of
    the differences in frame and dark: no search is needed.
    """
    middle = float(np.nanmedian(current))
    scatter = MAD_TO_SIGMA * float(np.nanmedian(np.abs(current - middle)))
    pairs = [
        pair
        for pair in _hot_pixels(data, dark, bias, region, HOT * scatter, period, saturation)
        if pair.size
    ]
    of_frame, of_dark = np.concatenate(pairs, axis=1) if pairs else np.empty((2, 0))
    if of_dark.size < FEWEST_HOT:
        return 1.0, math.inf
    ratios = of_frame / of_dark
    order = np.argsort(ratios, kind="stable")
    weights = np.cumsum(of_dark[order])
    factor = float(ratios[order][np.searchsorted(weights, weights[-1] / 2)])
    noise = MAD_TO_SIGMA * float(np.median(np.abs(of_frame - factor * of_dark)))
    # As a median's to a mean's is its error to that of least squares.
    return factor, MEDIAN_ERROR * noise / math.sqrt(float(np.sum(of_dark**2)))


def _hot_pixels(
    data: NDArray[np.float32],
    dark: Rows,
    bias: Rows,
    region: Region,
    least: float,
    period: int,
    saturation: float,
) -> Iterator[NDArray[np.float64]]:
    """Give (2, n) of what hot pixels have beyond their neighbours, in frame and dark [ADU]."""
    top = region[0].start or 0
    for first in range(0, len(data), BAND_ROWS):
        last = min(first + BAND_ROWS, len(data))
        raw, of_dark, of_bias = (
            data[first:last],
            *(each.read_rows(top + first, top + last)[:, region[1]] for each in (dark, bias)),
        )
        current = np.where(of_dark < saturation, of_dark - of_bias, np.float32(np.nan))
        if not np.isfinite(current).any():
            continue
        freed = np.where(raw < saturation, raw - of_bias, np.float32(np.nan))
        inner = np.s_[period : last - first - period, period : data.shape[1] - period]
        y, x = np.nonzero(current[inner] > least + np.nanmedian(current))
        excess = np.stack(
            [_excess(each, y + period, x + period, period) for each in (freed, current)]
        )
        yield excess[:, np.isfinite(excess).all(axis=0) & (excess[1] > least)]


def _excess(
    image: NDArray[np.float32], y: NDArray[np.intp], x: NDArray[np.intp], step: int
) -> NDArray[np.float64]:
    """Subtract from pixels the median of their neighbours of the same colour."""
    about = np.stack([image[y + step * dy, x + step * dx] for dy, dx in NEIGHBOURS])
    # Where a neighbour has no data, the median has none, and the pixel does not count.
    return np.asarray(image[y, x] - np.median(about, axis=0), np.float64)


def _glow(current: NDArray[np.float32]) -> float:
    """How much the current of a dark differs from place to place [ADU]."""
    ny, nx = (length // BLOCK for length in current.shape)
    if min(ny, nx) < 2:
        return 0.0
    blocks = current[: ny * BLOCK, : nx * BLOCK].reshape(ny, BLOCK, nx, BLOCK)
    medians = np.nanmedian(blocks.swapaxes(1, 2).reshape(ny, nx, -1), axis=2)
    low, high = np.nanpercentile(medians, (2, 98))
    # Medians have noise of their own, which is no glow.
    noise = MEDIAN_ERROR * noise_of(current) / BLOCK
    return max(0.0, float(high - low) - 4 * noise)
