"""Measure once, for all bands of a stack, what they have to know of whole frames."""

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scripts.lightstack.files.table_file import write_table
from scripts.lightstack.job import job_log
from scripts.lightstack.stacking.gradients import write_skies
from scripts.lightstack.stacking.measuring import measure
from scripts.lightstack.stacking.modes import MEASURING, measuring_mode
from scripts.lightstack.stacking.stacked import Stacked

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def run(
    alignment: Path,
    cleaned: dict[str, Path],
    skies: Path | None,
    seeing: Path | None,
    *,
    modes: Collection[str] = (MEASURING,),
    threads: int,
    **what: Any,
) -> None:
    """Write what is left of the skies, and the seeing.

    Parameters
    ----------
    alignment : Path
        What `align_frames` wrote.
    cleaned : dict of str to Path
        What `subtract_background` or, for colours, `clean_colours` wrote, by frame: those of the
        group, and the reference.
    skies, seeing : Path or None
        The FITS tables to write, where they are needed; without rows, where nothing can be
        stacked.
    modes : collection of str
        The stacks to make.
    threads : int
        How many threads to use; they change nothing but the time.
    what
        What is stacked, and how: see `stacked.Stacked.read`.
    """
    stacked = Stacked.read(alignment, cleaned, threads=threads, **what)
    if stacked is None:
        for path in filter(None, (skies, seeing)):
            write_table(path, np.empty(0, [("NONE", ">f8")]), {})
        return
    if skies:
        write_skies(skies, [[frame.sky for frame in plane] for plane in stacked.planes])
    if not seeing:
        return
    measured = [
        measure(plane, modes, threads, uncertainty=stacked.uncertainty) for plane in stacked.planes
    ]
    measuring_mode().write_measured(seeing, measured)


if "snakemake" in globals():
    with job_log(snakemake):
        settings = snakemake.params.settings
        made = snakemake.output
        run(
            Path(snakemake.input.alignment),
            dict(zip(snakemake.params.frames, map(Path, snakemake.input.cleaned), strict=True)),
            Path(made.skies) if made.skies else None,
            Path(made.seeing) if made.seeing else None,
            group=snakemake.wildcards.get("group", ""),
            members=snakemake.params.members,
            modes=settings["modes"],
            color=settings["color"],
            sigma_clip=settings["sigma_clip"],
            weights=settings["weights"],
            uncertainty=settings["uncertainty"],
            threads=snakemake.threads,
        )
