"""Bands of a stack that several jobs made, one after the other."""

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from scripts.lightstack.files.band_file import Images, read_band
from scripts.lightstack.job import JobError
from scripts.lightstack.stacking.bands import Band
from scripts.lightstack.stacking.combining import Combined

ROW = "ROW"

COVERAGE = "COVERAGE"

REJECTED, ERROR = "REJECTED ", "UNCERT "


def as_images(rows: tuple[int, int], made: Combined) -> Images:
    """Name the images of a band for its file, with the number of each row."""
    rejected = {REJECTED + mode: count for mode, count in made.rejected.items()}
    errors = {ERROR + mode: error for mode, error in made.errors.items()}
    numbers = np.arange(*rows, dtype=np.int32)
    return {ROW: numbers, **made.images, COVERAGE: made.coverage, **rejected, **errors}


def joined(files: Iterable[Path], n_rows: int) -> Iterator[Band]:
    """Read bands of so many rows together.

    Raises
    ------
    JobError
        If they have more or fewer rows; the sentence names them.
    """
    files, n_read = list(files), 0
    for path in files:
        for images in read_band(path):
            numbers = images.pop(ROW)
            edges = [0, *(np.flatnonzero(np.diff(numbers) != 1) + 1), len(numbers)]
            for first, last in itertools.pairwise(edges):
                part = {name: rows[first:last] for name, rows in images.items()}
                yield (int(numbers[first]), int(numbers[last - 1]) + 1), _combined(part)
            n_read += len(numbers)
    if n_read != n_rows:
        named = ", ".join(map(str, files))
        raise JobError(f"{named} have {n_read} of {n_rows} rows: delete them and run again.")


def _combined(images: Images) -> Combined:
    """Take images by what they are: the opposite of `as_images`."""
    coverage = images.pop(COVERAGE)
    rejected, errors = (
        {
            name.removeprefix(kind): images.pop(name)
            for name in list(images)
            if name.startswith(kind)
        }
        for kind in (REJECTED, ERROR)
    )
    return Combined(images, coverage, rejected, errors)
