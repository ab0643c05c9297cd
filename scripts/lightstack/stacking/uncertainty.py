"""The standard error of a stack's pixels: what is known of the frames' noise, pixel by pixel.

A pixel of a frame has the noise of the sky about it, as measured, and that of the light that it
has beyond the sky. Resampling and combining take these variances along with the values; see
*Uncertainty* in `docs/methods.md`.
"""

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.calibration.combining import variance_of_combined
from scripts.lightstack.files.colour_file import colour_card
from scripts.lightstack.raw.bayer import GREY_NOISE
from scripts.lightstack.raw.values import first_number
from scripts.lightstack.resampling.backward_map import source_rows
from scripts.lightstack.resampling.variance import resample_variance
from scripts.lightstack.sky.noise import noise_in_cells
from scripts.lightstack.sky.noise_map import LEAST, SIZE, noise_surface
from scripts.lightstack.sky.surface import Surface
from scripts.lightstack.stacking.aligned import AlignedFrame

LEAST_OF_LIGHT = 0.2
"""Share of the variance that is of the sky's light, from which it tells the gain: an error of 2 %
of the noise, 4 % of the variance, is a fifth of the gain there."""

STEEPEST = 10.0
"""Most light that a flat can ask for to be added [share of what the sensor has seen]: flats have
no pixels below `flats.LEAST_RESPONSE`, which is its inverse."""

