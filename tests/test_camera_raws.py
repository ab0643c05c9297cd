"""Raw files of cameras: what they hold, and what becomes of those that hold nothing."""

import os
from pathlib import Path

import numpy as np
import pytest

from scripts.lightstack.raw.exposure import EXPOSURE_CARDS, exposure_of
from scripts.lightstack.raw.image import UnusableFrameError
from scripts.lightstack.raw.images import read_cards, read_image
from tests.dng import write_dng

SHAPE = (300, 402)


@pytest.fixture
def mosaic() -> np.ndarray:
    rng = np.random.default_rng(1)
    return (rng.poisson(1000, SHAPE) + 512).astype(np.uint16)


def test_pixels_are_the_visible_ones_above_the_black_level(
    tmp_path: Path, mosaic: np.ndarray
) -> None:
    write_dng(tmp_path / "a.dng", mosaic, black=512, white=16383, margin=(6, 10))
    image = read_image(tmp_path / "a.dng")
    assert image.data.dtype == np.float32
    np.testing.assert_array_equal(image.data, mosaic[6:, 10:] - np.float32(512))
    assert image.ceiling == 16383 - 512
    assert image.step == 1


def test_the_exposure_is_known(tmp_path: Path, mosaic: np.ndarray) -> None:
    write_dng(tmp_path / "a.DNG", mosaic, exptime=0.01, iso=1600, model="Model 5", margin=(2, 4))
    shape, cards, pixel_type = read_cards(tmp_path / "a.DNG", EXPOSURE_CARDS)
    exposure = exposure_of(cards, shape, picture=True, pixel_type=pixel_type)
    assert exposure.shape == (298, 398)
    assert (exposure.exptime, exposure.gain, exposure.camera) == (0.01, 1600, "Model 5")
    assert (exposure.date, exposure.orientation) == ("2026-11-01T22:10:05", "TOP-DOWN")
    assert exposure.pixel_type == "uint16"


@pytest.mark.parametrize("pattern", ["RGGB", "GRBG", "BGGR", "GBRG"])
@pytest.mark.parametrize("margin", [(0, 0), (1, 0), (0, 1), (3, 5)])
def test_the_pattern_is_that_of_the_first_visible_pixels(
    tmp_path: Path, pattern: str, margin: tuple[int, int]
) -> None:
    levels = {"R": 1000, "G": 2000, "B": 3000}
    mosaic = np.zeros(SHAPE, np.uint16)
    for (row, column), colour in zip(np.ndindex(2, 2), pattern, strict=True):
        mosaic[margin[0] + row :: 2, margin[1] + column :: 2] = levels[colour]
    write_dng(tmp_path / "a.dng", mosaic, pattern=pattern, black=0, margin=margin)
    image = read_image(tmp_path / "a.dng")
    for (row, column), colour in zip(np.ndindex(2, 2), image.header["BAYERPAT"], strict=True):
        assert (image.data[row::2, column::2] == levels[colour]).all()


def test_other_mosaics_are_named(tmp_path: Path, mosaic: np.ndarray) -> None:
    write_dng(tmp_path / "a.dng", mosaic, pattern="GGRGGBGGBGGRBRGRBGGGBGGRGGRGGBRBGBRG")
    with pytest.raises(UnusableFrameError, match=r"a\.dng: its mosaic repeats after 6 rows"):
        read_image(tmp_path / "a.dng")


@pytest.mark.parametrize("kind", ["cr2", "CR3", "nef", "arw", "dng", "raf", "orf", "rw2"])
def test_damaged_files_are_a_sentence(tmp_path: Path, mosaic: np.ndarray, kind: str) -> None:
    write_dng(tmp_path / "whole.dng", mosaic)
    whole = (tmp_path / "whole.dng").read_bytes()
    path = tmp_path / f"a.{kind}"
    for content in (b"", b"no image", whole[:200], whole[: len(whole) // 2], os.urandom(5000)):
        path.write_bytes(content)
        with pytest.raises(UnusableFrameError, match=rf"a\.{kind}: "):
            read_image(path)


def test_no_damage_harms_the_process(tmp_path: Path, mosaic: np.ndarray) -> None:
    write_dng(tmp_path / "whole.dng", mosaic[:40, :60])
    whole = bytearray((tmp_path / "whole.dng").read_bytes())
    path = tmp_path / "a.dng"
    rng = np.random.default_rng(7)
    read = 0
    for _ in range(60):
        damaged = bytearray(whole)
        for place in rng.integers(0, 700, 6):
            damaged[place] = rng.integers(0, 256)
        path.write_bytes(damaged)
        try:
            image = read_image(path)
        except UnusableFrameError:
            continue
        assert image.data.ndim == 2
        read += 1
    assert 0 < read < 60
