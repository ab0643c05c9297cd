"""Each frame gets the dark that matches it."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from scripts import combine_darks
from scripts.lightstack.darks import Exposure, closest_master, exposure_of, kinds

SHAPE = (10, 20)
FRAME = Exposure(SHAPE, exptime=60.0, gain=1.0, binning=(2, 2), temperature=-10.0)


def test_headers_that_make_no_sense_count_as_missing() -> None:
    header = fits.Header(
        [("EXPTIME", "long"), ("EXPOSURE", 30), ("GAIN", True), ("CCD-TEMP", -10.2), ("BINX", 2)]
    )
    assert exposure_of(header, SHAPE) == Exposure(SHAPE, exptime=30.0, temperature=-10.2)


@pytest.mark.parametrize(
    "master",
    [
        Exposure((20, 10), 60.0, 1.0, (2, 2), -10.0),
        Exposure(SHAPE, 30.0, 1.0, (2, 2), -10.0),
        Exposure(SHAPE, 60.0, 2.0, (2, 2), -10.0),
        Exposure(SHAPE, 60.0, 1.0, (1, 1), -10.0),
        Exposure(SHAPE, 60.0, 1.0, (2, 2), -12.0),
    ],
)
def test_a_master_that_differs_in_one_value_is_not_used(master: Exposure) -> None:
    assert closest_master(FRAME, {"m": master}, 1.0) is None


def test_a_missing_value_is_no_mismatch() -> None:
    assert closest_master(FRAME, {"m": Exposure(SHAPE)}, 1.0) == "m"
    full = Exposure(SHAPE, 60.0, 1.0, (2, 2), -10.0)
    assert closest_master(Exposure(SHAPE), {"m": full}, 1.0) == "m"


def test_the_closest_master_is_chosen_then_the_first_name() -> None:
    masters = {
        "unknown": Exposure(SHAPE),
        "warm": Exposure(SHAPE, 60.0, 1.0, (2, 2), -9.2),
        "z near": Exposure(SHAPE, 60.0, 1.0, (2, 2), -9.9),
        "a near": Exposure(SHAPE, 60.0, 1.0, (2, 2), -9.9),
    }
    assert closest_master(FRAME, masters, 1.0) == "a near"
    del masters["a near"], masters["z near"]
    assert closest_master(FRAME, masters, 1.0) == "warm"
    alike = dict.fromkeys(("10", "2"), Exposure(SHAPE))
    assert closest_master(FRAME, alike, 1.0) == "2"


def test_kinds_do_not_depend_on_the_order_of_the_darks() -> None:
    darks = {
        "a": FRAME,
        "b": Exposure(SHAPE, 60.0, 1.0, (2, 2), -10.6),
        "c": Exposure(SHAPE, 30.0, 1.0, (2, 2), -10.0),
        "d": Exposure(SHAPE, 60.0),
        "e": Exposure((5, 5), 60.0, 1.0, (2, 2), -10.0),
    }
    found = kinds(darks, 1.0)
    assert sorted(names for _, names in found) == [["b", "a"], ["c"], ["d"], ["e"]]
    assert kinds(dict(reversed(darks.items())), 1.0) == found


def test_master_is_the_median_of_its_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    cube = rng.normal(100, 5, (5, 40, 30)).astype(np.float32)
    cube[1, 3, 4] = np.nan
    paths = []
    for number, pixels in enumerate(cube):
        paths.append(tmp_path / f"d{number}.fits")
        fits.writeto(paths[-1], pixels, fits.Header([("EXPTIME", 60.0 if number < 4 else 30.0)]))
    paths.append(tmp_path / "broken.fits")
    paths[-1].write_text("no dark")
    # Bands of a few rows: the median must not depend on how often the files are read.
    monkeypatch.setattr(combine_darks, "BAND_BYTES", 4 * 30 * 4 * 7)
    masters = tmp_path / "work" / "masters.fits"
    masters.parent.mkdir()
    combine_darks.run(paths, masters, dark_temperature_tolerance=1.0)
    with fits.open(masters) as hdus:
        by_exposure = {hdu.header["EXPTIME"]: hdu for hdu in hdus[1:]}
        assert set(by_exposure) == {30.0, 60.0}
        np.testing.assert_array_equal(by_exposure[30.0].data, cube[4])
        expected = np.nanmedian(cube[:4].astype(float), axis=0)
        np.testing.assert_allclose(by_exposure[60.0].data, expected, rtol=1e-6)
        assert by_exposure[60.0].header["NCOMBINE"] == 4
        assert by_exposure[60.0].header["DARKNAME"] == "master of 4: 60 s 30 x 40"
    assert [path.name for path in masters.parent.iterdir()] == ["masters.fits"]
