"""The mode "proper", on fields of which the truth is known."""

from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks import proper_table
from benchmarks.proper_table import N_FRAMES, NIGHTS, SIDE, Sky, gain_in_depth
from scripts.lightstack.stacking.combining import Combined, combine
from scripts.lightstack.stacking.own_psf import REACH, Middle, measure_psf
from scripts.lightstack.stacking.proper import MARGIN
from scripts.lightstack.stacking.proper_kernels import kernels_of

Cube = NDArray[np.float32]


class Field(NamedTuple):
    """A field, and how its frames are combined."""

    night: Sky
    cube: Cube
    light: NDArray[np.float64]
    xy: NDArray[np.float64]
    flux: NDArray[np.float64]
    told: dict[str, Any]

    @property
    def noise(self) -> float:
        """Of the stack [units of the stack]."""
        return float((self.told["noise"] ** -2.0).sum() ** -0.5)

    def stack(self, cube: Cube, **options: Any) -> Combined:
        """Combine frames as those of the field."""
        return combine(cube, ["mean", "noise_clip", "proper"], **self.told, **options)


def field(name: str) -> Field:
    rng = np.random.default_rng(1)
    night = NIGHTS[name](rng)
    light, xy, flux = proper_table.starfield(night, rng)
    cube = proper_table.observe(light, night, rng)
    return Field(night, cube, light, xy, flux, proper_table.how(cube, night))


@pytest.fixture(scope="module")
def changing() -> Field:
    return field("2 to 5, Gaussian")


def apertures(image: NDArray[Any], of: Field, half: int = 15) -> NDArray[np.float64]:
    cuts = [
        np.s_[round(y) - half : round(y) + half + 1, round(x) - half : round(x) + half + 1]
        for x, y in of.xy
    ]
    return np.array([image[cut].sum(dtype=float) for cut in cuts])


@pytest.mark.parametrize(
    ("night", "gain"),
    [("2 to 5, Gaussian", 1.06), ("2 to 7, Moffat 3.5", 1.1), ("3, Gaussian", 0.999)],
)
def test_it_is_as_deep_as_can_be(night: str, gain: float) -> None:
    found = field(night)
    reached, possible = gain_in_depth(found.night, found.told)
    assert reached > gain
    assert reached > 0.995 * possible


def test_a_faint_star_stands_out_more_in_pixels_of_the_stack(changing: Field) -> None:
    """Measured on what `combine` gives, each stack under the filter that is best for it."""
    size, rng = 128, np.random.default_rng(2)
    offsets = np.arange(size, dtype=float) - size // 2
    star = proper_table.profiles(changing.night, *np.meshgrid(offsets, offsets))
    signal = changing.stack(star.astype(np.float32)).images
    empty = [
        changing.stack(rng.normal(size=star.shape).astype(np.float32)).images for _ in range(20)
    ]
    # Filters that are sums of rings of frequencies: noise is known well enough in these.
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(size), np.fft.fftfreq(size)))
    ring = np.minimum((frequency * 80).astype(int), 45)
    depth = {}
    for mode in ("mean", "proper"):
        power = sum(np.abs(np.fft.fft2(each[mode])) ** 2 for each in empty)
        noise = np.bincount(ring.ravel(), np.ravel(power)) / np.bincount(ring.ravel()) / 20
        light = np.abs(np.fft.fft2(signal[mode])) ** 2
        depth[mode] = np.sqrt((light / noise[ring]).sum())
        if mode == "proper":
            assert noise == pytest.approx(np.full(46, noise.mean()), rel=0.15)  # white
    assert depth["proper"] > 1.06 * depth["mean"]


@pytest.mark.parametrize("night", ["2 to 5, Gaussian", "2 to 7, Gaussian", "2 to 5, Moffat 3.5"])
def test_noise_clip_keeps_the_flux_of_stars(night: str) -> None:
    of = field(night)
    images = combine(of.cube, ["mean", "noise_clip"], **of.told).images
    ratio = apertures(images["noise_clip"], of) / apertures(images["mean"], of)
    bright = of.flux > 1000
    assert np.median(ratio[bright]) == pytest.approx(1, abs=0.001)
    assert ratio[bright].min() > 0.99


@pytest.mark.parametrize("night", ["2 to 5, Gaussian", "2.5 to 4, Moffat 3.5", "3, Gaussian"])
def test_it_keeps_the_flux_of_stars(night: str) -> None:
    found = field(night)
    images = found.stack(found.cube).images
    truth = apertures(found.light.mean(axis=0), found)
    bright = found.flux > 10_000
    change = {mode: apertures(images[mode], found)[bright] / truth[bright] - 1 for mode in images}
    bias = {mode: abs(np.median(each)) for mode, each in change.items()}
    assert bias["proper"] < 0.002


def test_its_noise_is_what_the_header_expects(changing: Field) -> None:
    empty = np.random.default_rng(3).normal(size=(N_FRAMES, 200, 200)).astype(np.float32)
    image = changing.stack(empty).images["proper"]
    assert image.std(dtype=float) == pytest.approx(changing.noise, rel=0.01)


