"""A stack, made a band of rows at a time."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from scripts.lightstack.stacking.aligned import AlignedFrame, fill
from scripts.lightstack.stacking.combining import Combined, combine, count_type
from scripts.lightstack.stacking.modes import CLIP_MODES, OF_THEIR_OWN, clip_mode
from scripts.lightstack.stacking.resampling import source_rows

BAND_ROWS = 128
"""Rows that are enough (tuned: `benchmarks/stack_job.py`)."""


class Bands:
    """Frames resampled and combined, a band at a time.

    Parameters
    ----------
    frames : sequence of AlignedFrame
    modes : sequence of str
        The stacks to make.
    memory_mb : int
        Memory to use for pixels [MB]; it sets the height of the bands, and nothing else.
    threads : int
        How many threads to use; they change nothing but the time.
    **options
        Further arguments of `combining.combine`.

    Attributes
    ----------
    shape : (int, int)
        ``(ny, nx)`` of the stacks [pixels].
    count_type : type
        Of the counts of frames.
    """

    def __init__(
        self,
        frames: Sequence[AlignedFrame],
        modes: Sequence[str],
        memory_mb: int,
        threads: int,
        **options: Any,
    ) -> None:
        self._frames, self._modes = frames, modes
        self._memory_mb, self._threads, self._options = memory_mb, threads, options
        self.shape = frames[0].transform.reference_shape
        self.count_type = count_type(len(frames))

    def __iter__(self) -> Iterator[tuple[tuple[int, int], Combined]]:
        """Give the first row of each band and the one after the last, and its stacks."""
        frames, modes, threads, (ny, nx) = self._frames, self._modes, self._threads, self.shape
        own, options = [clip_mode(mode) for mode in OF_THEIR_OWN if mode in modes], self._options
        for mode in own:
            options = options | mode.measure(frames, threads)
        margin = max((mode.MARGIN for mode in own), default=0)
        height = _height(frames, modes, margin, self._memory_mb, threads)
        # All bands use the same memory.
        pixels = np.empty(len(frames) * min(height + 2 * margin, ny) * nx, np.float32)
        for start in range(0, ny, height):
            stop = min(start + height, ny)
            first, last = max(start - margin, 0), min(stop + margin, ny)
            cube = pixels[: len(frames) * (last - first) * nx].reshape(len(frames), -1, nx)
            fill(frames, (first, last), cube, threads)
            rows = (start - first, stop - first)
            yield (start, stop), combine(cube, modes, rows=rows, threads=threads, **options)


def _height(
    frames: Sequence[AlignedFrame], modes: Sequence[str], margin: int, memory_mb: int, threads: int
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
    free = memory_mb * 1_000_000 - np.dtype(count_type(len(frames))).itemsize * counts * ny * nx
    affordable = free // (4 * nx * (len(frames) + 2 * threads + 2 * len(modes) + 3)) - 2 * margin
    return max(1, min(max(tallest, BAND_ROWS - 2 * margin), affordable))
