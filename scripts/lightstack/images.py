"""Raw images of any kind, read as what the pipeline works on."""

import contextlib
import gzip
import hashlib
import re
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from astropy.io import fits
    from PIL import Image as PillowImage

MAX_PIXELS = 250_000_000
"""Larger images are refused before they are decoded: none is a camera's."""

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""Weights of red, green and blue in a grey (ITU-R BT.601)."""

EXIF_EXPOSURE, EXIF_TIME = 0x829A, 0x9003


class UnusableFrameError(Exception):
    """The file holds no usable image; the message is a sentence for the ledger."""


@dataclass(frozen=True)
class RawImage:
    """An image as it came from the camera.

    Parameters
    ----------
    data : (ny, nx) ndarray of float32
        Pixels [ADU], native byte order, NaN where there is no data.
    peak : (ny, nx) ndarray of float32
        Brightest channel of each pixel [ADU]: `data` itself if the image is grey.
    ceiling : float
        Largest value that the file's integers can hold [ADU]; infinite for floats.
    header : astropy.io.fits.Header
        Cards that a stack may keep: none of those that describe the file's layout.
    """

    data: NDArray[np.float32]
    peak: NDArray[np.float32]
    ceiling: float
    header: "fits.Header"


def read_image(path: Path) -> RawImage:
    """Read a FITS, PNG, JPEG or TIFF file.

    Parameters
    ----------
    path : Path
        A FITS file gives its first 2-D image; colours become grey.

    Returns
    -------
    RawImage

    Raises
    ------
    UnusableFrameError
        If there is no usable image in the file; the sentence names it and the cause.
    OSError
        If the file cannot be opened or read at all, say for want of permission.
    """
    with path.open("rb") as file:
        start = file.read(26)
    if not start:
        raise UnusableFrameError(f"{path.name}: the file is empty.")
    reader = _read_fits if _is_fits_name(path) else _read_picture
    try:
        image = reader(path, start)
    except UnusableFrameError as error:
        raise UnusableFrameError(f"{path.name}: {error}") from error
    except (PermissionError, MemoryError):
        raise
    except Exception as error:
        # Decoders meet damaged files with exceptions of every kind.
        cause = " ".join(str(error).split()) or type(error).__name__
        raise UnusableFrameError(f"{path.name}: cannot be read: {cause}") from error
    return image


def check_usable(data: NDArray[np.float32]) -> None:
    """Refuse pixels that show nothing.

    Parameters
    ----------
    data : (ny, nx) ndarray of float32
        Pixels [ADU], NaN where there is no data.

    Raises
    ------
    UnusableFrameError
        If no pixel has data, or all have the same value.
    """
    low, high = np.fmin.reduce(data, axis=None), np.fmax.reduce(data, axis=None)
    if np.isnan(low):
        raise UnusableFrameError("no pixel has data.")
    if low == high:
        raise UnusableFrameError("every pixel has the same value.")


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def central_region(shape: tuple[int, int], size: int) -> tuple[slice, slice]:
    """Rows and columns of the central `size` x `size` pixels; all of them if `size` is 0."""
    starts = [max(0, (length - size) // 2) if size else 0 for length in shape]
    rows, columns = (slice(start, start + size if size else None) for start in starts)
    return rows, columns


def _is_fits_name(path: Path) -> bool:
    return (
        path.name.lower()
        .removesuffix(".gz")
        .removesuffix(".fz")
        .endswith((".fits", ".fit", ".fts"))
    )


def _check_size(shape: tuple[int, ...]) -> None:
    if int(np.prod(shape, dtype=object)) > MAX_PIXELS:
        raise UnusableFrameError(
            f"{' x '.join(map(str, shape[::-1]))} pixels are more than the {MAX_PIXELS:,} allowed."
        )


def _read_fits(path: Path, start: bytes) -> RawImage:
    from astropy.io import fits

    if not start.startswith((b"SIMPLE", b"\x1f\x8b")):
        raise UnusableFrameError("not a FITS file.")
    try:
        with (
            # Odd cards are the camera's habit and do no harm: what cannot be read is left out.
            warnings.catch_warnings(action="ignore"),
            fits.open(path, memmap=False, do_not_scale_image_data=True) as hdus,
        ):
            hdu = _first_image(hdus)
            header = _clean_header(hdu.header, hdus[0].header)
            raw = hdu.data
            scale, zero = (float(hdu.header.get(key, value)) for key, value in _SCALING)
            blank = hdu.header.get("BLANK")
    except (TypeError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise UnusableFrameError("the data is truncated or damaged.") from error
    raw = raw.reshape(raw.shape[-2:])
    data = _scaled(raw, scale, zero)
    ceiling = np.inf
    if raw.dtype.kind in "iu":
        if isinstance(blank, int):
            data[raw == blank] = np.nan
        ceiling = np.iinfo(raw.dtype).max * scale + zero
    data[~np.isfinite(data)] = np.nan
    return RawImage(data, data, ceiling, header)


_SCALING = (("BSCALE", 1.0), ("BZERO", 0.0))

_LAYOUT_CARD = re.compile(
    r"SIMPLE|XTENSION|BITPIX|NAXIS\d*|EXTEND|[PG]COUNT|BSCALE|BZERO|BLANK|CHECKSUM|DATASUM|GROUPS"
    r"|EXTNAME|EXTVER|EXTLEVEL|INHERIT|TFIELDS|T(TYPE|FORM)\d+|END|COMMENT|HISTORY|CONTINUE"
    r"|Z(IMAGE|SIMPLE|EXTEND|TENSION|BITPIX|NAXIS\d*|TILE\d+|CMPTYPE|(NAME|VAL)\d+|QUANTIZ|DITHER0"
    r"|BLANK|PCOUNT|GCOUNT|HECKSUM|DATASUM)"
)


def _first_image(hdus: Any) -> Any:
    """First HDU with a 2-D image, checked before its pixels are read."""
    seen = []
    for hdu in hdus:
        if not hdu.is_image:
            continue
        shape = hdu.shape
        if len(shape) >= 2 and set(shape[:-2]) <= {1} and min(shape[-2:]) > 0:
            _check_size(shape)
            _check_extent(hdus, hdu)
            return hdu
        if shape:
            seen.append(" x ".join(map(str, shape[::-1])))
    found = f"; it holds {', '.join(seen)} pixels" if seen else ""
    raise UnusableFrameError(f"no 2-D image in the file{found}.")


def _check_extent(hdus: Any, hdu: Any) -> None:
    """Refuse an image whose data would reach beyond the end of a plain file."""
    path = Path(hdus.filename())
    where = hdu.fileinfo()
    if path.name.lower().endswith(".gz") or where is None:
        return
    if where["datLoc"] + hdu.size > path.stat().st_size:
        raise UnusableFrameError("the data is truncated or damaged.")


def _scaled(raw: NDArray[Any], scale: float, zero: float) -> NDArray[np.float32]:
    """Physical values of a FITS array; 32 bits and more are scaled in float64."""
    if (scale, zero) == (1.0, 0.0):
        return raw.astype(np.float32)
    if raw.dtype.itemsize <= 2:
        narrow = raw.astype(np.float32)
        narrow *= np.float32(scale)
        narrow += np.float32(zero)
        return narrow
    return (raw.astype(np.float64) * scale + zero).astype(np.float32)


def _clean_header(header: "fits.Header", primary: "fits.Header") -> "fits.Header":
    """Return the cards that can be read and written again, the primary HDU's where it has more."""
    from astropy.io import fits

    clean = fits.Header()
    for card in [*header.cards, *primary.cards]:
        try:
            keyword, value, comment = card.keyword, card.value, card.comment
            if keyword in clean or not keyword or _LAYOUT_CARD.fullmatch(keyword):
                continue
            fresh = fits.Card(keyword, value, comment)
            fresh.verify("exception")
            str(fresh)
        except (ValueError, TypeError, KeyError, fits.VerifyError):
            continue
        if not isinstance(value, fits.card.Undefined):
            clean.append(fresh)
    return clean


