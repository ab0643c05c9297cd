"""FITS files of any origin, read within bounds.

astropy believes what a header says about sizes and positions, and reads on where a file ends or
lies: this walk from header to header believes nothing, and takes no memory for what is not there.
"""

import contextlib
import gzip
import io
import os
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.raw.bayer import MOSAIC_CARDS
from scripts.lightstack.raw.cards import clean_header, pixel_type
from scripts.lightstack.raw.colour import LUMA, Weights, add_colour
from scripts.lightstack.raw.exchanged_bytes import are_exchanged
from scripts.lightstack.raw.image import (
    FIRST,
    IMAGES,
    MAX_PIXELS,
    PLANES,
    TRUNCATED,
    RawImage,
    UnusableFrameError,
    check_density,
    check_size,
    without_data,
)
from scripts.lightstack.raw.isolation import computed_apart
from scripts.lightstack.raw.no_data import blank_sentinels, blank_unwritten
from scripts.lightstack.raw.scale import FULL_SCALE_ADU, in_counts, restore_unsigned
from scripts.lightstack.text import printable

if TYPE_CHECKING:
    from astropy.io import fits


RawFile = gzip.GzipFile | io.BufferedReader

FITS_BLOCK = 2880

MAX_HEADER_BYTES = 1_000 * FITS_BLOCK

MAX_PARTS = 1_000
"""Header and data units that are looked at in search of an image."""

MAX_EXPANDED_BYTES = 16 * MAX_PIXELS
"""Where the image of a gzipped file begins, at most: a few bytes can expand to terabytes."""

BAND_PIXELS = 1 << 17
"""Rows of so many pixels stay in a processor's cache while they are scaled."""

