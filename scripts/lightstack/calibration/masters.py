"""What masters of all kinds have in common: raw frames that are read, kept and combined.

A master is a FITS file with the image, the header of its first raw frame, ``NCOMBINE``, its name
for the ledger in ``MASTER``, and the noise of its pixels in ``MSTNOISE``; without an image if none
of its raw frames can be used. Of pictures in colour it has four planes: grey, red, green and blue,
and the noise of the latter in ``MSTNOISR`` (and G, B).
"""

import logging
import math
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.calibration.noise import noise_of_master
from scripts.lightstack.calibration.reading import Reading
from scripts.lightstack.files.atomic import atomic_write
from scripts.lightstack.files.colour_file import COLOURS, colour_card
from scripts.lightstack.files.frame_file import FAILURE, PixelFile, read_header
from scripts.lightstack.files.unread import note
from scripts.lightstack.raw.colour import ALONE, LUMA, Weights
from scripts.lightstack.raw.exposure import Exposure, exposure_of
from scripts.lightstack.raw.image import PLANES, RawImage, UnusableFrameError
from scripts.lightstack.raw.overscan import without_overscan
from scripts.lightstack.text import DOUBT, printable, text_of

if TYPE_CHECKING:
    from astropy.io import fits

BAND_BYTES = 500_000
"""So much of the frames stays in a core's cache while it is combined."""

HELD_FRAMES, HELD_BYTES = 5, 400_000_000
"""Frames that are held in memory until all are read, and how much of more of them; the others are
kept in a file (five darks of 60 megapixels: 3.0 CPU-s, against 4.0 with a file)."""

Image = tuple["fits.Header", NDArray[np.float32]]

Combine = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Makes one image (ny, nx) of a cube (n, ny, nx); each row by itself."""

VALUES: dict[str, Callable[[Exposure], str]] = {
    "exposure": lambda taken: _written("{:g} s", taken.exptime),
    "temperature": lambda taken: _written("{:.1f} degC", taken.temperature),
    "gain": lambda taken: _written("gain {:g}", taken.egain if taken.gain is None else taken.gain),
    "filter": lambda taken: _written("{}", taken.filter),
}
"""Values in a master's name, empty where the header does not tell."""

log = logging.getLogger(__name__)


class Master(NamedTuple):
    """A master to be used.

    Attributes
    ----------
    name : str
        For the ledger.
    pixels : PixelFile
    noise : float
        Standard deviation of the noise of its pixels [their unit]; 0 where it is unknown.
    n_combined : int
        How many raw frames it is made of.
    """

    name: str
    pixels: PixelFile
    noise: float
    n_combined: int


def write_master(
    images: Callable[[Weights], Iterator[Image]],
    offered: int,
    master: Path,
    combine: Combine,
    *,
    noun: str,
    told: Sequence[str],
    variance: Callable[[int], float] | None = None,
    levels: Callable[[Sequence[NDArray[np.float32]]], NDArray[np.float32]] | None = None,
    finish: Callable[[NDArray[np.float32], Exposure], None] | None = None,
    doubt: str = "",
    left_out: Collection[str] = (),
    threads: int,
) -> None:
    """Combine images of one kind and write their master.

    Parameters
    ----------
    images : callable
        Gives the headers and pixels, (ny, nx) of float32, of those that can be used: of pictures
        in colour with these weights of red, green and blue.
    offered : int
        How many raw frames there are.
    master : Path
        FITS file to write.
    combine : callable
        Makes one image of a cube; it is not called for a single one.
    noun : str
        What the raw frames are, such as "darks".
    told : sequence of str
        What tells it from other masters, for its name: keys of `VALUES`.
    variance : callable, optional
        Tells the variance of n images combined, over that of one; without it the master's noise
        is not told.
    levels : callable, optional
        Tells what is subtracted from each image before they are combined.
    finish : callable, optional
        Changes the combined image, given how its first raw frame was taken.
    doubt : str, optional
        What speaks against the master, for its name.
    left_out : collection of str, optional
        Why raw frames cannot be used; read when all `images` are.
    threads : int
        How many threads to use; they change nothing but the time.
    """
    from astropy.io import fits

    with atomic_write(master) as file:
        made = partial(_made, images, offered, master.parent, combine, variance, levels, threads)
        count, image, noise = made(LUMA)
        if image is None:
            why = f": {next(iter(left_out))}" if left_out else "."
            card = (FAILURE, printable(f"none of its {noun} can be used{why}"))
            fits.PrimaryHDU(header=fits.Header([card])).writeto(file)
            return
        header, pixels = image
        planes, noises = [pixels], {"": noise}
        if header.pop(PLANES, 1) == len(COLOURS):
            for colour, weights in zip(COLOURS, ALONE, strict=True):
                _, plane, noises[colour] = made(weights)
                planes.append(np.full_like(pixels, np.nan) if plane is None else plane[1])
        header["NCOMBINE"] = (count, f"{noun} combined")
        for colour, of_colour in noises.items():
            if math.isfinite(of_colour):
                header[colour_card("MSTNOISE", colour)] = (
                    of_colour,
                    "noise of a pixel of this image",
                )
        ny, nx = pixels.shape
        number = f"{count}" if count == offered else f"{count} of {offered}"
        taken = exposure_of(header, (ny, nx))
        if finish is not None:
            for each in planes:
                finish(each, taken)
        doubt = DOUBT.join(filter(None, [doubt, *islice(left_out, 1)]))
        values = [value for key in told if (value := VALUES[key](taken))]
        name = " ".join([f"master of {number}:", *values, f"{nx} x {ny}"])
        header["MASTER"] = printable(DOUBT.join(filter(None, [name, doubt])))
        whole = pixels if len(planes) == 1 else np.stack(planes)
        fits.PrimaryHDU(whole, header).writeto(file)
    log.info("%s", name)


