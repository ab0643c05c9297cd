"""The stack's modes against plain NumPy, the clip modes against skies with known contaminants."""

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from benchmarks.seeing_table import changes, nights
from scripts.lightstack.stacking.combining import SIX, Combined, combine
from scripts.lightstack.stacking.modes import CLIP_MODES, MODES
from scripts.lightstack.stacking.noise_clip import MARGIN
from scripts.lightstack.stacking.rejection import blindness, smallest_stack
from scripts.lightstack.stacking.sorting import sorting_network

Cube = NDArray[np.float32]
PLAIN: dict[str, Callable[..., Any]] = {
    "mean": np.nanmean,
    "median": np.nanmedian,
    "max": np.nanmax,
    "min": np.nanmin,
}
RNG = np.random.default_rng(11)


def random_cube(n: int, ny: int, nx: int, missing: float = 0.2) -> Cube:
    """Noise with gaps, and some outliers."""
    rng = np.random.default_rng(n)
    cube = rng.normal(3, 1, (n, ny, nx))
    cube[rng.random(cube.shape) < 0.05] += 30
    cube[rng.random(cube.shape) < missing] = np.nan
    return cube.astype(np.float32)


def every_mode(cube: Cube, **options: Any) -> Combined:
    """Combine by all modes, with a noise of one."""
    return combine(cube, MODES, noise=np.ones(len(cube)), **options)


def as_bytes(combined: Combined) -> list[bytes]:
    """Give everything that was computed."""
    results: list[NDArray[Any]] = [*combined.images.values(), *combined.rejected.values()]
    return [result.tobytes() for result in [*results, combined.coverage]]


