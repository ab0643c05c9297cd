"""The resampled frame: sharpness, flux, noise, missing pixels, and that bands do not matter."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

from scripts.lightstack.alignment.transform import POWERS, Transform, identity
from scripts.lightstack.resampling.backward_map import source_columns, source_rows
from scripts.lightstack.resampling.clamp import UNDERSHOOT
from scripts.lightstack.resampling.colours import resample_colours
from scripts.lightstack.resampling.kernel import PHASES
from scripts.lightstack.resampling.nearest import sample
from scripts.lightstack.resampling.plane import resample

Image = NDArray[np.float32]
SHAPE = (61, 64)
# The kernel for distances up to 1, 2 and 3, as `docs/methods.md` writes it.
LOBES = [
    np.polynomial.Polynomial([1, 0, -1.83, 0.42, 0.41]),
    np.polynomial.Polynomial([0, -0.76, 0.61, 0.93, -0.78])(np.polynomial.Polynomial([-1, 1])),
    np.polynomial.Polynomial([0, 0.13, 0.11, -0.61, 0.37])(np.polynomial.Polynomial([-2, 1])),
]


def shift(x: float, y: float, shape: tuple[int, int] = SHAPE) -> Transform:
    """Transform of a frame that shows at (0, 0) what the reference shows at (-x, -y)."""
    return Transform(np.array([[1.0, 0, -x], [0, 1, -y], [0, 0, 1]]), shape, shape)


def turn(
    degrees: float, scale: float = 1.0, shape: tuple[int, int] = SHAPE, cubic: float = 0.0
) -> Transform:
    """Rotation about the centre with a change of scale, and a cubic of this size [pixels]."""
    angle, centre = np.radians(degrees), (np.array(shape[::-1]) - 1) / 2
    matrix = np.eye(3)
    matrix[:2, :2] = scale * np.array(
        [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    )
    matrix[:2, 2] = centre - matrix[:2, :2] @ centre
    if not cubic:
        return Transform(matrix, shape, shape)
    terms = cubic * np.random.default_rng(5).uniform(-1, 1, (2, 10))
    return Transform(matrix, shape, shape, "polynomial", np.zeros((2, 10)), terms)


def valley() -> Transform:
    """Polynomial that reaches its lowest row of the frame inside a band, not on its border."""
    backward = np.array([[0, 1, 0], [0.2, 0, 20], [0, 0, 1.0]])
    cubic = np.zeros((2, 10))
    cubic[1, POWERS.index((0, 2))] = 20
    return Transform(np.linalg.inv(backward), SHAPE, SHAPE, "polynomial", np.zeros((2, 10)), cubic)


def star(x: float, y: float, fwhm: float, shape: tuple[int, int] = SHAPE) -> NDArray[np.float64]:
    """Gaussian star of peak 1, averaged over each pixel's area."""
    steps = (np.arange(9) - 4) / 9
    sigma = fwhm / 2.3548

    def profile(centre: float, n: int) -> NDArray[np.float64]:
        places = np.arange(n)[:, np.newaxis] + steps - centre
        mean: NDArray[np.float64] = np.exp(-((places / sigma) ** 2) / 2).mean(axis=1)
        return mean

    return np.outer(profile(y, shape[0]), profile(x, shape[1]))


def warp(
    image: NDArray[np.floating],
    transform: Transform,
    scale: float = 1.0,
    saturation: float = np.inf,
) -> Image:
    """Resample a whole frame."""
    rows = (0, transform.reference_shape[0])
    pixels = image.astype(np.float32)
    return resample(pixels, 0, transform, rows, scale=scale, saturation=saturation)


