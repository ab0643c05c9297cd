"""Join the bands of a stack that several jobs made to one image per mode."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.lightstack.job import job_log
from scripts.lightstack.stacking.joining import joined
from scripts.lightstack.stacking.measuring import read_measured
from scripts.lightstack.stacking.products import make_stacks

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def run(
    alignment: Path,
    cleaned: dict[str, Path],
    seeing: Path | None,
    bands: list[Path],
    stacks: dict[str, Path],
    thumbnails: Path,
    **what: Any,
) -> None:
    """Write one FITS file per mode: what `stack_frames` would write, to the byte.

    Parameters
    ----------
    alignment, cleaned
        As in `products.make_stacks`. Of the frames, only the headers are read.
    seeing : Path or None
        As in `stack_band`.
    bands : list of Path
        What `stack_band` wrote, from the first row of the image on.
    stacks, thumbnails
        As in `products.make_stacks`.
    what
        What is stacked, and how: see `products.make_stacks`.

    Raises
    ------
    JobError
        If fewer than two frames are aligned, and there is no other group.
    """
    make_stacks(
        lambda stacked: read_measured(seeing, len(stacked.planes)),
        lambda stacked, _: joined(bands, stacked.n_rows),
        alignment,
        cleaned,
        stacks,
        thumbnails,
        **what,
    )


if "snakemake" in globals():
    with job_log(snakemake):
        given, settings = snakemake.input, snakemake.params.settings
        run(
            Path(given.alignment),
            dict(zip(snakemake.params.frames, map(Path, given.cleaned), strict=True)),
            Path(given.seeing) if given.seeing else None,
            list(map(Path, given.bands)),
            {mode: Path(path) for mode, path in snakemake.params.stacks.items()},
            Path(snakemake.output.thumbnails),
            group=snakemake.wildcards.get("group", ""),
            members=snakemake.params.members,
            color=settings["color"],
            sigma_clip=settings["sigma_clip"],
            weights=settings["weights"],
            uncertainty=settings["uncertainty"],
            skies=Path(given.skies) if given.skies else None,
            threads=snakemake.threads,
        )
