"""Flats and bias frames: what optics and pixels take of the light is given back."""

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray

from scripts import combine_bias, combine_flats
from scripts.lightstack.calibration.division import divide
from scripts.lightstack.calibration.flats import clipped_mean, guard, is_in_shares, normalize
from scripts.lightstack.calibration.subtraction import RowsInMemory
from scripts.lightstack.files.frame_file import FAILURE, read_header
from scripts.lightstack.files.records import read_csv
from scripts.lightstack.planning.calibration_choice import Pedestal, choose_calibration
from scripts.lightstack.planning.frames import Frames
from scripts.lightstack.planning.uses import Uses
from scripts.lightstack.raw.exposure import Exposure
from scripts.lightstack.raw.image import UnusableFrameError
from scripts.lightstack.simulator import Light, add_star, make_night, make_response, write_night
from tests.conftest import SMALL_SETTINGS, Run, snakemake, write_settings

SHAPE = (40, 60)
BAD_COLUMN = 100
NOTHING = np.zeros(SHAPE, bool)


def light_of(level: float, seed: int = 1) -> NDArray[np.float32]:
    noise = np.random.default_rng(seed).normal(0, np.sqrt(level), SHAPE)
    return (level + noise).astype(np.float32)


def test_a_flat_is_scaled_by_its_median_each_colour_by_its_own() -> None:
    data = light_of(20000)
    data[0::2, 0::2] *= 0.3
    data[1::2, 1::2] *= 0.5
    mosaic, plain = data.copy(), data.copy()
    normalize(mosaic, NOTHING, "RGGB")
    normalize(plain, NOTHING, None)
    np.testing.assert_allclose(np.median(mosaic[0::2, 0::2]), 1, rtol=1e-6)
    np.testing.assert_allclose(np.median(mosaic[1::2, 1::2]), 1, rtol=1e-6)
    # Both greens are one colour: what they differ in is the sensor's.
    greens = np.concatenate([mosaic[0::2, 1::2], mosaic[1::2, 0::2]])
    np.testing.assert_allclose(np.median(greens), 1, rtol=1e-6)
    np.testing.assert_allclose(plain, data / np.median(data), rtol=1e-6)


@pytest.mark.parametrize("greens", ["RGGB", "GRBG"])
def test_flats_of_a_mosaic_without_a_name_are_scaled_by_colours(
    greens: str, tmp_path: Path
) -> None:
    share = {"R": 0.4, "G": 1.0, "B": 0.6}
    flats = [tmp_path / f"{number}.fits" for number in range(3)]
    for seed, path in enumerate(flats):
        data = light_of(20000, seed)
        for (row, column), colour in zip(np.ndindex(2, 2), greens, strict=True):
            data[row::2, column::2] *= share[colour]
        data[5, 7] *= 0.1
        fits.writeto(path, data.round().astype(np.uint16))
    combine_flats.run(flats, None, tmp_path / "flat.fits", saturation_limit=65535)
    flat = fits.getdata(tmp_path / "flat.fits")
    assert [*map(tuple, np.argwhere(np.isnan(flat)))] == [(5, 7)]
    for row, column in np.ndindex(2, 2):
        np.testing.assert_allclose(np.nanmedian(flat[row::2, column::2]), 1, rtol=2e-3)


def test_a_flat_without_light_or_with_too_much_is_refused() -> None:
    with pytest.raises(UnusableFrameError, match="no light"):
        normalize(np.full(SHAPE, -3, np.float32), NOTHING, None)
    saturated = NOTHING.copy()
    saturated[:2] = True
    with pytest.raises(UnusableFrameError, match="5% of its pixels are saturated"):
        normalize(light_of(60000), saturated, None)


