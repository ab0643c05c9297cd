"""What is known of a frame is what cameras and programs really write."""

import random
from pathlib import PurePath
from typing import Any

import pytest
from astropy.io import fits

from scripts.lightstack.raw.exposure import EXPOSURE_CARDS, Exposure, exposure_of
from scripts.lightstack.raw.roles import role_by_folder, role_by_header
from scripts.lightstack.raw.values import exposure_time

SHAPE = (10, 20)


@pytest.mark.parametrize(
    ("cards", "seconds"),
    [
        ({"EXPTIME": 300}, 300),
        ({"EXPTIME": "300,000"}, 300),
        ({"EXPTIME": "0,5"}, 0.5),
        ({"EXPTIME": "'60.0 '"}, 60),
        ({"EXPTIME": "3.00000000000E+002"}, 300),
        ({"EXPTIME": "1.5D2"}, 150),
        ({"EXPTIME": "1.200,5"}, 1200.5),
        ({"EXPTIME": "1,200.5"}, 1200.5),
        ({"EXPTIME": "60 s"}, 60),
        ({"EXPTIME": "60sec"}, 60),
        ({"EXPTIME": "500 ms"}, 0.5),
        ({"EXPTIME": "250 µs"}, 0.00025),
        ({"EXPTIME": "5 min"}, 300),
        ({"EXPTIME": "1/250"}, 0.004),
        ({"EXPTIME": 0}, 0),
        ({"EXPOSURE": "30"}, 30),
        ({"XPOSURE": 12.5}, 12.5),
        ({"EXP_TIME": 7}, 7),
        ({"EXP": 15.0}, 15),
        ({"EXPOINUS": 300_000_000}, 300),
        ({"EXPOINUS": "2000000"}, 2),
        ({"EXP_MS": 1500}, 1.5),
        ({"EXPTIME": "long", "EXPOSURE": 30}, 30),
        ({"EXPTIME": -1, "EXPOINUS": 1_000_000}, 1),
        ({"EXPTIME": "00:05:00"}, None),
        ({"EXPTIME": "2026-03-01"}, None),
        ({"EXPTIME": "60 parsecs"}, None),
        ({"EXPTIME": True}, None),
        ({"EXPTIME": "nan"}, None),
        ({"EXPTIME": 1e9}, None),
        ({}, None),
    ],
)
def test_the_exposure_time_is_in_seconds(cards: dict[str, Any], seconds: float | None) -> None:
    assert exposure_time(cards) == pytest.approx(seconds)


def test_a_comment_tells_the_unit_of_the_exposure_time() -> None:
    header = fits.Header([("EXPTIME", 500, "[ms] exposure time")])
    assert exposure_time(header) == pytest.approx(0.5)
    header = fits.Header([("EXPTIME", 500, "[s] ms are not meant")])
    assert exposure_time(header) == pytest.approx(500)
    header = fits.Header([("EXPOSURE", 4000, "exposure in milliseconds")])
    assert exposure_time(header) == pytest.approx(4)