def _read_picture(path: Path, start: bytes) -> RawImage:
    from PIL import Image, UnidentifiedImageError

    if start.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return _grey(_tiff_pixels(path))
    # The size is checked here, before any decoding, by this project's own bound.
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS
    with warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning):
        try:
            picture = Image.open(path, formats=("PNG", "JPEG"))
        except UnidentifiedImageError as error:
            raise UnusableFrameError("not a PNG, JPEG or TIFF image.") from error
        except Image.DecompressionBombError as error:
            raise UnusableFrameError("far more pixels than any camera has.") from error
        with picture:
            _check_size(picture.size[::-1])
            if picture.format == "PNG" and start[24] == 16:
                import imagecodecs

                pixels = imagecodecs.png_decode(path.read_bytes())
            else:
                pixels = _pillow_pixels(picture)
            cards = _exif_cards(picture)
    return _grey(pixels, cards)


def _tiff_pixels(path: Path) -> NDArray[Any]:
    """Pixels of the first page of a TIFF."""
    import tifffile

    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        _check_size(page.shape)
        pixels: NDArray[Any] = page.asarray()
        if page.photometric == tifffile.PHOTOMETRIC.PALETTE and page.colormap is not None:
            pixels = np.moveaxis(page.colormap[:, pixels], 0, -1)
        elif page.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
            pixels = np.iinfo(pixels.dtype).max - pixels
        elif page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and pixels.ndim == 3:
            pixels = np.moveaxis(pixels, 0, -1)
    return pixels