@pytest.mark.parametrize("bayer", [None, "RGGB"])
def test_a_flat_whose_overscan_lies_in_light_is_refused(tmp_path: Path, bayer: str | None) -> None:
    rng = np.random.default_rng(2)
    response = np.linspace(1, 0.5, 120) * np.ones((80, 1))
    if bayer:
        response[::2, ::2] *= 0.5
    seen = rng.poisson(20000 * response) + 300
    true = seen.copy()
    # Charge trails into it, and a thousandth of the light before shows in it.
    trail = 0.03 * np.exp(-np.arange(20) / 2) + 0.001
    true[:, 100:] = rng.normal(300, 6, (80, 20)) + (seen[:, 99:100] - 300) * trail
    for name, image in (("true", true), ("lit", seen)):
        header = fits.Header([("BIASSEC", "[101:120,1:80]")])
        if bayer:
            header["BAYERPAT"] = bayer
        fits.writeto(tmp_path / f"{name}.fits", image.astype(np.uint16), header)
    flats = [tmp_path / "true.fits", tmp_path / "lit.fits"]
    combine_flats.run(flats, None, tmp_path / "flat.fits", saturation_limit=65535)
    told = read_header(tmp_path / "flat.fits")["MASTER"]
    assert re.fullmatch(
        r"master of 1 of 2: 100 x 80; lit.fits: its overscan has \d+% of the noise .*", told
    )


def test_stars_of_the_twilight_leave_no_trace_and_the_noise_is_that_of_a_mean() -> None:
    cube = np.stack([light_of(20000, seed) for seed in range(9)]) / np.float32(20000)
    expected = cube.mean(axis=0)
    for number in range(9):
        cube[number, 4 * number, 10:13] += 0.2
    made = clipped_mean(cube)
    assert np.abs(made - 1)[:, 10:13].max() < 0.012
    assert made.std() < 1.08 * expected.std()


def test_lights_among_flats_are_left_out_and_stars_of_twilight_are_not(tmp_path: Path) -> None:
    rng, flats = np.random.default_rng(4), []
    for number, level in enumerate((20_000, 15_000, 800)):
        pixels = rng.normal(level, math.sqrt(level), (150, 200)).astype(np.float32)
        for x, y in rng.uniform(10, 140, (25, 2)):
            add_star(pixels, x, y, 3e4, Light(fwhm=3.0))
        flats.append(tmp_path / f"{number}.fits")
        fits.writeto(flats[-1], pixels)
    combine_flats.run(flats, None, tmp_path / "flat.fits", saturation_limit=65535)
    assert read_header(tmp_path / "flat.fits")["MASTER"] == (
        "master of 2 of 3: 200 x 150; 2.fits: it has stars, as a light: move it from the flats to "
        "the lights"
    )


@pytest.mark.parametrize("level", [0.9, 1.0])
def test_a_master_flat_in_shares_of_light_has_no_pedestal(tmp_path: Path, level: float) -> None:
    fits.writeto(tmp_path / "bias.fits", np.full(SHAPE, 300.0, np.float32))
    combine_bias.run([tmp_path / "bias.fits"] * 2, tmp_path / "master_bias.fits")
    shares = np.linspace(0.5, 1.5, SHAPE[1], dtype=np.float32) * np.full(SHAPE, level, np.float32)
    shares[0, -1] = 40  # a pixel that is hot beside them: no numbers of 0 to 1 reach 2
    fits.writeto(tmp_path / "flat.fits", shares)
    pedestal = tmp_path / "master_bias.fits"
    combine_flats.run(
        [tmp_path / "flat.fits"], pedestal, tmp_path / "master.fits", saturation_limit=65535
    )
    with fits.open(tmp_path / "master.fits") as hdus:
        made = hdus[0].data[1:]
    np.testing.assert_allclose(made, shares[1:] / level, rtol=1e-5)


def test_counts_between_zero_and_one_are_no_shares() -> None:
    counts = np.linspace(0.5, 0.99, 2400, dtype=np.float32).reshape(SHAPE)
    assert not is_in_shares(counts)
    assert not is_in_shares(counts * np.float32(20000))
    assert not is_in_shares(np.full(SHAPE, np.nan, np.float32))


def test_pixels_that_see_no_light_have_no_data() -> None:
    flat = light_of(20000) / np.float32(20000)
    flat[5, 7], flat[6, 9], flat[:4, :4] = 0.0, 0.4, 0.05
    flat[20:25, 20:25] *= 0.6
    guard(flat, None)
    expected = NOTHING.copy()
    expected[5, 7] = expected[6, 9] = expected[:4, :4] = True
    np.testing.assert_array_equal(np.isnan(flat), expected)


