"""The files of a stack: one per mode, and the thumbnails of all."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.files.alignment_file import problem_of
from scripts.lightstack.files.atomic import atomic_write
from scripts.lightstack.files.colour_file import COLOURS, colour_card
from scripts.lightstack.files.frame_file import write_failure
from scripts.lightstack.files.kept_stacks import keep, set_aside
from scripts.lightstack.files.records import read_json
from scripts.lightstack.files.stack_file import (
    Extension,
    SpooledImage,
    StackWriter,
    count_extension,
    image_extension,
    table_extension,
)
from scripts.lightstack.job import JobError
from scripts.lightstack.raw.halving import halve_header
from scripts.lightstack.raw.image import UnusableFrameError
from scripts.lightstack.sky.surface import SkyOfFrame
from scripts.lightstack.stacking.aligned import (
    AlignedFrame,
    aligned_frames,
    weights_by_noise,
)
from scripts.lightstack.stacking.bands import Band, Bands
from scripts.lightstack.stacking.colours import Planes, cards_of_colours, planes_of
from scripts.lightstack.stacking.combining import Combined, count_type
from scripts.lightstack.stacking.dark_limit import limited_by_darks
from scripts.lightstack.stacking.gradients import match_skies, read_skies
from scripts.lightstack.stacking.header import Plane, common_header, mode_header, table_of_frames
from scripts.lightstack.stacking.modes import (
    AVERAGES,
    BY_NOISE,
    CLIP_MODES,
    WITH_ERROR,
    WITH_PSF,
    own_psf,
)
from scripts.lightstack.stacking.odd_skies import note_odd_skies
from scripts.lightstack.stacking.propagation import propagate
from scripts.lightstack.stacking.rejection import blindness
from scripts.lightstack.stacking.thumbnails import COVERAGE, Thumbnail, write_thumbnails

if TYPE_CHECKING:
    from astropy.io import fits

Measured = Sequence[dict[str, Any]]
"""What `measuring.measure` has found of each plane."""

OF_ERRORS = {"BUNIT": "adu", "UTYPE": "StdDevUncertainty"}
"""Cards by which `astropy.nddata.CCDData` knows standard errors."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stacked:
    """What is stacked, and how.

    Parameters
    ----------
    alignment : dict
        What `align_frames` found.
    planes : tuple of sequences of AlignedFrame
        The frames to stack: once, or their red, green and blue.
    reference : AlignedFrame
        The one on whose grid they lie; it need not be one of them.
    sigma_clip : float
        Limit of the mode of that name [standard deviations].
    weights : str
        "noise" weights frames by their inverse variance where values are averaged; "none" takes
        them all alike.
    cards : dict of str to (object, str)
        What headers say of colours.
    uncertainty : bool
        Whether standard errors are wanted.
    """

    alignment: dict[str, Any]
    planes: Planes
    reference: AlignedFrame
    sigma_clip: float
    weights: str
    cards: dict[str, tuple[Any, str]]
    uncertainty: bool = False

    @classmethod
    def of(
        cls,
        alignment: dict[str, Any],
        cleaned: dict[str, Path],
        members: Iterable[str],
        *,
        color: str = "gray",
        sigma_clip: float,
        weights: str,
        uncertainty: bool = False,
        skies: Path | None = None,
        threads: int = 1,
    ) -> "Stacked":
        """Open the frames; match their skies if they are to be matched.

        Parameters
        ----------
        alignment : dict
            What `align_frames` found.
        cleaned : dict of str to Path
            What `subtract_background` or, for colours, `clean_colours` wrote, by frame: those of
            the group, and the reference.
        members : iterable of str
            Frames of the group.
        color : str
            "gray", or "rgb" for the three colours, or "superpixel" for these at half the size.
        sigma_clip, weights, uncertainty
            As the attributes of these names.
        skies : Path, optional
            What `measure_frames` wrote of the skies, where they are matched already.
        threads : int
            How many threads to use; they change nothing but the time.

        Returns
        -------
        Stacked
        """
        members, reference = set(members), alignment["reference"]
        wanted = {name: cleaned[name] for name in {*members, reference}}
        aligned = {frame.name: frame for frame in aligned_frames(alignment, wanted)}
        frames = [frame for name, frame in aligned.items() if name in members]
        planes: Planes = (frames,)
        cards: dict[str, tuple[Any, str]] = {}
        if color != "gray":
            scaled = alignment["normalize"] != "none"
            halved = color == "superpixel"
            planes = planes_of(frames, reference, cleaned, scaled=scaled, halved=halved)
            cards = cards_of_colours(frames[0].header, cleaned[reference])
        stacked = cls(
            alignment,
            planes,
            aligned[reference],
            sigma_clip,
            weights,
            cards,
            uncertainty,
        )
        if any(frame.header.get("SKYMODEL") != "match" for frame in frames):
            return stacked
        shape = planes[0][0].transform.reference_shape
        matched = read_skies(skies, shape, len(planes)) if skies else match_skies(planes, threads)
        return replace(stacked, planes=tuple(map(_beneath, planes, matched)))

    @classmethod
    def read(
        cls,
        alignment: Path,
        cleaned: dict[str, Path],
        *,
        group: str,
        members: Iterable[str],
        **how: Any,
    ) -> "Stacked | None":
        """Open the frames of a group for a part of the work.

        Parameters
        ----------
        alignment, cleaned, group, members
            As in `make_stacks`.
        how
            As in `of`.

        Returns
        -------
        Stacked or None
            None if the group cannot be stacked: it is told once, by the job that writes the files.
        """
        found = read_json(alignment)
        return None if problem_of(found, group) else cls.of(found, cleaned, members, **how)

    @property
    def frames(self) -> Sequence[AlignedFrame]:
        """The frames to stack; if they have colours, their red."""
        return self.planes[0]

    @property
    def shape(self) -> tuple[int, ...]:
        """``(ny, nx)``, or ``(3, ny, nx)``, of the stacks [pixels]."""
        plane = self.frames[0].transform.reference_shape
        return plane if len(self.planes) == 1 else (len(self.planes), *plane)

    def options(self, plane: Sequence[AlignedFrame]) -> dict[str, Any]:
        """Arguments of `combining.combine` for a plane, beside what `measuring.measure` finds."""
        weights = _weights(plane, self.weights)
        options = {
            "weights": weights,
            "noise": np.array([frame.noise for frame in plane]),
            "sigma_clip": self.sigma_clip,
        }
        if self.uncertainty:
            options["shared_variance"] = propagate(plane, weights).shared_variance
        return options

    def bands(
        self,
        modes: Sequence[str],
        memory_mb: int,
        threads: int,
        measured: Measured,
        rows: tuple[int, int] | None = None,
    ) -> Iterator[Band]:
        """Combine the frames, a band at a time.

        Parameters
        ----------
        modes, memory_mb, threads
            As in `bands.Bands`.
        measured : sequence of dict
            What `measuring.measure` has found of each plane.
        rows : (int, int), optional
            The first row of each plane to make and the one after the last; default: all.

        Yields
        ------
        Band
        """
        first, last = rows or (0, self.shape[-2])
        options = [
            self.options(plane) | of_plane
            for plane, of_plane in zip(self.planes, measured, strict=True)
        ]
        yield from Bands(
            self.planes,
            modes,
            memory_mb,
            threads,
            options=options,
            rows=(first, last),
            n_kept=len(self.planes) * (last - first),
        )

    @property
    def n_rows(self) -> int:
        """Rows of all planes."""
        return len(self.planes) * self.shape[-2]

    def weighted_by(self, mode: str) -> str:
        """Name what weights the frames in a mode."""
        return "noise" if mode in BY_NOISE else self.weights

    def of_planes(self, mode: str) -> list[Plane]:
        """Collect what the header of a mode tells of the frames of each plane."""
        return self._weighted if self.weighted_by(mode) == "noise" else self._alike

    @cached_property
    def _weighted(self) -> list[Plane]:
        return self._of_planes("noise")

    @cached_property
    def _alike(self) -> list[Plane]:
        return self._of_planes("none")

    def _of_planes(self, by: str) -> list[Plane]:
        weights = [_weights(plane, by) for plane in self.planes]
        return [
            Plane(plane, weight, propagate(plane, weight))
            for plane, weight in zip(self.planes, weights, strict=True)
        ]

    def headers(self, modes: Iterable[str], measured: Measured) -> "dict[str, fits.Header]":
        """Cards of the stack of each mode, and under "" those that all have."""
        common = common_header(self.frames, self.reference)
        common.update(self.cards)
        if self.shape[-2:] != self.reference.transform.reference_shape:
            halve_header(common)
        common["NORMALIZ"] = (
            self.alignment["normalize"],
            "how frames were scaled to the reference",
        )
        note_odd_skies(common, self.planes)
        return {"": common} | {
            mode: mode_header(
                common,
                mode,
                self.of_planes(mode),
                weighted_by=self.weighted_by(mode),
                sigma_clip=self.sigma_clip,
                seeing=all(of_plane.get("seeing") is not None for of_plane in measured),
            )
            for mode in modes
        }


