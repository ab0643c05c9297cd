"""Raw images of any kind, read as what the pipeline works on."""

import contextlib
import errno
import faulthandler
import gzip
import hashlib
import io
import mmap
import os
import resource
import signal
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from astropy.io import fits
    from PIL import Image as PillowImage

MAX_PIXELS = 250_000_000
"""Larger images are refused before they are decoded: none is a camera's."""

MAX_PIXELS_PER_BYTE = 250
"""Fewer bytes cannot hold a frame: the noise of a sensor does not compress."""

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""Weights of red, green and blue in a grey (ITU-R BT.601)."""

EXIF_EXPOSURE, EXIF_TIME = 0x829A, 0x9003

SENT_BY_OTHERS = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGKILL,
)
"""Signals that a process does not bring upon itself; the last is the kernel's when memory ends."""

RawFile = gzip.GzipFile | io.BufferedReader


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
    OSError, MemoryError
        If it is not the file's fault: the disk or the machine fails, or permission is lacking.
    """
    return _read(path, None)


def read_cards(path: Path, keys: tuple[str, ...]) -> tuple[tuple[int, int], "fits.Header"]:
    """Read an image's shape and some of its cards, but no pixels.

    Parameters
    ----------
    path : Path
        As for `read_image`, and with the same exceptions as far as the file is looked at.
    keys : tuple of str
        The cards.

    Returns
    -------
    shape : (int, int)
        ``(ny, nx)`` [pixels].
    header : astropy.io.fits.Header
        Those of the cards that `read_image` finds, among others perhaps.
    """
    image = _read(path, keys)
    return image.data.shape, image.header


def _read(path: Path, keys: tuple[str, ...] | None) -> RawImage:
    """Read an image, or only these cards: it has no data then."""
    with _naming(path):
        with path.open("rb") as file:
            start = file.read(26)
        if not start:
            raise UnusableFrameError(f"{path.name}: the file is empty.")
        try:
            if _is_fits_name(path):
                image = _read_fits(path, start, keys)
            else:
                image = _read_picture(path, start, keys)
        except UnusableFrameError as error:
            raise UnusableFrameError(f"{path.name}: {error}") from error
        except Exception as error:
            if _is_of_the_machine(error):
                raise
            # Decoders meet damaged files with exceptions of every kind.
            raise UnusableFrameError(f"{path.name}: {_damage(error)}") from error
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
    with _naming(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def central_region(shape: tuple[int, int], size: int) -> tuple[slice, slice]:
    """Rows and columns of the central `size` x `size` pixels; all of them if `size` is 0."""
    starts = [max(0, (length - size) // 2) if size else 0 for length in shape]
    rows, columns = (slice(start, start + size if size else None) for start in starts)
    return rows, columns


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Let a failure to read say of which file: the system does so only when it opens one."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def _is_of_the_machine(error: BaseException) -> bool:
    """Whether a file is not to blame: the system numbers its errors, and decoders do not.

    A damaged file can ask only for a place that does not exist.
    """
    if isinstance(error, OSError):
        return error.errno not in (None, errno.EINVAL, errno.EOVERFLOW)
    return isinstance(error, MemoryError)


def _is_fits_name(path: Path) -> bool:
    return (
        path.name.lower()
        .removesuffix(".gz")
        .removesuffix(".fz")
        .endswith((".fits", ".fit", ".fts"))
    )


def _damage(error: BaseException) -> str:
    """Say that a decoder gave up, in its own words as far as they mean anything."""
    words = " ".join(str(error).split())[:200]
    cause = f"{type(error).__name__}: {words}" if words else type(error).__name__
    return f"cannot be read: the file is damaged or of an unknown kind ({cause})."


def _check_size(shape: tuple[int, ...]) -> None:
    if int(np.prod(shape, dtype=object)) > MAX_PIXELS:
        raise UnusableFrameError(
            f"{' x '.join(map(str, shape[::-1]))} pixels are more than the {MAX_PIXELS:,} allowed."
        )


TRUNCATED = "cannot be read: the data is truncated or damaged."

FITS_BLOCK = 2880

MAX_HEADER_BYTES = 1_000 * FITS_BLOCK

MAX_PARTS = 1_000
"""Header and data units that are looked at in search of an image."""

MAX_EXPANDED_BYTES = 16 * MAX_PIXELS
"""Where the image of a gzipped file begins, at most: a few bytes can expand to terabytes."""

BAND_PIXELS = 1 << 21

_PIXEL_TYPES = {8: ">u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}


def _read_fits(path: Path, start: bytes, keys: tuple[str, ...] | None) -> RawImage:
    zipped = start.startswith(b"\x1f\x8b")
    if not zipped and not start.startswith(b"SIMPLE"):
        raise UnusableFrameError("not a FITS file.")
    try:
        with (
            # Odd cards are the camera's habit and do no harm: what cannot be read is left out.
            warnings.catch_warnings(action="ignore"),
            gzip.open(path) if zipped else path.open("rb") as file,
        ):
            image = _first_image(file, path.stat().st_size, keys, zipped=zipped)
            if zipped and keys is None:
                _check_rest(file)
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise UnusableFrameError(TRUNCATED) from error
    return image


def _check_rest(file: RawFile) -> None:
    """Read a gzipped file to its end, where its checksum is."""
    for _ in range(MAX_EXPANDED_BYTES >> 20):
        if not file.read(1 << 20):
            break


def _first_image(
    file: RawFile, size: int, keys: tuple[str, ...] | None, *, zipped: bool
) -> RawImage:
    """Read the first 2-D image of a FITS file that takes so many bytes on the disk."""
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
        if len(shape) >= 2 and set(shape[:-2]) <= {1} and min(shape[-2:]) > 0:
            _check_size(shape)
            if tiled or zipped:
                _check_density(shape, size)
            clean = _clean_header(header, primary, keys)
            scaling = _Scaling.of(header, "Z" if tiled else "")
            plane = (shape[-2], shape[-1])
            if keys is not None:
                return _without_data(plane, clean)
            if tiled:
                data = _read_tiles(content, header, file.read(n_bytes), plane, scaling)
            else:
                data = _read_pixels(file, plane, scaling)
            return RawImage(data, data, scaling.ceiling, clean)
        if shape:
            seen.append(" x ".join(map(str, shape[::-1])))
        file.seek(end + -end % FITS_BLOCK)
    found = f"; it holds {', '.join(seen)} pixels" if seen else ""
    raise UnusableFrameError(f"no 2-D image in the file{found}.")


def _without_data(shape: tuple[int, int], header: "fits.Header") -> RawImage:
    """Stand for an image whose pixels are not read; it takes no memory."""
    data = np.broadcast_to(np.float32(np.nan), shape)
    return RawImage(data, data, np.inf, header)


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
    def ceiling(self) -> float:
        """Largest pixel that the file's integers can hold [ADU]."""
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
        out[~np.isfinite(out)] = np.nan


