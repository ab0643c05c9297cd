"""Measure once, for all bands of a stack, what they have to know of the frames."""

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scripts.lightstack.files.table_file import write_table
from scripts.lightstack.job import job_log
from scripts.lightstack.stacking.measuring import measure
from scripts.lightstack.stacking.modes import MEASURING, measuring_mode
from scripts.lightstack.stacking.products import Stacked

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def run(
    alignment: Path,
    cleaned: dict[str, Path],
    seeing: Path,
    *,
    modes: Collection[str] = (MEASURING,),
    threads: int,
    **what: Any,
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
    modes : collection of str
        The stacks to make.
    threads : int
        How many threads to use; they change nothing but the time.
    what
        What is stacked, and how: see `products.make_stacks`.
    """
    stacked = Stacked.read(alignment, cleaned, threads=threads, **what)
    if stacked is None:
        write_table(seeing, np.empty(0, [("GAIN", ">f8")]), {})
        return
    measured = [
        measure(plane, modes, threads, uncertainty=stacked.uncertainty) for plane in stacked.planes
    ]
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
            modes=settings["modes"],
            color=settings["color"],
            sigma_clip=settings["sigma_clip"],
            weights=settings["weights"],
            uncertainty=settings["uncertainty"],
            threads=snakemake.threads,
        )
