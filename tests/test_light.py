"""Frames whose light leans: thin clouds, low altitude, flats that do not fit."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from scripts.lightstack.alignment.judging import judge
from scripts.lightstack.alignment.light import LightScale
from scripts.lightstack.alignment.registration import align
from scripts.lightstack.alignment.stars import Stars
from scripts.lightstack.alignment.taken import Taken
from scripts.lightstack.alignment.transform import identity
from scripts.lightstack.files.frame_file import Frame, PixelFile, write_frame
from scripts.lightstack.stacking.aligned import AlignedFrame
from scripts.lightstack.stacking.uncertainty import FrameNoise, fill_variances
from tests.test_reference import TAKEN, outcome
from tests.test_registration import Floats, Scene


def weakened(stars: Stars, x: float, y: float) -> Stars:
    """Let clouds take more of the light on one side: so much between the middle and the edges."""
    ny, nx = stars.shape
    u, v = 2 * stars.xy[:, 0] / nx - 1, 2 * stars.xy[:, 1] / ny - 1
    return replace(stars, flux=stars.flux * (1 + x * u + y * v))


def found(scene: Scene, seed: int, x: float, y: float) -> LightScale:
    """Compare a weakened frame with its reference."""
    frame, reference = scene.observe(seed)
    return align(weakened(frame, x, y), reference).light


def test_light_that_leans_is_brought_to_the_references() -> None:
    scales = [found(Scene(300), seed, 0.1, -0.06) for seed in range(10)]
    assert np.mean([scale.factor for scale in scales]) == pytest.approx(2, rel=0.01)
    assert np.mean([scale.lean for scale in scales], axis=0) == pytest.approx(
        [-0.1, 0.06], abs=0.005
    )


def test_it_leans_on_the_references_grid() -> None:
    """A frame that is turned around is weak on the other side of the reference."""
    scale = found(Scene(600, rotation=180), 1, 0.1, 0.0)
    assert scale.lean == pytest.approx((0.1, 0.0), abs=0.02)


def test_even_light_does_not_lean() -> None:
    leans = [found(Scene(300), seed, 0.0, 0.0).lean for seed in range(20)]
    assert sum(any(lean) for lean in leans) <= 2


def growth(seed: int, fluxes: Callable[[np.random.Generator, Floats], Floats]) -> float:
    """Compare a frame whose fluxes have become others with its reference."""
    frame, reference = Scene(80).observe(seed)
    other = replace(frame, flux=fluxes(np.random.default_rng(seed), frame.flux))
    return align(other, reference).light.growth


def test_bright_stars_of_a_stretched_frame_have_too_little_light() -> None:
    assert min(growth(seed, lambda _, flux: flux**0.6) for seed in range(10)) > 0.3
    assert max(growth(seed, lambda _, flux: flux**1.6) for seed in range(10)) < -0.3


def test_noise_clouds_and_other_filters_keep_stars_in_proportion() -> None:
    assert not any(growth(seed, lambda _, flux: 0.2 * flux) for seed in range(20))

    def coloured(rng: np.random.Generator, flux: Floats) -> Floats:
        return np.asarray(flux * rng.lognormal(0, 0.7, len(flux)))

    assert sum(growth(seed, coloured) != 0 for seed in range(20)) <= 1


def test_few_stars_do_not_tell() -> None:
    assert found(Scene(40, spurious=0, missing=0), 1, 0.1, 0.1).lean == (0.0, 0.0)


def test_variable_stars_do_not_make_it_lean() -> None:
    frame, reference = Scene(300).observe(3)
    varying = (np.arange(len(frame)) % 8 == 0) & (frame.xy[:, 0] > frame.shape[1] / 2)
    flux = np.where(varying, 2 * frame.flux, frame.flux)
    lean = align(replace(frame, flux=flux), reference).light.lean
    assert np.abs(lean).max() < 0.03


def leaning(x: float, y: float) -> dict[str, Any]:
    return outcome() | {"flux_lean": [x, y]}


def leans(outcomes: dict[str, Any]) -> dict[str, Any]:
    taken: dict[str, Taken] = dict.fromkeys(outcomes, TAKEN)
    fit = judge(outcomes, taken, "a", min_transparency=0.0)["frames"]
    return {name: entry.get("flux_lean") for name, entry in fit.items()}


def test_a_reference_under_clouds_does_not_make_the_others_lean() -> None:
    clear = dict.fromkeys("bcd", leaning(0.1, 0.0))
    expected = {"a": [-0.1, 0.0], **dict.fromkeys("bcd"), "e": [0.0, 0.05]}
    assert leans({"a": outcome(), **clear, "e": leaning(0.1, 0.05)}) == expected


def test_frames_that_do_not_agree_follow_the_reference() -> None:
    outcomes = {"a": outcome(), "b": leaning(0.1, 0.0), "c": leaning(-0.1, 0.0)}
    outcomes |= {"d": leaning(0.0, 0.2)}
    assert leans(outcomes) == {"a": None, "b": [0.1, 0.0], "c": [-0.1, 0.0], "d": [0.0, 0.2]}


@pytest.fixture
def frame(tmp_path: Path) -> AlignedFrame:
    """Return a frame of one value whose light leans."""
    shape = (40, 60)
    header = fits.Header([("NOISEADU", 1.0), ("SATURATE", 6e4)])
    path = tmp_path / "frame.fits"
    write_frame(path, Frame(np.full(shape, 100, np.float32), header, np.zeros(shape, bool)))
    still = identity(shape)
    return AlignedFrame("frame", PixelFile(path), header, still, 2.0, (0.2, -0.1))


def test_a_stack_gets_light_that_is_even(frame: AlignedFrame) -> None:
    ny, nx = 40, 60
    image = np.empty((ny, nx), np.float32)
    frame.fill((0, ny), image)
    y, x = np.mgrid[:ny, :nx]
    half = (0.2 * ((2 * x + 1) / nx - 1) - 0.1 * ((2 * y + 1) / ny - 1)) / 2
    np.testing.assert_allclose(image, 200 * (1 + half) / (1 - half), rtol=1e-5)
    band = np.empty((7, nx), np.float32)
    frame.fill((11, 18), band)
    np.testing.assert_array_equal(band, image[11:18])


def test_the_standard_error_follows(frame: AlignedFrame) -> None:
    rows = (11, 18)
    variances = np.empty((2, 1, 7, 60), np.float32)
    even = FrameNoise(np.array([[2.0, 0, 0, 0, 0, 0]]), np.array([np.inf]))
    fill_variances([replace(frame, lean=(0.0, 0.0))], even, rows, variances[0], 1)
    fill_variances([frame], even, rows, variances[1], 1)
    expected = frame.evened(rows) ** 2
    np.testing.assert_allclose(variances[1, 0] / variances[0, 0], expected, rtol=1e-5)