def plainly(image: Image, transform: Transform) -> NDArray[np.float64]:
    """Compute the same in float64 with loops, from the text of the module only."""
    ny, nx = transform.reference_shape
    grid = np.stack(np.meshgrid(np.arange(nx), np.arange(ny)), axis=-1).reshape(-1, 2)
    places = np.round(transform.backward(grid.astype(float)) * PHASES) / PHASES
    step = 1e-4
    right, up = np.array([[step, 0.0], [0.0, step]])
    along_x = transform.backward(grid + right) - transform.backward(grid - right)
    along_y = transform.backward(grid + up) - transform.backward(grid - up)
    area = np.abs(along_x[:, 0] * along_y[:, 1] - along_x[:, 1] * along_y[:, 0]) / (4 * step**2)
    padded = np.pad(image.astype(float), 6, constant_values=np.nan)
    out = np.full(ny * nx, np.nan)
    for pixel, (x, y) in enumerate(places):
        left, bottom = int(np.floor(x)), int(np.floor(y))
        if not (-3 <= left < image.shape[1] + 2 and -3 <= bottom < image.shape[0] + 2):
            continue
        weights = np.ones((6, 6))
        for axis, distance in enumerate((bottom - y, left - x)):
            d = distance + np.arange(-2, 4)
            line = np.select([np.abs(d) < n for n in (1, 2, 3)], [p(np.abs(d)) for p in LOBES])
            line[np.abs(line) < 1e-12] = 0
            weights *= np.expand_dims(line, 1 - axis)
        values = padded[bottom + 4 : bottom + 10, left + 4 : left + 10]
        valid = np.isfinite(values)
        if np.isnan(values[2:4, 2:4][weights[2:4, 2:4] != 0]).any():
            continue
        value = np.sum(weights[valid] * values[valid]) / weights[valid].sum()
        lowest = np.nanmin(values[1:5, 1:5])
        least = lowest - UNDERSHOOT * (np.nanmax(values) - lowest)
        value = max(value, least - (plain_ring(values) if valid.all() else 0))
        out[pixel] = value * area[pixel]
    return out.reshape(ny, nx)


def plain_ring(values: NDArray[np.float64]) -> float:
    """Depth of the ring of a star about the brightest of the inner 4 x 4 of 6 x 6 pixels."""
    y, x = np.unravel_index(np.argmax(values[1:5, 1:5]), (4, 4)) + np.ones(2, int)
    if values.mean() - values[1:5, 1:5].min() > 0.25 * (values.max() - values[1:5, 1:5].min()):
        return 0
    beside = np.zeros((6, 6), bool)
    beside[y - 1 : y + 2, x - 1 : x + 2] = True
    light = values - values[~beside].mean()
    if light[[y, y, y - 1, y + 1], [x - 1, x + 1, x, x]].min() <= 0:
        return 0
    if (light > 0.97 * light.max()).sum() > 2:
        return 0
    products = []
    for line, at in ((light[y], x), (light[:, x], y)):
        pairs = [line[at - 1] * line[at + 1] / line[at] ** 2]
        higher = at + (1 if line[at + 1] > line[at - 1] else -1)
        if 0 < higher < 5:
            pairs.append(line[higher - 1] * line[higher + 1] / line[higher] ** 2)
        products.append(max(pairs))
    share = np.clip(min(products) / 0.01 - 1, 0, 1)
    return float(share * max(0.3 - max(products), 0) * 0.4 * light[y, x])


@pytest.mark.parametrize(
    "transform",
    [
        shift(0.3, -0.4),
        shift(0, 0.5),
        turn(0.7),
        turn(37.0, 1.3),
        turn(0.4, 1.001, cubic=1.5),
        Transform(turn(3.0).matrix, SHAPE, (40, 80)),
    ],
)
def test_equals_plain_numpy(transform: Transform) -> None:
    rng = np.random.default_rng(1)
    image = rng.normal(10, 5, SHAPE).astype(np.float32)
    image[rng.random(SHAPE) < 0.02] = np.nan
    np.testing.assert_allclose(
        warp(image, transform), plainly(image, transform), rtol=2e-5, atol=2e-5
    )


