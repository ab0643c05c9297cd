"""Combine the aligned frames into one image per mode."""

import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.files.alignment_file import problem_of
from scripts.lightstack.files.atomic import atomic_write
from scripts.lightstack.files.frame_file import write_failure
from scripts.lightstack.files.kept_stacks import keep, set_aside
from scripts.lightstack.files.records import read_json
from scripts.lightstack.files.stack_file import StackWriter, count_extension, table_extension
from scripts.lightstack.job import JobError, job_log
from scripts.lightstack.raw.image import UnusableFrameError
from scripts.lightstack.report.thumbnails import Thumbnail, write_thumbnails
from scripts.lightstack.stacking.aligned import aligned_frames
from scripts.lightstack.stacking.bands import Bands
from scripts.lightstack.stacking.header import common_header, mode_header, table_of_frames
from scripts.lightstack.stacking.modes import AVERAGES, CLIP_MODES
from scripts.lightstack.stacking.rejection import blindness

if TYPE_CHECKING:
    from astropy.io import fits
    from snakemake.iocontainers import snakemake

log = logging.getLogger(__name__)


def run(
    alignment: Path,
    cleaned: dict[str, Path],
    stacks: dict[str, Path],
    thumbnails: Path,
    *,
    group: str,
    members: list[str],
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
        What `subtract_background` wrote, by frame: those of the group, and the reference.
    stacks : dict of str to Path
        The file to write for each mode: the stack on the reference's grid [ADU], ``COVERAGE``,
        ``REJECTED`` where values were clipped, and the table ``FRAMES``.
    thumbnails : Path
        The file to write for the preview. The last good stacks are kept in its folder. If a group
        cannot be stacked, it says why, and there are no stacks.
    group : str
        Name of the group; empty where frames are not grouped.
    members : list of str
        Frames of the group.
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
        If fewer than two frames are aligned, and there is no other group. The stacks of the run
        before are then found in a folder of their own: see `files.kept_stacks`.
    """
    (results,) = {path.parent for path in stacks.values()}
    set_aside(thumbnails.parent, results)
    found = read_json(alignment)
    if problem := problem_of(found, group):
        if not group:
            raise JobError(problem)
        log.warning("No stacks: %s", problem)
        write_failure(thumbnails, UnusableFrameError(problem), {})
        return
    wanted = {*members, found["reference"]}
    aligned = aligned_frames(found, {name: cleaned[name] for name in wanted})
    (reference,) = (frame for frame in aligned if frame.name == found["reference"])
    frames = [frame for frame in aligned if frame.name in set(members)]
    if "sigma_clip" in stacks and blindness(len(frames), sigma_clip):
        log.warning("%s", blindness(len(frames), sigma_clip))
    noise = np.array([frame.noise for frame in frames])
    weight = noise**-2 if weights == "noise" else np.ones(len(frames))
    common = common_header(frames, reference)
    common["NORMALIZ"] = (found["normalize"], "how frames were scaled to the reference")
    headers = {
        mode: mode_header(common, mode, frames, weight, weighted_by=weights, sigma_clip=sigma_clip)
        for mode in stacks
    }
    plain, weighted = (table_of_frames(frames, used) for used in (None, weight))
    tables = {mode: weighted if mode in AVERAGES else plain for mode in stacks}
    options = {"weights": weight, "noise": noise, "sigma_clip": sigma_clip}
    made = Bands(frames, list(stacks), stack_memory_mb, threads, **options)
    small = _write(stacks, headers, tables, made, threads)
    write_thumbnails(thumbnails, small, common)
    keep(stacks.values(), thumbnails.parent)


def _write(
    stacks: dict[str, Path],
    headers: dict[str, "fits.Header"],
    tables: dict[str, NDArray[np.void]],
    made: Bands,
    threads: int,
) -> dict[str, Thumbnail]:
    """Write the stacks, a file in a thread, while they are made band by band; shrink them."""
    coverage = np.empty(made.shape, made.count_type)
    rejected = {mode: np.empty_like(coverage) for mode in CLIP_MODES if mode in stacks}
    small = {mode: Thumbnail(made.shape) for mode in stacks}
    with ExitStack() as files:
        writers = {}
        for mode, path in stacks.items():
            file = files.enter_context(atomic_write(path))
            writers[mode] = StackWriter(file, headers[mode], made.shape)
        pool = files.enter_context(ThreadPoolExecutor(threads))

        def write(mode: str, image: NDArray[np.float32]) -> None:
            writers[mode].write_rows(image)
            small[mode].add(image)

        for rows, band in made:
            list(pool.map(write, band.images.keys(), band.images.values()))
            coverage[slice(*rows)] = band.coverage
            for mode, count in band.rejected.items():
                rejected[mode][slice(*rows)] = count
            log.info("Rows %d to %d of %d are stacked.", *rows, made.shape[0])
        counts = count_extension("COVERAGE", coverage)

        def finish(mode: str) -> None:
            clipped = [count_extension("REJECTED", rejected[mode])] if mode in rejected else []
            writers[mode].finish([counts, *clipped, table_extension("FRAMES", tables[mode])])

        list(pool.map(finish, writers))
    return small


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
            sigma_clip=settings["sigma_clip"],
            weights=settings["weights"],
            stack_memory_mb=snakemake.resources.stack_memory_mb,
            threads=snakemake.threads,
        )