def winsorized(values: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    """Values of one pixel that are kept, from the definition in `docs/methods.md`."""
    kept = np.sort(values)
    while len(kept) > 3:
        centre, spread = np.median(kept), kept.std(ddof=1)
        for _ in range(100):
            limits = centre - 1.5 * spread, centre + 1.5 * spread
            before, spread = spread, 1.134 * np.clip(kept, *limits).std(ddof=1)
            if abs(spread - before) <= 0.0005 * before:
                break
        size = len(kept)
        while len(kept) > 4 and kept[0] < centre - sigma * spread:
            kept = kept[1:]
        while len(kept) > 4 and kept[-1] > centre + sigma * spread:
            kept = kept[:-1]
        if len(kept) == size:
            break
    return kept


def noise_clipped(
    cube: NDArray[np.float64], noise: NDArray[np.float64], gain: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Cube with NaN for what is rejected, from the definition in `docs/methods.md`."""
    count = np.isfinite(cube).sum(axis=0)
    lower = np.maximum(count - 1, 0) // 2
    centre = np.take_along_axis(np.sort(cube, axis=0), lower[np.newaxis], axis=0)[0]
    padded = np.pad(centre, MARGIN, constant_values=np.nan)
    lowest = np.nanmin(sliding_window_view(padded, (11, 11)), axis=(2, 3), initial=np.inf)
    inner = sliding_window_view(padded[3:-3, 3:-3], (5, 5))
    height = np.nanmax(inner, axis=(2, 3), initial=-np.inf) - lowest
    floor = 6 * np.sqrt((noise**2).mean() / np.maximum(count, 1))
    variance = noise[:, None, None] ** 2 + np.maximum(centre, 0) / gain[:, None, None]
    variance += (0.3 * np.maximum(height - floor, 0)) ** 2
    return np.where(np.abs(cube - centre) > 4 * np.sqrt(variance), np.nan, cube)


@settings(max_examples=150, deadline=None)
@given(
    arrays(
        np.float32,
        st.tuples(st.integers(1, 9), st.integers(1, 3), st.integers(1, 5)),
        elements=st.floats(-1e6, 1e6, width=32) | st.just(np.float32(np.nan)),
    )
)
def test_six_modes_equal_plain_numpy(cube: Cube) -> None:
    result = combine(cube, SIX)
    values, covered = cube.astype(float), np.isfinite(cube).any(axis=0)
    assert np.array_equal(result.coverage, np.isfinite(cube).sum(axis=0))
    for mode, function in PLAIN.items():
        expected = function(values[:, covered], axis=0).astype(np.float32)
        np.testing.assert_allclose(result.images[mode][covered], expected, rtol=3e-7, atol=1e-12)
    mean, std = np.nanmean(values[:, covered], axis=0), np.nanstd(values[:, covered], axis=0)
    np.testing.assert_allclose(result.images["std"][covered], std, rtol=3e-7, atol=1e-9)
    distance = np.abs(values[:, covered] - mean)
    decided = ~np.isclose(distance, 2.5 * std, rtol=1e-9, atol=1e-9).any(axis=0) | (std == 0)
    expected = np.nanmean(
        np.where(distance <= 2.5 * std + 1e-9, values[:, covered], np.nan), axis=0
    )
    got = result.images["sigma_clip"][covered]
    np.testing.assert_allclose(got[decided], expected[decided], rtol=3e-7, atol=1e-9)
    for image in result.images.values():
        assert np.isnan(image[~covered]).all()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # plain NumPy's, where no frame has data
@pytest.mark.parametrize("n", [2, 5, 12, 33, 150])
def test_all_modes_equal_plain_loops(n: int) -> None:
    cube = random_cube(n, 5, 150)
    weights, noise = RNG.uniform(0.5, 2, n), RNG.uniform(0.5, 2, n)
    gain = RNG.uniform(1, 3, n)
    result = combine(cube, MODES, weights=weights, noise=noise, gain=gain)
    values = cube.astype(float)
    mean, std = np.nanmean(values, axis=0), np.nanstd(values, axis=0)
    kept = {
        "mean": values,
        "sigma_clip": np.where(np.abs(values - mean) <= 2.5 * std, values, np.nan),
        "winsorized": values.copy(),
        "noise_clip": noise_clipped(values, noise, gain),
    }
    for y, x in np.ndindex(values.shape[1:]):
        pixel = values[:, y, x]
        inside = winsorized(pixel[np.isfinite(pixel)], 3.0)
        kept["winsorized"][~np.isin(pixel, inside), y, x] = np.nan
    for mode, left in kept.items():
        weight = np.where(np.isfinite(left), weights[:, None, None], 0)
        expected = np.nansum(weight * left, axis=0) / weight.sum(axis=0)
        np.testing.assert_allclose(result.images[mode], expected, rtol=3e-7, atol=1e-9)
        if mode in CLIP_MODES:
            rejected = np.isfinite(values).sum(axis=0) - np.isfinite(left).sum(axis=0)
            assert np.array_equal(result.rejected[mode], rejected)
    assert np.isfinite(result.images["mean"]).mean() > 0.9


@pytest.mark.parametrize("threads", [2, 3, 16])
def test_any_number_of_threads_gives_the_same_bytes(threads: int) -> None:
    cube = random_cube(7, 13, 200)
    assert as_bytes(every_mode(cube, threads=threads)) == as_bytes(every_mode(cube))


@pytest.mark.parametrize("height", [1, 3, 12])
def test_any_band_gives_the_same_bytes(height: int) -> None:
    cube = random_cube(7, 13, 200)
    whole = every_mode(cube)
    for start in range(0, 13, height):
        stop = min(start + height, 13)
        first, last = max(start - MARGIN, 0), min(stop + MARGIN, 13)
        band = every_mode(cube[:, first:last].copy(), rows=(start - first, stop - first))
        for mode in MODES:
            assert band.images[mode].tobytes() == whole.images[mode][start:stop].tobytes()
        for mode in CLIP_MODES:
            assert np.array_equal(band.rejected[mode], whole.rejected[mode][start:stop])
        assert np.array_equal(band.coverage, whole.coverage[start:stop])


def test_modes_do_not_depend_on_the_company() -> None:
    cube = random_cube(8, 4, 130)
    together = every_mode(cube)
    for mode in MODES:
        alone = combine(cube, [mode], noise=np.ones(8))
        assert list(alone.images) == [mode]
        assert alone.images[mode].tobytes() == together.images[mode].tobytes()


def test_pixel_without_data_is_nan() -> None:
    result = every_mode(np.full((3, 2, 5), np.nan, np.float32))
    assert all(np.isnan(image).all() for image in result.images.values())
    assert not result.coverage.any()
    assert not any(rejected.any() for rejected in result.rejected.values())


def test_sums_are_double() -> None:
    cube = (1e5 + RNG.normal(size=(400, 3, 20))).astype(np.float32)
    result = combine(cube, ("mean", "std"))
    np.testing.assert_array_equal(result.images["mean"], cube.mean(0, float).astype(np.float32))
    np.testing.assert_allclose(result.images["std"], cube.astype(float).std(axis=0), rtol=1e-6)


def test_constant_pixels_are_kept_by_every_mode() -> None:
    result = every_mode(np.full((7, 1, 3), 0.1, np.float32))
    for mode in MODES:
        assert (result.images[mode] == np.float32(0 if mode == "std" else 0.1)).all()
    assert not any(rejected.any() for rejected in result.rejected.values())


@pytest.mark.parametrize("n", range(1, 12))
def test_network_sorts(n: int) -> None:
    values = np.array(list(product((0, 1), repeat=n)))  # what sorts these sorts everything
    for i, j in sorting_network(n):
        values[:, [i, j]] = np.sort(values[:, [i, j]], axis=1)
    assert (np.diff(values, axis=1) >= 0).all()


@pytest.mark.parametrize(("sigma", "n"), [(2, 6), (2.5, 8), (3, 11), (4, 18), (5, 27)])
def test_sigma_clip_is_blind_below_its_smallest_stack(sigma: float, n: int) -> None:
    assert smallest_stack(sigma) == n
    for size, rejected in ((n - 2, 0), (n, 1)):  # with one frame less it is on the limit
        cube = np.zeros((size, 1, 1), np.float32)
        cube[0] = 1e6
        result = combine(cube, ["sigma_clip"], sigma_clip=sigma)
        assert result.rejected["sigma_clip"].item() == rejected


def test_blind_stacks_are_told_with_their_frames() -> None:
    assert "blind with 4 frames: " in blindness(2.5, 4)
    assert "blind with 4 to 7 frames: " in blindness(2.5, 7, 4, 5)
    assert blindness(2.5, 8) == ""


@pytest.mark.parametrize(
    ("values", "expected"),
    [((50,), 50), ((1, 2), 1.5), ((0, 50), 0), ((50, 0), 0), ((0, 1, 50), 0.5), ((0, 0, -50), 0)],
)
def test_noise_clip_of_few_frames(values: tuple[float, ...], expected: float) -> None:
    cube = np.array(values, np.float32).reshape(-1, 1, 1)
    result = combine(cube, ["noise_clip"], noise=np.ones(len(values)))
    assert result.images["noise_clip"].item() == expected


def contaminated(n: int, size: int) -> tuple[Cube, NDArray[np.bool_]]:
    """Noise of one with trails and cosmic rays, and where these are."""
    rng = np.random.default_rng(9)
    y, x = np.mgrid[:size, :size]
    light = np.zeros((n, size, size))
    for i, strength in enumerate((10, 30, 100, 1000)):
        across = np.abs((x - size / 2) * np.cos(i) + (y - size / 2 + 20 * i) * np.sin(i))
        light[2 * i] += strength * np.exp(-((across / 1.3) ** 2) / 2)
    hits = rng.random(light.shape) < 1e-3
    light[hits] += 10 ** rng.uniform(1, 4, np.count_nonzero(hits))
    touched: NDArray[np.bool_] = np.any(light > 0.01, axis=0)
    return (rng.normal(size=light.shape) + light).astype(np.float32), touched


def test_noise_clip_removes_a_trail_across_a_nebula() -> None:
    cube, touched = contaminated(12, 256)
    y, x = np.mgrid[-128:128, -128:128]
    nebula = (30 * np.exp(-(x**2 + y**2) / 2 / 60**2)).astype(np.float32)
    image = combine(cube + nebula, ["noise_clip"], noise=np.ones(12)).images["noise_clip"]
    assert (image - nebula)[touched].max() < 5 / np.sqrt(12)


def test_noise_clip_leaves_no_trail_and_no_cosmic_ray() -> None:
    cube, touched = contaminated(12, 256)
    stack_noise = 1 / np.sqrt(12)
    result = combine(cube, ["mean", "noise_clip"], noise=np.ones(12))
    assert result.images["mean"][touched].max() > 100 * stack_noise
    assert result.images["noise_clip"][touched].max() < 5 * stack_noise
    false = result.rejected["noise_clip"][~touched].mean() / 12
    assert false < 3e-4


@pytest.mark.parametrize(("n", "sigma", "share"), [(3, 8, 0.95), (5, 8, 0.98), (12, 5, 0.75)])
def test_noise_clip_finds_faint_outliers(n: int, sigma: float, share: float) -> None:
    cube = np.random.default_rng(12).normal(size=(n, 160, 160)).astype(np.float32)
    cube[0, ::4, ::4] += np.float32(sigma)
    result = combine(cube, ["noise_clip"], noise=np.ones(n))
    assert result.rejected["noise_clip"][::4, ::4].mean() > share


@pytest.mark.parametrize("peak", [100, 1000, 10000])
@pytest.mark.parametrize("night", nights(np.random.default_rng(0)))
def test_noise_clip_keeps_flux_in_changing_seeing(night: str, peak: float) -> None:
    found = changes(night, peak, 15)
    assert abs(found["noise_clip"]) < 0.3
    assert abs(found["noise_clip, seeing unknown"]) < 0.3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"modes": ["average"]}, "unknown mode 'average'"),
        ({"modes": ["noise_clip"]}, "needs the noise"),
        ({"modes": ["mean"], "weights": [1, 2]}, "weights must be 3 positive numbers"),
        ({"modes": ["mean"], "weights": [1, 2, 0]}, "weights must be 3 positive numbers"),
        ({"modes": ["sigma_clip"], "sigma_clip": 0.5}, "could reject every value"),
    ],
)
def test_impossible_requests_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        combine(np.ones((3, 2, 2), np.float32), **options)


@pytest.mark.parametrize("cube", [np.ones((3, 2, 2)), np.ones((0, 2, 2), np.float32)])
def test_unfit_cube_is_refused(cube: Cube) -> None:
    with pytest.raises(ValueError, match=r"cube must be|cannot combine"):
        combine(cube, ["mean"])
