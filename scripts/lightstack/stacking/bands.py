"""A stack, made a band of rows at a time."""

import logging
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from scripts.lightstack.resampling.backward_map import source_rows
from scripts.lightstack.stacking.aligned import AlignedFrame, fill
from scripts.lightstack.stacking.blocks import Block
from scripts.lightstack.stacking.combining import Combined, combine, count_type
from scripts.lightstack.stacking.modes import CLIP_MODES, OF_THEIR_OWN, clip_mode
from scripts.lightstack.stacking.uncertainty import FrameNoise, fill_variances
from scripts.lightstack.stacking.unevenness import unevenness, variance_rows

log = logging.getLogger(__name__)

BAND_ROWS = 128
"""Rows that are enough (tuned: `benchmarks/stack_job.py`)."""

MOST_OF_COLOURS = 256
"""Rows that are enough of turned frames with colours: three of them in taller bands are so much
memory that it takes longer to come by than to read more often (tuned:
`benchmarks/colour_speed.py`)."""


SHARE = 0.75
"""Of a machine's memory that pixels may take."""

Band = tuple[tuple[int, int], Combined]
"""The first row of a band and the one after the last, and its stacks.

Of an image with planes, rows are counted on from one to the next.
"""


class Bands:
    """Frames resampled and combined, a band at a time.

    Parameters
    ----------
    planes : sequence of sequences of AlignedFrame
        The frames, or red, green and blue of each, which are resampled together.
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
    options : sequence of dict, optional
        Of each plane, further arguments of `combining.combine`.
    noise : sequence of (FrameNoise or None), optional
        Of each plane's frames, where standard errors are made too.

    Attributes
    ----------
    shape : (int, int)
        ``(ny, nx)`` of a plane [pixels].
    """

    def __init__(
        self,
        planes: Sequence[Sequence[AlignedFrame]],
        modes: Sequence[str],
        memory_mb: int,
        threads: int,
        *,
        options: Sequence[dict[str, Any]] | None = None,
        noise: Sequence[FrameNoise | None] | None = None,
        rows: tuple[int, int] | None = None,
        n_kept: int | None = None,
    ) -> None:
        self._planes, self._modes = planes, modes
        self._memory_mb, self._threads = memory_mb, threads
        self._options = options or [{} for _ in planes]
        self._noise = noise or [None for _ in planes]
        self._unevenness = [unevenness(plane) for plane in planes]
        self.shape = planes[0][0].transform.reference_shape
        self._rows = rows or (0, self.shape[0])
        self._n_kept = n_kept or self._rows[1] - self._rows[0]

    def __iter__(self) -> Iterator[Band]:
        """Give the bands, from the first row on; of each, those of all planes."""
        planes, (ny, nx) = self._planes, self.shape
        n = len(planes[0])
        modes = (clip_mode(mode) for mode in OF_THEIR_OWN if mode in self._modes)
        margin = max((mode.MARGIN for mode in modes), default=0)
        cubes = len(planes) + any(of_plane is not None for of_plane in self._noise)
        height = self._height(margin, cubes)
        # All bands use the same memory.
        pixels = np.empty((cubes, n * min(height + 2 * margin, ny) * nx), np.float32)
        for start in range(*self._rows, height):
            stop = min(start + height, self._rows[1])
            first, last = max(start - margin, 0), min(stop + margin, ny)
            values = [part[: n * (last - first) * nx].reshape(n, -1, nx) for part in pixels]
            fill(planes, (first, last), values[: len(planes)], self._threads)
            for number in range(len(planes)):
                options = self._options_of(number, (first, last), values[-1], margin)
                made = combine(
                    values[number],
                    self._modes,
                    rows=(start - first, stop - first),
                    threads=self._threads,
                    **options,
                )
                yield (number * ny + start, number * ny + stop), made
            log.info("Rows %d to %d of %d are stacked.", start, stop, ny)

    def _options_of(
        self, number: int, rows: tuple[int, int], variances: Block, margin: int
    ) -> dict[str, Any]:
        """Give what `combine` is told of a plane in these rows, and fill its variances."""
        options = dict(self._options[number])
        if (known := self._noise[number]) is not None:
            fill_variances(self._planes[number], known, rows, variances, self._threads)
            options["variances"] = variances
        if margin:
            options["uneven"] = variance_rows(self._unevenness[number], *rows, self.shape[1])
        return options

    def _height(self, margin: int, cubes: int) -> int:
        """Choose how many rows to stack at a time.

        Few, so that their memory is used again and again; but no fewer than a single row takes
        from a turned frame (of colours as far as `MOST_OF_COLOURS` go), or each band would read of
        nearly all rows; and what the memory allows.
        """
        frames, (ny, nx) = self._planes[0], self.shape
        most = MOST_OF_COLOURS if len(self._planes) > 1 else ny
        middle = (ny // 2, ny // 2 + 1)
        tallest = max(
            last - first for first, last in (source_rows(f.transform, middle) for f in frames)
        )
        counts = 1 + len(set(self._modes) & set(CLIP_MODES))
        # Those of all rows are kept until the images are written.
        kept = np.dtype(count_type(len(frames))).itemsize * counts * self._n_kept * nx
        free = min(self._memory_mb * 1_000_000, int(SHARE * machine_bytes())) - kept
        lines = cubes * (len(frames) + 2 * self._threads + 2 * len(self._modes)) + 5
        affordable = free // (4 * nx * lines) - 2 * margin
        return max(1, min(max(min(tallest, most), BAND_ROWS - 2 * margin), affordable))


def machine_bytes() -> int:
    """Memory of this machine [bytes]."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def rows_of_band(number: int, count: int, ny: int) -> tuple[int, int]:
    """Cut ny rows into bands, counted from 1: the first row of one, and the one after the last."""
    return (number - 1) * ny // count, number * ny // count
