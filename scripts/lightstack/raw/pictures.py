"""PNG, JPEG and TIFF files of any origin, read within bounds.

Pillow, imagecodecs and tifffile decode them. Looked at before is what they believe: sizes that no
memory holds, and pixels that are not there.
"""

import contextlib
import struct
import warnings
from collections.abc import Mapping
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.raw.colour import LUMA, Weights, add_colour
from scripts.lightstack.raw.image import (
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
from scripts.lightstack.raw.no_data import blank_sentinels
from scripts.lightstack.raw.scale import FULL_SCALE_ADU, in_counts, restore_unsigned
from scripts.lightstack.text import printable

if TYPE_CHECKING:
    from astropy.io import fits
    from PIL import Image as PillowImage


EXIF_EXPOSURE, EXIF_TIME, EXIF_ISO = 0x829A, 0x9003, 0x8827

MODEL, ORIENTATION, EXIF_BLOCK, CFA_PATTERN = 0x0110, 0x0112, 0x8769, 0x828E

MAX_PAGES = 100
"""Pages of a TIFF that are looked at."""

LONGEST_NAME = 60

GREY_MODES = ("1", "L", "LA", "I", "I;16", "I;16B", "F")
"""How Pillow calls what has no colours."""

TRANSPOSED = (5, 7)
"""Orientations whose rows are columns."""


def read_picture(
    path: Path, start: bytes, keys: tuple[str, ...] | None, weights: Weights = LUMA
) -> RawImage:
    """Read a PNG, JPEG or TIFF file; parameters and exceptions as in `fits_reader.read_fits`."""
    from astropy.io import fits
    from PIL import Image, UnidentifiedImageError

    if start.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        if keys is not None:
            return without_data(*_tiff_look(path))
        return _grey(*_tiff_content(path), weights)
    # The size is checked here, before any decoding, by this project's own bound.
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS
    with warnings.catch_warnings(action="ignore"):
        try:
            picture = Image.open(path, formats=("PNG", "JPEG"))
        except UnidentifiedImageError as error:
            raise UnusableFrameError("not a PNG, JPEG or TIFF image.") from error
        except Image.DecompressionBombError as error:
            raise UnusableFrameError("far more pixels than any camera has.") from error
        with picture:
            check_size(picture.size[::-1])
            check_density(picture.size[::-1], path.stat().st_size)
            if keys is not None:
                cards = fits.Header(list(_exif_cards(picture).items()))
                if picture.mode not in GREY_MODES:
                    cards[PLANES] = 3
                is_deep = picture.format == "PNG" and start[24] == 16
                shape = _upright_shape(picture.size[::-1], _orientation(picture))
                return without_data(shape, cards, "uint16" if is_deep else "uint8")
            if picture.format == "PNG":
                _check_png(path)
            if picture.format == "PNG" and start[24] == 16:
                import imagecodecs

                pixels = imagecodecs.png_decode(path.read_bytes())
            else:
                pixels = _pillow_pixels(picture)
            cards = _exif_cards(picture)
            pixels = _upright(pixels, _orientation(picture))
    return _grey(pixels, cards, weights)


def _orientation(picture: "PillowImage.Image") -> int:
    """Orientation that a picture's tag states; 1 if there is none, as of an upright one."""
    try:
        stated = picture.getexif().get(ORIENTATION)
    except (OSError, SyntaxError, ValueError, KeyError, TypeError, struct.error):
        return 1
    return stated if isinstance(stated, int) else 1


def _upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Turn over a picture whose tag says that it is stored mirrored.

    Pictures that are only rotated stay as they are: cameras note how they were held, which says
    nothing of the sensor, and darks are not held alike.
    """
    if orientation == 2:
        return pixels[:, ::-1]
    if orientation == 4:
        return pixels[::-1]
    if orientation in TRANSPOSED:
        turned = pixels.swapaxes(0, 1)
        return turned if orientation == TRANSPOSED[0] else turned[::-1, ::-1]
    return pixels


def _upright_shape(shape: tuple[int, int], orientation: int) -> tuple[int, int]:
    return shape[::-1] if orientation in TRANSPOSED else shape


def _check_png(path: Path) -> None:
    """Refuse a PNG that is damaged or not whole: its decoders do not look at every checksum."""
    from PIL import Image

    with Image.open(path, formats=("PNG",)) as picture:
        picture.verify()


def _tiff_look(path: Path) -> tuple[tuple[int, int], "fits.Header", str]:
    """Shape ``(ny, nx)`` [pixels] of the full page of a TIFF, its cards and type of pixels."""
    import tifffile
    from astropy.io import fits

    with tifffile.TiffFile(path) as tiff:
        page, count = _full_page(tiff)
        pixel_type = "" if page.dtype is None else page.dtype.name
        shape = _upright_shape((page.imagelength, page.imagewidth), _tiff_orientation(page))
        cards = {**tiff_cards(page), IMAGES: count}
        if page.samplesperpixel >= 3 or page.photometric == tifffile.PHOTOMETRIC.PALETTE:
            cards[PLANES] = 3
        return shape, fits.Header(list(cards.items())), pixel_type


def _full_page(tiff: Any) -> tuple[Any, int]:
    """Find the largest page, the first of those that are as large, and count these.

    Programs put thumbnails before, after and below it.
    """
    first = tiff.pages.first
    pages = [first, *(first.pages or ())]
    # What follows a good page may be damaged.
    with contextlib.suppress(ValueError, TypeError, KeyError, IndexError, struct.error):
        for page in islice(tiff.pages, 1, MAX_PAGES):
            pages += [page, *(page.pages or ())]
    sizes = [0 if page.is_reduced else page.imagelength * page.imagewidth for page in pages]
    return pages[sizes.index(max(sizes))], sizes.count(max(sizes))


def _tiff_orientation(page: Any) -> int:
    value = page.tags.valueof(ORIENTATION)
    return int(value) if isinstance(value, int) else 1


def tiff_cards(page: Any) -> dict[str, Any]:
    """Exposure time [s], ISO speed, camera and date of a TIFF's page, as FITS cards."""
    block = page.tags.valueof(EXIF_BLOCK)
    exif = block if isinstance(block, dict) else {}
    values = {
        EXIF_EXPOSURE: exif.get("ExposureTime", page.tags.valueof(EXIF_EXPOSURE)),
        EXIF_TIME: exif.get("DateTimeOriginal"),
        EXIF_ISO: exif.get("ISOSpeedRatings", page.tags.valueof(EXIF_ISO)),
    }
    if isinstance(fraction := values[EXIF_EXPOSURE], tuple) and len(fraction) == 2:
        values[EXIF_EXPOSURE] = fraction[0] / fraction[1] if fraction[1] else None
    cards = _cards_of(values, page.tags.valueof(MODEL))
    pattern = page.tags.valueof(CFA_PATTERN)
    if isinstance(pattern, bytes) and sorted(pattern) == [0, 1, 1, 2]:
        cards["BAYERPAT"] = "".join("RGB"[colour] for colour in pattern)
    return cards


def _tiff_content(path: Path) -> tuple[NDArray[Any], dict[str, Any]]:
    """Pixels and cards of the full page of a TIFF."""
    import tifffile

    kinds, codes = tifffile.PHOTOMETRIC, tifffile.COMPRESSION
    with tifffile.TiffFile(path) as tiff:
        page, _ = _full_page(tiff)
        _check_tiff(page, path.stat().st_size)
        is_jpeg = page.compression == codes.JPEG
        if page.photometric not in (
            kinds.MINISWHITE,
            kinds.MINISBLACK,
            kinds.RGB,
            kinds.PALETTE,
            kinds.CFA,
            kinds.LINEAR_RAW,
            kinds.YCBCR if is_jpeg else None,
        ):
            raise UnusableFrameError(
                f"TIFF colours of the kind {_tag_name(page.photometric)} are not supported."
            )
        pixels: NDArray[Any] = page.asarray(maxworkers=1)
        if page.photometric == kinds.PALETTE and page.colormap is not None:
            pixels = np.moveaxis(page.colormap[:, pixels], 0, -1)
        elif page.photometric == kinds.MINISWHITE and pixels.dtype.kind in "iu":
            pixels = np.iinfo(pixels.dtype).max - pixels
        elif page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and pixels.ndim == 3:
            pixels = np.moveaxis(pixels, 0, -1)
        return _upright(pixels, _tiff_orientation(page)), tiff_cards(page)


def _check_tiff(page: Any, n_bytes: int) -> None:
    """Refuse a page whose decoder would be risky, or would make up pixels that are not there."""
    import tifffile

    codes = tifffile.COMPRESSION
    supported = (
        codes.NONE,
        codes.LZW,
        codes.ADOBE_DEFLATE,
        codes.DEFLATE,
        codes.PACKBITS,
        codes.JPEG,
        codes.ZSTD,
        codes.LZMA,
    )
    if page.dtype is None or not page.shape or min(page.shape) < 1:
        raise UnusableFrameError("cannot be read: the TIFF page has no pixels of a known type.")
    check_size(page.shape)
    if page.compression not in supported:
        raise UnusableFrameError(
            f"TIFF compression {_tag_name(page.compression)} is not supported."
        )
    check_size(page.chunks)
    for shape in (page.shape, page.chunks):
        check_density(shape, n_bytes, page.dtype.itemsize)
    offsets, counts = page.dataoffsets, page.databytecounts
    present = all(
        offset > 0 and count > 0 and offset + count <= n_bytes
        for offset, count in zip(offsets, counts, strict=False)
    )
    enough = len(offsets) == len(counts) >= int(np.prod(page.chunked))
    if page.is_contiguous:
        enough = bool(offsets) and offsets[0] + page.nbytes <= n_bytes
    if not (present and enough):
        raise UnusableFrameError(TRUNCATED)


def _tag_name(value: Any) -> str:
    return str(getattr(value, "name", value))


def _pillow_pixels(picture: "PillowImage.Image") -> NDArray[Any]:
    if "transparency" in picture.info:
        picture = picture.convert("RGBA")
    elif picture.mode not in ("L", "LA", "RGB", "RGBA", "I", "I;16", "F"):
        picture = picture.convert("L" if picture.mode == "1" else "RGB")
    return np.asarray(picture)


def _exif_cards(picture: "PillowImage.Image") -> dict[str, Any]:
    """Cards from a picture's EXIF block."""
    try:
        exif = picture.getexif()
        return _cards_of(exif.get_ifd(EXIF_BLOCK), exif.get(MODEL))
    except (OSError, SyntaxError, ValueError, KeyError, TypeError, struct.error):
        # The pixels are good without it.
        return {}


def _cards_of(exif: Mapping[int, Any], model: object) -> dict[str, Any]:
    """Exposure time [s], ISO speed, camera and date, as FITS cards."""
    cards: dict[str, Any] = {}
    with contextlib.suppress(KeyError, TypeError, ValueError, ZeroDivisionError):
        exposure = float(exif[EXIF_EXPOSURE])
        if np.isfinite(exposure):
            cards["EXPTIME"] = exposure
    iso = exif.get(EXIF_ISO)
    iso = iso[0] if isinstance(iso, tuple) and iso else iso
    if isinstance(iso, int) and iso > 0:
        cards["ISOSPEED"] = iso
    if isinstance(model, str) and (name := printable(model.strip(" \0")))[:LONGEST_NAME]:
        cards["INSTRUME"] = name[:LONGEST_NAME]
    date, _, time = str(exif.get(EXIF_TIME) or "").partition(" ")
    with contextlib.suppress(ValueError):
        moment = datetime.fromisoformat(f"{date.replace(':', '-')}T{time}")
        cards["DATE-OBS"] = moment.replace(tzinfo=None).isoformat()
    return cards


def _grey(
    pixels: NDArray[Any], cards: dict[str, Any] | None = None, weights: Weights = LUMA
) -> RawImage:
    """Turn grey, grey + alpha, RGB or RGBA pixels into a frame; transparent ones are no data."""
    from astropy.io import fits

    if pixels.ndim == 2:
        pixels = pixels[..., np.newaxis]
    if pixels.ndim != 3 or not 1 <= pixels.shape[2] <= 4 or pixels.dtype.kind not in "buif":
        shape = " x ".join(map(str, pixels.shape))
        raise UnusableFrameError(f"an array of {shape} {pixels.dtype.name} is no image.")
    grey = np.empty(pixels.shape[:2], np.float32)
    peak = np.empty_like(grey) if pixels.shape[2] >= 3 else grey
    with np.errstate(over="ignore", invalid="ignore"):
        if peak is grey:
            grey[...] = pixels[..., 0]
        else:
            for number in range(3):
                add_colour(number, pixels[..., number].astype(np.float32), grey, peak, weights)
    no_data = ~np.isfinite(grey)
    if pixels.shape[2] in (2, 4):
        no_data |= pixels[..., -1] == 0
    grey[no_data] = peak[no_data] = np.nan
    header = fits.Header(list((cards or {}).items()))
    header["ROWORDER"] = ("TOP-DOWN", "the first row is the top of the picture")
    is_integer = pixels.dtype.kind in "iu"
    ceiling = float(np.iinfo(pixels.dtype).max) if is_integer else np.inf
    step = 0.0 if pixels.dtype.kind == "f" else 1.0
    if pixels.dtype == np.int16 and peak is grey and restore_unsigned(grey):
        ceiling = float(FULL_SCALE_ADU)
    image = RawImage(grey, peak, ceiling, step, header)
    blank_sentinels(image)
    return in_counts(image, is_wide=is_integer and pixels.dtype.itemsize == 4)