_PIXEL_TYPES = {8: ">u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}


def read_fits(
    path: Path,
    start: bytes,
    keys: tuple[str, ...] | None,
    extension: str | int = FIRST,
    weights: Weights = LUMA,
) -> RawImage:
    """Read an image of a FITS file, grey or of three colours, or only these of its cards.

    Parameters
    ----------
    path : Path
        The file, plain or gzipped.
    start : bytes
        Its first bytes.
    keys : tuple of str or None
        Cards to read without any pixels; None reads all.
    extension : str or int
        Which image to read if there are several: `FIRST`, one's ``EXTNAME``, or its number in the
        file as astropy counts, 0 being the primary one.
    weights : (float, float, float), optional
        Of red, green and blue in a grey.

    Returns
    -------
    RawImage

    Raises
    ------
    UnusableFrameError
        If there is no usable image in the file.
    """
    zipped = start.startswith(b"\x1f\x8b")
    if not zipped and not start.startswith(b"SIMPLE"):
        raise UnusableFrameError("not a FITS file.")
    try:
        with (
            # Odd cards are the camera's habit and do no harm: what cannot be read is left out.
            warnings.catch_warnings(action="ignore"),
            gzip.open(path) if zipped else path.open("rb") as file,
        ):
            images: list[tuple[int, str]] = []
            if extension != FIRST or (keys is not None and (not zipped or _goes_on(file, path))):
                file.seek(0)
                images = _list_images(file)
            file.seek(0)
            wanted = _number(images, extension)
            image = _read_image(file, path.stat().st_size, keys, wanted, weights, zipped=zipped)
            if keys is not None:
                image.header[IMAGES] = max(1, len(images))
            if zipped and keys is None:
                _check_rest(file)
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise UnusableFrameError(TRUNCATED) from error
    return image


def _goes_on(file: RawFile, path: Path) -> bool:
    """Whether a gzipped file has more than its first image, by the size that stands at its end.

    To look for more is to read it all.
    """
    with path.open("rb") as packed:
        packed.seek(-4, os.SEEK_END)
        size = int.from_bytes(packed.read(), "little")
    with contextlib.suppress(UnusableFrameError):
        for number in range(MAX_PARTS):
            content = _read_header(file, number)
            if content is None:
                return False
            header = _parsed(content)
            end = file.tell() + _layout(header, "")[1]
            padded = end + -end % FITS_BLOCK
            if _is_image(header, number):
                # The size is stored without what is beyond 32 bits.
                return size not in (end % 2**32, padded % 2**32)
            if end > MAX_EXPANDED_BYTES:
                break
            file.seek(padded)
    return False


def _is_image(header: "fits.Header", number: int) -> bool:
    """Whether the part of this number is an image of one colour or three."""
    if header.get("ZIMAGE") is True:
        return bool(_planes(_layout(header, "Z")[0]))
    is_image = number == 0 or header.get("XTENSION") in ("IMAGE", "IUEIMAGE")
    return is_image and bool(_planes(_layout(header, "")[0]))


def _check_rest(file: RawFile) -> None:
    """Read a gzipped file to its end, where its checksum is."""
    for _ in range(MAX_EXPANDED_BYTES >> 20):
        if not file.read(1 << 20):
            break


def _number(images: list[tuple[int, str]], extension: str | int) -> int | None:
    """Choose an image by its name or number; None for the first, or the only one."""
    if extension == FIRST or len(images) < 2:
        return None
    asked = str(extension).strip().upper()
    for number, name in images:
        if asked in (str(number), name.upper()):
            return number
    found = ", ".join(f"{number} {name}".strip() for number, name in images)
    raise UnusableFrameError(
        f"it has no image {printable(asked)}, as fits_extension asks for; it has {found}."
    )


def _read_image(
    file: RawFile,
    size: int,
    keys: tuple[str, ...] | None,
    wanted: int | None,
    weights: Weights,
    *,
    zipped: bool,
) -> RawImage:
    """Read the image of this number, or the first; the file takes so many bytes on the disk."""
    seen: list[str] = []
    primary = None
    for number in range(MAX_PARTS):
        content = _read_header(file, number)
        if content is None:
            break
        header = _parsed(content)
        primary = header if primary is None else primary
        shape, n_bytes = _layout(header, "")
        offset = file.tell()
        end = offset + n_bytes
        if end > (MAX_EXPANDED_BYTES if zipped else size):
            raise UnusableFrameError(TRUNCATED)
        tiled = header.get("ZIMAGE") is True
        if tiled:
            shape, _ = _layout(header, "Z")
        elif number and header.get("XTENSION") not in ("IMAGE", "IUEIMAGE"):
            shape = ()
        if (n_planes := _planes(shape)) and wanted in (None, number):
            plane = (shape[-2], shape[-1])
            check_size(plane)
            if tiled or zipped:
                check_density(plane, size)
            clean = clean_header(header, primary, keys)
            for key in MOSAIC_CARDS if n_planes == 3 else ():
                clean.remove(key, ignore_missing=True)
            scaling = _Scaling.of(header, "Z" if tiled else "")
            if keys is not None:
                clean[PLANES] = n_planes
                return without_data(plane, clean, pixel_type(scaling.dtype.name, scaling.zero))
            if tiled:
                whole = _Tiled(content, header, file.read(n_bytes))
                images = _read_tiles(whole, n_planes, plane, scaling, weights)
            else:
                images = _read_pixels(file, n_planes, plane, scaling, weights)
            return _in_counts(images, scaling, clean)
        if shape:
            seen.append(" x ".join(map(str, shape[::-1])))
        file.seek(end + -end % FITS_BLOCK)
    raise _no_image(seen)


def _no_image(seen: list[str]) -> UnusableFrameError:
    """Say what is in a file that has no image."""
    found = f"; it holds {', '.join(seen)} pixels" if seen else ""
    if any(sides.count(" x ") > 1 for sides in seen):
        found += ": write each image to a file of its own"
    return UnusableFrameError(f"no 2-D image in the file{found}.")


def _in_counts(
    images: list[NDArray[np.float32]], scaling: "_Scaling", header: "fits.Header"
) -> RawImage:
    """Make an image of what `_read_pixels` returns."""
    grey, ceiling = images[0], scaling.ceiling
    if len(images) == 1 and scaling.are_short and are_exchanged(grey, scaling.zero):
        raise UnusableFrameError(
            "the two bytes of each of its numbers are exchanged: a program wrote them in the "
            "wrong order. FITS has the higher byte first: write the file anew."
        )
    if len(images) == 1 and scaling.may_lack_zero and restore_unsigned(grey):
        ceiling = float(FULL_SCALE_ADU)
    image = RawImage(grey, images[-1], ceiling, scaling.step, header)
    blank_sentinels(image)
    return in_counts(image, is_wide=scaling.dtype == np.dtype(">i4"))


def _list_images(file: RawFile) -> list[tuple[int, str]]:
    """List the images of a file, by number and name; from damage on there are none."""
    found = []
    with contextlib.suppress(UnusableFrameError, gzip.BadGzipFile, zlib.error, EOFError):
        for number in range(MAX_PARTS):
            content = _read_header(file, number)
            if content is None:
                break
            header = _parsed(content)
            if _is_image(header, number):
                found.append((number, printable(str(header.get("EXTNAME", "")).strip())))
            end = file.tell() + _layout(header, "")[1]
            if end > MAX_EXPANDED_BYTES:
                break
            file.seek(end + -end % FITS_BLOCK)
    return found


def _planes(shape: tuple[int, ...]) -> int:
    """Planes of an image: one, three if it has colours (the slowest axis), 0 if it is none."""
    others = [length for length in shape[:-2] if length != 1]
    if len(shape) < 2 or min(shape[-2:]) == 0 or others not in ([], [3]):
        return 0
    return 3 if others else 1


def _read_header(file: RawFile, number: int) -> bytes | None:
    """Read the next header; None where the file has no more of them."""
    content = b""
    while len(content) < MAX_HEADER_BYTES:
        block = file.read(FITS_BLOCK)
        if number and not content and not block.startswith(b"XTENSION"):
            return None
        content += block
        if any(card[:3] == b"END" and not card[3:].strip(b" \0") for card in _cards(block)):
            return content
        if len(block) < FITS_BLOCK:
            break
    raise UnusableFrameError("cannot be read: the header is truncated or damaged, it has no end.")


def _cards(content: bytes) -> list[bytes]:
    return [content[first : first + 80] for first in range(0, len(content), 80)]


def _parsed(content: bytes) -> "fits.Header":
    """Parse a header without the cards that would spoil others."""
    from astropy.io import fits

    kept = [b""]
    for card in _cards(content):
        if card.startswith(b"END     ") or (
            card.startswith(b"CONTINUE") and b"&'" not in kept[-1]
        ):
            continue
        kept.append(card)
    return fits.Header.fromstring(b"".join(kept))


def _layout(header: "fits.Header", prefix: str) -> tuple[tuple[int, ...], int]:
    """Shape of an array, the first axis being the slowest, and the size of its part [bytes]."""
    bitpix = _integer(header, f"{prefix}BITPIX")
    if bitpix not in _PIXEL_TYPES:
        raise UnusableFrameError(f"cannot be read: {prefix}BITPIX {bitpix} is no FITS data type.")
    axes = _integer(header, f"{prefix}NAXIS")
    shape = tuple(_integer(header, f"{prefix}NAXIS{axis}") for axis in range(axes, 0, -1))
    # "Random groups" begin with an axis of length zero that does not count.
    counted = shape[:-1] if shape and shape[-1] == 0 and header.get("GROUPS") is True else shape
    values = int(np.prod(counted, dtype=object)) if counted else 0
    values += _integer(header, "PCOUNT", 0)
    return shape, abs(bitpix) // 8 * _integer(header, "GCOUNT", 1) * values


def _integer(header: "fits.Header", key: str, default: int | None = None) -> int:
    from astropy.io import fits

    try:
        value = header.get(key, default)
    except fits.VerifyError:
        value = None
    if not isinstance(value, int) or isinstance(value, bool):
        raise UnusableFrameError(f"cannot be read: the header has no usable {key}.")
    if value < 0 and not key.endswith("BITPIX"):
        raise UnusableFrameError(f"cannot be read: {key} is {value} in the header.")
    return value


@dataclass(frozen=True)
class _Scaling:
    """How the numbers in a FITS file become pixels."""

    dtype: np.dtype[Any]
    scale: float
    zero: float
    blank: int | None

    @classmethod
    def of(cls, header: "fits.Header", prefix: str) -> "_Scaling":
        from astropy.io import fits

        values = []
        for key, default in (("BSCALE", 1.0), ("BZERO", 0.0)):
            try:
                value = float(header.get(key, default))
            except (TypeError, ValueError, fits.VerifyError):
                value = np.nan
            if not np.isfinite(value):
                raise UnusableFrameError(f"cannot be read: {key} in the header is no number.")
            values.append(value)
        blank = None
        with contextlib.suppress(fits.VerifyError):
            blank = header.get("BLANK", header.get("ZBLANK") if prefix else None)
        is_integer = isinstance(blank, int) and not isinstance(blank, bool)
        dtype = np.dtype(_PIXEL_TYPES[header[f"{prefix}BITPIX"]])
        return cls(dtype, values[0], values[1], blank if is_integer else None)

    @property
    def step(self) -> float:
        """Difference of two neighbouring integers; 0 for floats."""
        return 0.0 if self.dtype.kind == "f" else abs(self.scale)

    @property
    def ceiling(self) -> float:
        """Largest pixel that the file's integers can hold; infinite for floats."""
        if self.dtype.kind == "f":
            return np.inf
        limits = np.iinfo(self.dtype)
        return max(limits.min * self.scale, limits.max * self.scale) + self.zero

    def apply(self, raw: NDArray[Any], out: NDArray[np.float32]) -> None:
        """Put physical values into `out`; 32 bits and more are scaled in float64."""
        with np.errstate(over="ignore", invalid="ignore"):
            if (self.scale, self.zero) == (1.0, 0.0):
                out[...] = raw
            elif raw.dtype.itemsize <= 2:
                out[...] = raw
                out *= np.float32(self.scale)
                out += np.float32(self.zero)
            else:
                out[...] = raw.astype(np.float64) * self.scale + self.zero
        if raw.dtype.kind in "iu" and self.blank is not None:
            out[raw == self.blank] = np.nan
        if self._are_unsigned:
            blank_unwritten(raw, out)
        if not self._are_finite(raw.dtype):
            out[~np.isfinite(out)] = np.nan

    @property
    def _are_unsigned(self) -> bool:
        """Whether the file's zeros stand for the middle of the range of unsigned integers."""
        return self.dtype.kind == "i" and self.zero == 2.0 ** (8 * self.dtype.itemsize - 1)

    @property
    def are_short(self) -> bool:
        """Whether the file has counts of 16 bits."""
        return self.dtype.str == ">i2" and self.scale == 1.0

    @property
    def may_lack_zero(self) -> bool:
        """Whether a card that is missing would have made unsigned counts of the integers."""
        return self.are_short and self.zero == 0.0

    def _are_finite(self, stored: np.dtype[Any]) -> bool:
        """Whether all numbers of a type become finite pixels."""
        largest = abs(self.scale) * 2.0 ** (8 * stored.itemsize) + abs(self.zero)
        return bool(stored.kind in "iu" and largest < np.finfo(np.float32).max)


def _read_pixels(
    file: RawFile,
    n_planes: int,
    shape: tuple[int, int],
    scaling: _Scaling,
    weights: Weights,
) -> list[NDArray[np.float32]]:
    """Read an image some rows at a time: the grey one, and of colours also the brightest."""
    images = [np.empty(shape, np.float32) for _ in range(_images(n_planes))]
    height = max(1, BAND_PIXELS // shape[1])
    for number in range(n_planes):
        for first in range(0, shape[0], height):
            bands = [image[first : first + height] for image in images]
            size = bands[0].size * scaling.dtype.itemsize
            content = file.read(size)
            if len(content) < size:
                raise UnusableFrameError(TRUNCATED)
            raw = np.frombuffer(content, scaling.dtype).reshape(bands[0].shape)
            _take(number, raw, scaling, bands, weights)
    return images


def _images(n_planes: int) -> int:
    """How many images are made of a file's planes: colours have a brightest one of their own."""
    return 1 if n_planes == 1 else 2


def _take(
    number: int,
    raw: NDArray[Any],
    scaling: _Scaling,
    images: list[NDArray[np.float32]],
    weights: Weights,
) -> None:
    """Put a plane of the file, or rows of it, into the images that are made of it."""
    if len(images) == 1:
        scaling.apply(raw, images[0])
        return
    grey, peak = images
    colour = np.empty_like(grey)
    scaling.apply(raw, colour)
    add_colour(number, colour, grey, peak, weights)


@dataclass(frozen=True)
class _Tiled:
    """A tile-compressed image: its header, as it is and parsed, and its table."""

    content: bytes
    header: "fits.Header"
    table: bytes


def _read_tiles(
    tiled: _Tiled,
    n_planes: int,
    shape: tuple[int, int],
    scaling: _Scaling,
    weights: Weights,
) -> list[NDArray[np.float32]]:
    """Decompress a tile-compressed image; return what `_read_pixels` does."""
    from astropy.io import fits

    header, table = tiled.header, tiled.table
    if len(table) < _layout(header, "")[1]:
        raise UnusableFrameError(TRUNCATED)
    # Tiles are whole rows unless the header says otherwise.
    sides = [_integer(header, f"ZTILE{axis}", shape[-1] if axis == 1 else 1) for axis in (1, 2)]
    if 0 in sides:
        raise UnusableFrameError("cannot be read: the image's tiles have no size.")
    if -(-shape[1] // sides[0]) * -(-shape[0] // sides[1]) > _integer(header, "NAXIS2"):
        raise UnusableFrameError(TRUNCATED)
    primary = fits.PrimaryHDU().header.tostring().encode()
    whole = b"".join([primary, tiled.content, table, bytes(-len(table) % FITS_BLOCK)])

    def decompress(out: NDArray[np.float32]) -> None:
        with fits.open(io.BytesIO(whole), do_not_scale_image_data=True) as hdus:
            planes = hdus[1].data.reshape(n_planes, *shape)
        for number, raw in enumerate(planes):
            _take(number, raw, scaling, list(out), weights)

    return list(computed_apart(decompress, (_images(n_planes), *shape), len(whole)))