INTERPOLATED = 1.14
"""Variance of a resampled colour over that of noise that neighbours do not share, for pixels most
of which were filled in from their neighbours (measured in `tests/test_uncertainty.py`)."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FrameNoise:
    """What is known of the noise of frames.

    Parameters
    ----------
    surfaces : (n, 6) ndarray of float64
        Coefficients of the `Surface` that the standard deviation of each frame's sky has [ADU of
        the frame].
    gain : (n,) ndarray of float64
        Electrons per unit of the stack; infinite where unknown.
    """

    surfaces: NDArray[np.float64]
    gain: NDArray[np.float64]

    @property
    def as_table(self) -> NDArray[np.float64]:
        """Both in one (n, 7)."""
        return np.column_stack([self.surfaces, self.gain])

    @classmethod
    def of_table(cls, table: NDArray[np.float64]) -> "FrameNoise":
        """Take them apart again."""
        return cls(np.ascontiguousarray(table[:, :SIZE]), table[:, SIZE].copy())


def measure_noise(
    frames: Sequence[AlignedFrame], gain: NDArray[np.float64], threads: int
) -> FrameNoise:
    """Measure how the noise of the sky varies over each frame.

    Parameters
    ----------
    frames : sequence of AlignedFrame
    gain : (n,) ndarray of float64
        As in `FrameNoise`.
    threads : int
        How many threads to use; they change nothing but the time.

    Returns
    -------
    FrameNoise
    """
    unknown = int(np.isinf(gain).sum())
    if unknown:
        log.warning(
            "UNCERT lacks the noise of starlight in %d of %d frames: their headers state no "
            "EGAIN, and too few bright stars tell it.",
            unknown,
            len(frames),
        )
    with ThreadPoolExecutor(threads) as pool:
        return FrameNoise(np.array(list(pool.map(_surface_of, frames))), gain)


def gains_by_darks(frames: Sequence[AlignedFrame]) -> NDArray[np.float64]:
    """Tell the gains that sky, noise and darks tell together.

    Noise beyond that of the darks, which have the read noise alone, is that of the sky's light.

    Parameters
    ----------
    frames : sequence of AlignedFrame

    Returns
    -------
    (n,) ndarray of float64
        Electrons per unit of the stack: the stated gain, else the median of what frames without
        one tell; infinite where none does.
    """
    stated = np.array([frame.gain for frame in frames])
    told = [gain for frame in frames if np.isinf(frame.gain) and (gain := _gain_by_darks(frame))]
    if not told:
        return stated
    brightening = np.array([frame.brightening for frame in frames])
    return np.where(np.isinf(stated), np.median(told) / brightening, stated)


def _gain_by_darks(frame: AlignedFrame) -> float:
    """Tell the gain of a frame [electrons / ADU of the frame]; 0 if nothing tells it."""
    header = frame.header
    of_master, number, sky = (first_number(header, (k,)) for k in ("DARKNOIS", "NDARKS", "BKGADU"))
    made_of_others = frame.is_grey_of_mosaic or frame.colour or "DARKFAC" in header
    if made_of_others or not of_master or not sky or sky <= 0 or not number or number < 2:
        return 0.0
    read = of_master**2 / variance_of_combined(int(number))
    noise = frame.noise / frame.brightening
    of_light = noise**2 - of_master**2 - read
    return sky / of_light if of_light > LEAST_OF_LIGHT * noise**2 else 0.0


def _surface_of(frame: AlignedFrame) -> NDArray[np.float64]:
    """Find the surface (6,) of the noise of a frame.

    What was filled in has some of the noise of the other colours, so it is measured then.
    """
    if frame.share >= 1:
        return frame.noise / frame.brightening * frame.noise_map
    ny, nx = frame.pixels.shape
    places, noise = noise_in_cells(frame.pixels.read_rows(0, ny))
    found = noise_surface(places, noise, (ny, nx))
    if found is not None:
        return found
    typical = float(np.median(noise[noise > 0])) if (noise > 0).any() else frame.noise
    return np.array([typical, *[0.0] * (SIZE - 1)])


def fill_variances(
    frames: Sequence[AlignedFrame],
    noise: FrameNoise,
    rows: tuple[int, int],
    cube: NDArray[np.float32],
    threads: int,
) -> None:
    """Find the variances of what `aligned.fill` gives.

    Parameters
    ----------
    frames : sequence of AlignedFrame
    noise : FrameNoise
    rows : (int, int)
        First row of the reference's grid, and the one after the last.
    cube : (n, n_rows, nx) ndarray of float32, C-contiguous
        Gets the variances [ADU of the stack, squared]; NaN is no data.
    threads : int
        How many threads to use; they change nothing but the time.
    """
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(_fill, frames, noise.surfaces, noise.gain, repeat(rows), cube))


def _fill(
    frame: AlignedFrame,
    surface: NDArray[np.float64],
    gain: float,
    rows: tuple[int, int],
    out: NDArray[np.float32],
) -> None:
    first, last = source_rows(frame.transform, rows)
    light = frame.pixels.read_rows(first, last)
    of_sky = Surface(frame.pixels.shape, surface).rows(first, last)
    np.maximum(of_sky, np.float32(LEAST * frame.noise / frame.brightening), out=of_sky)
    of_sky *= of_sky
    light *= _shot_noise(frame, gain * frame.brightening, of_sky)
    light += of_sky
    np.maximum(light, np.float32(LEAST) * of_sky, out=light)
    if frame.share < 1:
        light *= np.float32(INTERPOLATED)
    resample_variance(
        light,
        first,
        frame.transform,
        rows,
        scale=frame.flux_scale,
        out=out,
        of_grey=frame.is_grey_of_mosaic,
    )
    if any(frame.lean):
        out *= frame.evened(rows) ** 2


def _shot_noise(
    frame: AlignedFrame, gain: float, variance: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Variance that a unit of light adds, where the sky has this variance [ADU of the frame].

    Where a flat has multiplied the light by u, the variance of the sky is ``b u**2 + u sky /
    gain``, with that of the read noise in b, which tells u, and light adds ``u / gain``.
    """
    if frame.is_grey_of_mosaic and np.isfinite(frame.gain):
        gain /= GREY_NOISE**2  # the header's is that of the mosaic
    even = np.float32(1 / gain)
    sky = first_number(frame.header, (colour_card("BKGADU", frame.colour),)) or 0.0
    if np.isinf(gain) or "FLAT" not in frame.header or sky <= 0:
        return np.full_like(variance, even)
    of_light = sky / gain
    noise = frame.noise / frame.brightening
    of_reading = max(noise**2 - of_light, 0.01 * of_light)
    root = np.sqrt(np.float32(of_light**2) + np.float32(4 * of_reading) * variance)
    raised = (root - np.float32(of_light)) / np.float32(2 * of_reading)
    return np.asarray(np.clip(raised, 1 / STEEPEST, STEEPEST) * even, np.float32)
