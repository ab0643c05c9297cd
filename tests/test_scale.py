"""Whatever range a program spreads a camera's counts over, the same counts are read."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from astropy.io import fits
from numpy.typing import NDArray

from scripts import calibrate_frame, combine_darks, detect_sources, subtract_background
from scripts.lightstack.files.frame_file import read_header
from scripts.lightstack.files.table_file import read_table
from scripts.lightstack.raw.image import UnusableFrameError
from scripts.lightstack.raw.images import read_image
from scripts.lightstack.simulator import make_night
from tests.calibration import plain

COUNTS = np.random.default_rng(3).integers(300, 65536, (60, 80)).astype(np.uint16)

TWINS: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "float32 of 0 to 1": lambda counts: (counts / 65535).astype(np.float32),
    "float32 by a factor": lambda counts: counts.astype(np.float32) * np.float32(1 / 65535),
    "float64 of 0 to 1": lambda counts: counts / 65535,
    "float32 of 0 to 65535": lambda counts: counts.astype(np.float32),
    "32 bits, full": lambda counts: counts.astype(np.uint32) * 65537,
    "32 bits, 16 used": lambda counts: counts.astype(np.int32),
    "three colours": lambda counts: np.stack([counts / 65535] * 3).astype(np.float32),
}


def read(path: Path, pixels: NDArray[Any], **cards: Any) -> Any:
    """Write pixels to a file and read them."""
    if path.suffix == ".tif":
        tifffile.imwrite(path, pixels, photometric="rgb" if pixels.ndim == 3 else "minisblack")
    else:
        fits.writeto(path, pixels, fits.Header(list(cards.items())), overwrite=True)
    return read_image(path)


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("kind", ["fits", "tif"])
def test_counts_are_read_again_from_any_range(tmp_path: Path, twin: str, kind: str) -> None:
    image = read(tmp_path / f"a.{kind}", TWINS[twin](COUNTS))
    np.testing.assert_array_equal(image.peak, COUNTS)
    np.testing.assert_allclose(image.data, COUNTS, rtol=1e-6)
    assert image.step == 1
    assert image.ceiling >= 65535


def stars(sky: float, peak: float) -> NDArray[np.uint16]:
    """Sky with noise and four stars of 3 pixels FWHM [ADU]."""
    rows, columns = np.mgrid[:60, :80]
    image = np.random.default_rng(5).normal(sky, 20, (60, 80))
    for y, x in ((11.2, 20.4), (30.0, 50.0), (44.6, 9.7), (50.3, 70.1)):
        image += peak * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 3.25)
    return image.round().clip(0, 65535).astype(np.uint16)


@pytest.mark.parametrize("zero", [0, 32768])
def test_numbers_whose_bytes_are_exchanged_are_told(tmp_path: Path, zero: int) -> None:
    counts = stars(3000, 20000).astype(np.int32)
    for shift in range(8, -1, -1):  # as of cameras with fewer bits
        shifted = (counts >> shift) << shift
        words = (shifted - zero).astype(np.uint16).view(np.int16)
        np.testing.assert_array_equal(read(tmp_path / "a.fits", words, BZERO=zero).data, shifted)
    with pytest.raises(UnusableFrameError, match=r"a\.fits: the two bytes of each of its numb"):
        read(tmp_path / "a.fits", words.byteswap(), BZERO=zero)


def wrapped(counts: NDArray[np.uint16]) -> NDArray[np.int16]:
    return counts.view(np.int16)


def without_offset(counts: NDArray[np.uint16]) -> NDArray[np.int16]:
    return (counts - 32768.0).astype(np.int16)


@pytest.mark.parametrize(
    ("as_stored", "sky", "peak"),
    [
        (wrapped, 800, 40_000),
        (wrapped, 800, 200_000),
        (wrapped, 30_000, 20_000),
        (without_offset, 800, 40_000),
        (without_offset, 800, 200_000),
    ],
)
@pytest.mark.parametrize("kind", ["fits", "tif"])
def test_counts_are_read_again_where_the_card_of_their_offset_is_lost(
    tmp_path: Path,
    kind: str,
    as_stored: Callable[[NDArray[np.uint16]], NDArray[np.int16]],
    sky: float,
    peak: float,
) -> None:
    counts = stars(sky, peak)
    image = read(tmp_path / f"a.{kind}", as_stored(counts))
    np.testing.assert_array_equal(image.data, counts)
    assert image.ceiling == 65535


def test_negative_numbers_of_calibrated_frames_stay_what_they_are(tmp_path: Path) -> None:
    calibrated = stars(800, 30_000).astype(np.int16) - 800
    calibrated[5, ::7] = -30_000
    calibrated[30:34, 40:50] = -32768
    image = read(tmp_path / "a.fits", calibrated)
    kept = calibrated > -32768
    np.testing.assert_array_equal(image.data[kept], calibrated[kept])


@pytest.mark.parametrize("twin", [name for name in TWINS if name != "three colours"])
def test_twins_have_the_same_stars_noise_and_saturation(tmp_path: Path, twin: str) -> None:
    make_night(tmp_path, shape=(200, 300), n_lights=1, n_stars=150, seed=4)
    counts = fits.getdata(tmp_path / "data" / "light_0001.fits").astype(np.uint16)
    # A sky that is clipped to zero, and stars that are saturated.
    counts = np.where(counts > np.median(counts) + 200, counts.clip(0, 20_000), 0)
    counts[0, 0] = 65535
    both = [_through_detection(tmp_path, pixels) for pixels in (counts, TWINS[twin](counts))]
    (table, header), (twins, twins_header) = both
    assert len(table) > 20
    assert 0 < table["saturated"].sum() < len(table)
    np.testing.assert_array_equal(twins, table)
    for card in ("BKGADU", "NOISEADU", "SATURATE"):
        assert twins_header[card] == header[card]
    assert "ADUSTEP" not in twins_header


def _through_detection(
    folder: Path, pixels: NDArray[Any], limit: float = 20_000, **cards: Any
) -> tuple[NDArray[Any], Any]:
    paths = [folder / name for name in ("raw.fits", "dark.fits", "cleaned.fits", "sources.fits")]
    fits.writeto(paths[0], pixels, fits.Header(list(cards.items())), overwrite=True)
    calibrate_frame.run(
        *paths[:2],
        sha256="",
        masters={},
        **plain(saturation_limit=limit),
    )
    subtract_background.run(*paths[1:3], background_box=32)
    detect_sources.run(*paths[2:], threshold_sigma=5, minarea=5, smoothing_sigma=1.0)
    return read_table(paths[3]), read_header(paths[2])


def test_noise_of_floats_in_a_unit_of_their_own_has_no_floor_of_counts(tmp_path: Path) -> None:
    make_night(tmp_path, shape=(200, 300), n_lights=1, n_stars=150, seed=4)
    counts = fits.getdata(tmp_path / "data" / "light_0001.fits").astype(np.float32)
    table, header = _through_detection(tmp_path, counts)
    rate = np.float32(2.0**-20) * counts
    slow, slow_header = _through_detection(tmp_path, rate, BUNIT="electron / s")
    assert len(table) > 10
    np.testing.assert_array_equal(slow["x"], table["x"])
    np.testing.assert_array_equal(slow["fwhm"], table["fwhm"])
    assert slow_header["NOISEADU"] == pytest.approx(2.0**-20 * header["NOISEADU"], rel=1e-6)
    assert "ADUSCALE" not in slow_header


def test_a_dark_between_0_and_1_serves_lights_of_16_bits(tmp_path: Path) -> None:
    light, dark = COUNTS, (COUNTS // 3 + 0.5) / 65535
    fits.writeto(tmp_path / "light.fits", light)
    fits.writeto(tmp_path / "dark.fits", dark.astype(np.float32))
    combine_darks.run([tmp_path / "dark.fits"], tmp_path / "master.fits")
    for own, master in ((tmp_path / "dark.fits", None), (None, tmp_path / "master.fits")):
        calibrate_frame.run(
            tmp_path / "light.fits",
            tmp_path / "frame.fits",
            sha256="",
            masters={key: path for key, path in (("own", own), ("dark", master)) if path},
            **plain(),
        )
        expected = light.astype(float) - COUNTS // 3 - 0.5
        np.testing.assert_allclose(fits.getdata(tmp_path / "frame.fits"), expected, atol=0.02)


REAL = COUNTS / 65535 + np.random.default_rng(1).uniform(0, 1e-4, COUNTS.shape)


def with_few(value: float, count: int) -> NDArray[np.float32]:
    """Fractions, some of which are replaced."""
    pixels = REAL.astype(np.float32)
    pixels.ravel()[:count] = value
    return pixels


@pytest.mark.parametrize(
    ("pixels", "cards", "scale"),
    [
        (REAL.astype(np.float32), {}, 65535),
        (REAL.astype(np.float32) - 0.5, {}, 65535),
        # Saturated pixels in a dim corner of a flat, and one in its dust.
        (with_few(1.9, 400), {}, 65535),
        (np.concatenate([with_few(30, 1), *[with_few(0, 0)] * 2]), {}, 65535),
        (REAL.astype(np.float32), {"BUNIT": "electron/s"}, 1),
        (with_few(30, 100), {}, 1),
        (REAL.astype(np.float32) * 65535, {}, 1),
        (np.round(REAL).astype(np.float32), {}, 1),
        (COUNTS.astype(np.int32) * 100, {}, 1),
        (COUNTS.astype(np.uint8) // 128, {}, 1),
        (np.full((20, 30), np.nan, np.float32), {}, 1),
    ],
)
def test_only_fractions_of_a_range_are_scaled(
    tmp_path: Path, pixels: NDArray[Any], cards: dict[str, Any], scale: float
) -> None:
    image = read(tmp_path / "a.fits", pixels, **cards)
    np.testing.assert_allclose(image.data, pixels.astype(float) * scale, rtol=1e-6, atol=1e-6)
    assert image.header.get("ADUSCALE", 1) == scale
    assert np.isfinite(image.ceiling) == (scale != 1 or pixels.dtype.kind in "iu")


@pytest.mark.parametrize(
    ("pixels", "step"),
    [
        (COUNTS, 1),
        (COUNTS.astype(np.float32), 1),
        (COUNTS.astype(np.float32) + np.float32(0.3), 2.0**-8),
        (REAL.astype(np.float32), 2.0**-8),
        ((REAL * (2**32 - 2)).astype(np.uint32), 1 / 65537),
    ],
)
def test_the_step_is_what_the_file_can_tell_apart(
    tmp_path: Path, pixels: NDArray[Any], step: float
) -> None:
    assert read(tmp_path / "a.fits", pixels).step == pytest.approx(step)


def test_fractions_beyond_all_floats_are_no_data(tmp_path: Path) -> None:
    pixels = np.tile(REAL.astype(np.float32), (3, 3))
    pixels[0, 0] = 3e38
    image = read(tmp_path / "a.fits", pixels)
    assert np.argwhere(np.isnan(image.data)).tolist() == [[0, 0]]