def _weights(plane: Sequence[AlignedFrame], by: str) -> NDArray[np.float64]:
    """Weights (n,) of the frames of a plane where values are averaged."""
    if by == "none":
        return np.ones(len(plane))
    return weights_by_noise(np.array([frame.noise for frame in plane]))


def _beneath(
    plane: Sequence[AlignedFrame], skies: Sequence[SkyOfFrame | None]
) -> Sequence[AlignedFrame]:
    """Give each frame of a plane its sky."""
    return [replace(frame, sky=sky) for frame, sky in zip(plane, skies, strict=True)]


def make_stacks(
    measured_of: Callable[[Stacked], Measured],
    bands_of: Callable[[Stacked, Measured], Iterable[Band]],
    alignment: Path,
    cleaned: dict[str, Path],
    stacks: dict[str, Path],
    thumbnails: Path,
    *,
    group: str,
    members: list[str],
    color: str = "gray",
    sigma_clip: float,
    weights: str,
    uncertainty: bool = False,
    skies: Path | None = None,
    threads: int,
) -> None:
    """Write one FITS file per mode.

    Parameters
    ----------
    measured_of : callable
        Gives what `measuring.measure` has found of each plane of what is stacked.
    bands_of : callable
        Gives, with that, the bands of what is stacked, from the first row on; if there are
        several planes, their rows are counted on from one to the next.
    alignment : Path
        What `align_frames` wrote.
    cleaned : dict of str to Path
        What `subtract_background` or, for colours, `clean_colours` wrote, by frame: those of the
        group, and the reference.
    stacks : dict of str to Path
        The file to write for each mode: the stack on the reference's grid [ADU], ``COVERAGE``,
        ``REJECTED`` where values were clipped, ``UNCERT`` where standard errors are wanted and
        known, and the table ``FRAMES``.
    thumbnails : Path
        The file to write for the preview. The last good stacks are kept in its folder. If a group
        cannot be stacked, it says why, and there are no stacks.
    group : str
        Name of the group; empty where frames are not grouped.
    members : list of str
        Frames of the group.
    color, sigma_clip, weights, uncertainty, skies
        As in `Stacked.of`.
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
    stacked = Stacked.of(
        found,
        cleaned,
        members,
        color=color,
        sigma_clip=sigma_clip,
        weights=weights,
        uncertainty=uncertainty,
        skies=skies,
        threads=threads,
    )
    if "sigma_clip" in stacks and (blind := blindness(sigma_clip, len(stacked.frames))):
        log.warning("%s", blind)
    measured = measured_of(stacked)
    headers = stacked.headers(stacks, measured)
    _write(
        stacked, headers, bands_of(stacked, measured), stacks, thumbnails, len(members), threads
    )
    keep(stacks.values(), thumbnails.parent)


def _write(
    stacked: Stacked,
    headers: "dict[str, fits.Header]",
    bands: Iterable[Band],
    stacks: dict[str, Path],
    thumbnails: Path,
    offered: int,
    threads: int,
) -> None:
    """Write the stacks, a file in a thread, while their bands are made; shrink them."""
    shape, counts_as = stacked.shape, count_type(len(stacked.frames))
    for told in {limited_by_darks(headers[mode]) for mode in stacks if mode in AVERAGES} - {""}:
        log.warning("%s", told)
    coverage = np.empty((stacked.n_rows, shape[-1]), counts_as)
    rejected = {mode: np.empty_like(coverage) for mode in CLIP_MODES if mode in stacks}
    small = {mode: Thumbnail(shape) for mode in (*stacks, COVERAGE)}
    middles = {mode: own_psf().Middle(shape) for mode in stacks if mode in WITH_PSF}
    with_error = [mode for mode in stacks if mode in WITH_ERROR and stacked.uncertainty]
    with ExitStack() as files:
        writers, errors = {}, {}
        for mode, path in stacks.items():
            file = files.enter_context(atomic_write(path))
            writers[mode] = StackWriter(file, headers[mode], shape)
            if mode in with_error:
                spool = files.enter_context(TemporaryFile(dir=path.parent))
                errors[mode] = SpooledImage(spool, "UNCERT", shape, OF_ERRORS)
        pool = files.enter_context(ThreadPoolExecutor(threads))

        def write(mode: str, band: Combined, first: int) -> None:
            image = band.images[mode]
            writers[mode].write_rows(image, first)
            small[mode].add(image, first)
            if mode in middles:
                middles[mode].add(image, first)
            if mode in errors:
                errors[mode].write_rows(band.errors[mode], first)

        def count(band: Combined, rows: tuple[int, int]) -> None:
            coverage[slice(*rows)] = band.coverage
            small[COVERAGE].add(band.coverage.astype(np.float32), rows[0])
            for mode, number in band.rejected.items():
                rejected[mode][slice(*rows)] = number

        written: list[Future[None]] = []
        for rows, band in bands:  # while one is made, the one before is written
            for done in written:
                done.result()
            written = [pool.submit(write, mode, band, rows[0]) for mode in band.images]
            written.append(pool.submit(count, band, rows))
        for done in written:
            done.result()
        counts = count_extension("COVERAGE", coverage.reshape(shape))
        weighted_by = {
            mode: stacked.weighted_by(mode) if mode in AVERAGES else "" for mode in stacks
        }
        tables = {
            by: table_extension(
                "FRAMES", table_of_frames(stacked.of_planes(mode), weighted=by != "")
            )
            for by, mode in {by: mode for mode, by in weighted_by.items()}.items()
        }

        def finish(mode: str) -> None:
            clipped = (
                [count_extension("REJECTED", rejected[mode].reshape(shape))]
                if mode in rejected
                else []
            )
            error = [errors[mode].extension()] if mode in errors else []
            of_stars = _of_stars(headers[mode], middles[mode]) if mode in middles else []
            writers[mode].finish([counts, *clipped, *error, *of_stars, tables[weighted_by[mode]]])

        list(pool.map(finish, writers))
    cards = headers[""]
    cards["NOFFERED"] = (offered, "number of frames offered")
    write_thumbnails(thumbnails, small, cards)


def _of_stars(header: "fits.Header", middle: Any) -> list[Extension]:
    """Make an image HDU of what the stars of a stack look like, if there are enough."""
    colours = COLOURS if len(middle.planes) > 1 else [""]
    measured = [
        own_psf().measure_psf(
            image,
            header[colour_card("NOISEADU", colour)],
            header[colour_card("SATURATE", colour)],
        )
        for image, colour in zip(middle.planes, colours, strict=True)
    ]
    n_stars = min(psf.n_stars for psf in measured)
    if n_stars == 0:
        log.warning(
            "Too few stars stand alone in the stack %r to tell its point-spread function: it has "
            "no extension PSF.",
            header["STACKMOD"],
        )
        return []
    images = np.array([psf.image for psf in measured])
    image = images if len(images) > 1 else images[0]
    return [image_extension("PSF", image, [("NSTARS", n_stars, "stars that were averaged")])]
