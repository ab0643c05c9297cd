"""Of a file with several images the full one is read, and that there are more is known."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from astropy.io import fits

from scripts.lightstack.raw.exposure import EXPOSURE_CARDS, exposure_of
from scripts.lightstack.raw.images import read_cards, read_image

FULL = np.random.default_rng(1).integers(900, 1100, (60, 80)).astype(np.uint16)
SMALL = FULL[::4, ::4]


def n_images(path: Path) -> int:
    shape, cards, pixel_type = read_cards(path, EXPOSURE_CARDS)
    assert (shape, pixel_type) == (FULL.shape, "uint16")
    return exposure_of(cards, shape).n_images


@pytest.mark.parametrize("place", ["before", "after", "below"])
@pytest.mark.parametrize("is_marked", [False, True])
def test_a_thumbnail_of_a_tiff_is_not_the_frame(
    place: str, is_marked: bool, tmp_path: Path
) -> None:
    path = tmp_path / "a.tif"
    pages = [(FULL, 0), (SMALL, int(is_marked))]
    with tifffile.TiffWriter(path) as tiff:
        for pixels, kind in pages if place == "after" else reversed(pages):
            is_first = place == "below" and pixels is SMALL
            tiff.write(pixels, subfiletype=kind, subifds=1 if is_first else None)
    np.testing.assert_array_equal(read_image(path).data, FULL)
    assert n_images(path) == 1


def test_pages_as_large_are_counted_and_damage_behind_the_first_does_no_harm(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as tiff:
        for _ in range(3):
            tiff.write(FULL, contiguous=False)
    assert n_images(path) == 3
    with tifffile.TiffFile(path) as tiff:
        second = tiff.pages[1].offset
    content = bytearray(path.read_bytes())
    content[second : second + 40] = b"\xff" * 40
    path.write_bytes(content)
    np.testing.assert_array_equal(read_image(path).data, FULL)
    assert n_images(path) == 1


@pytest.mark.parametrize("n_others", [0, 1, 3])
@pytest.mark.parametrize("is_compressed", [False, True])
def test_extensions_with_images_are_counted(
    n_others: int, is_compressed: bool, tmp_path: Path
) -> None:
    kind = fits.CompImageHDU if is_compressed else fits.ImageHDU
    first = [fits.PrimaryHDU(), kind(FULL)] if is_compressed else [fits.PrimaryHDU(FULL)]
    table = fits.BinTableHDU.from_columns([fits.Column("a", "J", array=[1, 2])])
    hdus = fits.HDUList([*first, table, *(kind(FULL + 1) for _ in range(n_others))])
    hdus.writeto(tmp_path / "a.fits")
    np.testing.assert_array_equal(read_image(tmp_path / "a.fits").data, FULL)
    assert n_images(tmp_path / "a.fits") == 1 + n_others
    whole = (tmp_path / "a.fits").read_bytes()
    (tmp_path / "a.fits").write_bytes(whole + b"XTENSION" + bytes(2872))
    assert n_images(tmp_path / "a.fits") == 1 + n_others
