"""Combine the darks of one kind into a master: see `calibration.combining`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.lightstack.calibration.pedestals import write_pedestal
from scripts.lightstack.job import job_log

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def run(darks: list[Path], master: Path, **reading: Any) -> None:
    """Write a master dark, of those darks that can be read.

    Parameters
    ----------
    darks : list of Path
        Raw darks of one kind.
    master : Path
        FITS file to write: see `lightstack.calibration.masters` [ADU].
    reading
        How to read them: see `pedestals.write_pedestal`.
    """
    write_pedestal(
        darks, master, noun="darks", told=("exposure", "temperature", "gain"), **reading
    )


if "snakemake" in globals():
    with job_log(snakemake):
        run(
            [Path(dark) for dark in snakemake.input.darks],
            Path(snakemake.output.master),
            **snakemake.params.settings,
            threads=snakemake.threads,
        )
