"""Combine the aligned frames into one image per mode."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.lightstack.job import job_log
from scripts.lightstack.stacking.bands import Band
from scripts.lightstack.stacking.measuring import measure
from scripts.lightstack.stacking.modes import Measured
from scripts.lightstack.stacking.products import make_stacks
from scripts.lightstack.stacking.stacked import Stacked

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def run(
    alignment: Path,
    cleaned: dict[str, Path],
    stacks: dict[str, Path],
    thumbnails: Path,
    *,
    stack_memory_mb: int,
    threads: int,
    **what: Any,
) -> None:
    """Write one FITS file per mode.

    Parameters
    ----------
    alignment, cleaned, stacks, thumbnails
        As in `products.make_stacks`.
    stack_memory_mb : int
        Memory to use for pixels [MB]; it sets how many rows are stacked at a time, and nothing
        else.
    threads : int
        As in `products.make_stacks`.
    what
        What is stacked, and how: see `products.make_stacks`.

    Raises
    ------
    JobError
        If fewer than two frames are aligned, and there is no other group.
    """

    def measured_of(stacked: Stacked) -> list[Measured]:
        return [
            measure(plane, stacks, threads, uncertainty=stacked.uncertainty)
            for plane in stacked.planes
        ]

    def bands(stacked: Stacked, measured: Sequence[Measured]) -> Iterable[Band]:
        return stacked.bands(list(stacks), stack_memory_mb, threads, measured)

    make_stacks(
        measured_of,
        bands,
        alignment,
        cleaned,
        stacks,
        thumbnails,
        threads=threads,
        **what,
    )


if "snakemake" in globals():
    with job_log(snakemake):
        settings = snakemake.params.settings
        run(
            Path(snakemake.input.alignment),
            dict(zip(snakemake.params.frames, map(Path, snakemake.input.cleaned), strict=True)),
            {mode: Path(path) for mode, path in snakemake.params.stacks.items()},
            Path(snakemake.output.thumbnails),
            group=snakemake.wildcards.get("group", ""),
            members=snakemake.params.members,
            color=settings["color"],
            sigma_clip=settings["sigma_clip"],
            weights=settings["weights"],
            uncertainty=settings["uncertainty"],
            stack_memory_mb=snakemake.resources.stack_memory_mb,
            threads=snakemake.threads,
        )
