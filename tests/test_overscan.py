"""Overscan tells the level of each row, and frames are cut to what was exposed."""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray

from scripts.lightstack.planning.settings import SettingsError, complete_settings
from scripts.lightstack.raw.exposure import EXPOSURE_CARDS, exposure_of
from scripts.lightstack.raw.image import UnusableFrameError
from scripts.lightstack.raw.images import read_cards, read_image
from scripts.lightstack.raw.overscan import levels_of_lines, without_overscan
from scripts.lightstack.raw.sections import Asked, sections_of
from scripts.lightstack.simulator import make_night
from tests.conftest import SMALL_SETTINGS, Run, snakemake, write_settings

SHAPE = (60, 100)
BESIDE = {"BIASSEC": "[81:100,1:60]", "TRIMSEC": "[1:80,1:60]"}


def found(
    cards: Mapping[str, object], overscan: str = "header", trim: str = "header"
) -> tuple[list[tuple[str, str]], str]:
    """Sections of data and overscan, and what is not clear."""
    sections = sections_of(cards, SHAPE, Asked(overscan, trim))
    pairs = [(section(each.data), section(each.overscan)) for each in sections.amplifiers]
    return pairs, sections.problem


def section(region: tuple[slice, slice] | None) -> str:
    if region is None:
        return ""
    rows, columns = region
    return f"{columns.start + 1}:{columns.stop},{rows.start + 1}:{rows.stop}"


@pytest.mark.parametrize(
    ("cards", "expected"),
    [
        ({}, []),
        (BESIDE, [("1:80,1:60", "81:100,1:60")]),
        ({"BIASSEC": "[81:100,1:60]"}, [("1:80,1:60", "81:100,1:60")]),
        ({"BIASSEC": "[ 1:100 , 1:10 ]"}, [("1:100,11:60", "1:100,1:10")]),
        ({"BIASSEC": "[100:81,60:1]", "DATASEC": "[5:80,1:60]"}, [("5:80,1:60", "81:100,1:60")]),
        ({**BESIDE, "DATASEC": "[3:80,1:60]"}, [("1:80,1:60", "81:100,1:60")]),
        ({"TRIMSEC": "[11:90,3:58]"}, [("11:90,3:58", "")]),
        ({"TRIMSEC": "[1:100,1:60]"}, []),
        ({"TRIMSEC": "[0:0,0:0]", "BIASSEC": "UNKNOWN", "DATASEC": 7}, []),
        ({"TRIMSEC": "", "DATASEC": "[1:80,1:60]"}, [("1:80,1:60", "")]),
        # Cut before: the image has the size of its data.
        ({"TRIMSEC": "[21:120,1:60]", "BIASSEC": "[1:20,1:60]"}, []),
        ({"TRIMSEC": "[1:100,1:60]", "BIASSEC": "[101:120,1:60]"}, []),
        ({"TRIMSEC": "[17:116,1:64]", "BIASSEC": "[4:13,1:64]"}, []),
        # Two amplifiers, with the overscan of both between them.
        (
            {
                "DATASEC1": "[1:40,1:60]",
                "BIASSEC1": "[41:50,1:60]",
                "DATASEC2": "[61:100,1:60]",
                "BIASSEC2": "[51:60,1:60]",
            },
            [("1:40,1:60", "41:50,1:60"), ("61:100,1:60", "51:60,1:60")],
        ),
        ({"BSEC11": "[81:100,1:60]", "DSEC11": "[1:80,1:60]"}, [("1:80,1:60", "81:100,1:60")]),
    ],
)
def test_sections_are_read_as_cameras_write_them(
    cards: dict[str, object], expected: list[tuple[str, str]]
) -> None:
    assert found(cards) == (expected, "")


def port(number: int = 1, **values: int) -> dict[str, object]:
    return {f"ESO DET OUT{number} {name}": value for name, value in values.items()}