@pytest.mark.parametrize(("x", "y"), [(0, 0), (5, -3)])
def test_whole_pixels_come_out_bit_by_bit(x: int, y: int) -> None:
    rng = np.random.default_rng(2)
    image = rng.normal(0, 1e4, SHAPE).astype(np.float32)
    image[rng.random(SHAPE) < 0.1] = np.nan
    expected = np.full(SHAPE, np.nan, np.float32)
    inside = np.s_[max(-y, 0) : SHAPE[0] - max(y, 0), max(-x, 0) : SHAPE[1] - max(x, 0)]
    taken = np.s_[max(y, 0) : SHAPE[0] + min(y, 0), max(x, 0) : SHAPE[1] + min(x, 0)]
    expected[inside] = image[taken]
    assert warp(image, shift(x, y)).tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    ("centre", "x", "y"),
    [((30.0, 30.0), 0.5, 0.5), ((30.5, 30.0), 0.5, 0), ((30.5, 30.5), 0.5, 0.5)],
)
def test_star_keeps_its_peak_at_half_a_pixel(
    centre: tuple[float, float], x: float, y: float
) -> None:
    result = warp(star(*centre, fwhm=2), shift(x, y))
    assert np.nanmax(result) >= 0.97 * star(centre[0] - x, centre[1] - y, fwhm=2).max()


def test_star_keeps_its_peak_at_any_phase() -> None:
    phases = np.random.default_rng(3).uniform(0, 1, (60, 4))
    kept = [
        np.nanmax(warp(star(30 + a, 30 + b, 2), shift(x, y)))
        / star(30 + a - x, 30 + b - y, 2).max()
        for a, b, x, y in phases
    ]
    assert np.mean(kept) > 0.98
    assert min(kept) >= 0.97
    assert max(kept) < 1.02


@pytest.mark.parametrize(
    "transform",
    [shift(0.5, 0.5), shift(0.25, 0.6), turn(10.0), turn(5.0, 1.01), turn(0.3, 0.99, cubic=0.5)],
)
@pytest.mark.parametrize("fwhm", [2.0, 3.0])
def test_total_flux_is_kept_to_a_thousandth(transform: Transform, fwhm: float) -> None:
    errors = []
    for x, y in np.random.default_rng(8).uniform(27, 34, (20, 2)):
        image = star(x, y, fwhm)
        flux = np.nansum(warp(image, transform, scale=2.0), dtype=float)
        errors.append(abs(flux / (2 * image.sum()) - 1))
    assert max(errors) < 1e-3


@pytest.mark.parametrize("fwhm", [1.25, 1.4, 1.6])
def test_flux_of_undersampled_stars_is_kept(fwhm: float) -> None:
    errors = []
    for x, y, dx, dy in np.random.default_rng(9).random((60, 4)):
        image = star(30 + x, 30 + y, fwhm)
        errors.append(np.nansum(warp(image, shift(dx, dy)), dtype=float) / image.sum() - 1)
    assert np.abs(errors).max() < 1e-3


@pytest.mark.parametrize(("x", "y"), [(0.5, 0.5), (0.25, 0.5), (0.3, 0)])
def test_hot_pixel_and_trail_dig_no_ring(x: float, y: float) -> None:
    image = np.full(SHAPE, 10.0)
    image[30, 30] += 5e4
    image[50, 20:40] += 5e4
    image[10, 40:42] += 5e4
    assert np.nanmin(warp(image, shift(x, y))) > 10 - 0.002 * 5e4


@pytest.mark.parametrize("fwhm", [1.25, 1.5, 2.0, 3.0, 5.0])
@pytest.mark.parametrize(("x", "y"), [(0.5, 0.5), (0.25, 0.5), (0.3, 0)])
@pytest.mark.parametrize("cut", [6, 30])
def test_saturated_star_digs_no_ring(fwhm: float, x: float, y: float, cut: float) -> None:
    sky = 10.0
    saturated = sky + np.minimum(cut * star(30.2, 30.4, fwhm), 1) * 5e4
    made = warp(saturated, shift(x, y), saturation=5e4 + sky)
    assert np.nanmin(made) > sky - 0.002 * 5e4


def test_noise_and_its_mean() -> None:
    noise = np.random.default_rng(4).normal(size=(400, 400))
    half = warp(noise, shift(0.5, 0.5, noise.shape))[3:-4, 3:-4]
    assert half.var() == pytest.approx(0.67, abs=0.02)
    assert abs(half.mean() - noise.mean()) < 0.005
    turned = warp(noise, turn(1.0, shape=noise.shape))
    assert np.nanvar(turned) == pytest.approx(0.82, abs=0.02)


