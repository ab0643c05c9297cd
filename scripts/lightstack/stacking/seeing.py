"""The frames' seeing, measured on bands across the image."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.files.table_file import read_table, write_table
from scripts.lightstack.sky.noise_map import SIZE
from scripts.lightstack.stacking.aligned import AlignedFrame, fill
from scripts.lightstack.stacking.centres import find_centres
from scripts.lightstack.stacking.psf_matching import (
    N_PIXELS,
    REACH,
    TERMS,
    Seeing,
    Starlight,
    measure_seeing,
    starlight,
)

BANDS, BAND_ROWS, BAND_BYTES = 16, 16, 250e6
"""So many bands of so many rows; of fewer, if they took more memory (tuned: they hold `N_PIXELS`
of starlight on the nights of `benchmarks/seeing_table.py`)."""

log = logging.getLogger(__name__)

LINEAR_SHARE = 0.6
"""Where the mean of the frames has more than this share of a saturated pixel's light, a frame of
better seeing may be saturated (tuned: `benchmarks/outlier_table.py`)."""


def linear_below(frames: Sequence[AlignedFrame]) -> float:
    """Light of which no frame is saturated [ADU of the stack]."""
    return LINEAR_SHARE * min(frame.saturation for frame in frames)


def measure_seeing_on_bands(
    frames: Sequence[AlignedFrame], threads: int
) -> tuple[Seeing | None, NDArray[np.float64]]:
    """Measure the frames' seeing, and gains that are unknown.

    Parameters
    ----------
    frames : sequence of AlignedFrame
    threads : int
        How many threads to use; they change nothing but the time.

    Returns
    -------
    seeing : Seeing or None
        None if there are too few bright stars.
    gain : (n,) ndarray of float64
        Electrons per unit of the stack; infinite where unknown.
    """
    ny, nx = frames[0].transform.reference_shape
    noise = np.array([frame.noise for frame in frames])
    gain = np.array([frame.gain for frame in frames])
    linear = linear_below(frames)
    affordable = int(BAND_BYTES / (4 * nx * len(frames))) - 2 * REACH
    height = min(max(1, min(BAND_ROWS, affordable)) + 2 * REACH, ny)
    n_bands = max(1, min(BANDS, ny // height))
    cube = np.empty((len(frames), height, nx), np.float32)
    bands = []
    for start in np.linspace(0, ny - height, n_bands).astype(int).tolist():
        fill([frames], (start, start + height), [cube], threads)
        light = find_centres(cube)
        bands.append(starlight(cube, *light, noise, linear, N_PIXELS // n_bands))
    pixels = Starlight(*(np.concatenate(part, axis=-1) for part in zip(*bands, strict=True)))
    seeing, gain = measure_seeing(pixels, noise, gain, linear)
    if seeing is None:
        log.info("Too few bright stars to measure the seeing: noise_clip is careful beside stars.")
    return seeing, gain


OfPlane = tuple[Seeing | None, NDArray[np.float64], NDArray[np.float64] | None]
"""The seeing and the gains of a plane's frames, as `measure_seeing_on_bands` finds them, and
(n, 7) what is known of their noise, as `uncertainty.measure_noise` does, if it is wanted."""


def write_seeing(path: Path, planes: Sequence[OfPlane]) -> None:
    """Write what `measure_seeing_on_bands` found for each plane, as a FITS table."""
    n, rows = planes[0][1].size, []
    fields = [
        ("GAIN", ">f8"),
        ("KERNEL", ">f8", (TERMS.shape[1],)),
        ("ERROR", ">f8"),
        ("LINEAR", ">f8"),
        ("NOISE", ">f8", (SIZE + 1,)),
    ]
    for seeing, gain, noise in planes:
        table = np.full(n, np.nan, fields)
        table["GAIN"] = gain
        if seeing is not None:
            table["KERNEL"], table["ERROR"] = seeing.kernels, seeing.errors
            table["LINEAR"] = seeing.linear_below
        if noise is not None:
            table["NOISE"] = noise
        rows.append(table)
    write_table(path, np.concatenate(rows), {})


def read_seeing(path: Path, n_planes: int) -> list[OfPlane]:
    """Read what `write_seeing` wrote of so many planes."""
    found: list[OfPlane] = []
    for table in np.split(read_table(path), n_planes):
        gain, kernels, errors, noise = (
            np.ascontiguousarray(table[name]) for name in ("GAIN", "KERNEL", "ERROR", "NOISE")
        )
        linear = float(table["LINEAR"][0])
        seeing = None if np.isnan(linear) else Seeing(kernels, errors, linear)
        found.append((seeing, gain, None if np.isnan(noise).any() else noise))
    return found
