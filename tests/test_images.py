"""Raw images of every kind become the same float32 pixels."""

import gzip
import struct
import zlib
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from astropy.io import fits
from numpy.typing import NDArray
from PIL import Image

from scripts.lightstack.raw import fits_reader
from scripts.lightstack.raw.image import RawImage, UnusableFrameError, central_region, check_usable
from scripts.lightstack.raw.images import read_cards, read_image
from tests.bad_input import with_flipped_bit

PIXELS = np.arange(12 * 15, dtype=np.uint16).reshape(12, 15) * 300


def check(image: RawImage, expected: NDArray[Any], ceiling: float) -> None:
    assert image.data.dtype == np.float32
    assert image.data.dtype.isnative
    np.testing.assert_array_equal(image.data, expected)
    assert image.ceiling == ceiling


@pytest.mark.parametrize(
    ("dtype", "ceiling"),
    [
        ("u1", 255),
        ("i2", 32767),
        ("u2", 65535),
        ("i4", 2**31 - 1),
        ("u4", 2**32 - 1),
        ("f4", np.inf),
        ("f8", np.inf),
    ],
)
@pytest.mark.parametrize("suffix", [".fits", ".fits.gz", ".FIT"])
def test_fits_of_any_type(tmp_path: Path, dtype: str, ceiling: float, suffix: str) -> None:
    pixels = (PIXELS // 300).astype(dtype)
    fits.writeto(tmp_path / f"a{suffix}", pixels)
    check(read_image(tmp_path / f"a{suffix}"), pixels, ceiling)


def test_fits_scaling_and_blank(tmp_path: Path) -> None:
    raw = np.array([[1, 2, 3], [4, -99, 6]], np.int16)
    hdu = fits.PrimaryHDU(raw)
    header = hdu.header
    header["BSCALE"], header["BZERO"], header["BLANK"] = 0.5, 100.0, -99
    content = header.tostring().encode() + raw.astype(">i2").tobytes().ljust(2880, b"\0")
    (tmp_path / "a.fits").write_bytes(content)
    check(
        read_image(tmp_path / "a.fits"),
        np.array([[100.5, 101, 101.5], [102, np.nan, 103]]),
        32767 * 0.5 + 100,
    )


@pytest.mark.parametrize("dtype", ["u2", "f4"])
def test_compressed_fits(tmp_path: Path, dtype: str) -> None:
    hdu = fits.CompImageHDU(PIXELS.astype(dtype), quantize_level=0)
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(tmp_path / "a.fits.fz")
    np.testing.assert_array_equal(read_image(tmp_path / "a.fits.fz").data, PIXELS)


def test_first_image_of_a_file_with_many_parts(tmp_path: Path) -> None:
    primary = fits.PrimaryHDU()
    primary.header["EXPTIME"] = 30.0
    parts = [
        primary,
        fits.BinTableHDU(np.zeros(3, [("a", "f4")])),
        fits.ImageHDU(np.zeros(7)),
        fits.ImageHDU(PIXELS[np.newaxis].astype(np.float32)),
    ]
    fits.HDUList(parts).writeto(tmp_path / "a.fits")
    image = read_image(tmp_path / "a.fits")
    np.testing.assert_array_equal(image.data, PIXELS)
    assert image.header["EXPTIME"] == 30


def test_infinite_values_are_no_data(tmp_path: Path) -> None:
    pixels = np.array([[1, np.inf], [-np.inf, 2]], np.float32)
    fits.writeto(tmp_path / "a.fits", pixels)
    check(read_image(tmp_path / "a.fits"), np.array([[1, np.nan], [np.nan, 2]]), np.inf)


def test_malformed_cards_are_left_out(tmp_path: Path) -> None:
    hdu = fits.PrimaryHDU(PIXELS)
    hdu.header["EXPTIME"] = 12.0
    hdu.header["OBSERVER"] = "nobody"
    content = (
        hdu.header.tostring()
        .encode()
        .replace(b"OBSERVER= 'nobody  '", b"OBSERVER= 'nobody\xff\0'")
    )
    data = (PIXELS.astype(np.int32) - 32768).astype(">i2").tobytes()
    (tmp_path / "a.fits").write_bytes(content + data.ljust(2880, b"\0"))
    image = read_image(tmp_path / "a.fits")
    assert image.header["EXPTIME"] == 12
    assert "OBSERVER" not in image.header
    assert "NAXIS1" not in image.header
    image.header.tostring()


def test_grey_pictures_keep_sixteen_bits(tmp_path: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    check(read_image(tmp_path / "a.png"), PIXELS, 65535)
    tifffile.imwrite(tmp_path / "a.tif", PIXELS)
    check(read_image(tmp_path / "a.tif"), PIXELS, 65535)


@pytest.mark.parametrize("extension", ["png", "tif"])
def test_colour_pictures_become_luma_with_sixteen_bits(tmp_path: Path, extension: str) -> None:
    colour = np.stack([PIXELS, PIXELS // 2, PIXELS // 3], axis=-1)
    path = tmp_path / f"a.{extension}"
    if extension == "png":
        path.write_bytes(imagecodecs.png_encode(colour))
    else:
        tifffile.imwrite(path, colour, photometric="rgb", compression="lzw")
    image = read_image(path)
    np.testing.assert_allclose(image.data, colour @ [0.299, 0.587, 0.114], rtol=1e-6)
    np.testing.assert_array_equal(image.peak, PIXELS)
    assert image.ceiling == 65535


@pytest.mark.parametrize("kind", ["fits", "fits.gz", "fits.fz"])
def test_three_planes_of_a_fits_file_become_grey_as_a_picture_does(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fits_reader, "BAND_PIXELS", 4 * PIXELS.shape[1])
    colour = np.stack([PIXELS, PIXELS[::-1], PIXELS[:, ::-1] // 2], axis=-1)
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(colour))
    planes, path = np.moveaxis(colour, -1, 0), tmp_path / f"a.{kind}"
    if kind == "fits.fz":
        compressed = fits.CompImageHDU(planes, compression_type="RICE_1")
        fits.HDUList([fits.PrimaryHDU(), compressed]).writeto(path)
    else:
        fits.writeto(path, planes)
    image, picture = read_image(path), read_image(tmp_path / "a.png")
    np.testing.assert_array_equal(image.data, picture.data)
    np.testing.assert_array_equal(image.peak, colour.max(axis=-1))
    assert image.ceiling == 65535
    assert read_cards(path, ("EXPTIME",))[0] == PIXELS.shape


@pytest.mark.parametrize(
    "shape", [(2, 12, 15), (4, 12, 15), (12, 15, 3), (3, 3, 12, 15), (2, 3, 12, 15)]
)
def test_a_cube_that_is_no_colour_image_is_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    fits.writeto(tmp_path / "a.fits", np.arange(np.prod(shape), dtype=np.int16).reshape(shape))
    sizes = " x ".join(map(str, shape[::-1]))
    told = f"no 2-D image in the file; it holds {sizes} pixels: write each image to a file of"
    with pytest.raises(UnusableFrameError, match=told):
        read_image(tmp_path / "a.fits")


def test_a_colour_without_data_is_a_pixel_without_data(tmp_path: Path) -> None:
    planes = np.stack([PIXELS] * 3).astype(np.float32)
    planes[1, 2, 3] = np.nan
    fits.writeto(tmp_path / "a.fits", planes[np.newaxis])
    data = read_image(tmp_path / "a.fits").data
    assert np.argwhere(np.isnan(data)).tolist() == [[2, 3]]


@pytest.mark.parametrize("kind", ["png", "tif", "fits.gz"])
def test_a_dark_of_next_to_nothing_is_read_however_small_its_file(
    tmp_path: Path, kind: str
) -> None:
    dark = np.zeros((3000, 4000), np.uint8)
    dark[1234, 567] = 3
    path = tmp_path / f"a.{kind}"
    if kind == "png":
        Image.fromarray(dark).save(path)
    elif kind == "tif":
        tifffile.imwrite(path, dark, compression="zlib")
    else:
        fits.writeto(path, dark)
    assert path.stat().st_size < dark.size / 250
    np.testing.assert_array_equal(read_image(path).data, dark)
    assert read_cards(path, ())[0] == dark.shape


@pytest.mark.parametrize("bits", [8, 16])
def test_a_png_of_which_a_bit_is_wrong_is_refused(tmp_path: Path, bits: int) -> None:
    pixels = PIXELS if bits == 16 else (PIXELS // 300).astype(np.uint8)
    whole = bytes(imagecodecs.png_encode(pixels))
    path = tmp_path / "a.png"
    # Between the first header and the last chunk, whose checksum says nothing of pixels.
    for at in range(33, len(whole) - 12):
        path.write_bytes(with_flipped_bit(whole, at))
        with pytest.raises(UnusableFrameError, match=r"a\.png: "):
            read_image(path)


def test_float_tiff(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tiff", PIXELS.astype(np.float32) / 7)
    check(read_image(tmp_path / "a.tiff"), PIXELS.astype(np.float32) / 7, np.inf)


def test_first_page_of_a_tiff(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        tiff.write(PIXELS)
        tiff.write(PIXELS[::-1])
    check(read_image(tmp_path / "a.tif"), PIXELS, 65535)


@pytest.mark.parametrize("mode", ["1", "P", "LA", "RGBA", "CMYK", "YCbCr"])
def test_pillow_modes(tmp_path: Path, mode: str) -> None:
    grey = Image.fromarray((PIXELS // 300).astype(np.uint8))
    extension = "jpg" if mode in ("CMYK", "YCbCr") else "png"
    picture = grey.quantize(256) if mode == "P" else grey.convert("RGB").convert(mode)
    picture.save(tmp_path / f"a.{extension}", quality=100)
    image = read_image(tmp_path / f"a.{extension}")
    assert image.data.shape == PIXELS.shape
    assert image.ceiling == 255
    expected = np.asarray(grey.convert("1").convert("L")) if mode == "1" else np.asarray(grey)
    assert np.abs(image.data - expected).max() < 3


def test_transparent_pixels_are_no_data(tmp_path: Path) -> None:
    colour = np.full((4, 5, 4), 200, np.uint8)
    colour[0, 0, 3] = 0
    Image.fromarray(colour).save(tmp_path / "a.png")
    data = read_image(tmp_path / "a.png").data
    assert np.isnan(data[0, 0])
    assert np.count_nonzero(np.isnan(data)) == 1


def test_exif_tells_exposure_and_date(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x829A] = 2.5
    exif.get_ifd(0x8769)[0x9003] = "2026:03:01 21:30:00"
    Image.fromarray((PIXELS // 300).astype(np.uint8)).save(tmp_path / "a.jpg", exif=exif)
    header = read_image(tmp_path / "a.jpg").header
    assert header["EXPTIME"] == 2.5
    assert header["DATE-OBS"] == "2026-03-01T21:30:00"
    assert read_cards(tmp_path / "a.jpg", ("EXPTIME",))[1].get("EXPTIME") == 2.5


@pytest.mark.parametrize("name", ["a.jpg", "a.tif"])
def test_exif_tells_iso_and_camera(tmp_path: Path, name: str) -> None:
    pixels = (PIXELS // 300).astype(np.uint8)
    if name == "a.jpg":
        exif = Image.Exif()
        exif[0x0110] = "Canon EOS 6D"
        exif.get_ifd(0x8769).update({0x8827: 800, 0x829A: 2.5})
        Image.fromarray(pixels).save(tmp_path / name, exif=exif)
    else:
        tags: list[Any] = [(0x0110, "s", 0, "Canon EOS 6D"), (0x8827, "H", 1, 800)]
        tags.append((0x829A, "2I", 1, (5, 2)))
        tifffile.imwrite(tmp_path / name, pixels, extratags=tags)
    expected = {"ISOSPEED": 800, "INSTRUME": "Canon EOS 6D", "EXPTIME": 2.5}
    shape, cards, pixel_type = read_cards(tmp_path / name, (*expected,))
    whole = read_image(tmp_path / name)
    assert (shape, pixel_type) == (whole.data.shape, "uint8")
    for key, value in expected.items():
        assert cards.get(key) == whole.header[key] == value


@pytest.mark.parametrize("name", ["a.tif", "a.png", "a.jpg"])
@pytest.mark.parametrize("orientation", range(9))
def test_mirrored_pictures_are_turned_over(tmp_path: Path, name: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = np.zeros((32, 48), np.uint8)
    pixels[:8, :16] = 200
    Image.fromarray(pixels).save(tmp_path / name, exif=exif)
    mirrored = {
        2: pixels[:, ::-1],
        4: pixels[::-1],
        5: pixels.T,
        7: pixels[::-1, ::-1].T,
    }
    expected = mirrored.get(orientation, pixels)
    image = read_image(tmp_path / name)
    np.testing.assert_allclose(image.data, expected, atol=12)
    assert read_cards(tmp_path / name, ())[0] == expected.shape


def _png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(9)))


def _fits_bytes(pixels: NDArray[Any], path: Path) -> bytes:
    fits.writeto(path, pixels)
    return path.read_bytes()


def test_unusable_files_are_told_with_name_and_cause(tmp_path: Path) -> None:
    whole = _fits_bytes(PIXELS, tmp_path / "whole.fits")
    files = {
        "empty.fits": (b"", "empty"),
        "text.fits": (b"these are no pixels", "not a FITS"),
        "header.fits": (whole[:1000], "cannot be read|truncated"),
        "data.fits": (whole[:3000], "truncated"),
        "cut.fits.gz": (gzip.compress(whole)[:-50], "truncated|corrupt"),
        "line.fits": (_fits_bytes(np.arange(9.0), tmp_path / "w1.fits"), "it holds 9 pixels"),
        "cube.fits": (
            _fits_bytes(np.zeros((4, 4, 5)), tmp_path / "w2.fits"),
            "it holds 5 x 4 x 4 pixels",
        ),
        "none.fits": (_fits_bytes(np.zeros((0,)), tmp_path / "w3.fits"), "no 2-D image"),
        "text.png": (b"these are no pixels", "not a PNG"),
        "text.tif": (b"these are no pixels", "not a PNG"),
        "bomb.png": (_png_header(50_000, 50_000), "more pixels than any camera"),
        "big.png": (_png_header(20_000, 16_000), "pixels are more than"),
        "cut.png": (_png_header(50, 50), "cannot be read"),
        "cut.tif": (b"II*\0\x08\0\0\0", "cannot be read"),
    }
    for name, (content, cause) in files.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UnusableFrameError, match=cause) as caught:
            read_image(tmp_path / name)
        assert str(caught.value).startswith(f"{name}: ")


def test_pixels_that_show_nothing() -> None:
    with pytest.raises(UnusableFrameError, match="no pixel has data"):
        check_usable(np.full((3, 3), np.nan, np.float32))
    with pytest.raises(UnusableFrameError, match="same value"):
        check_usable(np.array([[7, np.nan], [7, 7]], np.float32))
    check_usable(np.array([[7, np.nan], [7, 8]], np.float32))


@pytest.mark.parametrize("other", [6.0, 8.0])
def test_one_pixel_that_differs_is_enough(other: float) -> None:
    image = np.full((100, 130), 7, np.float32)
    with pytest.raises(UnusableFrameError, match="same value"):
        check_usable(image)
    image[45, 51] = other
    check_usable(image)
    image[::2] = np.nan
    check_usable(image)


@pytest.mark.parametrize(
    ("shape", "size", "expected"),
    [((10, 21), 4, (4, 4)), ((10, 21), 0, (10, 21)), ((10, 21), 15, (10, 15))],
)
def test_central_region(shape: tuple[int, int], size: int, expected: tuple[int, int]) -> None:
    y, x = np.indices(shape)
    region = central_region(shape, size)
    assert y[region].shape == expected
    assert abs(y[region].mean() - (shape[0] - 1) / 2) <= 0.5
    assert abs(x[region].mean() - (shape[1] - 1) / 2) <= 0.5
