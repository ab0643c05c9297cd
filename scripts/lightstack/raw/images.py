"""Raw images of any kind, read as what the pipeline works on."""

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path

from scripts.lightstack.raw.camera_raws import read_camera_raw
from scripts.lightstack.raw.colour import LUMA, Weights
from scripts.lightstack.raw.fits_reader import read_fits
from scripts.lightstack.raw.image import FIRST, RawImage, UnusableFrameError, damage, naming
from scripts.lightstack.raw.names import CAMERA_RAWS
from scripts.lightstack.raw.overscan import cut, cut_cards
from scripts.lightstack.raw.pictures import read_picture
from scripts.lightstack.raw.plain import plain_cards
from scripts.lightstack.raw.sections import SECTION_CARDS, Asked
from scripts.lightstack.raw.values import Cards

AS_STATED = Asked()


def read_image(
    path: Path,
    extension: str | int = FIRST,
    sections: Asked = AS_STATED,
    weights: Weights = LUMA,
) -> RawImage:
    """Read a FITS, PNG, JPEG or TIFF file, or a raw file of a camera.

    Parameters
    ----------
    path : Path
        Colours become grey.
    extension : str or int, optional
        Which image of a FITS file to read: see `fits_reader.read_fits`.
    sections : Asked, optional
        What the settings say of the part that was exposed, to which the image is cut.
    weights : (float, float, float), optional
        Of red, green and blue in a grey: see `colour.ALONE`. Mosaics stay as they are.

    Returns
    -------
    RawImage

    Raises
    ------
    UnusableFrameError
        If there is no usable image in the file; the sentence names it and the cause. An
        `UnreadableFileError` if the system cannot read the file: it may the next time.
    OSError, MemoryError
        If it is not the file's fault: the machine fails.
    """
    image = _read(path, None, extension, weights)
    with _naming_file(path):
        return cut(image, sections)


def read_cards(
    path: Path,
    keys: tuple[str, ...],
    *,
    with_pixels: bool = False,
    extension: str | int = FIRST,
    sections: Asked = AS_STATED,
) -> tuple[tuple[int, int], Cards, str]:
    """Read an image's shape and some of its cards, but no pixels.

    Parameters
    ----------
    path : Path
        As for `read_image`, and with the same exceptions as far as the file is looked at.
    keys : tuple of str
        The cards.
    with_pixels : bool
        Whether to make sure that `read_image` can read the whole file.
    extension : str or int, optional
        As for `read_image`.
    sections : Asked, optional
        As for `read_image`.

    Returns
    -------
    shape : (int, int)
        ``(ny, nx)`` [pixels] of the part that was exposed.
    cards : mapping of str to object
        Those of the cards that `read_image` finds, among others perhaps. `sections.STATE` and
        `sections.PROBLEM` tell what becomes of an overscan, and why nothing does.
    pixel_type : str
        Of the file's numbers, such as uint16.
    """
    keys = (*keys, *SECTION_CARDS)
    with naming(path):
        plain = plain_cards(path, keys) if is_fits_name(path) else None
    if plain is not None:
        whole, cards, pixel_type = plain
    else:
        image = _read(path, keys, extension)
        if with_pixels:
            read_image(path, extension, sections)
        ny, nx = image.data.shape
        whole, cards, pixel_type = (ny, nx), image.header, image.pixel_type
    with _naming_file(path):
        shape = cut_cards(cards, whole, sections)
    return shape, cards, pixel_type


def _read(
    path: Path,
    keys: tuple[str, ...] | None,
    extension: str | int,
    weights: Weights = LUMA,
) -> RawImage:
    """Read an image, or only these cards: it has no data then."""
    with naming(path):
        with path.open("rb") as file:
            start = file.read(26)
        if not start:
            raise UnusableFrameError(f"{path.name}: the file is empty.")
        with _naming_file(path):
            if is_fits_name(path):
                image = read_fits(path, start, keys, extension, weights)
            elif is_camera_raw_name(path):
                image = read_camera_raw(path, keys)
            else:
                image = read_picture(path, start, keys, weights)
    return image


@contextlib.contextmanager
def _naming_file(path: Path) -> Iterator[None]:
    """Let what speaks against a file say of which one; decoders have exceptions of every kind."""
    try:
        yield
    except UnusableFrameError as error:
        raise UnusableFrameError(f"{path.name}: {error}") from error
    except Exception as error:
        if _is_of_the_machine(error):
            raise
        raise UnusableFrameError(f"{path.name}: {damage(error)}") from error


def _is_of_the_machine(error: BaseException) -> bool:
    """Whether a file is not to blame: the system numbers its errors, and decoders do not.

    A damaged file can ask only for a place that does not exist.
    """
    if isinstance(error, OSError):
        return error.errno not in (None, errno.EINVAL, errno.EOVERFLOW)
    return isinstance(error, MemoryError)


def is_fits_name(path: Path) -> bool:
    """Whether a file is FITS by its name."""
    return (
        path.name.lower()
        .removesuffix(".gz")
        .removesuffix(".fz")
        .endswith((".fits", ".fit", ".fts"))
    )


def is_camera_raw_name(path: Path) -> bool:
    """Whether a file is the raw file of a colour camera by its name."""
    return path.suffix.lower().removeprefix(".") in CAMERA_RAWS