def test_missing_pixel_costs_four_pixels_and_brings_in_no_value() -> None:
    image = np.full(SHAPE, 1234.5, np.float32)
    image[30, 20] = np.nan
    result = warp(image, shift(0.4, 0.6))
    missing = np.argwhere(np.isnan(result[:-1, :-1]))
    assert missing.tolist() == [[29, 19], [29, 20], [30, 19], [30, 20]]
    np.testing.assert_allclose(result[np.isfinite(result)], 1234.5, rtol=1e-6)


def test_missing_pixel_changes_nothing_beyond_the_kernel() -> None:
    image = np.random.default_rng(6).normal(size=SHAPE).astype(np.float32)
    whole = warp(image, shift(0.4, 0.6))
    image[30, 20] = np.nan
    same = np.isclose(warp(image, shift(0.4, 0.6)), whole, atol=1e-5)
    changed = np.argwhere(~same[:-1, :-1])
    assert changed.min(axis=0).tolist() == [27, 17]
    assert changed.max(axis=0).tolist() == [32, 22]


def test_border_loses_only_what_lies_outside() -> None:
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(float)
    result = warp(100 + x + 2 * y, shift(-0.3, -0.3))
    assert np.isnan(result[0]).all()
    assert np.isnan(result[:, 0]).all()
    expected = 100 + (x - 0.3) + 2 * (y - 0.3)
    np.testing.assert_allclose(result[1:, 1:], expected[1:, 1:], atol=0.7)
    np.testing.assert_allclose(result[4:-4, 4:-4], expected[4:-4, 4:-4], atol=0.1)


@pytest.mark.parametrize(
    "transform", [shift(0.3, 7.6), turn(4.0), turn(95.0, 1.1), turn(1.0, cubic=3.0)]
)
def test_any_band_and_thread_gives_the_same_bytes(transform: Transform) -> None:
    rng = np.random.default_rng(7)
    image = rng.normal(size=SHAPE).astype(np.float32)
    image[rng.random(SHAPE) < 0.05] = np.nan
    expected = warp(image, transform).tobytes()
    for height in (1, 7, 32):
        out = np.empty(SHAPE, np.float32)

        def band(start: int, height: int = height, out: Image = out) -> None:
            rows = start, min(start + height, SHAPE[0])
            first, last = source_rows(transform, rows)
            resample(image[first:last].copy(), first, transform, rows, out=out[slice(*rows)])

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(band, range(0, SHAPE[0], height)))
        assert out.tobytes() == expected


@pytest.mark.parametrize(
    "transform",
    [
        identity(SHAPE),
        shift(0.3, 7.6),
        shift(0, 500),
        turn(33.0),
        turn(70.0, 1.2),
        turn(180.3, 0.8),
        turn(1.0, cubic=3.0),
        valley(),
    ],
)
def test_colours_together_are_those_one_by_one(transform: Transform) -> None:
    rng = np.random.default_rng(8)
    planes = rng.normal(0, 1, (3, *SHAPE))
    for number in range(12):
        x, y = rng.uniform(0, SHAPE[1]), rng.uniform(0, SHAPE[0])
        planes += rng.uniform(10, 2000, (3, 1, 1)) * star(x, y, 1.2 + number / 6)
    planes[1] = np.minimum(planes[1], 500)
    planes[:, 30, 7:20] += 3000
    planes[rng.random(planes.shape) < 0.002] = np.nan
    images = planes.astype(np.float32)
    scales, levels = (1.1, 0.9, 2.0), (3000.0, 500.0, np.inf)
    for rows in ((0, SHAPE[0]), (20, 29), (40, 41)):
        first, last = source_rows(transform, rows)
        out = [np.empty((rows[1] - rows[0], SHAPE[1]), np.float32) for _ in range(3)]
        # What is beside the columns that are needed changes nothing.
        source = np.full((last - first, SHAPE[1], 3), 1e9, np.float32)
        for row, (left, right) in enumerate(source_columns(transform, rows, (first, last))):
            source[row, left:right] = images[:, first + row, left:right].T
        resample_colours(
            source, first, transform, rows, scales=scales, saturations=levels, out=out
        )
        for image, scale, level, plane in zip(images, scales, levels, out, strict=True):
            whole = warp(image, transform, scale, level)
            assert plane.tobytes() == whole[slice(*rows)].tobytes()