def why_unusable(path: Path) -> str:
    """Say why there is no image in a master; nothing if there is one."""
    return text_of(read_header(path).get(FAILURE, ""))


def open_master(path: Path, weights: Weights = LUMA) -> Master | None:
    """Open a master.

    Parameters
    ----------
    path : Path
    weights : (float, float, float), optional
        Of red, green and blue in what it is for: one of `raw.colour.ALONE` opens that colour, if
        the master has colours.

    Returns
    -------
    Master or None
        None if there is no image in it.
    """
    header = read_header(path)
    if FAILURE in header:
        return None
    plane = 1 + ALONE.index(weights) if header["NAXIS"] > 2 and weights in ALONE else 0
    noise = header.get(colour_card("MSTNOISE", COLOURS[plane - 1] if plane else ""), 0.0)
    return Master(header["MASTER"], PixelFile(path, plane), noise, header["NCOMBINE"])


def _written(form: str, value: float | str | None) -> str:
    return "" if value is None else form.format(value)


def readable(
    paths: Sequence[Path],
    reading: Reading,
    weights: Weights = LUMA,
) -> Iterator[tuple[Path, RawImage]]:
    """Read raw frames; note those that cannot be read, and leave them out.

    Parameters
    ----------
    paths : sequence of Path
        Raw frames of one kind.
    reading : Reading
        How they are read.
    weights : (float, float, float), optional
        Of red, green and blue in a grey.

    Yields
    ------
    (Path, RawImage)
        All of the shape of the first, freed of their overscan.
    """
    shape: tuple[int, ...] | None = None
    for path in paths:
        try:
            image = _read(path, reading, weights, shape)
        except UnusableFrameError as error:
            note(reading.unread, path, error)
            continue
        shape = image.data.shape
        log.info("Read: %s", path)
        yield path, image
        # It need not be in memory beside the next one.
        del image


def _read(
    path: Path, reading: Reading, weights: Weights, shape: tuple[int, ...] | None
) -> RawImage:
    raw = reading.read(path, weights)
    if raw.peak is not raw.data:
        raw.header[PLANES] = len(COLOURS)
    image, _ = without_overscan(raw)
    if shape not in (None, image.data.shape):
        raise UnusableFrameError(f"{path.name}: it had another shape when the run began.")
    return image


def _made(
    images: Callable[[Weights], Iterator[Image]],
    offered: int,
    folder: Path,
    combine: Combine,
    variance: Callable[[int], float] | None,
    levels: Callable[[Sequence[NDArray[np.float32]]], NDArray[np.float32]] | None,
    threads: int,
    weights: Weights,
) -> tuple[int, Image | None, float]:
    """Make one plane of a master: how many images it is made of, it (None of none), its noise."""
    given = images(weights)
    if offered > 1:
        return _combined(given, folder, combine, variance, levels, threads)
    image = next(given, None)
    return 1, image, noise_of_master([image[1]], variance) if image and variance else math.nan


def _combined(
    images: Iterable[Image],
    folder: Path,
    combine: Combine,
    variance: Callable[[int], float] | None,
    levels: Callable[[Sequence[NDArray[np.float32]]], NDArray[np.float32]] | None,
    threads: int,
) -> tuple[int, Image | None, float]:
    """Count images, give the first one's header and all combined (None of none), and the noise.

    They need not fit into memory together: the rest is kept in a file of this folder meanwhile.
    """
    with tempfile.TemporaryFile(dir=folder) as scratch:
        stored: list[Image] = []
        for image in images:
            count = len(stored) + 1
            is_held = count <= HELD_FRAMES or count * image[1].nbytes <= HELD_BYTES
            stored.append(image if is_held else _stored(image, scratch))
        if not stored:
            return 0, None, math.nan
        headers, pixels = zip(*stored, strict=True)
        noise = noise_of_master(pixels, variance) if variance else math.nan
        beyond = levels(pixels) if levels else None
        return len(stored), (headers[0], in_bands(pixels, combine, beyond, threads)), noise


def _stored(image: Image, scratch: IO[bytes]) -> Image:
    """Move the pixels of an image to a file."""
    header, pixels = image
    offset = scratch.tell()
    scratch.write(np.ascontiguousarray(pixels).data)
    scratch.flush()
    return header, np.memmap(scratch, np.float32, "r", offset, pixels.shape)


def in_bands(
    images: Sequence[NDArray[np.float32]],
    combine: Combine,
    levels: NDArray[np.float32] | None = None,
    threads: int = 1,
) -> NDArray[np.float32]:
    """Combine images, less their levels, a band of rows at a time."""
    ny, nx = images[0].shape
    rows = max(1, BAND_BYTES // (len(images) * nx * 4))
    combined = np.empty((ny, nx), np.float32)

    def combine_band(start: int) -> None:
        band = np.stack([image[start : start + rows] for image in images])
        if levels is not None:
            band -= levels[:, np.newaxis, np.newaxis]
        combined[start : start + rows] = combine(band)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(combine_band, range(0, ny, rows)))
    return combined
