"""What noise_clip expects beside stars, on fields of which the truth is known."""

import os
import subprocess
import sys
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import convolve, distance_transform_edt, maximum_filter

from scripts.lightstack.simulator import Light, star_profile
from scripts.lightstack.stacking.centres import find_centres
from scripts.lightstack.stacking.combining import Combined, combine
from scripts.lightstack.stacking.noise_clip import MEDIAN_VARIANCE
from scripts.lightstack.stacking.psf_matching import (
    MIDDLE_VARIANCE,
    N_FINE,
    N_PIXELS,
    OF_MOVED,
    REACH,
    TERMS,
    Seeing,
    brightest_of_row,
    measure_seeing,
    starlight,
)
from tests.conftest import ROOT, older_processor

Floats = NDArray[np.float64]
Cube = NDArray[np.float32]

N, SIZE, GAIN = 12, 320, 1.5
NOISE, GAINS = np.ones(N), np.full(N, GAIN)


class Field(NamedTuple):
    """A field in changing seeing, and the same with trails and cosmic rays."""

    light: Floats
    clean: Cube
    dirty: Cube


def contaminants(rng: np.random.Generator, brightest: Floats) -> Floats:
    """Two trails, single hits everywhere, and one in each of the brightest pixels."""
    added = np.zeros((N, SIZE, SIZE))
    y, x = np.mgrid[:SIZE, :SIZE]
    for frame, angle in ((2, 0.4), (7, 2.1)):
        across = (x - SIZE / 2) * np.sin(angle) - (y - SIZE / 2) * np.cos(angle)
        added[frame] += 20 * np.exp(-0.5 * (across / 1.3) ** 2)
    for row, column in [*rng.integers(0, SIZE, (600, 2)), *np.argwhere(brightest > 100)[::7]]:
        added[rng.integers(N), row, column] += 10 ** rng.uniform(1, 3.5)
    return added


