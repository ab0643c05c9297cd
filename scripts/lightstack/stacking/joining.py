"""Bands of a stack that several jobs made, one after the other."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from scripts.lightstack.files.band_file import Images, read_band
from scripts.lightstack.job import JobError
from scripts.lightstack.stacking.bands import Band
from scripts.lightstack.stacking.combining import Combined

COVERAGE = "COVERAGE"

REJECTED, ERROR = "REJECTED ", "UNCERT "


def as_images(made: Combined) -> Images:
    """Name the images of a band for its file."""
    rejected = {REJECTED + mode: count for mode, count in made.rejected.items()}
    errors = {ERROR + mode: error for mode, error in made.errors.items()}
    return {**made.images, COVERAGE: made.coverage, **rejected, **errors}


def joined(files: Iterable[Path], n_rows: int) -> Iterator[Band]:
    """Read bands, from the first of so many rows on.

    Raises
    ------
    JobError
        If they have more or fewer rows; the sentence names them.
    """
    files, row = list(files), 0
    for path in files:
        for images in read_band(path):
            coverage = images.pop(COVERAGE)
            rejected, errors = (
                {
                    name.removeprefix(kind): images.pop(name)
                    for name in list(images)
                    if name.startswith(kind)
                }
                for kind in (REJECTED, ERROR)
            )
            last = row + len(coverage)
            yield (row, last), Combined(images, coverage, rejected, errors)
            row = last
    if row != n_rows:
        named = ", ".join(map(str, files))
        raise JobError(f"{named} have {row} of {n_rows} rows: delete them and run again.")
