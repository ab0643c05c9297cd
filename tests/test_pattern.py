"""Colours that a header calls by others' names are told of."""

import shutil

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray

from scripts.lightstack.calibration.pattern import (
    GREENS_DIFFER,
    doubt_of_grey,
    doubt_of_pattern,
    pattern_of_grey,
)
from scripts.lightstack.stacking.odd_colours import run_against
from tests.conftest import Run, snakemake
from tests.test_colours import bayer_night

PATTERNS = ("RGGB", "BGGR", "GRBG", "GBRG")
SKY = {"R": 600.0, "G": 1000.0, "B": 500.0}


def mosaic(pattern: str, sky: dict[str, float], noise: float = 30.0) -> NDArray[np.float32]:
    """Draw a sky that brightens to one side, with stars in some pixels, in whole numbers."""
    rng = np.random.default_rng(0)
    data = rng.normal(0, noise, (300, 401)) + np.linspace(0, 200, 401)
    for (row, column), colour in zip(np.ndindex(2, 2), pattern, strict=True):
        data[row::2, column::2] += sky[colour]
    data[rng.random(data.shape) < 0.02] += 5000
    return np.round(data).astype(np.float32)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_true_pattern_is_believed(pattern: str) -> None:
    assert not doubt_of_pattern(mosaic(pattern, SKY), pattern)


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("called", PATTERNS)
def test_greens_at_other_places_are_told(pattern: str, called: str) -> None:
    doubt = doubt_of_pattern(mosaic(pattern, SKY), called)
    assert (pattern in doubt) == ((pattern[0] == "G") != (called[0] == "G"))


@pytest.mark.parametrize(
    "sky",
    [
        {"R": 800.0, "G": 800.0, "B": 800.0},
        {"R": 600.0, "G": 1000.0, "B": 600.0},
    ],
    ids=["white sky", "red as bright as blue"],
)
@pytest.mark.parametrize("pattern", PATTERNS)
def test_nothing_is_said_that_the_sky_does_not_tell(sky: dict[str, float], pattern: str) -> None:
    assert not doubt_of_pattern(mosaic("RGGB", sky), pattern)


def test_a_mosaic_that_was_binned_over_its_colours_is_told() -> None:
    grey = mosaic("RGGB", {"R": 800.0, "G": 800.0, "B": 800.0})
    assert "it may be no mosaic" in doubt_of_pattern(grey, "RGGB", is_binned=True)
    assert not doubt_of_pattern(mosaic("RGGB", SKY), "RGGB", is_binned=True)
    noisy = mosaic("RGGB", {"R": 800.0, "G": 800.0, "B": 800.0}, noise=3000.0)
    assert not doubt_of_pattern(noisy, "RGGB", is_binned=True)


def test_greens_of_a_real_sensor_differ_a_little() -> None:
    data = mosaic("RGGB", SKY | {"R": 500.0})
    data[::2, 1::2] += np.float32(0.8 * GREENS_DIFFER * SKY["G"])
    assert not doubt_of_pattern(data, "RGGB")


def test_what_has_no_data_tells_nothing() -> None:
    data = mosaic("RGGB", SKY)
    data[1::2, 1::2] = np.nan
    assert not doubt_of_pattern(data, "GRBG")


def test_a_mask_is_no_mosaic() -> None:
    assert not doubt_of_grey(np.where(mosaic("RGGB", SKY) > 4000, np.float32(1), np.float32(0)))


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize(
    "sky", [SKY, {"R": 15.0, "G": 40.0, "B": 20.0}, {"R": 200.0, "G": 10.0, "B": 10.0}]
)
def test_a_mosaic_without_a_name_is_told(pattern: str, sky: dict[str, float]) -> None:
    image = mosaic(pattern, sky)
    assert "ADU" in doubt_of_grey(image)
    assert pattern_of_grey(image) in (pattern, pattern[::-1])


@pytest.mark.parametrize("rows", [0, 200])
@pytest.mark.parametrize("columns", [0, 300])
def test_lines_of_two_amplifiers_are_no_mosaic(rows: float, columns: float) -> None:
    grey = mosaic("RGGB", {"R": 800.0, "G": 800.0, "B": 800.0})
    grey[::2] += np.float32(rows)
    grey[:, ::2] += np.float32(columns)
    grey[::2, ::2] += np.float32(5)
    assert not doubt_of_grey(grey)


def test_only_colours_that_run_against_each_other_are_exchanged() -> None:
    rng = np.random.default_rng(1)
    light = rng.uniform(0.4, 1, (60, 3)) * (0.9, 1.0, 0.7) * 10 ** rng.uniform(3, 5, (60, 1))
    other = rng.uniform(0.4, 1, (60, 3))
    noisy = light * rng.uniform(0.8, 1.2, light.shape)
    assert run_against(light, noisy[:, ::-1])
    assert not any(run_against(light, each) for each in (light, noisy, noisy * (0.5, 1, 2), other))
    assert not run_against(light[:9], light[:9, ::-1])


@pytest.fixture(scope="module")
def misnamed(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run the workflow on a night of which some headers tell other patterns."""
    folder = tmp_path_factory.mktemp("pattern") / "night"
    bayer_night(folder)
    for number, pattern in ((2, "RGGB"), (5, "RGGB"), (6, "GBRG"), (7, "GBRG")):
        with fits.open(folder / "data" / f"light_{number}.fits", mode="update") as hdus:
            hdus[0].header["BAYERPAT"] = pattern
    return snakemake(folder)


def test_the_run_tells_of_frames_with_colours_in_doubt(misnamed: Run) -> None:
    assert misnamed.returncode == 0
    assert "Colours in doubt, for pixels speak against the pattern: 2 of 8" in misnamed.output
    assert "such as light_2 (RGGB)" in misnamed.output
    told = {name: row["mosaic"] for name, row in misnamed.ledger.items()}
    assert told.pop("light_2").startswith("RGGB; its green pixels differ by 80")
    assert told.pop("light_5").startswith("RGGB; its green pixels differ by 80")
    assert set(told.values()) == {"GRBG", "GBRG"}
    report = (misnamed.folder / "results" / "report.html").read_text()
    assert "it may be GRBG or GBRG" in report


def test_the_run_tells_of_frames_with_red_for_blue(misnamed: Run) -> None:
    assert "stars that are red in most frames are blue in light_6 and 1 more." in misnamed.output


def test_in_grey_a_pattern_counts_where_no_header_has_it(misnamed: Run) -> None:
    grey = shutil.copytree(misnamed.folder, misnamed.folder.with_name("grey"))
    with fits.open(grey / "data" / "light_3.fits", mode="update") as hdus:
        del hdus[0].header["BAYERPAT"]
    run = snakemake(grey, "--config", "color=gray")
    assert run.returncode == 0
    assert "Colours in doubt" not in run.output
    assert "that no header calls so: 1 of 8 frames, such as light_3: of each 2 x 2" in run.output
    assert "such as BAYERPAT = 'RGGB'" in run.output
