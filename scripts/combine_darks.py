"""Combine the darks of one kind into a master: their median, pixel by pixel."""

from pathlib import Path
from typing import TYPE_CHECKING

from scripts.lightstack.calibration.masters import readable, write_master
from scripts.lightstack.calibration.median import median
from scripts.lightstack.files.unread import NOTES
from scripts.lightstack.job import job_log

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def run(darks: list[Path], master: Path, *, unread: Path = NOTES) -> None:
    """Write a master dark, of those darks that can be read.

    Parameters
    ----------
    darks : list of Path
        Raw darks of one kind.
    master : Path
        FITS file to write: see `lightstack.calibration.masters` [ADU].
    unread : Path, optional
        Folder for notes of files that cannot be read.
    """
    images = ((image.header, image.data) for _, image in readable(darks, unread))
    write_master(
        images,
        len(darks),
        master,
        median,
        noun="darks",
        told=("exposure", "temperature", "gain"),
    )


if "snakemake" in globals():
    with job_log(snakemake):
        run(
            [Path(dark) for dark in snakemake.input.darks],
            Path(snakemake.output.master),
        )