def test_a_flat_divides_alike_in_bands_turned_and_in_a_region() -> None:
    rng = np.random.default_rng(2)
    data = rng.normal(500, 9, (150, 30)).astype(np.float32)
    flat = rng.uniform(0.5, 1.2, (150, 30)).astype(np.float32)
    for region in (np.s_[0:None, 0:None], np.s_[25:125, 5:25]):
        for is_turned in (False, True):
            part = data[region].copy()
            divide(part, RowsInMemory(flat), region, is_turned=is_turned)
            used = flat[::-1] if is_turned else flat
            np.testing.assert_array_equal(part, (data / used)[region])


def test_flats_are_freed_of_their_bias_before_they_are_scaled(tmp_path: Path) -> None:
    for number, level in enumerate((10000, 20000)):
        fits.writeto(tmp_path / f"b{number}.fits", np.full(SHAPE, 300.0, np.float32))
        flat = np.linspace(0.6, 1.4, SHAPE[1]) * level + np.full(SHAPE, 300.0)
        header = fits.Header([("FILTER", "Ha")])
        fits.writeto(tmp_path / f"f{number}.fits", flat.astype(np.float32), header)
    combine_bias.run([tmp_path / "b0.fits", tmp_path / "b1.fits"], tmp_path / "bias.fits")
    flats = [tmp_path / "f0.fits", tmp_path / "f1.fits"]
    for pedestal in (tmp_path / "bias.fits", None):
        combine_flats.run(flats, pedestal, tmp_path / "flat.fits", saturation_limit=65535)
        with fits.open(tmp_path / "flat.fits") as hdus:
            error = np.abs(hdus[0].data / np.linspace(0.6, 1.4, SHAPE[1]) - 1).max()
        assert (error < 1e-5) == (pedestal is not None)
    assert read_header(tmp_path / "flat.fits")["MASTER"] == "master of 2: Ha 60 x 40"
    combine_flats.run(flats, None, tmp_path / "flat.fits", freed=False, saturation_limit=65535)
    assert "; neither dark nor bias" in read_header(tmp_path / "flat.fits")["MASTER"]
    combine_flats.run(flats, None, tmp_path / "flat.fits", saturation_limit=5000)
    told = "none of its flats can be used: f0.fits: 100% of its pixels are saturated"
    assert read_header(tmp_path / "flat.fits")[FAILURE] == told
    combine_flats.run(flats, None, tmp_path / "flat.fits", saturation_limit=15000)
    name = "master of 1 of 2: Ha 60 x 40; f1.fits: 83% of its pixels are saturated"
    assert read_header(tmp_path / "flat.fits")["MASTER"] == name


def frames(**taken: Exposure) -> Frames:
    return Frames({name: name for name in taken})


def chosen(
    lights: dict[str, Exposure],
    flats: dict[str, Exposure],
    bias: dict[str, Exposure] | None = None,
    darks: dict[str, Exposure] | None = None,
) -> Any:
    groups = [lights, darks or {}, bias or {}, flats]
    known = {name: taken for group in groups for name, taken in group.items()}
    lights_, darks_, bias_, flats_ = (Frames({name: name for name in group}) for group in groups)
    uses = Uses(lights_, darks_, {}, {}, {}, bias_, flats_)
    return choose_calibration(uses, known, {name: name for name in known}, 1.0, lambda _: "")


PLAIN = Exposure(SHAPE, exptime=60.0, filter="L", gain=100.0)
FLAT = replace(PLAIN, exptime=2.0)


def test_a_flat_of_a_camera_of_fewer_bits_that_is_full_is_left_out(tmp_path: Path) -> None:
    for name, level in (("full", 20000), ("good", 9000)):
        exposed = light_of(level).round().clip(0, 16383).astype(np.uint16)
        fits.writeto(tmp_path / f"{name}.fits", exposed)
    flats = [tmp_path / "full.fits", tmp_path / "good.fits"]
    combine_flats.run(flats, None, tmp_path / "flat.fits", saturation_limit=65535)
    told = read_header(tmp_path / "flat.fits")["MASTER"]
    assert told == "master of 1 of 2: 60 x 40; full.fits: 100% of its pixels are saturated"


