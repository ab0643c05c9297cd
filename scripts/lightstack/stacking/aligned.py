"""Frames on the reference's grid and flux scale."""

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.alignment.transform import Transform
from scripts.lightstack.colour.planes import ColourFile, HalvedFile
from scripts.lightstack.compiling import compiled
from scripts.lightstack.files.colour_file import colour_card
from scripts.lightstack.files.frame_file import FAILURE, PixelFile, read_header
from scripts.lightstack.job import JobError
from scripts.lightstack.raw.bayer import GREY_OF
from scripts.lightstack.raw.values import first_number
from scripts.lightstack.resampling.backward_map import columns_of_any, source_columns, source_rows
from scripts.lightstack.resampling.colours import resample_colours
from scripts.lightstack.resampling.plane import resample
from scripts.lightstack.sky.noise_map import NOISE_MAP, noise_map_in
from scripts.lightstack.sky.surface import SkyOfFrame, Surface
from scripts.lightstack.text import text_of

if TYPE_CHECKING:
    from astropy.io import fits

MIN_GAIN = 1e-30
"""Electrons per ADU; less is a header's mistake, and the noise of light would be infinite."""


class Pixels(Protocol):
    """An image on disk.

    Attributes
    ----------
    shape : (int, int)
        ``(ny, nx)`` [pixels].
    """

    shape: tuple[int, int]

    def read_rows(
        self, first: int, last: int, columns: NDArray[np.int64] | None = None
    ) -> NDArray[np.float32]:
        """Read rows `first` to `last`, the latter not included [ADU].

        `columns` (last - first, 2) are the first that is wanted of each row, and the one after the
        last; default: all.
        """


@dataclass(frozen=True)
class AlignedFrame:
    """A frame to be stacked.

    Parameters
    ----------
    name : str
    pixels : Pixels
        The cleaned frame, or one of its colours [ADU].
    header : astropy.io.fits.Header
        Its cards.
    transform : Transform
        From the frame to the reference.
    flux_scale : float
        What brings its fluxes to the reference's, in the middle of the reference's image.
    lean : (float, float), optional
        How that factor leans to the last column and the last row.
    sky : SkyOfFrame, optional
        What is left of its sky, over the grid of the stack [ADU of the stack].
    colour : str, optional
        "R", "G" or "B", if it is one colour of a frame.
    share : float, optional
        How many pixels of this colour were measured for each pixel of `pixels`.
    is_exchanged : bool, optional
        Whether its stars say that its red is the reference's blue.
    """

    name: str
    pixels: Pixels
    header: "fits.Header"
    transform: Transform
    flux_scale: float
    lean: tuple[float, float] = (0.0, 0.0)
    sky: SkyOfFrame | None = None
    colour: str = ""
    share: float = 1.0
    is_exchanged: bool = False

    @property
    def noise(self) -> float:
        """Standard deviation of the sky, before resampling, in units of the stack [ADU]."""
        noise = float(self.header[colour_card("NOISEADU", self.colour)])
        return noise * self.brightening / math.sqrt(max(self.share, 1.0))

    @property
    def noise_map(self) -> NDArray[np.float64]:
        """Coefficients (6,) of the `Surface` over the frame that its noise has, over `noise`."""
        return noise_map_in(self.header, colour_card(NOISE_MAP, self.colour))

    @property
    def gain(self) -> float:
        """Electrons per ADU of the stack; infinite, as if without shot noise, where unknown."""
        gain = first_number(self.header, ("EGAIN",))
        if gain is None or gain < MIN_GAIN:
            return np.inf
        return gain * max(self.share, 1.0) / self.brightening

    @property
    def is_grey_of_mosaic(self) -> bool:
        """Whether each of its pixels is made of nine."""
        return GREY_OF in self.header and not self.colour

    @property
    def is_filled_in(self) -> bool:
        """Whether it is a colour that not every pixel has measured."""
        return self.share < 1

    @property
    def saturation(self) -> float:
        """Level of its saturated pixels [ADU of the stack]."""
        level = float(self.header[colour_card("SATURATE", self.colour)])
        return level * self.brightening

    @property
    def brightening(self) -> float:
        """What resampling multiplies a pixel's value by: the flux scale and the pixels' areas."""
        return self.flux_scale / self.transform.scale**2

    def evened(self, rows: tuple[int, int]) -> NDArray[np.float32]:
        """Tell what makes its light even, in rows ``(first, after last)``: (n_rows, nx)."""
        even = np.ones((rows[1] - rows[0], self.transform.reference_shape[1]), np.float32)
        _multiply_by_lean(self._lean_rows(rows), even)
        return even

    def _lean_rows(self, rows: tuple[int, int]) -> NDArray[np.float32]:
        lean = Surface(self.transform.reference_shape, np.array([0.0, *self.lean]))
        return lean.rows(*rows)

    def fill(self, rows: tuple[int, int], out: NDArray[np.float32]) -> None:
        """Resample the frame to rows ``(first, after last)`` of the reference's grid."""
        first, last = source_rows(self.transform, rows)
        columns = source_columns(self.transform, rows, (first, last))
        self._resample(self.pixels.read_rows(first, last, columns), first, rows, out)

    @staticmethod
    def fill_colours(
        colours: Sequence["AlignedFrame"],
        rows: tuple[int, int],
        out: Sequence[NDArray[np.float32]],
    ) -> None:
        """Resample red, green and blue of a frame as `fill` does, read together."""
        pixels, transforms = colours[0].pixels, [colour.transform for colour in colours]
        if isinstance(pixels, HalvedFile):
            reached = [source_rows(transform, rows) for transform in transforms]
            first, last = min(one for one, _ in reached), max(one for _, one in reached)
            each = [source_columns(transform, rows, (first, last)) for transform in transforms]
            halves = pixels.read_colours(first, last, columns_of_any(each))
            for colour, half, plane in zip(colours, halves, out, strict=True):
                colour._resample(half, first, rows, plane)
            return
        first, last = source_rows(transforms[0], rows)
        columns = source_columns(transforms[0], rows, (first, last))
        resample_colours(
            cast(ColourFile, pixels).read_colours(first, last, columns),
            first,
            transforms[0],
            rows,
            scales=[colour.flux_scale for colour in colours],
            saturations=[colour.saturation / colour.brightening for colour in colours],
            out=out,
        )
        for colour, plane in zip(colours, out, strict=True):
            colour.make_even(rows, plane)

    def _resample(
        self,
        source: NDArray[np.float32],
        first: int,
        rows: tuple[int, int],
        out: NDArray[np.float32],
    ) -> None:
        """Resample pixels that were read from one row on."""
        resample(
            source,
            first,
            self.transform,
            rows,
            scale=self.flux_scale,
            saturation=self.saturation / self.brightening,
            out=out,
        )
        self.make_even(rows, out)

    def make_even(self, rows: tuple[int, int], out: NDArray[np.float32]) -> None:
        """Make the light of resampled rows even, and take off what is left of the sky."""
        if any(self.lean):
            _multiply_by_lean(self._lean_rows(rows), out)
        if self.sky is not None:
            self.sky.subtract_from(out, rows[0])


