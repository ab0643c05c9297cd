"""Pixels that are no data are known as such, and dark skies are not taken for them."""

import io
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from scripts.lightstack.raw.images import read_image
from scripts.lightstack.raw.no_data import BLURRED_EDGE, blank_blocks, blank_garbage, blank_repeats

SHAPE = (200, 300)
ROWS, COLUMNS = np.mgrid[: SHAPE[0], : SHAPE[1]]

Mask = NDArray[np.bool_]


def sky(level: float, noise: float, seed: int = 1) -> NDArray[np.float32]:
    """Sky as whole numbers that are not negative, brightest in the middle [ADU]."""
    shade = 1 - ((ROWS / SHAPE[0] - 0.5) ** 2 + (COLUMNS / SHAPE[1] - 0.5) ** 2)
    noisy = np.random.default_rng(seed).normal(level * shade, noise)
    return np.asarray(np.round(noisy).clip(0), np.float32)


def only(rows: slice, columns: slice = slice(None)) -> Mask:
    mask = np.zeros(SHAPE, bool)
    mask[rows, columns] = True
    return mask


TORN = only(slice(120, None))
TORN[119, 100:] = True

BLOCKS: dict[str, tuple[Mask, float]] = {
    "shifted": (only(slice(0, 31)) | only(slice(None), slice(0, 17)), 0),
    "rotated": (np.cos(0.3) * COLUMNS + np.sin(0.3) * ROWS > 310, 0),
    "hardly rotated": (COLUMNS + 0.05 * ROWS > 299, 0),
    "torn": (TORN, 0),
    "most lost": (only(slice(40, None)), 0),
    "another value": (only(slice(None), slice(0, 40)), 4242),
    "first column": (only(slice(None), slice(0, 1)), 0),
    "rows": (only(slice(90, 93)), 0),
    "dead column": (only(slice(None), slice(77, 78)), 13),
}


@pytest.mark.parametrize(("level", "noise"), [(1000, 20), (30, 20), (4, 1.5)])
@pytest.mark.parametrize(("lost", "value"), BLOCKS.values(), ids=BLOCKS)
def test_blocks_at_the_border_and_whole_lines_are_no_data(
    lost: Mask, value: float, level: float, noise: float
) -> None:
    data = sky(level, noise)
    data[lost] = value
    blank_blocks(data, 65535)
    assert np.isnan(data[lost]).all()
    # No more than the edge that interpolation may have touched, and zeros of the sky beside it.
    near = ndimage.maximum_filter(lost, 2 * BLURRED_EDGE + 5)
    assert not np.isnan(data[~near]).any()


def stuck_rows(data: NDArray[np.float32]) -> Mask:
    data[80:120] = data[79]
    return only(slice(80, 120))


def a_block_sent_twice(data: NDArray[np.float32]) -> Mask:
    data[150:170] = data[20:40]
    return only(slice(150, 170))


def stuck_columns(data: NDArray[np.float32]) -> Mask:
    data[:, 297:] = data[:, 296:297]
    return only(slice(None), slice(297, None))


@pytest.mark.parametrize("repeat", [stuck_rows, a_block_sent_twice, stuck_columns])
def test_lines_that_repeat_others_are_no_data(
    repeat: Callable[[NDArray[np.float32]], Mask],
) -> None:
    data = sky(1000, 20)
    data[:, :2] = np.nan
    lost = repeat(data)
    blank_repeats(data)
    lost[:, :2] = True
    np.testing.assert_array_equal(np.isnan(data), lost)


@pytest.mark.parametrize("step", [1, -1])
@pytest.mark.parametrize("pixels", [256, 2048, 9000])
def test_a_part_of_another_file_is_no_data(pixels: int, step: int) -> None:
    shape = (240, 700)
    data = (1000 + np.random.default_rng(4).normal(0, 20, shape)).astype(np.float32)
    data[100:130, 200:560] = 65535  # a bright star, and what it leaves in its columns
    data[40:60, 400:420] = np.random.default_rng(6).uniform(1000, 60000, (20, 20))
    lost = np.zeros(shape, bool)
    lost.reshape(-1)[31_111 : 31_111 + pixels] = True
    clean = data.copy()
    data[lost] = np.random.default_rng(5).integers(0, 65536, pixels)
    blank_garbage(data[::step])
    assert np.isnan(data[lost]).mean() > 0.99
    assert np.isnan(data[~lost]).sum() < 10 * 128  # runs before it and behind, and ends of rows
    blank_garbage(clean)
    assert not np.isnan(clean).any()


