"""Masters have the noise of a mean, leave out what stands out, and know their own noise."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from astropy.io import fits
from numpy.typing import NDArray

from scripts import calibrate_frame, combine_bias, combine_darks, combine_flats
from scripts.lightstack.calibration import calibrating, masters
from scripts.lightstack.calibration.combining import combined, levels, variance_of_combined
from scripts.lightstack.calibration.median import median
from scripts.lightstack.calibration.noise import noise_of_master
from scripts.lightstack.raw.colour import ALONE, LUMA
from scripts.lightstack.simulator import Light, add_star
from tests.calibration import plain
from tests.conftest import snakemake

SHAPE = (60, 400)


def darks(n: int, noise: float, level: NDArray[np.float64] | float = 100.0) -> NDArray[np.float32]:
    rng = np.random.default_rng(n)
    return (level + rng.normal(0, noise, (n, *SHAPE))).astype(np.float32)


@pytest.mark.parametrize("n", [5, 6, 8, 15, 30])
def test_from_five_on_the_noise_is_that_of_a_mean(n: int) -> None:
    cube = darks(n, 5.0)
    assert combined(cube).std() < 1.03 * 5 / n**0.5 < 0.95 * median(cube).std()


@pytest.mark.parametrize("n", [5, 6, 8, 15, 30])
def test_its_noise_is_known_to_half_a_percent(n: int) -> None:
    cube = darks(n, 5.0)
    loss = combined(cube).var() / cube.mean(axis=0).var()
    assert n * variance_of_combined(n) == pytest.approx(loss, abs=0.01)


@pytest.mark.parametrize("noise", [0.2, 0.3, 0.5, 0.8])
def test_whole_numbers_average_where_the_noise_is_less_than_one(noise: float) -> None:
    level = np.random.default_rng(2).uniform(100, 101, SHAPE)
    cube = np.round(darks(20, noise, level))
    best = (cube.mean(axis=0) - level).std()
    assert (combined(cube) - level).std() < 1.06 * best
    assert (median(cube) - level).std() > 1.5 * best


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_fewer_than_five_have_their_median(n: int) -> None:
    cube = darks(n, 5.0)
    np.testing.assert_array_equal(combined(cube), median(cube))


def test_cosmic_rays_and_light_in_one_of_them_leave_no_trace() -> None:
    cube = darks(8, 5.0)
    rng = np.random.default_rng(1)
    rays = rng.random(cube.shape) < 0.002
    cube[rays] += rng.uniform(40, 60_000, np.count_nonzero(rays)).astype(np.float32)
    cube[3, :, :150] += np.linspace(2000, 30, 150, dtype=np.float32)
    master = combined(cube)
    assert master.std() < 1.1 * 5 / 8**0.5
    assert np.abs(master - 100).max() < 5.5 * 5 / 8**0.5
    assert abs(master[:, :150].mean() - master[:, 150:].mean()) < 0.3


@pytest.mark.parametrize("drift", [1.0, 10.0, 100.0])
def test_levels_that_drift_cost_no_noise(drift: float) -> None:
    cube = darks(9, 2.0)
    cube += np.random.default_rng(1).normal(0, drift, (9, 1, 1)).astype(np.float32)
    cube[:, 7] = np.nan
    found = levels(list(cube))
    assert np.median(found) == 0
    master = masters.in_bands(list(cube), combined, found)
    assert np.nanstd(master) < 1.03 * 2 / 3
    assert np.nanstd(np.nanmean(np.delete(master, 7, axis=0), axis=1)) < 0.1
    assert not levels(list(cube[:4])).any()


def test_pixels_that_are_noisier_than_others_are_averaged_too() -> None:
    cube = darks(12, 5.0)
    hot = np.random.default_rng(3).random(SHAPE) < 0.03
    cube[:, hot] += np.random.default_rng(4).normal(900, 80, (12, np.count_nonzero(hot)))
    middle, best = (made[hot].std() for made in (median(cube), cube.mean(axis=0)))
    assert combined(cube)[hot].std() < 1.1 * best < middle


def test_missing_and_saturated_values() -> None:
    cube = darks(6, 5.0)
    cube[:, 1, 2] = np.nan
    cube[1:, 1, 3] = np.nan
    cube[:3, 1, 4] = np.nan
    cube[:, 5, 6] = 65535
    cube[2, 5, 7] = 65535
    master = combined(cube)
    assert np.isnan(master[1, 2])
    assert np.count_nonzero(np.isnan(master)) == 1
    assert master[1, 3] == cube[0, 1, 3]
    assert abs(master[1, 4] - 100) < 15
    assert master[5, 6] == 65535
    assert abs(master[5, 7] - 100) < 15


def test_one_value_that_differs_among_values_without_noise() -> None:
    cube = np.full((8, *SHAPE), 100, np.float32)
    cube[2, 3, 4] = 5000
    np.testing.assert_array_equal(combined(cube), 100)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8, 20])
@pytest.mark.parametrize("noise", [0.4, 6.0])
def test_a_master_tells_its_own_noise(tmp_path: Path, n: int, noise: float) -> None:
    """Whatever the darks share, be it hot pixels, and whatever level their rows have."""
    rng = np.random.default_rng(n)
    shape = (150, 300)
    pattern = 300 + rng.uniform(0, 1, shape)
    if n > 1:
        pattern += np.where(rng.random(shape) < 0.01, 3000, 0) + rng.normal(0, 20, shape)
    cube = pattern + rng.normal(0, noise, (n, *shape))
    cube += rng.normal(0, 3 if n >= 5 else 0, (n, 1, 1))
    cube = np.round(cube)
    cube[rng.random(cube.shape) < 0.001] = 20_000
    for number, pixels in enumerate(cube):
        fits.writeto(tmp_path / f"{number}.fits", pixels.astype(np.uint16))
    for combine in (combine_darks, combine_bias):
        master = tmp_path / "work" / f"{combine.__name__}.fits"
        combine.run([tmp_path / f"{number}.fits" for number in range(n)], master)
        image, header = fits.getdata(master, header=True)
        # Of a single one, the pattern counts as well.
        apart = image - (pattern if n > 1 else 300)
        true = apart[np.abs(apart - np.median(apart)) < 5 * noise + 1].std()
        # A median of whole numbers has some more noise than one of any numbers.
        tolerance = 0.2 if n in (3, 4) and noise < 1 else 0.08
        assert header["MSTNOISE"] == pytest.approx(true, rel=tolerance)
        opened = masters.open_master(master)
        assert opened is not None
        assert (opened.noise, opened.n_combined) == (header["MSTNOISE"], n)


@pytest.mark.parametrize("number_of_darks", [1, 5])
def test_masters_of_pictures_in_colour_have_their_colours(
    tmp_path: Path, number_of_darks: int
) -> None:
    rng = np.random.default_rng(3)
    shape, levels = (60, 80), np.array([300, 500, 900])
    y = np.linspace(-1, 1, shape[0])[:, np.newaxis, np.newaxis]
    # Each colour has a vignetting of its own, and glow of a level of its own.
    response = 1 - np.array([0.2, 0.4, 0.6]) * y**2 * np.ones((1, shape[1], 1))
    light = np.array([4000, 8000, 2000])

    def picture(name: str, pixels: np.ndarray) -> Path:
        path = tmp_path / name
        noisy = pixels + rng.normal(0, 5, (*shape, 3))
        tifffile.imwrite(path, np.rint(noisy).astype(np.uint16))
        return path

    darks = [picture(f"dark{k}.tif", levels * np.ones(3)) for k in range(number_of_darks)]
    flats = [picture(f"flat{k}.tif", levels + 20000 * response) for k in range(3)]
    raw = picture("light.tif", levels + light * response)
    dark, flat = tmp_path / "work" / "dark.fits", tmp_path / "work" / "flat.fits"
    combine_darks.run(darks, dark)
    combine_flats.run(flats, dark, flat, saturation_limit=65535)
    for number, weights in enumerate((*ALONE, LUMA)):
        opened = masters.open_master(dark, weights)
        assert opened is not None
        expected = levels[number] if number < 3 else levels @ LUMA
        assert np.median(opened.pixels.read_rows(0, 60)) == pytest.approx(expected, abs=1)
        assert 0 < opened.noise < 6
        found = calibrating.calibrate(
            raw,
            {"dark": dark, "flat": flat},
            weights=weights,
            **plain(doubtful_darks="use"),
        )
        if number < 3:
            typical = light[number] * np.median(response[..., number])
            rows = np.median(found.data, axis=1)
            np.testing.assert_allclose(rows, typical, rtol=0.01)
    with fits.open(dark) as hdus:
        np.testing.assert_array_equal(hdus[0].shape, (4, *shape))
        assert "N_PLANES" not in hdus[0].header


def test_lights_among_darks_are_left_out(tmp_path: Path) -> None:
    rng, paths = np.random.default_rng(5), []
    hot = np.where(rng.random((200, 300)) < 0.05, rng.exponential(5000, (200, 300)), 0)
    for number in range(4):
        dark = 300 + hot + np.linspace(0, 2000, 300) + rng.normal(0, 9, hot.shape)
        pixels = dark.astype(np.float32)
        if number > 2:
            for x, y in rng.uniform(10, 190, (30, 2)):
                add_star(pixels, x, y, 3e4, Light(fwhm=2.5))
        paths.append(tmp_path / f"{number}.fits")
        fits.writeto(paths[-1], pixels)
    why = "3.fits: it has stars, as a light: move it from the darks to the lights"
    master = tmp_path / "master.fits"
    combine_darks.run(paths, master)
    assert fits.getheader(master)["MASTER"] == f"master of 3 of 4: 300 x 200; {why}"
    combine_darks.run(paths[3:], master)
    assert masters.why_unusable(master) == f"none of its darks can be used: {why}"


def test_what_tells_no_noise_has_none() -> None:
    empty = np.full((2, *SHAPE), np.nan, np.float32)
    assert np.isnan(noise_of_master(list(empty), lambda n: 1 / n))
    assert noise_of_master([np.full(SHAPE, 7.0, np.float32)] * 2, lambda n: 1 / n) == 0


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("held", [0, 10**9])
@pytest.mark.parametrize("band", [1, 4 * SHAPE[1] * 6 * 7])
def test_bands_memory_and_threads_change_no_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: int, band: int, threads: int
) -> None:
    cube = darks(6, 5.0)
    cube[2, 5, 7] = np.nan
    paths = []
    for number, pixels in enumerate(cube):
        paths.append(tmp_path / f"d{number}.fits")
        fits.writeto(paths[-1], pixels)
    combine_darks.run(paths, tmp_path / "at once.fits")
    monkeypatch.setattr(masters, "BAND_BYTES", band)
    monkeypatch.setattr(masters, "HELD_FRAMES", 1)
    monkeypatch.setattr(masters, "HELD_BYTES", held)
    combine_darks.run(paths, tmp_path / "master.fits", threads=threads)
    assert (tmp_path / "master.fits").read_bytes() == (tmp_path / "at once.fits").read_bytes()


def test_masters_share_the_cores(small_night: Callable[..., Path]) -> None:
    """A single one has all of them; two are made side by side."""
    folder = small_night()

    def threads() -> list[str]:
        output = snakemake(folder, "-n", "--verbose", cores=4).output
        return re.findall(
            r"^rule combine_darks:\n(?: .*\n)*?    threads: (.*)", output, re.MULTILINE
        )

    assert threads() == ["4"]
    for kind in ("data", "darkfield"):
        fits.setval(min((folder / kind).iterdir()), "EXPTIME", value=7.0)
    assert threads() == ["2", "2"]


def test_a_frame_tells_the_noise_that_its_masters_gave_it(tmp_path: Path) -> None:
    for number, pixels in enumerate(darks(8, 5.0)):
        fits.writeto(tmp_path / f"{number}.fits", pixels)
    paths = [tmp_path / f"{number}.fits" for number in range(8)]
    master = tmp_path / "master.fits"
    combine_darks.run(paths, master)
    light = 400 + np.random.default_rng(1).normal(0, 9, SHAPE).astype(np.float32)
    fits.writeto(tmp_path / "light.fits", light)

    def cards(**used: Path) -> fits.Header:
        calibrate_frame.run(
            tmp_path / "light.fits",
            tmp_path / "frame.fits",
            sha256="",
            masters=used,
            **plain(),
        )
        return fits.getheader(tmp_path / "frame.fits")

    for noun in ("dark", "bias"):
        header = cards(**{noun: master})
        assert header["DARKNOIS"] == pytest.approx(5 / 8**0.5, rel=0.05)
        assert header["NDARKS"] == 8
    assert "DARKNOIS" not in cards()
    # A dark of the frame's own is no other frame's.
    assert "DARKNOIS" not in cards(own=tmp_path / "0.fits")
