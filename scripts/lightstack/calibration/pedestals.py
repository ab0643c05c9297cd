"""Masters of what frames without light show: darks and bias frames."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from scripts.lightstack.calibration.combining import combined, levels, variance_of_combined
from scripts.lightstack.calibration.masters import Image, readable, write_master
from scripts.lightstack.calibration.reading import Reading
from scripts.lightstack.raw.colour import Weights


def write_pedestal(
    frames: Sequence[Path],
    master: Path,
    *,
    noun: str,
    told: Sequence[str],
    threads: int = 1,
    **reading: Any,
) -> None:
    """Write a master, of those frames that can be read.

    Parameters
    ----------
    frames : sequence of Path
        Raw frames of one kind.
    master : Path
        FITS file to write: see `lightstack.calibration.masters` [ADU].
    noun, told
        As in `masters.write_master`.
    threads : int, optional
        How many threads to use; they change nothing but the time.
    **reading
        How raw files are read: see `lightstack.calibration.reading.Reading`.
    """
    how = Reading(**reading)

    def images(weights: Weights) -> Iterator[Image]:
        read = readable(frames, how, weights)
        return ((image.header, image.data) for _, image in read)

    write_master(
        images,
        len(frames),
        master,
        combined,
        noun=noun,
        told=told,
        variance=variance_of_combined,
        levels=levels,
        threads=threads,
    )