def test_noise_of_large_numbers_is_data() -> None:
    data = np.random.default_rng(7).normal(1e8, 1e4, (240, 700)).astype(np.float32)
    blank_garbage(data)
    assert not np.isnan(data).any()


def test_pictures_that_were_enlarged_or_have_no_noise_stay_data() -> None:
    for data in (
        np.repeat(np.repeat(sky(1000, 20), 2, axis=0), 2, axis=1),
        np.repeat(sky(1000, 20), 3, axis=1),
        sky(1000, 20)[np.arange(240) * 5 // 6],
        np.broadcast_to(np.arange(300, dtype=np.float32), SHAPE).copy(),
        (sky(0, 0.1) > 1).astype(np.float32),
    ):
        blank_repeats(data)
        assert not np.isnan(data).any()


def as_jpeg(data: NDArray[np.float32]) -> NDArray[np.float32]:
    file = io.BytesIO()
    Image.fromarray(data.astype(np.uint8)).save(file, "JPEG", quality=75)
    return np.array(Image.open(file)).astype(np.float32)


def with_stars(data: NDArray[np.float32]) -> NDArray[np.float32]:
    for y, x in np.random.default_rng(2).uniform((5, 5), (195, 295), (60, 2)):
        data += np.round(200 * np.exp(-((ROWS - y) ** 2 + (COLUMNS - x) ** 2) / 4))
    return data


def saturated(value: float) -> NDArray[np.float32]:
    data = sky(1000, 20)
    data[60:120, :80] = value
    return data


GOOD: dict[str, Callable[[], NDArray[np.float32]]] = {
    **{
        f"level {level} noise {noise}": partial(sky, level, noise)
        for level in (0, 0.3, 1, 3)
        for noise in (0.2, 0.5, 1, 3)
    },
    "dark to one side": lambda: np.round(sky(0, 1) + COLUMNS / 100),
    "JPEG": lambda: as_jpeg(sky(1, 2)),
    "smooth": lambda: np.round(20 * (1 - (COLUMNS / 300 - 0.5) ** 2)).astype(np.float32),
    "black with stars": lambda: with_stars(sky(0, 0.1)),
    "bright core at the border": lambda: saturated(65535),
}


@pytest.mark.parametrize("make", GOOD.values(), ids=GOOD)
def test_light_and_darkness_stay_data(make: Callable[[], NDArray[np.float32]]) -> None:
    data = make()
    blank_blocks(data, 65535)
    assert not np.isnan(data).any()


@pytest.mark.parametrize("compressed", [False, True])
def test_the_end_of_a_file_that_was_never_written_is_no_data(
    tmp_path: Path, *, compressed: bool
) -> None:
    path = tmp_path / "a.fits"
    data = sky(1000, 20).astype(np.uint16)
    data[40] = 32768 - np.arange(SHAPE[1]) % 100
    if compressed:
        data[120:] = 32768
        fits.CompImageHDU(data).writeto(path)
    else:
        fits.writeto(path, data)
        content = path.read_bytes()
        kept = len(fits.getheader(path).tostring()) + 2 * data[:120].size
        path.write_bytes(content[:kept].ljust(len(content), b"\0"))
    image = read_image(path)
    np.testing.assert_array_equal(np.isnan(image.data), only(slice(120, None)))
    np.testing.assert_array_equal(image.data[:120], data[:120])


@pytest.mark.parametrize("sentinel", [-999.0, -32768.0, -1e30, 1e30, 3.4e38])
@pytest.mark.parametrize("level", [500.5, 0.3])
def test_numbers_that_stand_for_none_are_no_data(
    sentinel: float, level: float, tmp_path: Path
) -> None:
    data = np.random.default_rng(1).normal(level, level / 50, SHAPE).astype(np.float32)
    data[:9, 5:] = sentinel
    fits.writeto(tmp_path / "a.fits", data)
    image = read_image(tmp_path / "a.fits")
    np.testing.assert_array_equal(np.isnan(image.data), data == np.float32(sentinel))
    # Numbers between 0 and 1 are counts of 16 bits, whatever stands beside them.
    assert np.nanmedian(image.data) == pytest.approx(level * (65535 if level < 1 else 1), rel=0.01)


def test_a_number_like_others_is_data(tmp_path: Path) -> None:
    data = np.random.default_rng(1).normal(0, 400, SHAPE).astype(np.float32)
    data[3, 3] = -999
    data[data < -999] = 0
    fits.writeto(tmp_path / "a.fits", data)
    assert not np.isnan(read_image(tmp_path / "a.fits").data).any()