def test_samples_are_the_nearest_pixels_on_the_scale_of_the_stack() -> None:
    transform, rows = turn(33.0, 1.2), np.array([0, 1, 2, 30, 31, 60])
    images = np.random.default_rng(4).normal(5, 1, (3, *SHAPE)).astype(np.float32)
    images[1, 30, 30:34] = np.nan
    first, last = source_rows(transform, (0, SHAPE[0]))
    scales, out = (1.0, 1.5, 0.7), [np.empty((rows.size, SHAPE[1]), np.float32) for _ in range(3)]
    sample(images[:, first:last], first, transform, rows, scales=scales, out=out)
    grid = np.stack(np.meshgrid(np.arange(SHAPE[1]), rows), axis=-1).reshape(-1, 2)
    x, y = transform.backward(grid.astype(float)).T
    near_x, near_y = np.floor(x + 0.5).astype(int), np.floor(y + 0.5).astype(int)
    there = (near_x >= 0) & (near_y >= 0) & (near_x < SHAPE[1]) & (near_y < SHAPE[0])
    # Where both are as near, either may be taken.
    clear = np.maximum(np.abs(x - near_x), np.abs(y - near_y)) < 0.5 - 1 / PHASES
    assert 0.5 < there.mean() < 1
    for image, scale, plane in zip(images, scales, out, strict=True):
        found = np.full(there.size, np.nan, np.float32)
        found[there] = image[near_y[there], near_x[there]] * scale / 1.2**2
        np.testing.assert_allclose(plane.ravel()[clear], found[clear], rtol=1e-6)


def test_a_band_of_a_turned_frame_needs_few_columns() -> None:
    shape = (400, 600)
    transform, rows = turn(60.0, shape=shape), (200, 220)
    first, last = source_rows(transform, rows)
    columns = source_columns(transform, rows, (first, last))
    assert np.maximum(columns[:, 1] - columns[:, 0], 0).sum() < 0.15 * (last - first) * shape[1]


@pytest.mark.parametrize(
    "transform", [turn(2.0), turn(0.5, cubic=3.0), valley(), shift(0.5, -4.2)]
)
def test_source_rows_are_all_needed_and_enough(transform: Transform) -> None:
    ny, nx = SHAPE
    for start in range(0, ny, 10):
        rows = start, min(start + 20, ny)
        grid = np.array([(x, y) for y in range(*rows) for x in range(nx)], float)
        y = np.round(transform.backward(grid)[:, 1] * PHASES) // PHASES
        expected = max(y.min() - 2, 0), min(y.max() + 4, ny)
        assert source_rows(transform, rows) == expected
        first, last = (int(row) for row in expected)
        with pytest.raises(ValueError, match="of the frame"):
            resample(np.zeros((last - first - 1, nx), np.float32), first, transform, rows)


def test_frame_elsewhere_gives_no_data() -> None:
    assert source_rows(shift(0, 500), (0, 10)) == (SHAPE[0], SHAPE[0])
    nothing = np.empty((0, SHAPE[1]), np.float32)
    assert np.isnan(resample(nothing, SHAPE[0], shift(0, 500), (0, 10))).all()
    assert np.isnan(warp(np.ones(SHAPE), shift(500, 0))).all()


@pytest.mark.parametrize(
    "out",
    [
        np.empty((3, SHAPE[1]), np.float32),
        np.empty((4, SHAPE[1])),
        np.empty((4, 2 * SHAPE[1]), np.float32)[:, ::2],
    ],
)
def test_unfit_output_is_refused(out: NDArray[np.float32]) -> None:
    with pytest.raises(ValueError, match="out must be"):
        resample(np.ones(SHAPE, np.float32), 0, identity(SHAPE), (0, 4), out=out)


def test_frame_of_another_width_is_refused() -> None:
    with pytest.raises(ValueError, match="cut from"):
        resample(np.ones((SHAPE[0], 10), np.float32), 0, identity(SHAPE), (0, 4))
