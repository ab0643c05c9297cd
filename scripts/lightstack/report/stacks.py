"""What the stacks themselves say: their cards, maps of coverage and rejection, what is gained."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.raw.image import central_region
from scripts.lightstack.report import depth
from scripts.lightstack.report.notes import notes_of_stack
from scripts.lightstack.report.pictures import Picture, is_top_down, picture_of_counts
from scripts.lightstack.report.rows import Row
from scripts.lightstack.stacking.colours import GREY
from scripts.lightstack.stacking.modes import AVERAGES
from scripts.lightstack.stacking.rejection import blindness
from scripts.lightstack.stacking.thumbnails import Thumbnail

if TYPE_CHECKING:
    from astropy.io import fits

MEASURED = ("sigma_clip", "winsorized", "noise_clip", "mean", "median", "proper")
"""Modes whose noise is that of an average: the first of them that there is gets measured."""

CARDS = (
    "OBJECT",
    "FILTER",
    "TELESCOP",
    "INSTRUME",
    "DATE-OBS",
    "DATE-END",
    "EXPTIME",
    "TOTEXP",
    "NORMALIZ",
    "WEIGHTS",
)
"""Cards of a stack that are shown."""

CROWDED = 1.07
"""Where darkest blocks differ so many times more than noise explains, there is no empty sky."""

MAP_PX = 480
"""Longest side of a map."""

BAND_ROWS = 256
"""Rows of a map that are read at a time."""


@dataclass(frozen=True)
class Map:
    """Counts of frames per pixel, as a picture."""

    title: str
    picture: Picture
    highest: float
    mean: float


@dataclass(frozen=True)
class HeaderFacts:
    """What the headers of stacks tell; nothing, where there are none.

    Parameters
    ----------
    cards : dict of str to str
        Those of `CARDS` that say something.
    software : list of str
        What made the stacks, with its versions.
    notes : list of str
        A sentence for each odd thing.
    """

    cards: dict[str, str] = field(default_factory=dict)
    software: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Gain:
    """Noise and sharpness of a stack beside those of the frames in it.

    Parameters
    ----------
    mode : str
        Of the stack.
    n_frames : int
        Frames in it.
    measured : float
        Noise of a single frame over that of the stack; not a number if there is no empty sky.
    equal, best : float
        The same for as many frames of one noise, and for these with the best weights.
    fwhm : float
        Median of the stack's stars [pixels of the stack]; not a number without any.
    fwhm_of_frames : float
        Median of the frames' [pixels of the camera]; not a number if none has one.
    per_pixel : int
        Side of a pixel of the stack [pixels of the camera].
    is_of_mosaics : bool
        Whether the frames were measured as grey images of mosaics, which widen stars, and the
        stack was not made of these.
    """

    mode: str
    n_frames: int
    measured: float
    equal: float
    best: float
    fwhm: float
    fwhm_of_frames: float
    per_pixel: int
    is_of_mosaics: bool


@dataclass(frozen=True)
class SingleFrame:
    """A frame without its sky, on the grid of the stacks and on their scale.

    Parameters
    ----------
    rows : callable
        Gives rows ``first`` to ``last``, the latter not included [ADU].
    noise : float
        Standard deviation of its sky [ADU].
    correlation : tuple of float, optional
        Of its noise along an axis, with the pixel itself, the next, and so on.
    per_pixel : int, optional
        Side of a pixel [pixels of the camera].
    """

    rows: Callable[[int, int], NDArray[np.float32]]
    noise: float
    correlation: tuple[float, ...] = (1.0,)
    per_pixel: int = 1

    def halved(self) -> "SingleFrame":
        """Give the frame with means of 2 x 2 pixels, on the grid of a stack of half the size."""

        def rows(first: int, last: int) -> NDArray[np.float32]:
            whole = self.rows(2 * first, 2 * last)
            nx = whole.shape[1] // 2
            blocks = whole[:, : 2 * nx].reshape(last - first, 2, nx, 2)
            return np.asarray(blocks.mean(axis=(1, 3), dtype=np.float32))

        return replace(self, rows=rows, per_pixel=2 * self.per_pixel)


def look_at_stacks(
    stacks: dict[str, Path],
    rows: list[Row],
    single: SingleFrame,
    settings: dict[str, Any],
) -> tuple[HeaderFacts, list[Map], Gain | None]:
    """Read the stacks.

    Parameters
    ----------
    stacks : dict of str to Path
        FITS file of each mode.
    rows : list of Row
    single : SingleFrame
        One of the frames, to compare with.
    settings : dict
        All settings.

    Returns
    -------
    facts : HeaderFacts
    maps : list of Map
        Of coverage, and of what each clip mode rejected.
    gain : Gain or None
        None without a stack of averages.
    """
    from astropy.io import fits

    maps: list[Map] = []
    gain: Gain | None = None
    told: list[str] = []
    header: fits.Header | None = None
    measured = next((mode for mode in MEASURED if mode in stacks), None)
    if settings["color"] == "superpixel":
        single = single.halved()
    for mode, path in stacks.items():
        with fits.open(path, memmap=False) as hdus:
            if header is None:
                header = hdus[0].header
                maps.append(_map("Frames at each pixel", hdus["COVERAGE"], header))
            if "REJECTED" in hdus:
                title = f"Rejected by {mode}"
                maps.append(_map(title, hdus["REJECTED"], header))
            if mode in AVERAGES and not told:
                told = notes_of_stack(hdus[0].header)
            if mode == measured:
                gain = _gain(mode, hdus, rows, single, settings)
    if "sigma_clip" in stacks:
        n_stacked = sum(row.is_stacked for row in rows)
        told = [*told, *filter(None, [blindness(settings["sigma_clip"], n_stacked)])]
    texts = {key: str(header[key]).strip() for key in CARDS if header and key in header}
    cards = {key: text for key, text in texts.items() if text}
    software = list(map(str, header["HISTORY"])) if header else []
    return HeaderFacts(cards, software, told), maps, gain


def _map(title: str, counts: "fits.ImageHDU", header: "fits.Header") -> Map:
    """Draw counts per pixel."""
    *planes, ny, _ = counts.shape
    small, highest, total = Thumbnail(counts.shape, MAP_PX), 0.0, 0
    for number, plane in enumerate(np.ndindex(*planes)):
        for first in range(0, ny, BAND_ROWS):
            rows = counts.section[(*plane, slice(first, first + BAND_ROWS))]
            small.add(rows.astype(np.float32), number * ny + first)
            highest, total = max(highest, float(rows.max())), total + int(rows.sum(dtype=np.int64))
    image = small.image()
    mean = image if image.ndim == 2 else image.mean(axis=0)
    picture = picture_of_counts(mean, highest, first_row_on_top=is_top_down(header))
    return Map(title, picture, highest, total / math.prod(counts.shape))


def _middle_of(image: "fits.ImageHDU", grey: Sequence[float]) -> NDArray[np.float32]:
    """Give the middle of an image that is measured.

    Of colours it is their grey image, which has these weights.
    """
    rows, columns = central_region(image.shape[-2:], depth.LARGEST)
    # Whole rows are read at once, parts of them one by one.
    if len(image.shape) == 2:
        return np.ascontiguousarray(image.section[rows][:, columns], np.float32)
    colours = (image.section[plane, rows][:, columns] for plane in range(len(grey)))
    mixed = sum(weight * colour for weight, colour in zip(grey, colours, strict=True))
    return np.ascontiguousarray(mixed, np.float32)


def _gain(
    mode: str,
    hdus: "fits.HDUList",
    rows: list[Row],
    single: SingleFrame,
    settings: dict[str, Any],
) -> Gain:
    """Compare noise and sharpness of a stack with those of the frames in it."""
    stack = hdus[0]
    ny = stack.shape[-2]
    region = central_region(stack.shape[-2:], depth.LARGEST)
    frame = single.rows(region[0].start, min(region[0].stop, ny))[:, region[1]]
    grey = [float(weight) for weight in str(stack.header.get(GREY, "")).split()]
    image, coverage = (_middle_of(hdu, grey) for hdu in (stack, hdus["COVERAGE"]))
    stacked = [row for row in rows if row.is_stacked]
    noises = [
        noise * scale
        for row in stacked
        if (noise := row.values["noise_adu"]) and (scale := row.values["flux_scale"])
    ]
    widths = [width for row in stacked if (width := row.values["fwhm_px"]) is not None]
    noise = single.noise
    of_frame, of_stack = depth.noise_on_empty_sky(frame, image, coverage)
    pure = depth.noise_of_blocks(noise, single.correlation, single.per_pixel)
    lost = 1.0
    if settings["color"] != "gray":  # a grey frame is smoothed, the colours of a stack are not
        lost = pure / depth.unsmoothed_noise(noise, single.correlation, single.per_pixel)
    is_empty = of_frame < CROWDED * pure and of_stack > 0
    return Gain(
        mode=mode,
        n_frames=len(stacked),
        measured=of_frame / of_stack / lost if is_empty else math.nan,
        equal=math.sqrt(len(stacked)),
        best=depth.best_gain(noises, noise),
        fwhm=depth.fwhm(image, of_stack, settings),
        fwhm_of_frames=float(np.median(widths)) if widths else math.nan,
        per_pixel=single.per_pixel,
        is_of_mosaics=settings["color"] != "gray" and any(row.mosaic for row in stacked),
    )
