"""Masters of what frames without light show: darks and bias frames."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from scripts.lightstack.calibration.combining import combined, levels, variance_of_combined
from scripts.lightstack.calibration.masters import Image, readable, write_master
from scripts.lightstack.files.unread import NOTES
from scripts.lightstack.raw.colour import Weights
from scripts.lightstack.raw.image import FIRST
from scripts.lightstack.raw.sections import HEADER, Asked


def write_pedestal(
    frames: Sequence[Path],
    master: Path,
    *,
    noun: str,
    told: Sequence[str],
    fits_extension: str | int = FIRST,
    overscan_section: str = HEADER,
    trim_section: str = HEADER,
    unread: Path = NOTES,
    threads: int = 1,
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
    fits_extension : str or int, optional
        Which image of a FITS file to read: see `lightstack.raw.fits_reader.read_fits`.
    overscan_section, trim_section : str, optional
        What was not exposed and what was: see `lightstack.raw.sections.Asked`.
    unread : Path, optional
        Folder for notes of files that cannot be read.
    threads : int, optional
        How many threads to use; they change nothing but the time.
    """
    sections = Asked(overscan_section, trim_section)

    def images(weights: Weights) -> Iterator[Image]:
        read = readable(frames, fits_extension, unread, sections, weights)
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
