"""The files of a stack: one per mode, and the thumbnails of all."""

import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.files.alignment_file import problem_of
from scripts.lightstack.files.atomic import atomic_write
from scripts.lightstack.files.frame_file import write_failure
from scripts.lightstack.files.kept_stacks import keep, set_aside
from scripts.lightstack.files.records import read_json
from scripts.lightstack.files.stack_file import StackWriter, count_extension, table_extension
from scripts.lightstack.job import JobError
from scripts.lightstack.raw.image import UnusableFrameError
from scripts.lightstack.stacking.aligned import AlignedFrame, aligned_frames, weights_by_noise
from scripts.lightstack.stacking.bands import Band
from scripts.lightstack.stacking.combining import count_type
from scripts.lightstack.stacking.dark_limit import limited_by_darks
from scripts.lightstack.stacking.gradients import match_skies
from scripts.lightstack.stacking.header import common_header, mode_header, table_of_frames
from scripts.lightstack.stacking.modes import AVERAGES, CLIP_MODES
from scripts.lightstack.stacking.propagation import propagate
from scripts.lightstack.stacking.rejection import blindness
from scripts.lightstack.stacking.thumbnails import COVERAGE, Thumbnail, write_thumbnails

if TYPE_CHECKING:
    from astropy.io import fits

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stacked:
    """What is stacked, and how.

    Parameters
    ----------
    alignment : dict
        What `align_frames` found.
    frames : sequence of AlignedFrame
        The frames to stack.
    reference : AlignedFrame
        The one on whose grid they lie; it need not be one of them.
    sigma_clip : float
        Limit of the mode of that name [standard deviations].
    weights : str
        "noise" weights frames by their inverse variance where values are averaged; "none" takes
        them all alike.
    """

    alignment: dict[str, Any]
    frames: Sequence[AlignedFrame]
    reference: AlignedFrame
    sigma_clip: float
    weights: str

    @classmethod
    def of(
        cls,
        alignment: dict[str, Any],
        cleaned: dict[str, Path],
        members: Iterable[str],
        *,
        sigma_clip: float,
        weights: str,
    ) -> "Stacked":
        """Open the frames; match their skies if they are to be matched.

        Parameters
        ----------
        alignment : dict
            What `align_frames` found.
        cleaned : dict of str to Path
            What `subtract_background` wrote, by frame: those of the group, and the reference.
        members : iterable of str
            Frames of the group.
        sigma_clip, weights
            As the attributes of these names.
        """
        members, reference = set(members), alignment["reference"]
        wanted = {name: cleaned[name] for name in {*members, reference}}
        aligned = {frame.name: frame for frame in aligned_frames(alignment, wanted)}
        frames = [frame for name, frame in aligned.items() if name in members]
        stacked = cls(alignment, frames, aligned[reference], sigma_clip, weights)
        if any(frame.header.get("SKYMODEL") != "match" for frame in frames):
            return stacked
        skies = match_skies(frames, stacked.options["weights"])
        matched = [replace(frame, sky=sky) for frame, sky in zip(frames, skies, strict=True)]
        return replace(stacked, frames=matched)

    @property
    def shape(self) -> tuple[int, int]:
        """``(ny, nx)`` of the stacks [pixels]."""
        return self.reference.transform.reference_shape

    @property
    def options(self) -> dict[str, Any]:
        """Arguments of `combining.combine`, beside what `modes.MEASURING` measures."""
        noise = np.array([frame.noise for frame in self.frames])
        weight = weights_by_noise(noise) if self.weights == "noise" else np.ones(len(noise))
        return {"weights": weight, "noise": noise, "sigma_clip": self.sigma_clip}

    def headers(self, modes: Iterable[str]) -> "dict[str, fits.Header]":
        """Cards of the stack of each mode, and under "" those that all have."""
        common = common_header(self.frames, self.reference)
        common["NORMALIZ"] = (
            self.alignment["normalize"],
            "how frames were scaled to the reference",
        )
        weights = self.options["weights"]
        propagation = propagate(self.frames, weights)
        return {"": common} | {
            mode: mode_header(
                common,
                mode,
                self.frames,
                weights,
                propagation,
                weighted_by=self.weights,
                sigma_clip=self.sigma_clip,
            )
            for mode in modes
        }


def make_stacks(
    bands_of: Callable[[Stacked], Iterable[Band]],
    alignment: Path,
    cleaned: dict[str, Path],
    stacks: dict[str, Path],
    thumbnails: Path,
    *,
    group: str,
    members: list[str],
    sigma_clip: float,
    weights: str,
    threads: int,
) -> None:
    """Write one FITS file per mode.

    Parameters
    ----------
    bands_of : callable
        Gives the bands of what is stacked, from the first row on.
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
    sigma_clip, weights
        As the attributes of `Stacked`.
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
    stacked = Stacked.of(found, cleaned, members, sigma_clip=sigma_clip, weights=weights)
    if "sigma_clip" in stacks and (blind := blindness(len(stacked.frames), sigma_clip)):
        log.warning("%s", blind)
    _write(stacked, bands_of(stacked), stacks, thumbnails, len(members), threads)
    keep(stacks.values(), thumbnails.parent)


def _write(
    stacked: Stacked,
    bands: Iterable[Band],
    stacks: dict[str, Path],
    thumbnails: Path,
    offered: int,
    threads: int,
) -> None:
    """Write the stacks, a file in a thread, while their bands are made; shrink them."""
    frames = stacked.frames
    shape, counts_as = stacked.shape, count_type(len(frames))
    headers = stacked.headers(stacks)
    for told in {limited_by_darks(headers[mode]) for mode in stacks if mode in AVERAGES} - {""}:
        log.warning("%s", told)
    coverage = np.empty(shape, counts_as)
    rejected = {mode: np.empty_like(coverage) for mode in CLIP_MODES if mode in stacks}
    small = {mode: Thumbnail(shape) for mode in (*stacks, COVERAGE)}
    with ExitStack() as files:
        writers = {}
        for mode, path in stacks.items():
            file = files.enter_context(atomic_write(path))
            writers[mode] = StackWriter(file, headers[mode], shape)
        pool = files.enter_context(ThreadPoolExecutor(threads))

        def write(mode: str, image: NDArray[np.float32]) -> None:
            writers[mode].write_rows(image)
            small[mode].add(image)

        for rows, band in bands:
            list(pool.map(write, band.images.keys(), band.images.values()))
            coverage[slice(*rows)] = band.coverage
            small[COVERAGE].add(band.coverage.astype(np.float32))
            for mode, count in band.rejected.items():
                rejected[mode][slice(*rows)] = count
        counts = count_extension("COVERAGE", coverage)
        plain, weighted = (
            table_extension("FRAMES", table_of_frames(frames, used))
            for used in (None, stacked.options["weights"])
        )

        def finish(mode: str) -> None:
            clipped = [count_extension("REJECTED", rejected[mode])] if mode in rejected else []
            table = weighted if mode in AVERAGES else plain
            writers[mode].finish([counts, *clipped, table])

        list(pool.map(finish, writers))
    cards = headers[""]
    cards["NOFFERED"] = (offered, "number of frames offered")
    write_thumbnails(thumbnails, small, cards)
