"""Combine the bias frames of one kind into a master: see `calibration.combining`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.lightstack.calibration.pedestals import write_pedestal
from scripts.lightstack.job import job_log

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def run(bias: list[Path], master: Path, **reading: Any) -> None:
    """Write a master bias, of those bias frames that can be read.

    Parameters
    ----------
    bias : list of Path
        Raw bias frames of one kind.
    master : Path
        FITS file to write: see `lightstack.calibration.masters` [ADU].
    reading
        How to read them: see `pedestals.write_pedestal`.
    """
    write_pedestal(bias, master, noun="bias frames", told=("gain",), **reading)


if "snakemake" in globals():
    with job_log(snakemake):
        run(
            [Path(frame) for frame in snakemake.input.bias],
            Path(snakemake.output.master),
            **snakemake.params.settings,
            threads=snakemake.threads,
        )