@pytest.mark.parametrize(
    ("cards", "known"),
    [
        ({"GAIN": 120, "EGAIN": 1.0022}, {"gain": 120, "egain": 1.0022}),
        ({"GAIN": "1,5"}, {"gain": 1.5}),
        ({"GAIN": -1}, {}),
        ({"GAINRAW": 90}, {"gain": 90}),
        ({"CVF": 0.25}, {"egain": 0.25}),
        ({"ISOSPEED": 800}, {"gain": 800}),
        ({"ISOSPEED": "ISO800", "GAIN": 0}, {"gain": 800}),
        ({"ISO": "ISO 1600"}, {"gain": 1600}),
        ({"OFFSET": 30}, {"offset": 30}),
        ({"BLKLEVEL": "64"}, {"offset": 64}),
        ({"READOUTM": "High  Gain "}, {"readout_mode": "High Gain"}),
        ({"READMODE": 0}, {"readout_mode": "0"}),
        ({"CCD-TEMP": -9.8, "SET-TEMP": -10}, {"temperature": -9.8}),
        ({"SET-TEMP": "-10,0 °C"}, {"temperature": -10}),
        ({"DET-TEMP": "-15.0C"}, {"temperature": -15}),
        ({"CCDATEMP": 263.15}, {"temperature": -10}),
        ({"CCD-TEMP": "14 F"}, {"temperature": -10}),
        ({"CCD-TEMP": -999}, {}),
        ({"XBINNING": 2, "YBINNING": 1}, {"binning": (2, 1)}),
        ({"CCDXBIN": "2", "CCDYBIN": "2"}, {"binning": (2, 2)}),
        ({"BINX": 3, "BINY": 3}, {"binning": (3, 3)}),
        ({"BINNING": "2x2"}, {"binning": (2, 2)}),
        ({"BINNING": "2*2"}, {"binning": (2, 2)}),
        ({"BINNING": 4}, {"binning": (4, 4)}),
        ({"CCDSUM": "1 2"}, {"binning": (1, 2)}),
        ({"XBINNING": 0, "YBINNING": 0}, {}),
        ({"FILTER": "Ha"}, {"filter": "Ha"}),
        ({"FILTERS": "V"}, {"filter": "V"}),
        ({"FILTER1": "Open", "FILTER2": "B"}, {"filter": "B"}),
        ({"FILTER1": "air", "FILTER2": "Clear"}, {"filter": "air"}),
        ({"OBJECT": "'M 31 '"}, {"object": "M 31"}),
        ({"OBJECT": "   ", "OBJNAME": "M 33"}, {"object": "M 33"}),
        ({"BAYERPAT": "rggb"}, {"bayer": "RGGB"}),
        ({"BAYERPAT": "RGGB", "XBAYROFF": 1, "YBAYROFF": 0}, {"bayer": "GRBG"}),
        ({"BAYERPAT": "RGGB", "XBAYROFF": "0", "YBAYROFF": "1"}, {"bayer": "GBRG"}),
        ({"COLORTYP": "BGGR", "BAYOFFX": 1, "BAYOFFY": 1}, {"bayer": "RGGB"}),
        ({"BAYERPAT": "TRUE"}, {}),
        ({"ROWORDER": "Top-Down"}, {"orientation": "TOP-DOWN"}),
        ({"ROWORDER": "BOTTOM_UP"}, {"orientation": "BOTTOM-UP"}),
        ({"ROWORDER": "sideways"}, {}),
        (
            {"RAWSHA": "ab" * 32, "DARK": "master of 3", "FLAT": "none; of no use"},
            {"calibrated": "D"},
        ),
        (
            {"RAWSHA": "ab" * 32, "DARK": "none", "BIAS": "b.fits", "FLAT": "f"},
            {"calibrated": "BF"},
        ),
        ({"RAWSHA": "no digest", "DARK": "Horse"}, {}),
        ({"IMAGETYP": "Master Flat"}, {"role": "flat", "is_master": True}),
        ({"BUNIT": "Counts"}, {"unit": "ADU"}),
        ({"BUNIT": "e-"}, {"unit": "electrons"}),
        ({"BUNIT": "Jy/beam"}, {}),
        ({"XORGSUBF": 768, "YORGSUBF": 1136}, {"window": (768, 1136)}),
        ({"CCDSEC": "[101:2148,1:512]"}, {"window": (100, 0)}),
        ({"CCDSEC": "[2148:101,512:1]"}, {"window": (100, 0)}),
        ({"CCDSEC": "[1:2048,1:512"}, {}),
        ({"TRIMSEC": "[ 51:70 , 1:10 ]"}, {"window": (50, 0)}),
        ({"TRIMSEC": "[51:2098,1:2048]"}, {}),
        ({"CCDSEC": "all"}, {}),
        ({"INSTRUME": "ZWO ASI294MC Pro", "TELESCOP": "S50"}, {"camera": "ZWO ASI294MC Pro"}),
        ({"DATE-OBS": "2018-07-04T14:03:03"}, {"date": "2018-07-04T14:03:03"}),
        ({"DATE-OBS": "2018-07-04", "UT": "14:03:03"}, {"date": "2018-07-04T14:03:03"}),
        ({"CALSTAT": "BDF"}, {"calibrated": "BDF"}),
        ({"CALSTAT": " d "}, {"calibrated": "D"}),
        ({"DARKCOR": "Dec 24 dark.fits", "ZEROCOR": "done"}, {"calibrated": "BD"}),
        ({"SNAPSHOT": 1}, {"n_combined": 1}),
    ],
)
def test_values_are_read_as_programs_write_them(
    cards: dict[str, Any], known: dict[str, Any]
) -> None:
    exposure = exposure_of(cards, SHAPE)
    names = [*known] or ["gain", "temperature", "binning", "bayer", "orientation", "window"]
    for name in names:
        assert getattr(exposure, name) == pytest.approx(known.get(name)), name