def _pillow_pixels(picture: "PillowImage.Image") -> NDArray[Any]:
    if "transparency" in picture.info:
        picture = picture.convert("RGBA")
    elif picture.mode not in ("L", "LA", "RGB", "RGBA", "I", "I;16", "F"):
        picture = picture.convert("L" if picture.mode == "1" else "RGB")
    return np.asarray(picture)


def _exif_cards(picture: "PillowImage.Image") -> dict[str, Any]:
    """Exposure time [s] and date from a camera's EXIF block, as FITS cards."""
    exif = picture.getexif().get_ifd(0x8769)
    cards: dict[str, Any] = {}
    with contextlib.suppress(KeyError, TypeError, ValueError, ZeroDivisionError):
        cards["EXPTIME"] = float(exif[EXIF_EXPOSURE])
    date, _, time = str(exif.get(EXIF_TIME, "")).partition(" ")
    if len(date) == 10 and len(time) == 8 and date.isascii() and time.isascii():
        cards["DATE-OBS"] = f"{date.replace(':', '-')}T{time}"
    return cards


def _grey(pixels: NDArray[Any], cards: dict[str, Any] | None = None) -> RawImage:
    """Turn grey, grey + alpha, RGB or RGBA pixels into a frame; transparent ones are no data."""
    from astropy.io import fits

    if pixels.ndim == 2:
        pixels = pixels[..., np.newaxis]
    if pixels.ndim != 3 or not 1 <= pixels.shape[2] <= 4 or pixels.dtype.kind not in "buif":
        shape = " x ".join(map(str, pixels.shape))
        raise UnusableFrameError(f"an array of {shape} {pixels.dtype.name} is no image.")
    ceiling = np.iinfo(pixels.dtype).max if pixels.dtype.kind in "iu" else np.inf
    channels = pixels[..., :3] if pixels.shape[2] >= 3 else pixels[..., :1]
    if channels.shape[2] == 3:
        data = channels.astype(np.float32) @ LUMA
        peak = channels.max(axis=2).astype(np.float32)
    else:
        data = peak = channels[..., 0].astype(np.float32)
    no_data = ~np.isfinite(data)
    if pixels.shape[2] in (2, 4):
        no_data |= pixels[..., -1] == 0
    data[no_data] = np.nan
    header = fits.Header(list((cards or {}).items()))
    header["ROWORDER"] = ("TOP-DOWN", "the first row is the top of the picture")
    return RawImage(data, peak, float(ceiling), header)
