"""Combine the aligned frames into one image per mode."""

import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.files.atomic import atomic_write
from scripts.lightstack.files.records import read_json
from scripts.lightstack.files.stack_file import StackWriter, count_extension, table_extension
from scripts.lightstack.job import JobError, job_log
from scripts.lightstack.report.thumbnails import Thumbnail, write_thumbnails
from scripts.lightstack.stacking.aligned import aligned_frames
from scripts.lightstack.stacking.bands import bands
from scripts.lightstack.stacking.combining import count_type
from scripts.lightstack.stacking.header import common_header, mode_header, table_of_frames
from scripts.lightstack.stacking.modes import AVERAGES, CLIP_MODES, MODES
from scripts.lightstack.stacking.rejection import blindness

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log = logging.getLogger(__name__)


def run(
    alignment: Path,
    cleaned: dict[str, Path],
    stacks: dict[str, Path],
    thumbnails: Path,
    *,
    sigma_clip: float,
    weights: str,
    stack_memory_mb: int,
    threads: int,
) -> None:
    """Write one FITS file per mode.

    Parameters
    ----------
    alignment : Path
        What `align_frames` wrote.
    cleaned : dict of str to Path
        What `subtract_background` wrote, by frame.
    stacks : dict of str to Path
        The file to write for each mode: the stack on the reference's grid [ADU], ``COVERAGE``,
        ``REJECTED`` where values were clipped, and the table ``FRAMES``.
    thumbnails : Path
        The file to write for the preview.
    sigma_clip : float
        Limit of the mode of that name [standard deviations].
    weights : str
        "noise" weights frames by their inverse variance where values are averaged; "none" takes
        them all alike.
    stack_memory_mb : int
        Memory to use for pixels [MB]; it sets how many rows are stacked at a time, and nothing
        else.
    threads : int
        How many threads to use; they change nothing but the time.

    Raises
    ------
    JobError
        If fewer than two frames are aligned.
    """
    found = read_json(alignment)
    _remove_outdated(stacks, everything="problem" in found)
    if "problem" in found:
        raise JobError(found["problem"])
    frames = aligned_frames(found, cleaned)
    if "sigma_clip" in stacks and blindness(len(frames), sigma_clip):
        log.warning("%s", blindness(len(frames), sigma_clip))
    noise = np.array([frame.noise for frame in frames])
    weight = noise**-2 if weights == "noise" else np.ones(len(frames))
    common = common_header(frames, frames[list(found["frames"]).index(found["reference"])])
    common["NORMALIZ"] = (found["normalize"], "how frames were scaled to the reference")
    shape = frames[0].transform.reference_shape
    small = {mode: Thumbnail(shape) for mode in stacks}
    coverage = np.empty(shape, count_type(len(frames)))
    rejected = {mode: np.empty_like(coverage) for mode in CLIP_MODES if mode in stacks}
    with ExitStack() as files:
        writers = {}
        for mode, path in stacks.items():
            header = mode_header(
                common, mode, frames, weight, weighted_by=weights, sigma_clip=sigma_clip
            )
            writers[mode] = StackWriter(files.enter_context(atomic_write(path)), header, shape)
        pool = files.enter_context(ThreadPoolExecutor(threads))

        def write(mode: str, image: NDArray[np.float32]) -> None:
            writers[mode].write_rows(image)
            small[mode].add(image)

        options = {"weights": weight, "noise": noise, "sigma_clip": sigma_clip}
        for rows, band in bands(frames, list(stacks), stack_memory_mb, threads, **options):
            list(pool.map(write, band.images.keys(), band.images.values()))
            coverage[slice(*rows)] = band.coverage
            for mode, count in band.rejected.items():
                rejected[mode][slice(*rows)] = count
            log.info("Rows %d to %d of %d are stacked.", *rows, shape[0])
        counts = count_extension("COVERAGE", coverage)

        def finish(mode: str) -> None:
            used = weight if mode in AVERAGES else None
            writers[mode].finish(
                [
                    counts,
                    *(count_extension("REJECTED", rejected[m]) for m in rejected if m == mode),
                    table_extension("FRAMES", table_of_frames(frames, used)),
                ]
            )

        list(pool.map(finish, writers))
    write_thumbnails(thumbnails, small, common)


def _remove_outdated(stacks: dict[str, Path], *, everything: bool) -> None:
    """Remove results of earlier runs that this one does not replace."""
    (folder,) = {path.parent for path in stacks.values()}
    for mode in MODES:
        if everything or mode not in stacks:
            (folder / f"stack_{mode}.fits").unlink(missing_ok=True)
    if everything:
        (folder / "preview.png").unlink(missing_ok=True)


if "snakemake" in globals():
    with job_log(snakemake):
        settings = snakemake.params.settings
        run(
            Path(snakemake.input.alignment),
            dict(zip(snakemake.params.frames, map(Path, snakemake.input.cleaned), strict=True)),
            dict(zip(settings["modes"], map(Path, snakemake.output.stacks), strict=True)),
            Path(snakemake.output.thumbnails),
            sigma_clip=settings["sigma_clip"],
            weights=settings["weights"],
            stack_memory_mb=snakemake.resources.stack_memory_mb,
            threads=snakemake.threads,
        )