def test_trails_and_cosmic_rays_do_not_ring_through(changing: Field) -> None:
    dirty, rng = changing.cube.copy(), np.random.default_rng(4)
    for frame, row in ((2, 70), (7, 210), (11, 330)):
        for x in range(SIDE):
            dirty[frame, row + x // 8 : row + x // 8 + 3, x] += 10.0 ** (1 + frame / 4)
    struck = rng.integers(0, SIDE, (2, 300))
    dirty[rng.integers(0, N_FRAMES, 300), struck[0], struck[1]] += 10 ** rng.uniform(1, 4, 300)
    clean, hit = (changing.stack(cube).images["proper"] for cube in (changing.cube, dirty))
    left = np.abs(hit - clean) / changing.noise
    sky = changing.light.mean(axis=0) < 0.3
    assert left[sky].max() < 4
    assert np.median(np.abs(apertures(hit - clean, changing) / changing.flux)) < 0.005


def test_gaps_and_edges_change_neither_flux_nor_sky(changing: Field) -> None:
    """Half of the frames end in mid-field, at another column each, and some pixels are bad."""
    cube = changing.cube.copy() + np.float32(50)  # as in a nebula
    for frame in range(0, N_FRAMES, 2):
        cube[frame, :, 240 + frame :] = np.nan
    cube[np.random.default_rng(5).random(cube.shape) < 1e-3] = np.nan
    cube[:, :6] = np.nan
    cube[:, 100:103, 100] = np.nan
    made = changing.stack(cube)
    image = made.images["proper"]
    assert np.array_equal(np.isnan(image), np.isnan(made.images["mean"]))
    assert np.array_equal(made.coverage, np.isfinite(cube).sum(axis=0))
    sky = changing.light.mean(axis=0) < 0.01
    for part in (np.s_[6:12], np.s_[-6:], np.s_[:, :6], np.s_[:, 250:290]):
        assert np.nanmedian(image[part][sky[part]]) == pytest.approx(50, abs=3 * changing.noise)
    whole = changing.stack(changing.cube).images["proper"]
    change = apertures(image - 50 - whole, changing) / changing.flux
    inside = (changing.flux > 10_000) & (changing.xy[:, 1] > 30)
    inside &= (np.abs(changing.xy - 100) > 20).any(axis=1)
    assert np.abs(change[inside]).max() < 0.02
    assert np.abs(np.median(change[inside])) < 0.002


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("height", [1, 7, 40])
def test_any_band_and_number_of_threads_gives_the_same_bytes(
    changing: Field, height: int, threads: int
) -> None:
    cube = np.ascontiguousarray(changing.cube[:, :60])
    cube[3, 20:30, 40:60] += 1000
    cube[5, :, 200:] = np.nan
    whole = changing.stack(cube).images["proper"]
    for start in range(0, 60, height):
        stop = min(start + height, 60)
        first, last = max(start - MARGIN, 0), min(stop + MARGIN, 60)
        band = changing.stack(
            np.ascontiguousarray(cube[:, first:last]),
            rows=(start - first, stop - first),
            threads=threads,
        )
        assert band.images["proper"].tobytes() == whole[start:stop].tobytes()


def test_without_stars_it_is_a_mean_by_noise() -> None:
    rng = np.random.default_rng(6)
    noise = rng.uniform(1, 2, 5)
    cube = (rng.normal(size=(5, 30, 40)) * noise[:, np.newaxis, np.newaxis]).astype(np.float32)
    made = combine(cube, ["noise_clip", "proper"], noise=noise, weights=noise**-2.0).images
    np.testing.assert_allclose(made["proper"], made["noise_clip"], atol=1e-6)


def test_kernels_sum_to_the_weights() -> None:
    weights = np.array([1.0, 2.0, 5.0])
    kernels = kernels_of(np.random.default_rng(7).normal(0, 0.01, (3, 12)), weights)
    np.testing.assert_allclose(kernels.sum(axis=(1, 2)), weights / 8)


def test_the_psf_is_that_of_the_stack(changing: Field) -> None:
    image = changing.stack(changing.cube).images["proper"]
    psf = measure_psf(image, changing.noise, np.inf)
    assert psf.n_stars > 20
    assert psf.image.sum(dtype=float) == pytest.approx(1, abs=1e-6)
    offsets = np.arange(-REACH, REACH + 1, dtype=float)
    star = proper_table.profiles(changing.night, *np.meshgrid(offsets, offsets))
    # Its transform is the root of the mean power of all.
    root = np.sqrt((np.abs(np.fft.fft2(star)) ** 2).mean(axis=0))
    expected = np.fft.fftshift(np.fft.ifft2(root).real)
    np.testing.assert_allclose(psf.image, expected, atol=0.02 * expected.max())


def test_too_few_stars_tell_no_psf() -> None:
    image = np.random.default_rng(8).normal(size=(100, 100)).astype(np.float32)
    psf = measure_psf(image, 1.0, np.inf)
    assert psf.n_stars == 0
    assert np.isnan(psf.image).all()


def test_the_middle_of_planes_is_kept() -> None:
    planes = np.arange(2 * 7 * 5, dtype=np.float32).reshape(2, 7, 5)
    middle = Middle(planes.shape)
    rows = planes.reshape(-1, 5)
    middle.add(rows[:9], 0)
    middle.add(rows[9:], 9)
    assert np.array_equal(middle.planes, planes)
