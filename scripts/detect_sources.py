"""Find and measure the sources of one frame."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.lightstack.calibration.repair import repaired
from scripts.lightstack.detection.sources import detect, measure
from scripts.lightstack.files.frame_file import pass_on_failure, read_frame, write_failure
from scripts.lightstack.files.table_file import write_table
from scripts.lightstack.job import job_log
from scripts.lightstack.raw.bayer import GREY_OF, PATTERN_DOUBT
from scripts.lightstack.raw.exposure import (
    EGAIN_KEYS,
    FILTER_KEYS,
    GAIN_KEYS,
    ISO_KEYS,
    WHEEL_KEYS,
    exposure_of,
)
from scripts.lightstack.raw.image import UnusableFrameError
from scripts.lightstack.sky.mesh import subtract_mesh

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

CARRIED = (
    *(
        "RAWSHA",
        "PIXSHA",
        "DARK",
        "DARKFAC",
        "BIAS",
        "FLAT",
        "BADPIX",
        "COSMICS",
        "NODATA",
        "OSCANADU",
        "SATFOUND",
        "BKGADU",
        "NOISEADU",
    ),
    *("SKYMODEL", "SKYLIGHT", GREY_OF, PATTERN_DOUBT),
    *(*FILTER_KEYS, *WHEEL_KEYS, *ISO_KEYS, *GAIN_KEYS, *EGAIN_KEYS),
)
"""Cards that the frame's row in the ledger needs, or that say what share of the light it got."""

log = logging.getLogger(__name__)


def run(
    frame: Path,
    sources: Path,
    *,
    threshold_sigma: float,
    minarea: int,
    smoothing_sigma: float,
    background_box: int = 64,
) -> None:
    """Write one row per source of a cleaned frame, or a file that says why there can be none.

    Parameters
    ----------
    frame : Path
        What `subtract_background` wrote.
    sources : Path
        FITS table to write; its columns are those of `lightstack.detection.sources.SOURCE`. The
        primary header has the frame's size and the cards that the ledger needs.
    threshold_sigma, minarea, smoothing_sigma
        As in `lightstack.detection.sources.detect`.
    background_box : int
        Side of the cells of the mesh [pixels] that is subtracted where the frame has extended
        light still.
    """
    if pass_on_failure(frame, sources):
        return
    cleaned = read_frame(frame)
    if cleaned.header.get("SKYMODEL", "mesh") != "mesh":
        subtract_mesh(cleaned.data, background_box, cleaned.header["SKYSTEP"])
    data = repaired(cleaned.data)
    try:
        guesses = detect(
            data,
            cleaned.header["NOISEADU"],
            threshold_sigma=threshold_sigma,
            minarea=minarea,
            smoothing_sigma=smoothing_sigma,
        )
    except UnusableFrameError as error:
        log.warning("Unusable: %s", error)
        write_failure(sources, error, {"RAWSHA": cleaned.header["RAWSHA"]})
        return
    table = measure(data, cleaned.saturated, guesses, cleaned.header["NOISEADU"])
    log.info("%d sources found, %d of them measured.", len(guesses), len(table))
    ny, nx = cleaned.data.shape
    cards = {key: cleaned.header[key] for key in CARRIED if key in cleaned.header}
    taken = exposure_of(cleaned.header, (ny, nx))
    stated = {"EXPTIME": taken.exptime, "DATE-OBS": taken.date}
    cards |= {key: value for key, value in stated.items() if value is not None}
    write_table(sources, table, {**cards, "NX": nx, "NY": ny})


if "snakemake" in globals():
    with job_log(snakemake):
        run(
            Path(snakemake.input.frame),
            Path(snakemake.output.sources),
            **snakemake.params.settings,
        )
