"""Copies of raw frames with light added."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from scripts.lightstack.files.colour_file import COLOURS
from scripts.lightstack.raw.bayer import MOSAIC_CARDS, bayer_pattern
from scripts.lightstack.raw.camera_raws import FULL_SCALE
from scripts.lightstack.raw.colour import ALONE, LUMA
from scripts.lightstack.raw.image import PLANES
from scripts.lightstack.raw.images import (
    is_camera_raw_name,
    is_fits_name,
    read_cards,
    read_image,
)

Floats = NDArray[np.float64]


class CheckError(Exception):
    """The night cannot be checked; the message is a sentence."""


class Added(NamedTuple):
    """Light to be added to a frame.

    Attributes
    ----------
    light : (n, ny, nx) ndarray of float64
        In rows as they lie in the file, of one colour or of red, green and blue [ADU].
    gain : float
        Electrons per ADU; infinite if the light is to have no noise.
    scale : float
        ADU per number of the file.
    rng : numpy.random.Generator
    """

    light: Floats
    gain: float
    scale: float
    rng: Generator

    def on(self, n_planes: int, pattern: str | None) -> Floats:
        """Give what each number of a file gains: one plane, which may be a mosaic, or three."""
        light = self.light
        if n_planes == 1 and len(light) > 1:
            mosaic = np.empty_like(light[:1])
            for (row, column), colour in zip(np.ndindex(2, 2), pattern or "", strict=True):
                place = np.s_[row::2, column::2]
                mosaic[0][place] = light[COLOURS.index(colour)][place]
            light = mosaic
        light = np.repeat(light, n_planes // len(light), axis=0)
        noise = self.rng.normal(size=light.shape)
        return light + noise * np.sqrt(np.maximum(light, 0) / self.gain)


def write_with_light(raw: Path, target: Path, added: Added) -> None:
    """Write a copy of a raw frame with light added, as FITS.

    Parameters
    ----------
    raw, target : Path
    added : Added

    Raises
    ------
    CheckError
        If there is no such copy of this file.
    """
    if is_camera_raw_name(raw):
        raise CheckError(
            f"{raw}: a check puts light into copies of frames, and only a camera writes its raw "
            "files. Convert them to FITS, run that night, and check it."
        )
    (_copy_of_fits if is_fits_name(raw) else _copy_of_picture)(raw, target, added)


def _copy_of_fits(raw: Path, target: Path, added: Added) -> None:
    """Write a copy of a FITS file with all that is in it."""
    from astropy.io import fits

    pattern = bayer_pattern(read_cards(raw, tuple(MOSAIC_CARDS))[1])
    shape = added.light.shape[1:]
    with fits.open(raw, memmap=False) as hdus:
        images = [hdu for hdu in hdus if hdu.is_image and _planes(hdu.shape, shape)]
        if len(images) != 1:
            raise CheckError(
                f"{raw}: a check needs one image in each file, without overscan, of "
                f"{shape[1]} x {shape[0]} pixels."
            )
        image = images[0]
        light = added.on(_planes(image.shape, shape), pattern).reshape(image.shape)
        if added.scale != 1:
            # Numbers that were counts are told from others by being whole ones.
            light = _rounded(light, added.rng) / added.scale
        image.data = _sum(image.data, light, added.rng)
        hdus.writeto(target)


def _planes(shape: tuple[int, ...], frame: tuple[int, ...]) -> int:
    """Planes of a frame's size in an image; 0 if it is another one."""
    n_planes = int(np.prod(shape[:-2]))
    return n_planes if tuple(shape[-2:]) == frame and n_planes in (1, 3) else 0


def _copy_of_picture(raw: Path, target: Path, added: Added) -> None:
    """Write the pixels of a picture, and what is known of its exposure."""
    from astropy.io import fits

    _, cards, _ = read_cards(raw, tuple(MOSAIC_CARDS))
    weights = ALONE if cards.get(PLANES) == len(COLOURS) else (LUMA,)
    images = [read_image(raw, weights=each) for each in weights]
    pixels = np.stack([image.data for image in images])
    if pixels.shape[1:] != added.light.shape[1:]:
        raise CheckError(f"{raw}: a check needs frames without overscan.")
    if np.isnan(pixels).any():
        raise CheckError(f"{raw}: a check needs pictures without transparent pixels.")
    first = images[0]
    if first.step == 1 and first.ceiling <= FULL_SCALE:
        # Integers of the same range, so that the same pixels are saturated.
        pixels = pixels.astype(np.uint8 if first.ceiling < 256 else np.uint16)
    total = _sum(pixels, added.on(len(pixels), bayer_pattern(cards)), added.rng)
    header = first.header
    header.remove("ADUSCALE", ignore_missing=True)
    fits.PrimaryHDU(total if len(total) > 1 else total[0], header).writeto(target)


def _sum(pixels: NDArray[Any], light: Floats, rng: Generator) -> NDArray[Any]:
    """Add light to numbers of any type, which keep it."""
    if not np.issubdtype(pixels.dtype, np.integer):
        return np.asarray((pixels + light).astype(pixels.dtype))
    ends = np.iinfo(pixels.dtype)
    total = np.clip(pixels + _rounded(light, rng), ends.min, ends.max)
    return np.asarray(total.astype(pixels.dtype))


def _rounded(light: Floats, rng: Generator) -> Floats:
    """Round up as often as the remainder says: no light is lost where it is below one half."""
    return np.asarray(np.floor(light + rng.random(light.shape)))