@pytest.mark.parametrize(
    ("cards", "expected"),
    [
        (port(PRSCX=10, OVSCX=20), [("11:80,1:60", "81:100,1:60")]),
        (port(PRSCX=10, OVSCX=20, NX=70, NY=60, X=1, Y=1), [("11:80,1:60", "81:100,1:60")]),
        # Read from the right and the top.
        (port(PRSCX=10, OVSCX=20, X=100, Y=60), [("21:90,1:60", "1:20,1:60")]),
        (port(PRSCX=20, OVSCX=0, OVSCY=5), [("21:100,1:55", "1:20,1:55")]),
        (port(PRSCY=4, OVSCY=8, NX=100, NY=48), [("1:100,5:52", "1:100,53:60")]),
        (port(PRSCX=2), [("3:100,1:60", "")]),
        (port(3, PRSCX=10, OVSCX=20), [("11:80,1:60", "81:100,1:60")]),
        (port(PRSCX=0, OVSCX=0, NX=100, NY=60), []),
        # Cut before; nonsense; the sections that a card states are followed first.
        (port(PRSCX=10, OVSCX=20, NX=100, NY=60), []),
        (port(PRSCX=-10, OVSCX=10**9), []),
        ({**BESIDE, **port(PRSCX=10, OVSCX=10)}, [("1:80,1:60", "81:100,1:60")]),
        ({"TRIMSEC": "[1:100,1:60]", **port(OVSCX=20)}, [("1:80,1:60", "81:100,1:60")]),
    ],
)
def test_counts_of_pixels_before_and_after_the_data_are_followed(
    cards: dict[str, object], expected: list[tuple[str, str]]
) -> None:
    assert found(cards) == (expected, "")


@pytest.mark.parametrize(
    ("cards", "problem"),
    [
        (port(PRSCX=60, OVSCX=60), "do not add up to its 100 pixels"),
        (port(PRSCX=10, OVSCX=20, NX=50), "NX 50 do not add up to its 100 pixels"),
        (port(OVSCX=10) | port(2, OVSCX=10), "read by 2 ports"),
    ],
)
def test_counts_that_cannot_be_are_told(cards: dict[str, object], problem: str) -> None:
    pairs, told = found(cards)
    assert pairs == []
    assert problem in told


def test_prescan_of_a_port_is_subtracted_and_cut_off(tmp_path: Path) -> None:
    image = np.full((60, 100), 1300, np.uint16)
    image[:, :10], image[:, 80:] = 290, 300
    header = fits.Header([(f"HIERARCH {key}", n) for key, n in port(PRSCX=10, OVSCX=20).items()])
    header["CRPIX1"] = 50.5
    path = tmp_path / "port.fits"
    fits.writeto(path, image, header)
    assert read_cards(path, ("CRPIX1",))[0] == (60, 70)
    cut, level = without_overscan(read_image(path))
    assert (level, cut.header["CRPIX1"]) == (300, 40.5)
    np.testing.assert_array_equal(cut.data, np.full((60, 70), 1000))


