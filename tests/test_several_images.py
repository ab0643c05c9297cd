"""Of a file with several images the full one is read, and that there are more is known."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from astropy.io import fits

from scripts import calibrate_frame, combine_darks
from scripts.lightstack.raw import fits_reader
from scripts.lightstack.raw.exposure import EXPOSURE_CARDS, exposure_of
from scripts.lightstack.raw.image import UnusableFrameError
from scripts.lightstack.raw.images import read_cards, read_image
from tests.calibration import plain

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


@pytest.mark.parametrize("n_others", [0, 1, 3])
@pytest.mark.parametrize("is_compressed", [False, True])
def test_extensions_of_a_zipped_file_are_counted(
    n_others: int, is_compressed: bool, tmp_path: Path
) -> None:
    kind = fits.CompImageHDU if is_compressed else fits.ImageHDU
    first = [fits.PrimaryHDU(), kind(FULL)] if is_compressed else [fits.PrimaryHDU(FULL)]
    hdus = fits.HDUList([*first, *(kind(FULL + 1) for _ in range(n_others))])
    path = tmp_path / "a.fits.gz"
    hdus.writeto(path)
    assert n_images(path) == 1 + n_others
    # A table is no image, and what is cut off is not counted.
    table = fits.BinTableHDU.from_columns([fits.Column("a", "J", array=[1, 2])])
    fits.HDUList([*hdus, table]).writeto(path, overwrite=True)
    assert n_images(path) == 1 + n_others
    path.write_bytes(path.read_bytes()[:-3000])
    assert n_images(path) <= 1 + n_others


def test_a_zipped_file_of_one_image_is_not_read_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fits.writeto(tmp_path / "one.fits.gz", FULL)
    write_two(tmp_path / "two.fits.gz")
    looked = []
    whole = fits_reader._list_images

    def note(file: Any) -> list[tuple[int, str]]:
        looked.append(file)
        return whole(file)

    monkeypatch.setattr(fits_reader, "_list_images", note)
    for name in ("one.fits.gz", "two.fits.gz"):
        read_cards(tmp_path / name, EXPOSURE_CARDS)
    assert len(looked) == 1


def write_two(path: Path, names: tuple[str, str] = ("LEFT", "RIGHT")) -> None:
    hdus = [fits.ImageHDU(FULL + k, name=name) for k, name in enumerate(names)]
    table = fits.BinTableHDU.from_columns([fits.Column("a", "J", array=[1, 2])])
    fits.HDUList([fits.PrimaryHDU(), hdus[0], table, hdus[1]]).writeto(path)


@pytest.mark.parametrize("zipped", ["", ".gz"])
@pytest.mark.parametrize(
    ("extension", "which"), [("first", 0), ("left", 0), ("RIGHT", 1), (1, 0), ("3", 1), (3, 1)]
)
def test_an_extension_is_chosen_by_name_or_number(
    extension: str | int, which: int, zipped: str, tmp_path: Path
) -> None:
    path = tmp_path / f"a.fits{zipped}"
    write_two(path)
    np.testing.assert_array_equal(read_image(path, extension).data, FULL + which)
    assert read_cards(path, ("EXTNAME",), with_pixels=True, extension=extension)[0] == FULL.shape


def test_an_extension_that_is_not_there_is_told_and_a_single_image_is_it_always(
    tmp_path: Path,
) -> None:
    write_two(tmp_path / "two.fits")
    with pytest.raises(UnusableFrameError) as caught:
        read_image(tmp_path / "two.fits", "sci")
    assert str(caught.value) == (
        "two.fits: it has no image SCI, as fits_extension asks for; it has 1 LEFT, 3 RIGHT."
    )
    fits.writeto(tmp_path / "one.fits", FULL)
    np.testing.assert_array_equal(read_image(tmp_path / "one.fits", "sci").data, FULL)


def test_frames_and_their_darks_are_read_from_the_extension(tmp_path: Path) -> None:
    write_two(tmp_path / "light.fits")
    for k in range(2):
        write_two(tmp_path / f"dark{k}.fits")
    dark, frame = tmp_path / "master.fits", tmp_path / "frame.fits"
    darks = [tmp_path / f"dark{k}.fits" for k in range(2)]
    combine_darks.run(darks, dark, fits_extension="right")
    np.testing.assert_array_equal(fits.getdata(dark), FULL + 1)
    for masters in ({}, {"dark": dark}, {"own": darks[0]}):
        calibrate_frame.run(
            tmp_path / "light.fits", frame, sha256="0", masters=masters,
            **plain(saturation_limit=60000, doubtful_darks="use", fits_extension="right"),
        )  # fmt: skip
        if masters:
            # Nothing is left of it.
            assert "same value" in fits.getval(frame, "FAILURE")
        else:
            np.testing.assert_array_equal(fits.getdata(frame), FULL + 1)
