"""Combine some rows of the aligned frames: a band of a stack that several jobs make."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.lightstack.files.atomic import atomic_write
from scripts.lightstack.files.band_file import write_band
from scripts.lightstack.job import job_log
from scripts.lightstack.stacking.bands import rows_of_band
from scripts.lightstack.stacking.joining import as_images
from scripts.lightstack.stacking.measuring import read_measured
from scripts.lightstack.stacking.stacked import Stacked

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def run(
    alignment: Path,
    cleaned: dict[str, Path],
    seeing: Path | None,
    band: Path,
    *,
    number: int,
    count: int,
    modes: list[str],
    stack_memory_mb: int,
    threads: int,
    **what: Any,
) -> None:
    """Write a band.

    Parameters
    ----------
    alignment : Path
        What `align_frames` wrote.
    cleaned : dict of str to Path
        What `subtract_background` or, for colours, `clean_colours` wrote, by frame: those of the
        group, and the reference.
    seeing : Path or None
        What `measure_frames` wrote of it, where a mode or its standard error needs it.
    band : Path
        The file to write; without rows, where nothing can be stacked.
    number, count : int
        Which band, from 1 on, and of how many.
    modes : list of str
        The stacks to make.
    stack_memory_mb, threads
        As in `stack_frames`.
    what
        What is stacked, and how: see `stacked.Stacked.read`.
    """
    stacked = Stacked.read(alignment, cleaned, threads=threads, **what)
    if stacked is None:
        with atomic_write(band) as file:
            write_band(file, 0, [])
        return
    rows = rows_of_band(number, count, stacked.shape[-2])
    n_rows = len(stacked.planes) * (rows[1] - rows[0])
    measured = read_measured(seeing, len(stacked.planes))
    bands = stacked.bands(modes, stack_memory_mb, threads, measured, rows)
    with atomic_write(band) as file:
        write_band(file, n_rows, (as_images(*band) for band in bands))


if "snakemake" in globals():
    with job_log(snakemake):
        given, settings = snakemake.input, snakemake.params.settings
        number, count = snakemake.params.band
        run(
            Path(given.alignment),
            dict(zip(snakemake.params.frames, map(Path, given.cleaned), strict=True)),
            Path(given.seeing) if given.seeing else None,
            Path(snakemake.output.band),
            number=number,
            count=count,
            group=snakemake.wildcards.get("group", ""),
            members=snakemake.params.members,
            skies=Path(given.skies) if given.skies else None,
            stack_memory_mb=snakemake.resources.stack_memory_mb,
            threads=snakemake.threads,
            **settings,
        )