def test_each_frame_gets_the_flats_of_its_filter() -> None:
    flats = {"l1": FLAT, "l2": replace(FLAT, exptime=3.0), "r": replace(FLAT, filter="R")}
    lights = {"a": PLAIN, "b": replace(PLAIN, filter="R"), "c": replace(PLAIN, filter="Ha")}
    found = chosen(lights, flats)
    used = {name: found.flats.files[kind] for name, kind in found.flats.kind.items()}
    assert used == {"a": ["l1", "l2"], "b": ["r"]}
    assert found.flats.told[0] == "1 without a flat: filter Ha, flats of L, R."
    # A filter that is not stated may be another one.
    assert not chosen({"a": PLAIN}, {"f": replace(FLAT, filter=None), **flats}).without("a")
    assert chosen(lights, {"f": replace(FLAT, filter=None)}).flats.kind == {}
    done = {"a": replace(PLAIN, calibrated="BDF")}
    assert (
        chosen(done, flats)
        .without("a")
        .endswith("without a flat: calibrated already (bias and dark and flat)")
    )


@pytest.mark.parametrize(
    ("of_light", "of_flat", "fits_it"),
    [
        ("Ha", "H-alpha", True),
        ("H_Alpha", "HA", True),
        ("H\N{GREEK SMALL LETTER ALPHA}", "h alpha", True),
        ("OIII", "[O III]", True),
        ("O3", "o-iii", True),
        ("SII", "S2", True),
        ("L", "Luminance", True),
        ("Lum", "l", True),
        ("Ha 7nm", "H-Alpha_7.0 nm", True),
        ("V", " v", True),
        ("Ha", "Ha 7nm", False),
        ("Ha 3nm", "Ha 7nm", False),
        ("Ha", "Hb", False),
        ("R", "Red", False),
        ("SII", "NII", False),
        ("g", "gp", False),
        ("L-Pro", "L", False),
    ],
)
def test_a_filter_is_known_by_all_its_names_and_no_other(
    of_light: str, of_flat: str, fits_it: bool
) -> None:
    flats = {"f": replace(FLAT, filter=of_flat), "same": replace(FLAT, filter=of_flat)}
    found = chosen({"a": replace(PLAIN, filter=of_light)}, flats).flats
    assert ("a" in found.kind) == fits_it
    if fits_it:
        # Flats of both names are one kind.
        flats["same"] = replace(FLAT, filter=of_light)
        both = chosen({"a": replace(PLAIN, filter=of_light)}, flats).flats
        assert [*map(sorted, both.files.values())] == [["f", "same"]]


def test_flats_are_freed_of_a_dark_of_their_exposure_else_of_the_bias() -> None:
    bias = {"b": replace(PLAIN, exptime=0.0, filter=None)}
    darks = {"d": PLAIN, "flatdark": replace(FLAT, filter=None)}
    found = chosen({"a": PLAIN}, {"f": FLAT}, bias, darks)
    (pedestal,) = found.pedestals.values()
    assert pedestal.noun == "dark"
    assert found.darks.files[pedestal.kind] == ["flatdark"]
    # Neither the flats' dark nor the bias is told to be of no use.
    assert found.told == []
    # Twilight flats are of many exposures: no one dark is for all of them.
    twilight = {"f": FLAT, "g": replace(FLAT, exptime=5.0)}
    (pedestal,) = chosen({"a": PLAIN}, twilight, bias, darks).pedestals.values()
    assert (pedestal.noun, pedestal.freed) == ("bias", False)
    found = chosen({"a": PLAIN}, {"f": FLAT}, {}, {"d": PLAIN})
    assert [*found.pedestals.values()] == [Pedestal()]
    (line,) = found.told
    assert line.startswith("Flats from which neither a dark nor a bias is taken off")
    for master in (replace(FLAT, n_combined=30), replace(FLAT, is_master=True)):
        assert [*chosen({"a": PLAIN}, {"f": master}, bias).pedestals.values()] == [
            Pedestal(freed=True)
        ]


