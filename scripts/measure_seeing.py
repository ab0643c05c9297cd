"""Measure once, for all bands of a stack, what the mode "noise_clip" has to know of the frames."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scripts.lightstack.files.alignment_file import problem_of
from scripts.lightstack.files.records import read_json
from scripts.lightstack.files.table_file import write_table
from scripts.lightstack.job import job_log
from scripts.lightstack.stacking.modes import measuring_mode
from scripts.lightstack.stacking.products import Stacked

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def run(
    alignment: Path,
    cleaned: dict[str, Path],
    seeing: Path,
    *,
    group: str,
    members: list[str],
    color: str = "gray",
    sigma_clip: float,
    weights: str,
    threads: int,
) -> None:
    """Write the seeing.

    Parameters
    ----------
    alignment : Path
        What `align_frames` wrote.
    cleaned : dict of str to Path
        What `subtract_background` or, for colours, `clean_colours` wrote, by frame: those of the
        group, and the reference.
    seeing : Path
        The FITS table to write; without rows, where nothing can be stacked.
    group, members, color, sigma_clip, weights
        As in `stack_frames`.
    threads : int
        How many threads to use; they change nothing but the time.
    """
    found = read_json(alignment)
    if problem_of(found, group):
        # It is told once, by the job that joins the bands.
        write_table(seeing, np.empty(0, [("GAIN", ">f8")]), {})
        return
    stacked = Stacked.of(
        found, cleaned, members, color=color, sigma_clip=sigma_clip, weights=weights
    )
    measured = [measuring_mode().measure(plane, threads) for plane in stacked.planes]
    measuring_mode().write_measured(seeing, measured)


if "snakemake" in globals():
    with job_log(snakemake):
        settings = snakemake.params.settings
        run(
            Path(snakemake.input.alignment),
            dict(zip(snakemake.params.frames, map(Path, snakemake.input.cleaned), strict=True)),
            Path(snakemake.output.seeing),
            group=snakemake.wildcards.get("group", ""),
            members=snakemake.params.members,
            color=settings["color"],
            sigma_clip=settings["sigma_clip"],
            weights=settings["weights"],
            threads=snakemake.threads,
        )
