"""What is stacked: the frames of a group on one grid, and what headers tell of them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.files.alignment_file import problem_of
from scripts.lightstack.files.records import read_json
from scripts.lightstack.raw.halving import halve_header
from scripts.lightstack.sky.surface import SkyOfFrame
from scripts.lightstack.stacking.aligned import AlignedFrame, aligned_frames, weights_by_noise
from scripts.lightstack.stacking.bands import Band, Bands
from scripts.lightstack.stacking.colours import Planes, cards_of_colours, planes_of
from scripts.lightstack.stacking.gradients import match_skies, read_skies
from scripts.lightstack.stacking.header import Plane, common_header, mode_header
from scripts.lightstack.stacking.modes import BY_NOISE, Measured
from scripts.lightstack.stacking.odd_colours import note_odd_colours
from scripts.lightstack.stacking.odd_skies import note_odd_skies
from scripts.lightstack.stacking.propagation import propagate

if TYPE_CHECKING:
    from astropy.io import fits


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
            As in `products.make_stacks`.
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
        measured: Sequence[Measured],
        rows: tuple[int, int] | None = None,
    ) -> Iterator[Band]:
        """Combine the frames, a band at a time.

        Parameters
        ----------
        modes, memory_mb, threads
            As in `bands.Bands`.
        measured : sequence of Measured
            Of each plane.
        rows : (int, int), optional
            The first row of each plane to make and the one after the last; default: all.

        Yields
        ------
        Band
        """
        first, last = rows or (0, self.shape[-2])
        options = [
            {**self.options(plane), "gain": of_plane.gain, "seeing": of_plane.seeing}
            for plane, of_plane in zip(self.planes, measured, strict=True)
        ]
        yield from Bands(
            self.planes,
            modes,
            memory_mb,
            threads,
            options=options,
            noise=[of_plane.noise for of_plane in measured],
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

    def headers(
        self, modes: Iterable[str], measured: Sequence[Measured]
    ) -> "dict[str, fits.Header]":
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
        note_odd_colours(common, self.planes[0], self.reference.name)
        return {"": common} | {
            mode: mode_header(
                common,
                mode,
                self.of_planes(mode),
                weighted_by=self.weighted_by(mode),
                sigma_clip=self.sigma_clip,
                seeing=all(of_plane.seeing is not None for of_plane in measured),
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
