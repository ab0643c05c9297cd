"""A stack, made a band of rows at a time."""

import logging
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from scripts.lightstack.stacking.aligned import AlignedFrame, fill
from scripts.lightstack.stacking.combining import Combined, combine, count_type
from scripts.lightstack.stacking.modes import CLIP_MODES, OF_THEIR_OWN, clip_mode
from scripts.lightstack.stacking.resampling import source_rows
from scripts.lightstack.stacking.uncertainty import FrameNoise, fill_variances
from scripts.lightstack.stacking.unevenness import unevenness, variance_rows

log = logging.getLogger(__name__)

BAND_ROWS = 128
"""Rows that are enough (tuned: `benchmarks/stack_job.py`)."""


SHARE = 0.75
"""Of a machine's memory that pixels may take."""

Band = tuple[tuple[int, int], Combined]
"""The first row of a band and the one after the last, and its stacks."""


class Bands:
    """Frames resampled and combined, a band at a time.

    Parameters
    ----------
    frames : sequence of AlignedFrame
    modes : sequence of str
        The stacks to make.
    memory_mb : int
        Memory to use for pixels [MB], but never more than `SHARE` of the machine's; it sets the
        height of the bands, and nothing else.
    threads : int
        How many threads to use; they change nothing but the time.
    rows : (int, int), optional
        The first row to make and the one after the last; default: all.
    n_kept : int, optional
        Of how many rows the counts are kept until all are made; default: of those.
    frame_noise : FrameNoise, optional
        With it, standard errors are made too.
    **options
        Further arguments of `combining.combine`.

    Attributes
    ----------
    shape : (int, int)
        ``(ny, nx)`` of the stacks [pixels].
    """

    def __init__(
        self,
        frames: Sequence[AlignedFrame],
        modes: Sequence[str],
        memory_mb: int,
        threads: int,
        *,
        rows: tuple[int, int] | None = None,
        n_kept: int | None = None,
        frame_noise: FrameNoise | None = None,
        **options: Any,
    ) -> None:
        self._frames, self._modes = frames, modes
        self._memory_mb, self._threads, self._options = memory_mb, threads, options
        self._noise = frame_noise
        self._unevenness = unevenness(frames)
        self.shape = frames[0].transform.reference_shape
        self._rows = rows or (0, self.shape[0])
        self._n_kept = n_kept or self._rows[1] - self._rows[0]

    def __iter__(self) -> Iterator[Band]:
        """Give the bands, from the first row on."""
        frames, modes, threads, (ny, nx) = self._frames, self._modes, self._threads, self.shape
        margin = max((clip_mode(mode).MARGIN for mode in OF_THEIR_OWN if mode in modes), default=0)
        cubes = 1 if self._noise is None else 2
        height = _height(frames, modes, self._n_kept, margin, self._memory_mb, threads, cubes)
        # All bands use the same memory.
        pixels = np.empty((cubes, len(frames) * min(height + 2 * margin, ny) * nx), np.float32)
        for start in range(*self._rows, height):
            stop = min(start + height, self._rows[1])
            first, last = max(start - margin, 0), min(stop + margin, ny)
            cube, *variances = (
                part[: len(frames) * (last - first) * nx].reshape(len(frames), -1, nx)
                for part in pixels
            )
            fill(frames, (first, last), cube, threads)
            if self._noise is not None:
                fill_variances(frames, self._noise, (first, last), variances[0], threads)
                self._options["variances"] = variances[0]
            if margin:
                self._options["uneven"] = variance_rows(self._unevenness, first, last, nx)
            rows = (start - first, stop - first)
            made = combine(cube, modes, rows=rows, threads=threads, **self._options)
            log.info("Rows %d to %d of %d are stacked.", start, stop, ny)
            yield (start, stop), made


def machine_bytes() -> int:
    """Memory of this machine [bytes]."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def rows_of_band(number: int, count: int, ny: int) -> tuple[int, int]:
    """Cut ny rows into bands, counted from 1: the first row of one, and the one after the last."""
    return (number - 1) * ny // count, number * ny // count


def _height(
    frames: Sequence[AlignedFrame],
    modes: Sequence[str],
    n_kept: int,
    margin: int,
    memory_mb: int,
    threads: int,
    cubes: int,
) -> int:
    """Choose how many rows to stack at a time.

    Few, so that their memory is used again and again; but no fewer than a single row takes from
    a turned frame, or most of what is read would be read twice; and what the memory allows.
    """
    ny, nx = frames[0].transform.reference_shape
    middle = (ny // 2, ny // 2 + 1)
    tallest = max(
        last - first for first, last in (source_rows(f.transform, middle) for f in frames)
    )
    counts = 1 + len(set(modes) & set(CLIP_MODES))
    # Those of all rows are kept until the images are written.
    kept = np.dtype(count_type(len(frames))).itemsize * counts * n_kept * nx
    free = min(memory_mb * 1_000_000, int(SHARE * machine_bytes())) - kept
    lines = cubes * (len(frames) + 2 * threads + 2 * len(modes)) + 3
    affordable = free // (4 * nx * lines) - 2 * margin
    return max(1, min(max(tallest, BAND_ROWS - 2 * margin), affordable))