@pytest.fixture(scope="module")
def field() -> Field:
    """Give sixty stars of 30 to 10000 sigma; the seeing is between 2.6 and 3.6 pixels."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:SIZE, :SIZE].astype(float)
    stars = rng.uniform(0, SIZE, (60, 2)), 10 ** rng.uniform(2.5, 5, 60)
    light = np.zeros((N, SIZE, SIZE))
    for frame in range(N):
        fwhm, ellipticity, theta = rng.uniform((2.6, 0, 0), (3.6, 0.12, np.pi))
        how = Light(fwhm=fwhm, ellipticity=ellipticity, theta=theta)
        for (star_x, star_y), flux in zip(*stars, strict=True):
            light[frame] += flux * star_profile(x - star_x, y - star_y, how)
    noise = rng.normal(size=light.shape)
    added = contaminants(rng, light.mean(axis=0))
    clean, dirty = (
        (light + extra + noise * np.sqrt(1 + (light + extra) / GAIN)).astype(np.float32)
        for extra in (np.zeros_like(added), added)
    )
    return Field(light, clean, dirty)


def measured(
    cube: Cube, gain: Floats = GAINS, linear_below: float = np.inf
) -> tuple[Seeing | None, Floats]:
    noise = np.ones(len(cube))
    pixels = starlight(cube, *find_centres(cube), noise, linear_below, N_PIXELS)
    return measure_seeing(pixels, noise, gain, linear_below)


def stacked(cube: Cube, linear_below: float = np.inf) -> Combined:
    seeing, gain = measured(cube, linear_below=linear_below)
    assert seeing is not None
    return combine(cube, ["mean", "noise_clip"], noise=NOISE, gain=gain, seeing=seeing)


def noise_of_stack(light: Floats) -> Floats:
    return np.asarray(np.sqrt((1 + light.mean(axis=0) / GAIN) / N))


def test_no_trail_and_no_cosmic_ray_is_left_in_a_star(field: Field) -> None:
    clean, dirty = stacked(field.clean).images, stacked(field.dirty).images
    left = {
        mode: np.abs(dirty[mode] - clean[mode]) / noise_of_stack(field.light) for mode in clean
    }
    in_stars = field.light.mean(axis=0) > 100
    assert (left["mean"][in_stars] > 5).sum() > 50
    assert left["noise_clip"].max() < 5


def test_without_the_seeing_cosmic_rays_are_left(field: Field) -> None:
    clean, dirty = (
        combine(cube, ["noise_clip"], noise=NOISE, gain=GAINS).images["noise_clip"]
        for cube in (field.clean, field.dirty)
    )
    assert (np.abs(dirty - clean) > 5 * noise_of_stack(field.light)).sum() > 20


def test_starlight_is_kept(field: Field) -> None:
    result = stacked(field.clean)
    bright = field.light.mean(axis=0) > 10
    assert result.rejected["noise_clip"][bright].mean() / N < 1e-3
    kept = result.images["noise_clip"][bright].sum() / result.images["mean"][bright].sum()
    assert kept == pytest.approx(1, abs=3e-4)


def test_stars_keep_their_profile_where_a_value_is_left_out(field: Field) -> None:
    cube, shared = field.clean.copy(), field.light.mean(axis=0)
    sharpest = int(np.argmax(field.light.max(axis=(1, 2))))
    peaks = (shared == maximum_filter(shared, 9)) & (shared > 100)
    assert peaks.sum() > 10
    cube[sharpest, peaks] += 30000
    true = field.clean[:, peaks].mean(axis=0, dtype=float)
    others = np.delete(field.clean[:, peaks], sharpest, axis=0).mean(axis=0, dtype=float)
    result = stacked(cube)
    assert (result.rejected["noise_clip"][peaks] >= 1).all()
    changed = np.abs(result.images["noise_clip"][peaks] - true) / true
    assert changed.mean() < 0.4 * (np.abs(others - true) / true).mean()


def test_definition(field: Field) -> None:
    """Plain NumPy, from the definition in `docs/methods.md`, where a prediction is made."""
    seeing, gain = measured(field.dirty)
    assert seeing is not None
    weights = np.linspace(1, 2, N)
    result = combine(
        field.dirty, ["noise_clip"], noise=NOISE, gain=gain, seeing=seeing, weights=weights
    )
    values = field.dirty.astype(float)
    ranked = np.sort(values, axis=0)
    middle = ranked[3:9].mean(axis=0).astype(np.float32).astype(float)
    kernels = (TERMS @ seeing.kernels.T).T.reshape(N, 11, 11)
    moved = np.array([convolve(middle, kernel, mode="nearest") for kernel in kernels])
    fine = [convolve(middle, TERMS[:, i].reshape(11, 11), mode="nearest") for i in range(N_FINE)]
    detail = np.sqrt(np.sum(np.square(fine), axis=0))
    centre = np.sort(values - moved, axis=0)[(N - 1) // 2]
    amplified = 1 + MIDDLE_VARIANCE / N * (kernels**2).sum(axis=(1, 2))
    variance = (1 + np.maximum(centre + moved, 0) / GAIN) * amplified[:, None, None]
    variance += seeing.errors[:, None, None] ** 2 * (detail**2 + (OF_MOVED * moved) ** 2)
    variance = variance + MEDIAN_VARIANCE / N * variance.mean(axis=0)
    kept = np.abs(values - moved - centre) <= 4 * np.sqrt(variance)
    expected = np.average(values - moved, axis=0, weights=kept * weights[:, None, None])
    expected += np.average(moved, axis=0, weights=weights)
    inner = np.zeros((SIZE, SIZE), bool)
    inner[REACH:-REACH, REACH:-REACH] = True
    predicted = inner & (field.light.mean(axis=0) > 30)
    assert predicted.sum() > 1500
    assert np.array_equal(
        result.rejected["noise_clip"][predicted], N - kept.sum(axis=0)[predicted]
    )
    np.testing.assert_allclose(
        result.images["noise_clip"][predicted], expected[predicted], rtol=1e-5
    )


def test_an_unknown_gain_is_told_by_the_stars(field: Field) -> None:
    _, gain = measured(field.clean, np.full(N, np.inf))
    assert np.median(gain) == pytest.approx(GAIN, rel=0.25)


def test_frames_of_one_seeing_move_nothing(field: Field) -> None:
    rng = np.random.default_rng(4)
    light = np.repeat(field.light[:1], N, axis=0)
    cube = (light + rng.normal(size=light.shape) * np.sqrt(1 + light / GAIN)).astype(np.float32)
    seeing, _ = measured(cube)
    assert seeing is not None
    assert (seeing.amplification < 0.02).all()
    assert (seeing.errors < 0.003).all()


def test_too_few_stars_tell_no_seeing() -> None:
    cube = np.random.default_rng(5).normal(size=(N, 64, 64)).astype(np.float32)
    cube[:, 20:26, 20:26] += 50
    seeing, gain = measured(cube)
    assert seeing is None
    assert gain is GAINS


def cut(field: Field) -> tuple[Cube, float, NDArray[np.bool_]]:
    """Give frames of which the brightest stars are saturated, at which level, and where."""
    full = float(field.light.max() / 4)
    where: NDArray[np.bool_] = np.any(field.light > full, axis=0)
    return np.minimum(field.clean, np.float32(full)), full, where


def test_a_saturated_star_is_no_cosmic_ray(field: Field) -> None:
    """Frames of better seeing are cut in more pixels: no kernel makes the one of the other."""
    cube, full, where = cut(field)
    assert where.sum() > 30
    careful = stacked(cube, linear_below=0.6 * full).rejected["noise_clip"]
    assert careful[where].sum() == 0
    assert careful[(field.light.mean(axis=0) > 30) & ~where].mean() / N < 3e-3


def test_a_cosmic_ray_beside_a_saturated_star_is_left_out(field: Field) -> None:
    cube, full, where = cut(field)
    distance = distance_transform_edt(~where)
    hits = np.argwhere((distance > 3) & (distance < 5) & (field.light.mean(axis=0) > 10))[::9]
    assert len(hits) > 10
    dirty = cube.copy()
    for frame, (y, x) in enumerate(hits):
        dirty[frame % N, y, x] += full / 4
    clean, hit = (stacked(c, linear_below=0.6 * full).images["noise_clip"] for c in (cube, dirty))
    left = np.abs(hit - clean) / noise_of_stack(field.light)
    assert left[tuple(hits.T)].max() < 5


def test_stars_at_edges_and_holes_are_kept() -> None:
    """Light that is not there cannot be moved."""
    rng = np.random.default_rng(6)
    light = np.zeros((N, 200, 200))
    y, x = np.mgrid[:200, :200].astype(float)
    places = [(place, side) for place in range(10, 200, 20) for side in (-1, 0, 1, 198, 199, 200)]
    for star_x, star_y in [*places, *(place[::-1] for place in places)]:
        for frame, fwhm in enumerate(np.linspace(2.6, 3.6, N)):
            light[frame] += 1e4 * star_profile(x - star_x, y - star_y, Light(fwhm=fwhm))
    for fwhm, (star_x, star_y) in product(np.linspace(2.6, 3.6, N), rng.uniform(20, 180, (30, 2))):
        frame = round((fwhm - 2.6) * (N - 1))
        light[frame] += 1e4 * star_profile(x - star_x, y - star_y, Light(fwhm=fwhm))
    cube = (light + rng.normal(size=light.shape) * np.sqrt(1 + light / GAIN)).astype(np.float32)
    cube[:, 60:64, 100:140] = np.nan
    images = stacked(cube).images
    changed = np.abs(images["noise_clip"] - images["mean"]) / noise_of_stack(light)
    assert np.nanmax(changed) < 5
    assert np.array_equal(np.isnan(images["noise_clip"]), np.isnan(images["mean"]))


def test_where_two_frames_reach_a_cosmic_ray_takes_no_neighbour_with_it(field: Field) -> None:
    clean, touched = field.clean.copy(), np.zeros((SIZE, SIZE), bool)
    bright = np.argwhere(field.light.mean(axis=0) > 30)
    edge = int(np.median(bright[:, 1]))
    clean[2:, :, :edge] = np.nan
    touched[tuple(bright[bright[:, 1] < edge][::3].T)] = True
    dirty = clean.copy()
    dirty[0, touched] += 20000
    seeing, gain = measured(field.clean)
    without, ray = (
        combine(cube, ["noise_clip"], noise=NOISE, gain=gain, seeing=seeing).images["noise_clip"]
        for cube in (clean, dirty)
    )
    assert touched.sum() > 200
    changed = np.abs(ray - without) / noise_of_stack(field.light)
    assert changed[~touched].max() < 5


@pytest.mark.parametrize("scale", [1e-4, 1e4])
def test_units_do_not_matter(field: Field, scale: float) -> None:
    one, gain = measured(field.clean, np.full(N, np.inf))
    cube = field.clean * np.float32(scale)
    noise = NOISE * scale
    pixels = starlight(cube, *find_centres(cube), noise, np.inf, N_PIXELS)
    other, scaled = measure_seeing(pixels, noise, np.full(N, np.inf), np.inf)
    assert one is not None
    assert other is not None
    np.testing.assert_allclose(scaled * scale, gain, rtol=1e-3)
    np.testing.assert_allclose(other.kernels, one.kernels, atol=1e-4)
    np.testing.assert_allclose(other.errors, one.errors, atol=1e-5)


@pytest.mark.parametrize("height", [1, 7, 64])
def test_any_band_gives_the_same_bytes(field: Field, height: int) -> None:
    seeing, gain = measured(field.dirty)
    cube = field.dirty[:, :150].copy()
    options: dict[str, Any] = {"noise": NOISE, "gain": gain, "seeing": seeing}
    whole = combine(cube, ["noise_clip"], **options).images["noise_clip"]
    for start in range(0, 150, height):
        first, last = max(start - REACH, 0), min(start + height + REACH, 150)
        rows = start - first, min(start + height, 150) - first
        band = combine(
            np.ascontiguousarray(cube[:, first:last]), ["noise_clip"], rows=rows, **options
        )
        expected = whole[start : start + height].tobytes()
        assert band.images["noise_clip"].tobytes() == expected


def test_surroundings_of_an_edge_or_a_hole_are_incomplete() -> None:
    image = np.random.default_rng(7).normal(size=(40, 60)).astype(np.float32)
    image[20, 30] = np.nan
    filled = np.where(np.isnan(image), np.inf, image)
    expected = maximum_filter(filled, 2 * REACH + 1, mode="constant", cval=np.inf)
    brightest = np.empty(60)
    for y in range(40):
        brightest_of_row(image, y, 0, brightest)
        assert np.array_equal(brightest, expected[y])


def test_terms_have_the_same_bytes_on_an_older_processor() -> None:
    command = (
        "from scripts.lightstack.stacking.psf_matching import TERMS; print(TERMS.tobytes().hex())"
    )
    told = subprocess.run(
        [sys.executable, "-c", command],
        cwd=ROOT,
        env={**os.environ, **older_processor()},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == TERMS.tobytes().hex()


def test_terms_move_light_and_add_none() -> None:
    np.testing.assert_allclose(TERMS.sum(axis=0), 0, atol=1e-12)