@pytest.mark.parametrize(
    ("cards", "kept", "problem"),
    [
        *(
            ({"TRIMSEC": value}, [], f"TRIMSEC = '{value}' is no section such as [1:2048,1:1024]")
            for value in ("[1:80]", "[1:80,1:60", "[0:79,1:60]", "[-5:80,1:60]", "1.5:80,1:60")
        ),
        ({**BESIDE, "BIASSEC": "81-100,"}, [("1:80,1:60", "")], ""),
        (
            {**BESIDE, "BIASSEC": "[81:100]"},
            [],
            "BIASSEC = '[81:100]' is no section such as [1:2048,1:1024]",
        ),
        (
            {"TRIMSEC": "[1:120,1:50]"},
            [],
            "[1:120,1:50] reaches beyond the image of 100 x 60 pixels",
        ),
        (
            {**BESIDE, "BIASSEC": "[80:100,1:60]"},
            [("1:80,1:60", "")],
            "the overscan [80:100,1:60] overlaps the data [1:80,1:60]",
        ),
        (
            {"BIASSEC": "[161:200,1:120]", "TRIMSEC": "[1:160,1:120]"},
            [],
            "[1:160,1:120] and [161:200,1:120] reach beyond the image of 100 x 60 pixels",
        ),
        (
            {"BIASSEC": "[81:110,1:60]", "TRIMSEC": "[1:80,1:60]"},
            [],
            "[1:80,1:60] and [81:110,1:60] reach beyond the image of 100 x 60 pixels",
        ),
        (
            {"BIASSEC": "[41:50,1:60]"},
            [],
            "the overscan [41:50,1:60] is no strip at a border",
        ),
        (
            {**BESIDE, "BIASSEC": "[90:90,1:60]"},
            [("1:80,1:60", "")],
            "the overscan [90:90,1:60] has too few pixels",
        ),
        (
            {"BIASSEC1": "[81:90,1:60]", "BIASSEC2": "[91:100,1:60]", "TRIMSEC": "[1:80,1:60]"},
            [],
            "amplifier 1 has an overscan, and no section of data",
        ),
        (
            {
                "DATASEC1": "[1:40,1:60]",
                "BIASSEC1": "[81:90,1:60]",
                "DATASEC2": "[31:80,1:60]",
                "BIASSEC2": "[91:100,1:60]",
            },
            [],
            "the amplifiers' sections of data do not lie in rows and columns",
        ),
    ],
)
def test_what_is_not_clear_is_left_and_said(
    cards: dict[str, object], kept: list[tuple[str, str]], problem: str
) -> None:
    assert found(cards) == (kept, problem)


def test_settings_count_before_headers() -> None:
    assert found(BESIDE, "none") == ([("1:80,1:60", "")], "")
    assert found(BESIDE, "none", "none") == ([], "")
    assert found(BESIDE, "[91:100,1:60]") == ([("1:80,1:60", "91:100,1:60")], "")
    assert found({}, "[1:10,1:60]", "[11:90,1:60]") == ([("11:90,1:60", "1:10,1:60")], "")
    assert found({}, "[1:10,1:60]") == ([("11:100,1:60", "1:10,1:60")], "")
    with pytest.raises(UnusableFrameError, match=r"no part \[1:10,1:90\] as overscan_section"):
        found({}, "[1:10,1:90]")


def drift(n_rows: int) -> NDArray[np.float64]:
    return np.asarray(1000 + 5 * np.sin(np.arange(n_rows) / 200))


def strip_of(levels: NDArray[np.float64], n: int, seed: int = 1) -> NDArray[np.float32]:
    """Overscan of these levels, in whole numbers, with a cosmic ray in every hundredth row."""
    noise = np.random.default_rng(seed).normal(0, 6, (len(levels), n))
    strip = np.rint(levels[:, np.newaxis] + noise).astype(np.float32)
    strip[::97, :3] += 3000
    return strip


def test_levels_follow_the_drift_and_add_no_stripes() -> None:
    levels = drift(1024)
    error = levels_of_lines(strip_of(levels, 32)) - levels
    assert error.std() < 0.3
    assert np.abs(error).max() < 1.5
    np.testing.assert_array_equal(levels_of_lines(np.full((9, 8), 300, np.float32)), 300)


def test_levels_follow_rows_that_really_differ() -> None:
    levels = drift(1024) + np.random.default_rng(5).normal(0, 8, 1024)
    error = levels_of_lines(strip_of(levels, 64)) - levels
    assert error.std() < 0.85


def test_rows_without_data_have_the_level_of_those_beside_them() -> None:
    strip = strip_of(drift(200), 32)
    strip[50:60] = np.nan
    error = levels_of_lines(strip) - drift(200)
    assert np.abs(error).max() < 1.5


