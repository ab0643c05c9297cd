"""Combine the darks of one kind into a master: see `calibration.combining`."""

from pathlib import Path
from typing import TYPE_CHECKING

from scripts.lightstack.calibration.combining import combined, levels, variance_of_combined
from scripts.lightstack.calibration.masters import readable, write_master
from scripts.lightstack.files.unread import NOTES
from scripts.lightstack.job import job_log
from scripts.lightstack.raw.image import FIRST
from scripts.lightstack.raw.sections import HEADER, Asked

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def run(
    darks: list[Path],
    master: Path,
    *,
    fits_extension: str | int = FIRST,
    overscan_section: str = HEADER,
    trim_section: str = HEADER,
    unread: Path = NOTES,
) -> None:
    """Write a master dark, of those darks that can be read.

    Parameters
    ----------
    darks : list of Path
        Raw darks of one kind.
    master : Path
        FITS file to write: see `lightstack.calibration.masters` [ADU].
    fits_extension : str or int, optional
        Which image of a FITS file to read: see `lightstack.raw.fits_reader.read_fits`.
    overscan_section, trim_section : str, optional
        What was not exposed and what was: see `lightstack.raw.sections.Asked`.
    unread : Path, optional
        Folder for notes of files that cannot be read.
    """
    sections = Asked(overscan_section, trim_section)
    read = readable(darks, fits_extension, unread, sections)
    images = ((image.header, image.data) for _, image in read)
    write_master(
        images,
        len(darks),
        master,
        combined,
        noun="darks",
        told=("exposure", "temperature", "gain"),
        variance=variance_of_combined,
        levels=levels,
    )


if "snakemake" in globals():
    with job_log(snakemake):
        run(
            [Path(dark) for dark in snakemake.input.darks],
            Path(snakemake.output.master),
            **snakemake.params.settings,
        )