def test_a_bias_is_for_frames_without_a_dark_or_whose_dark_does_harm() -> None:
    bias = {"b": replace(PLAIN, exptime=0.0, filter=None)}
    lights = {"a": PLAIN, "b2": replace(PLAIN, exptime=300.0)}
    found = chosen(lights, {}, bias, {"d": PLAIN})
    assert [*found.darks.kind] == ["a"]
    assert {*found.bias.kind} == {"a", "b2"}
    # Who has a dark misses no bias.
    other = {"b": replace(PLAIN, exptime=0.0, gain=5.0)}
    assert [*chosen(lights, {}, other, {"d": PLAIN}).bias.without] == ["b2"]


def night_behind_dusty_optics(folder: Path, **changes: Any) -> Run:
    """Stack a night of vignetting and dust, with what it is calibrated with as it is given."""
    tidy = make_night(folder / "other", shape=(256, 384), n_lights=5, n_stars=130, seed=4)
    response = make_response(np.random.default_rng(8), (256, 384), bad_columns=(BAD_COLUMN,))
    camera = replace(tidy.camera, response=response)
    write_night(folder, replace(tidy, camera=camera, **changes))
    write_settings(folder, **{**SMALL_SETTINGS, "ellip_max": 1.0, "modes": ["mean"]})
    return snakemake(folder)


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("flats") / "night"
    return night_behind_dusty_optics(folder, n_bias=9, n_flats=9)


def test_fluxes_of_stars_are_the_same_all_over_the_frame(calibrated: Run) -> None:
    assert calibrated.returncode == 0, calibrated.output
    ratios = []
    for folder in (calibrated.folder, calibrated.folder / "other"):
        write_settings(folder, **{**SMALL_SETTINGS, "ellip_max": 1.0, "modes": ["mean"]})
    plain = snakemake(calibrated.folder / "other")
    for run in (calibrated, plain):
        with fits.open(run.folder / "work" / "sources" / "light_0001.fits") as hdus:
            ratios.append(np.asarray(hdus[1].data))
    ours, truth = ratios
    apart = np.hypot(ours["x"][:, None] - truth["x"], ours["y"][:, None] - truth["y"])
    near = apart.argmin(axis=1)
    good = np.abs(ours["x"] - BAD_COLUMN) > 8
    good &= (apart.min(axis=1) < 0.2) & (ours["saturated"] == 0) & (ours["flux"] > 10000)
    ratio = ours["flux"][good] / truth["flux"][near[good]]
    assert good.sum() > 20
    # Without flats half of the light is lost in the corners.
    assert np.median(np.abs(ratio / np.median(ratio) - 1)) < 0.005


def test_ledger_header_and_inventory_tell_what_was_used(calibrated: Run) -> None:
    row = calibrated.ledger["light_0001"]
    assert row["flat"] == "master of 9: gain 1.5 384 x 256"
    assert row["bias"] == "none"
    cleaned = calibrated.folder / "data_cleaned" / "light_0001.fits"
    assert fits.getval(cleaned, "FLAT") == row["flat"]
    assert fits.getval(calibrated.folder / "results" / "stack_mean.fits", "FLAT") == row["flat"]
    rows = read_csv(calibrated.folder / "results" / "inventory.csv")
    used = {Path(row["file"]).parent.name: row["used_as"] for row in rows}
    assert used == {"data": "light", "darkfield": "dark", "bias": "bias", "flats": "flat"}
    assert "5 lights, 5 darks, 9 bias frames, 9 flats for them." in calibrated.output


def test_dead_pixels_and_dark_corners_have_no_data(calibrated: Run) -> None:
    dead = fits.getdata(next((calibrated.folder / "work/masters/flats").iterdir()))
    frame = fits.getdata(calibrated.folder / "data_cleaned" / "light_0001.fits")
    assert 256 <= np.isnan(dead).sum() < 256 + 20
    np.testing.assert_array_equal(np.isnan(frame), np.isnan(dead))


def test_a_night_without_darks_is_freed_of_its_bias(tmp_path: Path, small_run: Run) -> None:
    run = night_behind_dusty_optics(tmp_path / "night", n_bias=5, n_darks=0, n_flats=3)
    assert run.returncode == 0, run.output
    row = run.ledger["light_0001"]
    assert (row["dark"], row["bias"]) == ("none", "master of 5: gain 1.5 384 x 256")
    assert small_run.ledger["light_0001"]["flat"] == "none"