def write_image(path: Path, **cards: object) -> NDArray[np.float64]:
    """Write light of 500 ADU above the levels of its rows, overscan beside it; give the levels."""
    levels = drift(SHAPE[0]) + np.arange(SHAPE[0])
    pixels = np.tile(levels[:, np.newaxis], SHAPE[1]).astype(np.float32)
    pixels[:, :80] += 500
    fits.writeto(path, pixels, fits.Header([*{**BESIDE, **cards}.items()]), overwrite=True)
    return levels


def test_an_image_is_cut_and_its_cards_follow(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    levels = write_image(path, TRIMSEC="[4:80,3:60]", CRPIX1=50.0, CRPIX2=30.0, BAYERPAT="RGGB")
    image = read_image(path)
    assert image.data.shape == (58, 77)
    assert (image.header["CRPIX1"], image.header["CRPIX2"]) == (47, 28)
    assert "BIASSEC" not in image.header
    freed, level = without_overscan(image)
    np.testing.assert_allclose(freed.data, 500, atol=0.6)
    assert level == pytest.approx(np.median(levels[2:]), abs=0.5)
    # Saturation is looked for in what the file has.
    assert freed.peak.min() > 1400
    shape, cards, _ = read_cards(path, EXPOSURE_CARDS)
    taken = exposure_of(cards, shape)
    assert (taken.shape, taken.bayer, taken.overscan) == ((58, 77), "GRBG", "subtracted")
    assert exposure_of(image.header, (58, 77)).bayer == "GRBG"


def test_a_compressed_image_is_cut_alike(tmp_path: Path) -> None:
    write_image(tmp_path / "a.fits")
    with fits.open(tmp_path / "a.fits") as hdus:
        hdus.writeto(tmp_path / "b.fits.gz")
    images = [read_image(tmp_path / name) for name in ("a.fits", "b.fits.gz")]
    np.testing.assert_array_equal(images[0].data, images[1].data)
    assert {read_cards(tmp_path / name, ())[0] for name in ("a.fits", "b.fits.gz")} == {(60, 80)}


def test_each_amplifier_has_its_own_level_and_their_data_are_joined(tmp_path: Path) -> None:
    pixels = np.empty(SHAPE, np.float32)
    pixels[:, :40], pixels[:, 40:50] = 1500, 1000
    pixels[:, 50:60], pixels[:, 60:] = 2000, 2500
    cards = {
        "DATASEC1": "[1:40,1:60]",
        "BIASSEC1": "[41:50,1:60]",
        "DATASEC2": "[61:100,1:60]",
        "BIASSEC2": "[51:60,1:60]",
    }
    fits.writeto(tmp_path / "a.fits", pixels, fits.Header([*cards.items()]))
    freed, level = without_overscan(read_image(tmp_path / "a.fits"))
    np.testing.assert_array_equal(freed.data, np.full((60, 80), 500, np.float32))
    assert level == 1500


def test_an_overscan_that_is_not_beside_the_data_gives_one_level(tmp_path: Path) -> None:
    write_image(tmp_path / "a.fits", BIASSEC="[81:100,51:60]", TRIMSEC="[1:80,1:30]")
    freed, level = without_overscan(read_image(tmp_path / "a.fits"))
    assert np.ptp(freed.data[:, 0]) > 25
    assert 1050 < level < 1060


N_OVERSCAN = 24


def add_overscan(path: Path, number: int, **cards: object) -> None:
    """Let the level of a frame drift, and tell it by overscan to the right."""
    rng = np.random.default_rng(number)
    with fits.open(path) as hdus:
        data, header = hdus[0].data.astype(np.float64), hdus[0].header
    ny, nx = data.shape
    levels = 40 * np.sin(np.arange(ny) / 40 + rng.uniform(0, 6)) + rng.uniform(0, 200)
    strip = 300 + rng.normal(0, 6, (ny, N_OVERSCAN))
    strip[rng.integers(0, ny, 5), rng.integers(0, N_OVERSCAN, 5)] += 5000
    whole = np.rint(np.hstack([data, strip]) + levels[:, np.newaxis]).clip(0, 65535)
    header["BIASSEC"] = f"[{nx + 1}:{nx + N_OVERSCAN},1:{ny}]"
    header["TRIMSEC"] = f"[1:{nx},1:{ny}]"
    for key, value in cards.items():
        header[key] = value
    fits.writeto(path, whole.astype(np.uint16), header, overwrite=True)


def night(folder: Path) -> list[Path]:
    make_night(folder, shape=(200, 300), n_lights=5, n_stars=150, seed=4)
    write_settings(folder, **SMALL_SETTINGS, modes=["mean"])
    return sorted([*(folder / "data").iterdir(), *(folder / "darkfield").iterdir()])


def test_a_night_with_overscan_is_stacked_as_one_without(tmp_path: Path, small_run: Run) -> None:
    for number, path in enumerate(night(tmp_path)):
        add_overscan(path, number)
    run = snakemake(tmp_path)
    assert run.returncode == 0, run.output
    folders = (small_run.folder, tmp_path)
    plain, ours = (fits.getdata(folder / "results" / "stack_mean.fits") for folder in folders)
    assert ours.shape == (200, 300)
    noise = 1.4826 * np.nanmedian(np.abs(plain - np.nanmedian(plain)))
    difference = (ours - plain)[np.isfinite(plain) & np.isfinite(ours)]
    assert np.std(difference) < 0.2 * noise
    for frame, row in run.ledger.items():
        # The simulated bias is 300 ADU, and up to 200 more were added.
        assert 290 < float(row["overscan_adu"]) < 540
        assert row["dark"].endswith("300 x 200")
        without = small_run.ledger[frame]
        assert row["no_data_fraction"] == without["no_data_fraction"]
        assert without["overscan_adu"] == ""
    assert "Overscan left" not in run.output


def test_the_run_says_where_sections_are_not_clear_and_settings_tell_them(tmp_path: Path) -> None:
    for number, path in enumerate(night(tmp_path)):
        add_overscan(path, number, BIASSEC="[250:324,1:200]")
    dry = snakemake(tmp_path, "--dry-run")
    assert re.search(
        r"Overscan left as it is in 10 files, such as darkfield/dark_01.fits: the overscan "
        r"\[250:324,1:200\] overlaps the data \[1:300,1:200\]\.",
        dry.output,
    ), dry.output
    settings = {**SMALL_SETTINGS, "modes": ["mean"], "overscan_section": "[301:324,1:200]"}
    write_settings(tmp_path, **settings)
    run = snakemake(tmp_path)
    assert run.returncode == 0, run.output
    assert "Overscan left" not in run.output
    assert 290 < float(run.ledger["light_0001"]["overscan_adu"]) < 540


def test_a_section_that_no_frame_has_is_told_per_frame(tmp_path: Path) -> None:
    night(tmp_path)
    write_settings(tmp_path, **SMALL_SETTINGS, overscan_section="[301:324,1:200]")
    run = snakemake(tmp_path)
    assert run.returncode == 1
    for frame, row in run.ledger.items():
        assert row["status"] == "failed"
        assert row["reasons"] == (
            f"{frame}.fits: it has 300 x 200 pixels, and no part [301:324,1:200] as "
            "overscan_section asks for."
        )


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("[1:2]", "trim_section: '[1:2]' is none of header, none, [2049:2080,1:1024]."),
        ("left", "trim_section: 'left' is none of header, none, [2049:2080,1:1024]."),
        # YAML takes 1:50 for minutes and seconds.
        ([110, 110], "trim_section: [110, 110] is not text: write it in quotes."),
    ],
)
def test_a_section_that_is_none_is_told(value: object, told: str) -> None:
    with pytest.raises(SettingsError) as caught:
        complete_settings({"trim_section": value})
    assert str(caught.value) == told


def test_a_section_may_look_like_a_list() -> None:
    settings = complete_settings({"trim_section": ["2049:2080", "1:1024"]})
    assert settings["trim_section"] == "[2049:2080,1:1024]"