@compiled
def _multiply_by_lean(lean: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    one, two = np.float32(1), np.float32(2)
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            half = lean[y, x] / two
            out[y, x] *= (one + half) / (one - half)


def aligned_frames(alignment: dict[str, Any], cleaned: dict[str, Path]) -> list[AlignedFrame]:
    """Open the frames that are to be stacked.

    Parameters
    ----------
    alignment : dict
        What `align_frames` found.
    cleaned : dict of str to Path
        What `subtract_background` or `clean_colours` wrote, by frame, for those that are wanted if
        they are aligned, and for the reference.

    Returns
    -------
    list of AlignedFrame
        In the order of the alignment, which is the natural order of their names.

    Raises
    ------
    JobError
        If the colours of a frame could not be read; the sentence names it.
    """
    reference_shape = PixelFile(cleaned[alignment["reference"]]).shape
    frames = []
    for name in (name for name in alignment["frames"] if name in cleaned):
        entry = alignment["frames"][name]
        header = read_header(cleaned[name])
        if FAILURE in header:
            raise JobError(f"{text_of(header[FAILURE])} Run again, or take the frame away.")
        pixels = PixelFile(cleaned[name])
        transform = Transform.from_json(entry, pixels.shape, reference_shape)
        scale, lean = entry["flux_scale"], tuple(entry.get("flux_lean", (0.0, 0.0)))
        frames.append(AlignedFrame(name, pixels, header, transform, scale, lean))
    return frames


def weights_by_noise(noise: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the weights with which a mean has the least noise.

    Parameters
    ----------
    noise : (n,) ndarray of float64
        Of the frames' skies [ADU of the stack].

    Returns
    -------
    (n,) ndarray of float64
        Inverse variances. A frame whose sky shows no noise, as where it lies below the numbers of
        its file, has the weight of the least noisy other one.
    """
    least = noise.min(where=noise > 0, initial=np.inf)
    if np.isinf(least):
        return np.ones(len(noise))
    # Not to the power of -2, which NumPy takes in other digits on other processors.
    return np.asarray(1 / np.maximum(noise, least) ** 2, np.float64)


def fill(
    planes: Sequence[Sequence[AlignedFrame]],
    rows: tuple[int, int],
    cubes: Sequence[NDArray[np.float32]],
    threads: int,
) -> None:
    """Resample all frames to rows ``(first, after last)`` of the reference's grid.

    Parameters
    ----------
    planes : sequence of sequences of AlignedFrame
        The frames, or red, green and blue of each, which are resampled together.
    rows : (int, int)
    cubes : sequence of (n, n_rows, nx) ndarrays of float32, C-contiguous
        Get the pixels of the planes [ADU of the stack]; NaN is no data.
    threads : int
        How many threads to use; they change nothing but the time.
    """
    with ThreadPoolExecutor(threads) as pool:
        if len(planes) == 1:
            list(pool.map(AlignedFrame.fill, planes[0], repeat(rows), cubes[0]))
        else:
            colours, out = zip(*planes, strict=True), zip(*cubes, strict=True)
            list(pool.map(AlignedFrame.fill_colours, colours, repeat(rows), out))
