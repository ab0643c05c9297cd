"""The pictures of the report, as text that stands in the page itself."""

import base64
import hashlib
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from scripts.lightstack.digest import VERSIONS, code_digest
from scripts.lightstack.files.atomic import atomic_write
from scripts.lightstack.files.frame_file import FAILURE, PixelFile, read_header
from scripts.lightstack.report.stretching import stretch
from scripts.lightstack.stacking.thumbnails import Thumbnail

if TYPE_CHECKING:
    from astropy.io import fits

MOST_PIXELS = 192 * 128
"""Of a frame's picture: with `QUALITY`, 2,000 of pure noise take 15 MB in a page."""

LONGEST_PX = 480
"""Longest side of a frame's picture, however narrow it is."""

QUALITY = 50

PREVIEW_QUALITY = 85

BAND_ROWS = 256

COLOURS = np.array(
    [
        (68, 1, 84),
        (65, 68, 135),
        (42, 120, 142),
        (34, 168, 132),
        (122, 209, 81),
        (253, 231, 37),
    ],
    float,
)
"""Steps of viridis (Smith & van der Walt), even in lightness and for colour-blind eyes."""


@dataclass(frozen=True)
class Picture:
    """A picture and what a page must know to show it.

    Parameters
    ----------
    uri : str
        The picture itself as a ``data:`` address.
    width, height : int
        [pixels]
    """

    uri: str
    width: int
    height: int


def as_picture(data: bytes) -> Picture:
    """Make a JPEG or PNG file part of a page."""
    with Image.open(io.BytesIO(data)) as image:
        kind = Image.MIME[image.format or ""]
        width, height = image.size
    return Picture(f"data:{kind};base64,{base64.b64encode(data).decode()}", width, height)


def picture_of_frame(cleaned: Path, kept: Path) -> Picture | None:
    """Show a frame in small.

    Parameters
    ----------
    cleaned : Path
        What `subtract_background` wrote.
    kept : Path
        File that keeps the picture for the next report: a mark, a checksum, then a JPEG file. It
        may be deleted or damaged: that costs time, nothing else.

    Returns
    -------
    Picture or None
        None if the frame has no pixels.
    """
    mark = _mark(cleaned)
    content = kept.read_bytes() if kept.is_file() else b""
    marked, data = content[: 2 * len(mark)], content[2 * len(mark) :]
    if marked != mark + _digest(data):
        header = read_header(cleaned)
        if FAILURE in header:
            return None
        data = _jpeg(_shrunk(cleaned), first_row_on_top=is_top_down(header))
        with atomic_write(kept, durable=False) as file:
            file.write(mark + _digest(data) + data)
    return as_picture(data)


def _mark(cleaned: Path) -> bytes:
    """Note what changes when a frame is written anew, or drawn by other code."""
    status = cleaned.stat()
    marks = (status.st_size, status.st_mtime_ns, status.st_ino, _code(), VERSIONS)
    return _digest(repr(marks).encode())


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).hexdigest().encode()


@cache
def _code() -> str:
    return code_digest("scripts/lightstack/report/pictures.py")


def is_top_down(header: "fits.Header") -> bool:
    """Whether an image's first row is at the top; FITS counts from the bottom by default."""
    return bool(header.get("ROWORDER") == "TOP-DOWN")


def shrinking(shape: Sequence[int]) -> int:
    """Pixels of a frame of this shape beside each other in one of its picture's."""
    return -(-max(shape) // _longest_side(shape))


def _longest_side(shape: Sequence[int]) -> int:
    ny, nx = shape
    return min(LONGEST_PX, -(-max(shape) // math.ceil(math.sqrt(ny * nx / MOST_PIXELS))))


def _shrunk(cleaned: Path) -> NDArray[np.float64]:
    pixels = PixelFile(cleaned)
    small = Thumbnail(pixels.shape, _longest_side(pixels.shape))
    for first in range(0, pixels.shape[0], BAND_ROWS):
        small.add(pixels.read_rows(first, min(first + BAND_ROWS, pixels.shape[0])), first)
    return small.image()


def _jpeg(image: NDArray[np.float64], *, first_row_on_top: bool) -> bytes:
    greys = stretch(image)
    grey = Image.fromarray(greys if first_row_on_top else greys[::-1])
    file = io.BytesIO()
    grey.save(file, "JPEG", quality=QUALITY, optimize=True)
    return file.getvalue()


def picture_of_preview(preview: Path) -> Picture:
    """Show the preview, in fewer bytes."""
    file = io.BytesIO()
    with Image.open(preview) as image:
        image.save(file, "JPEG", quality=PREVIEW_QUALITY, optimize=True)
    return as_picture(file.getvalue())


def picture_of_counts(
    counts: NDArray[np.float64], highest: float, *, first_row_on_top: bool
) -> Picture:
    """Show counts per pixel in colours.

    Parameters
    ----------
    counts : (ny, nx) ndarray of float64
    highest : float
        Count that has the last of the `COLOURS`; zero has the first.
    first_row_on_top : bool

    Returns
    -------
    Picture
    """
    place = np.clip(counts / max(highest, 1e-9), 0, 1) * (len(COLOURS) - 1)
    first = np.minimum(place.astype(int), len(COLOURS) - 2)
    share = (place - first)[..., np.newaxis]
    colours = (1 - share) * COLOURS[first] + share * COLOURS[first + 1]
    file = io.BytesIO()
    picture = np.round(colours).astype(np.uint8)
    picture = picture if first_row_on_top else picture[::-1]
    Image.fromarray(np.ascontiguousarray(picture)).quantize(64).save(file, "PNG")
    return as_picture(file.getvalue())
