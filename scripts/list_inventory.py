"""Write the inventory: what each file in the folders is and what becomes of it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.lightstack.files.records import write_csv
from scripts.lightstack.job import job_log

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

COLUMNS = (
    "file",
    "role",
    "used_as",
    "why",
    "group",
    "shape",
    "type",
    "exptime_s",
    "gain",
    "egain",
    "offset",
    "readout_mode",
    "binning",
    "temperature_c",
    "filter",
    "object",
    "bayer_pattern",
    "orientation",
    "window",
    "camera",
    "telescope",
    "date_obs",
    "sha256",
)


def run(rows: list[dict[str, Any]], inventory: Path) -> None:
    """Write one row per file.

    Parameters
    ----------
    rows : list of dict
        What is known of each file, by column; what is not known may be left out.
    inventory : Path
        CSV file to write; its columns are `COLUMNS`.
    """
    write_csv(inventory, COLUMNS, rows)


if "snakemake" in globals():
    with job_log(snakemake):
        run(snakemake.params.rows, Path(snakemake.output.inventory))