def _read_pixels(file: RawFile, shape: tuple[int, int], scaling: _Scaling) -> NDArray[np.float32]:
    """Read an image some rows at a time, so that it is in memory only once."""
    data = np.empty(shape, np.float32)
    height = max(1, BAND_PIXELS // shape[1])
    for first in range(0, shape[0], height):
        band = data[first : first + height]
        content = file.read(band.size * scaling.dtype.itemsize)
        if len(content) < band.size * scaling.dtype.itemsize:
            raise UnusableFrameError(TRUNCATED)
        scaling.apply(np.frombuffer(content, scaling.dtype).reshape(band.shape), band)
    return data


def _read_tiles(
    content: bytes,
    header: "fits.Header",
    table: bytes,
    shape: tuple[int, int],
    scaling: _Scaling,
) -> NDArray[np.float32]:
    """Decompress a tile-compressed image from its header and its table."""
    from astropy.io import fits

    if len(table) < _layout(header, "")[1]:
        raise UnusableFrameError(TRUNCATED)
    # Tiles are whole rows unless the header says otherwise.
    sides = [_integer(header, f"ZTILE{axis}", shape[-1] if axis == 1 else 1) for axis in (1, 2)]
    if 0 in sides:
        raise UnusableFrameError("cannot be read: the image's tiles have no size.")
    if -(-shape[1] // sides[0]) * -(-shape[0] // sides[1]) > _integer(header, "NAXIS2"):
        raise UnusableFrameError(TRUNCATED)
    primary = fits.PrimaryHDU().header.tostring().encode()
    whole = b"".join([primary, content, table, bytes(-len(table) % FITS_BLOCK)])

    def decompress(out: NDArray[np.float32]) -> None:
        with fits.open(io.BytesIO(whole), do_not_scale_image_data=True) as hdus:
            raw = hdus[1].data.reshape(shape)
        scaling.apply(raw, out)

    return _computed_apart(decompress, shape, len(whole))


def _computed_apart(
    compute: Callable[[NDArray[np.float32]], None], shape: tuple[int, int], n_bytes: int
) -> NDArray[np.float32]:
    """Let a process of its own fill an array.

    The decoders of compressed FITS images trust what they decode: damaged tiles make them write
    beyond their memory, run for ever or expand without bounds.
    """
    n_pixels = shape[0] * shape[1]
    memory = mmap.mmap(-1, 4 * n_pixels + 1000)
    data = np.frombuffer(memory, np.float32, n_pixels).reshape(shape)
    with warnings.catch_warnings(action="ignore"):
        # Python warns of forks beside threads; this child takes no lock that they could hold.
        child = os.fork()
    if child == 0:
        status = 1
        try:
            _limit_this_process(10 + n_pixels // 1_000_000, 24 * n_pixels + 4 * n_bytes)
            compute(data)
            status = 0
        except BaseException as error:  # noqa: BLE001 - nothing may leave a forked process
            memory[4 * n_pixels :] = _damage(error).encode()[:1000].ljust(1000, b"\0")
        finally:
            os._exit(status)
    _, ended = os.waitpid(child, 0)
    if os.WIFSIGNALED(ended) and os.WTERMSIG(ended) in SENT_BY_OTHERS:
        sent = signal.strsignal(os.WTERMSIG(ended))
        raise OSError(errno.EINTR, f"its decoder was ended from outside ({sent})")
    if os.WIFSIGNALED(ended) and os.WTERMSIG(ended) == signal.SIGXCPU:
        raise UnusableFrameError(
            "cannot be read: the compressed image is damaged (it has no end)."
        )
    if os.WIFSIGNALED(ended):
        raise UnusableFrameError(
            f"cannot be read: the compressed image is damaged ({signal.strsignal(ended & 127)})."
        )
    if ended:
        raise UnusableFrameError(memory[4 * n_pixels :].rstrip(b"\0").decode(errors="ignore"))
    return data


def _limit_this_process(seconds: int, n_bytes: int) -> None:
    """Bound a forked process' time and further memory, and keep its last words to itself."""
    faulthandler.disable()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
    used = Path("/proc/self/statm")
    if used.is_file():
        now = int(used.read_text().split()[0]) * resource.getpagesize()
        limit = now + n_bytes + 200_000_000
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


_LAYOUT_CARDS = frozenset(
    "SIMPLE XTENSION BITPIX NAXIS EXTEND PCOUNT GCOUNT BSCALE BZERO BLANK CHECKSUM DATASUM "  # noqa: SIM905
    "GROUPS EXTNAME EXTVER EXTLEVEL INHERIT TFIELDS THEAP END COMMENT HISTORY CONTINUE ZIMAGE "
    "ZSIMPLE ZEXTEND ZTENSION ZBITPIX ZNAXIS ZCMPTYPE ZQUANTIZ ZDITHER0 ZSCALE ZZERO ZBLANK "
    "ZPCOUNT ZGCOUNT ZHECKSUM ZDATASUM".split()
)

_NUMBERED_LAYOUT_CARDS = frozenset(
    "NAXIS TTYPE TFORM TUNIT TNULL TSCAL TZERO TDISP TDIM ZNAXIS ZTILE ZNAME ZVAL".split()  # noqa: SIM905
)
"""Cards that describe the file's layout if a number follows."""

_OWN_CARDS = frozenset(
    "FAILURE RAWSHA DARK DARKNAME BKGADU NOISEADU NSOURCES NSTARS FWHM ELLIPTIC SATFRAC "  # noqa: SIM905
    "NCOMBINE TOTEXP WEIGHTS STACKMOD CLIPSIG".split()
)
"""Cards by which the steps tell each other something: a camera's must not be taken for theirs."""


def _describes_layout(keyword: str) -> bool:
    stem = keyword.rstrip("0123456789")
    return keyword in _LAYOUT_CARDS or (stem != keyword and stem in _NUMBERED_LAYOUT_CARDS)


def _is_impossible_date(keyword: str, value: object) -> bool:
    """Whether a card has a date at which no frame was taken: one would spoil a stack's."""
    if keyword in ("DATE-OBS", "DATE-END"):
        with contextlib.suppress(ValueError):
            return not 1800 < datetime.fromisoformat(str(value)).year < 2200
    return False


def _clean_header(
    header: "fits.Header", primary: "fits.Header", keys: tuple[str, ...] | None
) -> "fits.Header":
    """Return the cards that can be read and written again, the primary HDU's where it has more."""
    from astropy.io import fits

    clean = fits.Header()
    for card in [*header.cards, *primary.cards]:
        try:
            if keys is not None and card.keyword not in keys:
                continue
            keyword, value, comment = card.keyword, card.value, card.comment
            if keyword in clean or not keyword or _is_impossible_date(keyword, value):
                continue
            if _describes_layout(keyword) or keyword in _OWN_CARDS:
                continue
            fresh = fits.Card(keyword, value, comment)
            fresh.verify("exception")
            str(fresh)
        except (ValueError, TypeError, KeyError, fits.VerifyError):
            continue
        if not isinstance(value, fits.card.Undefined):
            clean.append(fresh)
    return clean


def _read_picture(path: Path, start: bytes, keys: tuple[str, ...] | None) -> RawImage:
    from astropy.io import fits
    from PIL import Image, UnidentifiedImageError

    if start.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        if keys is not None:
            return _without_data(_tiff_shape(path), fits.Header())
        return _grey(_tiff_pixels(path))
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
            _check_size(picture.size[::-1])
            _check_density(picture.size[::-1], path.stat().st_size)
            if keys is not None:
                cards = fits.Header(list(_exif_cards(picture).items()))
                return _without_data(picture.size[::-1], cards)
            if picture.format == "PNG":
                content = path.read_bytes()
                _check_png(content)
            if picture.format == "PNG" and start[24] == 16:
                import imagecodecs

                pixels = imagecodecs.png_decode(content)
            else:
                pixels = _pillow_pixels(picture)
            cards = _exif_cards(picture)
    return _grey(pixels, cards)


def _check_density(shape: tuple[int, ...], n_bytes: int) -> None:
    """Refuse an image that is too large for its file, before memory is taken for it."""
    if int(np.prod(shape, dtype=object)) > MAX_PIXELS_PER_BYTE * n_bytes:
        raise UnusableFrameError(
            f"cannot be read: {n_bytes} bytes are too few for "
            f"{' x '.join(map(str, shape[::-1]))} pixels."
        )


def _check_png(content: bytes) -> None:
    """Refuse a PNG that is damaged or not whole: decoders do not look at every checksum."""
    position = 8
    while position + 12 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, position)
        end = position + 12 + length
        if end > len(content) or (kind == b"IHDR") != (position == 8):
            break
        (checksum,) = struct.unpack_from(">I", content, end - 4)
        # Chunks whose names begin with a small letter have no part in the pixels.
        if kind[:1].isupper() and zlib.crc32(content[position + 4 : end - 4]) != checksum:
            break
        if kind == b"IEND":
            return
        position = end
    raise UnusableFrameError(TRUNCATED)


def _tiff_shape(path: Path) -> tuple[int, int]:
    """Shape of the first page of a TIFF, ``(ny, nx)`` [pixels]."""
    import tifffile

    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        return page.imagelength, page.imagewidth


def _tiff_pixels(path: Path) -> NDArray[Any]:
    """Pixels of the first page of a TIFF."""
    import tifffile

    kinds, codes = tifffile.PHOTOMETRIC, tifffile.COMPRESSION
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
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
    return pixels


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
    _check_size(page.shape)
    if page.compression not in supported:
        raise UnusableFrameError(
            f"TIFF compression {_tag_name(page.compression)} is not supported."
        )
    _check_size(page.chunks)
    for shape in (page.shape, page.chunks):
        _check_density(shape, n_bytes)
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
    """Exposure time [s] and date from a camera's EXIF block, as FITS cards."""
    cards: dict[str, Any] = {}
    try:
        exif = picture.getexif().get_ifd(0x8769)
    except (OSError, SyntaxError, ValueError, KeyError, TypeError, struct.error):
        # The pixels are good without it.
        return cards
    with contextlib.suppress(KeyError, TypeError, ValueError, ZeroDivisionError):
        exposure = float(exif[EXIF_EXPOSURE])
        if np.isfinite(exposure):
            cards["EXPTIME"] = exposure
    date, _, time = str(exif.get(EXIF_TIME, "")).partition(" ")
    with contextlib.suppress(ValueError):
        moment = datetime.fromisoformat(f"{date.replace(':', '-')}T{time}")
        cards["DATE-OBS"] = moment.replace(tzinfo=None).isoformat()
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
    with np.errstate(over="ignore", invalid="ignore"):
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
