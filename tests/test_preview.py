"""Tests of the preview: stacks that compare, in a picture that is not too large."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from PIL import Image

from scripts import draw_preview
from scripts.lightstack.report.stretching import NO_DATA, faded, scale_of, stretch
from scripts.lightstack.stacking.modes import MODES
from scripts.lightstack.stacking.thumbnails import COVERAGE, Thumbnail, write_thumbnails

CARDS = fits.Header({"NCOMBINE": 3})


def sky(noise: float, level: float = 0.0) -> np.ndarray:
    """Draw noise with a star of 1000 ADU in the middle."""
    image = np.random.default_rng(5).normal(level, noise, (120, 160)).astype(np.float32)
    image[58:62, 78:82] += 1000
    return image


def test_of_two_stacks_that_are_stretched_alike_what_is_as_bright_has_the_same_grey() -> None:
    deep, shallow = sky(2.0), sky(20.0, level=-60)
    scale = scale_of(shallow)
    alike = [stretch(image, scale).astype(int) for image in (deep, shallow)]
    assert abs(np.median(alike[0]) - np.median(alike[1])) <= 2
    assert np.std(alike[0][:50]) < 0.3 * np.std(alike[1][:50])
    own = [stretch(image).astype(int) for image in (deep, shallow)]
    assert np.std(own[0][:50]) > 0.8 * np.std(own[1][:50])


@pytest.mark.parametrize("shape", [(3000, 2000), (900, 9000), (5, 7)])
def test_the_preview_of_all_modes_is_no_larger_than_4096_pixels(
    tmp_path: Path, shape: tuple[int, int]
) -> None:
    image = np.zeros(shape, np.float32)
    image[: shape[0] // 3] = np.nan
    thumbnails = {mode: Thumbnail(shape) for mode in (*MODES, COVERAGE)}
    images = dict.fromkeys(MODES, image) | {COVERAGE: 3 * np.isfinite(image).astype(np.float32)}
    for name, thumbnail in thumbnails.items():
        thumbnail.add(images[name], 0)
    write_thumbnails(tmp_path / "small.fits", thumbnails, CARDS)
    draw_preview.run(tmp_path / "small.fits", tmp_path / "preview.png", list(MODES), 5)
    with Image.open(tmp_path / "preview.png") as picture:
        assert max(picture.size) <= 4096
        assert NO_DATA in np.asarray(picture)


def test_only_the_spread_has_a_scale_of_its_own(tmp_path: Path) -> None:
    images = {"mean": sky(2.0), "max": sky(2.0, 40), "std": sky(2.0) / 100}
    images[COVERAGE] = np.full((120, 160), 3, np.float32)
    thumbnails = {mode: Thumbnail((120, 160)) for mode in images}
    for mode, thumbnail in thumbnails.items():
        thumbnail.add(images[mode], 0)
    write_thumbnails(tmp_path / "small.fits", thumbnails, CARDS)
    draw_preview.run(tmp_path / "small.fits", tmp_path / "preview.png", ["mean", "max", "std"], 5)
    with Image.open(tmp_path / "preview.png") as picture:
        pixels = np.asarray(picture)
    width = (pixels.shape[1] - draw_preview.GAP_PX) // 3  # labels may be wider than pictures
    skies = [
        np.median(pixels[60:100, draw_preview.GAP_PX + k * width :][:, :160]) for k in range(3)
    ]
    assert max(skies) - min(skies) <= 3
    draw_preview.run(tmp_path / "small.fits", tmp_path / "one.png", ["std"], 5)
    with Image.open(tmp_path / "one.png") as picture:
        alone = np.asarray(picture)
    place = draw_preview.GAP_PX + 2 * width
    np.testing.assert_array_equal(
        alone[36 + 8 : 36 + 128, 8:168], pixels[36 + 8 : 36 + 128, place : place + 160]
    )


def test_edges_that_few_frames_reach_fade_to_grey() -> None:
    image, coverage = sky(2.0), np.full((120, 160), 3.0)
    image[:, :20], coverage[:, :20] = np.nan, 0
    coverage[:, 20:40] = 1
    mean, spread = draw_preview.panels(
        {"mean": image, "std": image, COVERAGE: coverage}, CARDS, ["mean", "std"], 5
    ).values()
    plain = stretch(image)[::-1].astype(int)
    for picture in (mean, spread):
        assert (picture[:, :20] == NO_DATA).all()
        np.testing.assert_allclose(picture[:, 20:40], (plain[:, 20:40] + 2 * NO_DATA) / 3, atol=1)
        np.testing.assert_array_equal(picture[:, 40:], plain[:, 40:])
    assert np.median(plain[:, 40:]) < np.median(mean[:, 20:40]) < NO_DATA


def test_the_whole_range_of_shares_can_be_seen() -> None:
    white = np.full((1, 4), 255, np.uint8)
    seen = faded(white, np.array([[0, 0.3, 0.6, 1]]))[0].astype(int)
    assert (np.diff(seen) > 40).all()


def test_labels_tell_the_mode_and_how_many_frames_of_how_many() -> None:
    images = {"median": sky(2.0), COVERAGE: np.full((120, 160), 3.0)}
    assert list(draw_preview.panels(images, CARDS, ["median"], 5)) == [
        "median   N = 3 of 5 frames"
    ]


def test_labels_of_small_stacks_are_whole() -> None:
    labels = ["mean   N = 2000 of 2000 frames", "sigma_clip   N = 2000 of 2000 frames"]
    ink = []
    for width in (60, 600):
        picture = np.zeros((50, width), np.uint8)
        drawn = draw_preview.mosaic(dict.fromkeys(labels, picture))
        ink.append(np.asarray(drawn, int).sum())
    assert ink[0] == ink[1] > 0


@pytest.mark.parametrize(("n", "across"), [(1, 1), (3, 3), (4, 2), (6, 3), (7, 3)])
def test_panels_fill_their_rows(n: int, across: int) -> None:
    picture = np.full((60, 300), 255, np.uint8)
    drawn = np.asarray(draw_preview.mosaic({str(k): picture for k in range(n)}))
    assert np.count_nonzero((drawn == 255).sum(axis=0) >= 60) == 300 * across