@pytest.mark.parametrize(
    ("cards", "role"),
    [
        *(({"IMAGETYP": word}, "light") for word in ("Light Frame", "LIGHT", "light", "object")),
        *(
            ({"IMAGETYP": word}, "dark")
            for word in ("Dark Frame", "DARK", "DarkFlat", "dark flat")
        ),
        *(({"IMAGETYP": word}, "dark") for word in ("Master Dark", "masterDark", "MASTERDARK")),
        *(
            ({"IMAGETYP": word}, "flat")
            for word in ("Flat Field", "FLAT", "Sky Flat", "Master Flat")
        ),
        *(({"IMAGETYP": word}, "bias") for word in ("Bias Frame", "zero", "Offset Frame")),
        *(({"IMAGETYP": word}, "stack") for word in ("Master Light", "masterLight")),
        ({"FRAME": "Dark"}, "dark"),
        ({"FRAMETYP": "Light"}, "light"),
        ({"OBSTYPE": "EXPOSE"}, "light"),
        ({"CALFRAME": "MasterFlat"}, "flat"),
        ({"INTEGRAT": "Integration"}, "stack"),
        ({"PICTTYPE": 3}, "dark"),
        ({"IMAGETYP": "Light Frame", "STACKCNT": 187}, "stack"),
        ({"NCOMBINE": 12}, "stack"),
        ({"IMAGETYP": "Dark Frame", "NCOMBINE": 12}, "dark"),
        ({"IMAGETYP": "Light Frame", "SNAPSHOT": 1}, "light"),
        ({"IMAGETYP": "SNAPSHOT", "FRAME": "FK5"}, None),
        ({}, None),
    ],
)
def test_headers_tell_roles(cards: dict[str, Any], role: str | None) -> None:
    assert role_by_header(cards) == role


@pytest.mark.parametrize(
    ("path", "role"),
    [
        ("LIGHT/a.fits", "light"),
        ("Dark/a.fits", "dark"),
        ("M 42/DARKS/a.fits", "dark"),
        ("DARK_300s_-10C/a.fits", "dark"),
        ("Master Darks/a.fits", "dark"),
        ("FLAT/Ha/a.fits", "flat"),
        ("Flats_OIII/a.fits", "flat"),
        ("BIAS/a.fits", "bias"),
        ("offsets/a.fits", "bias"),
        ("dunkelbilder/a.fits", "dark"),
        ("FlatDarks/a.fits", "dark"),
        ("darks/lights/a.fits", "light"),
        ("Dark Nebula/a.fits", None),
        ("to_stack/a.fits", None),
        ("M31/dark_1.fits", None),
        ("a.fits", None),
    ],
)
def test_folders_tell_roles(path: str, role: str | None) -> None:
    assert role_by_folder(PurePath(path)) == role


def test_a_picture_runs_from_the_top_down() -> None:
    assert exposure_of({}, SHAPE, picture=True).orientation == "TOP-DOWN"


def test_headers_that_make_no_sense_count_as_missing() -> None:
    header = fits.Header(
        [("EXPTIME", "long"), ("EXPOSURE", 30), ("GAIN", True), ("CCD-TEMP", -10.2), ("BINX", 2)]
    )
    assert exposure_of(header, SHAPE) == Exposure(SHAPE, exptime=30.0, temperature=-10.2)


def test_no_value_of_a_card_raises() -> None:
    chance = random.Random(5)
    odd: list[Any] = [None, True, 1 + 2j, float("nan"), float("inf"), 10**400, -(10**5000), b"6"]
    odd += [
        "",
        "'",
        ",",
        ".",
        "-",
        "1/0",
        "1e999",
        "²",
        "٣",
        "[",
        "[1:",
        "[a:b,c:d]",
        "2x",
        "x" * 999,
    ]
    odd += ["1" * 400, "9" * 5000, "1,,,2", "1/" + "9" * 400, fits.card.Undefined(), [], object()]
    letters = "0123456789,.-+eE:/[]xX *'\"µ°²sSmGRBrg\n\0"
    for _ in range(300):
        odd.append("".join(chance.choices(letters, k=chance.randrange(12))))
    for value in odd:
        exposure = exposure_of(dict.fromkeys(EXPOSURE_CARDS, value), SHAPE)
        for name in ("exptime", "gain", "egain", "offset", "temperature"):
            number = getattr(exposure, name)
            assert number is None or abs(number) < float("inf")
