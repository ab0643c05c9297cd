"""Raw files of colour cameras, read by LibRaw in a process of its own.

A frame is the sensor's visible area as it was read out, without the camera's black level and
without any colour made up: a mosaic, whose pattern a card tells.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.raw.image import (
    RawImage,
    UnusableFrameError,
    check_density,
    check_size,
    without_data,
)
from scripts.lightstack.raw.isolation import computed_apart, told_apart
from scripts.lightstack.raw.pictures import tiff_cards

if TYPE_CHECKING:
    import rawpy

FULL_SCALE = 65535
"""Of the numbers in which LibRaw keeps the pixels."""


def read_camera_raw(path: Path, keys: tuple[str, ...] | None) -> RawImage:
    """Read a raw file of a camera; parameters and exceptions as in `fits_reader.read_fits`."""
    import rawpy  # noqa: F401 - by this process, so that no fork has to
    from astropy.io import fits

    n_bytes = path.stat().st_size
    found = told_apart(lambda: _look(path), n_bytes)
    shape = (int(found["shape"][0]), int(found["shape"][1]))
    cards = fits.Header(list(found["cards"].items()))
    cards["ROWORDER"] = ("TOP-DOWN", "the first row is the top of the picture")
    check_size(shape)
    check_density(shape, n_bytes, 2)
    if keys is not None:
        return without_data(shape, cards, "uint16")
    data = computed_apart(lambda pixels: _decode(path, pixels), shape, n_bytes)
    return RawImage(data, data, found["ceiling"], 1.0, cards, "uint16")


def _look(path: Path) -> dict[str, Any]:
    """Tell shape ``(ny, nx)``, ceiling [ADU] and cards of a raw file."""
    import rawpy

    with rawpy.RawPy() as raw:
        raw.open_file(str(path))
        sizes, pattern = raw.sizes, _pattern(raw)
        cards = {**_cards_of(raw.other), **_cards_of_tiff(path)}
        if pattern:
            cards["BAYERPAT"] = pattern
        return {
            "shape": [sizes.height, sizes.width],
            "ceiling": float((raw.white_level or FULL_SCALE) - max(_black(raw))),
            "cards": cards,
        }


def _decode(path: Path, pixels: NDArray[np.float32]) -> None:
    """Fill an array with the visible pixels, less their black levels [ADU]."""
    import rawpy

    with rawpy.imread(str(path)) as raw:
        visible = raw.raw_image_visible
        if visible.shape != pixels.shape:
            raise UnusableFrameError("cannot be read: the file's pixels are not those it states.")
        pixels[...] = visible
        levels = _black(raw)
        for row, column in np.ndindex(2, 2):
            pixels[row::2, column::2] -= levels[_colour(raw, row, column)]


def _pattern(raw: "rawpy.RawPy") -> str:
    """Colours of the first 2 x 2 visible pixels in rows; nothing if the sensor has no colours."""
    if raw.raw_pattern is None:
        raise UnusableFrameError(
            "its pixels have three colours each, or are developed already; "
            "convert the file to TIFF."
        )
    if raw.num_colors == 1:
        return ""
    if raw.raw_pattern.shape != (2, 2):
        raise UnusableFrameError(
            f"its mosaic repeats after {raw.raw_pattern.shape[0]} rows (such as X-Trans) and is "
            "not supported; develop the file to a TIFF of 16 bits, without sharpening."
        )
    names = raw.color_desc.decode("ascii", "replace")
    pattern = "".join(names[_colour(raw, *place)] for place in np.ndindex(2, 2))
    if sorted(pattern) != ["B", "G", "G", "R"]:
        raise UnusableFrameError(
            f"its mosaic of {pattern} is not one of red, green and blue; convert it to TIFF."
        )
    return pattern


def _colour(raw: "rawpy.RawPy", row: int, column: int) -> int:
    """Give the number of a visible pixel's colour."""
    if raw.num_colors == 1:
        return 0
    return int(raw.raw_color(raw.sizes.top_margin + row, raw.sizes.left_margin + column))


def _black(raw: "rawpy.RawPy") -> list[int]:
    """Black level of each colour [ADU]."""
    return list(raw.black_level_per_channel)


def _cards_of(other: Any) -> dict[str, Any]:
    """Exposure time [s], ISO speed and date as LibRaw knows them."""
    cards: dict[str, Any] = {}
    if 0 < other.shutter_speed < np.inf:
        # LibRaw keeps single precision: 0.01 s is not to become 0.009999999776482582.
        cards["EXPTIME"] = float(f"{other.shutter_speed:.6g}")
    if 0 < other.iso_speed < np.inf:
        cards["ISOSPEED"] = round(other.iso_speed)
    if other.timestamp is not None and other.timestamp.year > 1970:
        cards["DATE-OBS"] = other.timestamp.replace(tzinfo=None).isoformat()
    return cards


def _cards_of_tiff(path: Path) -> dict[str, Any]:
    """Give these and the camera, of a file that is TIFF by its structure, as most are."""
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            return tiff_cards(tiff.pages.first)
    except Exception:  # noqa: BLE001 - LibRaw reads files that tifffile stumbles over
        return {}
