"""The smooth model of the sky leaves extended light; the noise is that of pixels without stars."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest

from scripts.lightstack.files.ledger import COLUMNS, summary
from scripts.lightstack.raw.bayer import GREY_NOISE, grey_of_mosaic
from scripts.lightstack.raw.image import UnusableFrameError
from scripts.lightstack.simulator import Light, add_star, make_sky
from scripts.lightstack.sky.cells import Bins, Cells
from scripts.lightstack.sky.model import fit_sky, model_sky
from scripts.lightstack.sky.noise import noise_of_sky
from scripts.lightstack.sky.surface import Surface
from scripts.subtract_background import subtract_background

SHAPE = (700, 1000)

NOISE = 24.0

GRADIENTS = {
    "none": [800],
    "slope": [800, 70, -40],
    "curved": [800, 70, -40, 25, -10, 20],
    "cubic": [800, 70, -40, 25, -10, 20, 8, -6, 5, -8],
}


def sky_with(gradient: str) -> np.ndarray:
    return Surface(SHAPE, np.array(GRADIENTS[gradient], float)).rows(0, SHAPE[0])


def stars(n: int, fwhm: float = 3.0, seed: int = 4) -> np.ndarray:
    rng, light = np.random.default_rng(seed), np.zeros(SHAPE, np.float32)
    sky = make_sky(rng, SHAPE, n)
    for (x, y), flux in zip(sky.xy, sky.flux, strict=True):
        add_star(light, x, y, flux, Light(fwhm=fwhm))
    return light


def nebula(fwhm: float, peak: float) -> np.ndarray:
    y, x = np.indices(SHAPE)
    sigma = fwhm / (2 * math.sqrt(2 * math.log(2)))
    return peak * np.exp(-((x - 520) ** 2 + (y - 330) ** 2) / 2 / sigma**2)


def exposed(*lights: np.ndarray, seed: int = 8) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, NOISE, SHAPE)
    return np.round(sum(lights, noise)).astype(np.float32)


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_a_sky_with_stars_is_found_whatever_its_gradient(gradient: str) -> None:
    sky = sky_with(gradient)
    model = model_sky(exposed(sky, stars(600)))
    assert model is not None
    assert np.abs(model.surface.rows(0, SHAPE[0]) - sky).max() < 1
    assert model.is_sky.mean() > 0.8


@pytest.mark.parametrize(
    ("gradient", "fwhm", "peak"),
    [("slope", 30, 300), ("slope", 120, 600), ("slope", 250, 200), ("curved", 120, 600)],
)
def test_extended_light_is_kept(gradient: str, fwhm: float, peak: float) -> None:
    sky, light = sky_with(gradient), nebula(fwhm, peak)
    product = exposed(sky, light, stars(600))
    without = exposed(light * 0 + sky, stars(600)) - sky
    subtract_background(product, 64, background="plane")
    inside = light > peak / 16
    kept = (product - without)[inside].sum() / light[inside].sum()
    assert kept == pytest.approx(1, abs=0.03)


def test_the_sky_is_found_beside_a_nebula_that_fills_nine_tenths() -> None:
    sky, light = sky_with("slope"), nebula(360, 500)
    assert (light > NOISE / 20).mean() > 0.9
    model = model_sky(exposed(sky, light, stars(300)))
    assert model is not None
    assert np.abs(model.surface.rows(0, SHAPE[0]) - sky).max() < 0.02 * light.max()


def clouds(seed: int) -> np.ndarray:
    """Light with texture on all scales that fills the frame, but for its left side."""
    rng, light = np.random.default_rng(seed), np.zeros(SHAPE)
    for size in (200, 100, 50, 25):
        knots = rng.exponential(1, (SHAPE[0] // size + 2, SHAPE[1] // size + 2))
        y, x = np.indices(SHAPE) / size
        j, i = y.astype(int), x.astype(int)
        u, v = x - i, y - j
        upper = knots[j, i] * (1 - u) + knots[j, i + 1] * u
        lower = knots[j + 1, i] * (1 - u) + knots[j + 1, i + 1] * u
        light += size * (upper * (1 - v) + lower * v)
    return light * np.clip(np.linspace(-0.2, 1.5, SHAPE[1]), 0.1, 1)


def test_a_little_light_in_a_nebula_changes_the_sky_little() -> None:
    """The sky of the frames is in doubt, but not what the light adds."""
    off = []
    for seed in range(8):
        others = (sky_with("slope"), clouds(seed), stars(300))
        before = exposed(*others)
        subtract_background(before, 64, background="plane")
        for fwhm, peak in ((30, 80), (60, 80), (120, 200)):
            light = nebula(fwhm, peak)
            after = exposed(*others, light)
            subtract_background(after, 64, background="plane")
            inside = light > peak / 16
            kept = (after - before)[inside].sum() / light[inside].sum()
            off.append(abs(float(kept) - 1))
    assert np.median(off) < 0.01
    assert np.quantile(off, 0.9) < 0.04


def test_levels_scatter_by_their_errors_under_a_gradient() -> None:
    """A slope is neither noise, nor light where more stars lie on one side of a cell."""
    steep = np.linspace(0, 400, SHAPE[1]) + np.linspace(0, 200, SHAPE[0])[:, np.newaxis]
    frame = exposed(500 + steep, stars(300))
    bins = Bins(frame)
    model = model_sky(frame)
    assert model is not None
    cells = bins.cells(model.surface)
    truth = 500 + 400 * cells.x / (SHAPE[1] - 1) + 200 * cells.y / (SHAPE[0] - 1)
    off = (cells.level - truth) / cells.error
    assert 1.4826 * np.nanmedian(np.abs(off)) == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("share", [0.5, 0.75, 0.9])
def test_a_quarter_that_is_darker_than_the_rest_leaves_a_sky(share: float) -> None:
    for seed in range(4):
        image = np.random.default_rng(seed).normal(1000, 20, (120, 160)).astype(np.float32)
        image[60:, 80:] *= np.float32(share)
        model = model_sky(image)
        assert model is not None
        assert model.is_sky.any()
        assert 900 * share < np.median(model.surface.rows(0, 120)) < 1100


@pytest.mark.parametrize("bend", [0.25, 0.3])
def test_a_bend_below_the_error_of_a_level_is_found(bend: float) -> None:
    y, x = (axis.ravel() for axis in np.mgrid[16:700:34, 21:1000:42].astype(float))
    error = np.full(x.shape, 0.5)
    true = Surface(SHAPE, np.array([800, 3, -2, bend, 0, bend]))
    lost = []
    for seed in range(8):
        level = true.at(x, y) + np.random.default_rng(seed).normal(0, error)
        model = fit_sky(Cells((21, 24), x, y, level, error), SHAPE)
        assert model is not None
        lost.append(np.mean((model.surface.at(x, y) - true.at(x, y)) ** 2))
    # Six terms take in 0.5 sqrt(6 / 504) of the noise, 0.055; the smaller bend is 0.16.
    assert np.sqrt(np.mean(lost)) < 0.1


def test_pixels_without_data_are_left_out() -> None:
    sky = sky_with("slope")
    image = exposed(sky, stars(300))
    image[:150] = np.nan
    image[:, ::7] = np.nan
    model = model_sky(image)
    assert model is not None
    assert np.abs(model.surface.rows(0, SHAPE[0]) - sky).max() < 1.5
    assert model_sky(np.full((50, 60), np.nan, np.float32)) is None


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (17, 5), (40, 40)])
def test_small_images_have_a_sky_as_well(shape: tuple[int, int]) -> None:
    model = model_sky(np.full(shape, 100, np.float32))
    assert model is not None
    assert np.abs(model.surface.rows(0, shape[0]) - 100).max() < 1e-3


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_gradients_and_stars_raise_no_alarm(gradient: str) -> None:
    assert subtract_background(exposed(sky_with(gradient), stars(900)), 64).light == 0


@pytest.mark.parametrize(("fwhm", "peak"), [(70, 200), (120, 600), (250, 100)])
def test_light_that_the_mesh_took_is_told(fwhm: float, peak: float) -> None:
    image = exposed(sky_with("slope"), nebula(fwhm, peak), stars(600))
    assert 0.05 * peak < subtract_background(image.copy(), 64).light < 1.1 * peak
    assert subtract_background(image, 64, background="plane").light == 0


def ledger(folder: Path, lost: list[float]) -> Path:
    path = folder / "frames.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="")
        writer.writeheader()
        writer.writerows(
            {"frame": str(k), "status": "stacked", "sky_light_adu": light, "dark": "d"}
            for k, light in enumerate(lost)
        )
    return path


def test_a_run_tells_of_lost_light_if_most_frames_lost_some(tmp_path: Path) -> None:
    lines = summary(ledger(tmp_path, [480.0, 471.5, 0, 490]))
    assert lines[-2].startswith(
        "Structure wider than stars went with the sky in 3 of 4 frames, 480"
    )
    assert "`background: match`" in lines[-2]
    assert summary(ledger(tmp_path, [0, 0, 30, 40])) == ["4 of 4 frames stacked"]


@pytest.mark.parametrize("fwhm", [2.2, 3.2, 5.0])
@pytest.mark.parametrize("n_stars", [0, 400, 2500, 13_000])
def test_the_noise_is_that_of_the_sky(n_stars: int, fwhm: float) -> None:
    image = exposed(sky_with("curved"), nebula(100, 400), stars(n_stars, fwhm))
    assert noise_of_sky(image) == pytest.approx(NOISE, rel=0.02)


@pytest.mark.parametrize("n_stars", [0, 400, 13_000])
def test_the_grey_of_a_mosaic_has_the_noise_that_it_has(n_stars: int) -> None:
    image = exposed(sky_with("curved"), stars(n_stars, 3.2))
    grey_of_mosaic(image)
    assert noise_of_sky(image[1:-1, 1:-1]) == pytest.approx(GREY_NOISE * NOISE, rel=0.02)


@pytest.mark.parametrize("part", [0.2, 0.5])
def test_pixels_that_share_their_noise_have_the_noise_that_they_have(part: float) -> None:
    white = np.random.default_rng(1).normal(0, 1, (602, 802)).astype(np.float32)
    across = (1 - part) * white[:, :-1] + part * white[:, 1:]
    shifted = (1 - part) * across[:-1] + part * across[1:]
    expected = (1 - part) ** 2 + part**2
    assert noise_of_sky(shifted.astype(np.float32)) == pytest.approx(expected, rel=0.02)


def test_too_few_pixels_have_no_noise() -> None:
    assert math.isnan(noise_of_sky(np.zeros((8, 9), np.float32)))
    assert math.isnan(noise_of_sky(np.full((90, 90), np.nan, np.float32)))
    assert noise_of_sky(np.full((90, 90), 3, np.float32)) == 0


@pytest.mark.parametrize("gradient", GRADIENTS)
def test_rows_lose_the_sky_that_the_surface_has_there(gradient: str) -> None:
    surface = Surface(SHAPE, np.array(GRADIENTS[gradient], float))
    image = exposed(surface.rows(0, SHAPE[0]))
    rows = image[70:200].copy()
    surface.subtract_from(rows, 70)
    assert np.array_equal(rows, image[70:200] - surface.rows(70, 200))


def test_a_sky_in_tatters_is_told_as_what_it_is() -> None:
    image = exposed(sky_with("slope"))
    image[np.random.default_rng(1).random(image.shape) < 0.4] = np.nan
    with pytest.raises(UnusableFrameError, match="cannot be measured: 40% of the pixels are no d"):
        subtract_background(image, 64, background="match")
