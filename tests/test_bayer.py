"""A Bayer mosaic becomes grey: a quarter red, half green, a quarter blue, and no checkerboard."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray
from scipy import ndimage

from scripts import calibrate_frame
from scripts.lightstack.files.frame_file import Frame, read_frame
from scripts.lightstack.raw import bayer
from scripts.lightstack.raw.bayer import grey_of_mosaic, near_any
from scripts.lightstack.raw.images import read_cards
from tests.calibration import plain

SHAPE = (70, 91)


def mosaic(colours: dict[str, NDArray[np.float32]], pattern: str) -> NDArray[np.float32]:
    image = np.empty(SHAPE, np.float32)
    for k, colour in enumerate(pattern):
        image[k // 2 :: 2, k % 2 :: 2] = colours[colour][k // 2 :: 2, k % 2 :: 2]
    return image


def flat(red: float, green: float, blue: float) -> dict[str, NDArray[np.float32]]:
    values = zip("RGB", (red, green, blue), strict=True)
    return {colour: np.full(SHAPE, value, np.float32) for colour, value in values}


@pytest.mark.parametrize("pattern", ["RGGB", "BGGR", "GRBG", "GBRG"])
@pytest.mark.parametrize("band", [1, 2, 69, 70, 256])
def test_one_colour_is_one_grey_to_the_border(
    pattern: str, band: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bayer, "BAND_ROWS", band)
    image = mosaic(flat(400, 1000, 80), pattern)
    grey_of_mosaic(image)
    np.testing.assert_array_equal(image, np.float32(400 / 4 + 1000 / 2 + 80 / 4))


@pytest.mark.parametrize("band", [1, 7, 256])
def test_it_is_the_binomial_mean(band: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bayer, "BAND_ROWS", band)
    image = np.random.default_rng(1).normal(1000, 20, SHAPE).astype(np.float32)
    kernel = np.outer([1, 2, 1], [1, 2, 1]) / 16
    expected = ndimage.correlate(image.astype(float), kernel, mode="mirror")
    grey_of_mosaic(image)
    np.testing.assert_allclose(image, expected, rtol=1e-6)


def test_what_lacks_a_pixel_is_no_data_and_what_has_a_saturated_one_is_saturated() -> None:
    image = mosaic(flat(400, 1000, 80), "RGGB")
    image[30, 40] = np.nan
    grey_of_mosaic(image)
    marks = np.zeros(SHAPE, bool)
    marks[30, 40] = True
    expected = np.zeros(SHAPE, bool)
    expected[29:32, 39:42] = True
    np.testing.assert_array_equal(np.isnan(image), expected)
    np.testing.assert_array_equal(near_any(marks), expected)


def calibrated(folder: Path, pixels: NDArray[Any], **cards: object) -> Frame:
    fits.writeto(folder / "raw.fits", pixels, fits.Header(list(cards.items())), overwrite=True)
    calibrate_frame.run(
        folder / "raw.fits",
        folder / "frame.fits",
        sha256="0",
        masters={},
        **plain(saturation_limit=60000),
    )
    return read_frame(folder / "frame.fits")


def test_a_mosaic_is_grey_from_the_first_step_on(tmp_path: Path) -> None:
    image = mosaic(flat(400, 1000, 80), "GRBG")
    image[3, 4] = 65000
    done = calibrated(tmp_path, image, BAYERPAT="RGGB", XBAYROFF=1, YBAYROFF=0)
    assert "BAYERPAT" not in done.header
    assert "XBAYROFF" not in done.header
    assert done.data[20, 20] == 620
    assert done.saturated.sum() == 9
    np.testing.assert_array_equal(calibrated(tmp_path, image).data, image)


def test_planes_of_colours_are_no_mosaic_whatever_the_card_says(tmp_path: Path) -> None:
    planes = np.random.default_rng(1).integers(900, 1100, (3, *SHAPE)).astype(np.uint16)
    as_it_is = calibrated(tmp_path, planes)
    done = calibrated(tmp_path, planes, BAYERPAT="RGGB")
    np.testing.assert_array_equal(done.data, as_it_is.data)
    assert read_cards(tmp_path / "raw.fits", ("BAYERPAT",))[1].get("BAYERPAT") is None
