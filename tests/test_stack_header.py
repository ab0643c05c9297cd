"""A stack's header says nothing that is true of one frame alone, and what photometry asks for."""

from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from scripts.lightstack.alignment.transform import identity
from scripts.lightstack.stacking.aligned import AlignedFrame
from scripts.lightstack.stacking.header import Plane, common_header, mode_header
from scripts.lightstack.stacking.modes import AVERAGES, MODES
from scripts.lightstack.stacking.propagation import propagate
from scripts.lightstack.stacking.times import exposed, in_header

OF_ONE_FRAME: dict[str, tuple[Any, Any]] = {
    "DATE-AVG": ("2026-03-01T21:00:30", "2026-03-01T21:01:30"),
    "MJD-OBS": (61100.875, 61100.876),
    "JD": (2461101.375, 2461101.376),
    "HJD": (2461101.379, 2461101.38),
    "BJD_TDB": (2461101.38, 2461101.381),
    "AIRMASS": (1.2, 1.21),
    "CCD-TEMP": (-9.9, -10.1),
    "DET-TEMP": (-9.9, -10.1),
    "SET-TEMP": (-10.0, -15.0),
    "UT": ("21:00:00", "21:01:00"),
    "UTC-OBS": ("21:00:00", "21:01:00"),
    "LST": ("7:00:00", "7:01:00"),
    "HA": ("1:00:00", "1:01:00"),
    "OBJCTALT": ("50", "51"),
    "FOCPOS": (1000, 1010),
    "FOCTEMP": (5.0, 4.9),
    "FRAMENUM": (1, 2),
    "FILENAME": ("a.fits", "b.fits"),
    "A CARD OF SOMEBODY": (1, 2),
    "SHUTTER": (True, 1),
    # Of a frame even if all have the same.
    "LIVETIME": (60.0, 60.0),
    "DATAMAX": (65535, 65535),
    "DATAMIN": (0, 0),
    "PEDESTAL": (100, 100),
    "READNOIS": (3.0, 3.0),
    "EXPOSURE": (60.0, 60.0),
}


def frame(name: str = "a", flux_scale: float = 1.0, **cards: Any) -> AlignedFrame:
    header = fits.Header([("NOISEADU", 10.0), ("SATURATE", 6e4)])
    header.update({key.replace("_", "-"): value for key, value in cards.items()})
    return AlignedFrame(name, None, header, identity((10, 10)), flux_scale)  # type: ignore[arg-type]


def headers(frames: list[AlignedFrame], weights: list[float] | None = None) -> dict[str, Any]:
    """Header of each mode; the first frame is the reference."""
    common = common_header(frames, frames[0])
    weight = np.array(weights or [1.0] * len(frames))
    plane = Plane(frames, weight, propagate(frames, weight))
    return {
        mode: mode_header(common, mode, [plane], weighted_by="none", sigma_clip=2.5)
        for mode in MODES
    }


@pytest.mark.parametrize("keyword", OF_ONE_FRAME)
def test_a_card_of_one_frame_does_not_stay(keyword: str) -> None:
    frames = [frame(), frame()]
    for one, value in zip(frames, OF_ONE_FRAME[keyword], strict=True):
        one.header.set(*((f"HIERARCH {keyword}" if " " in keyword else keyword), value))
    for header in headers(frames).values():
        assert keyword not in header


def test_a_card_that_some_frames_lack_does_not_stay() -> None:
    assert "OBSERVER" not in common_header([frame(OBSERVER="A"), frame()], frame(OBSERVER="A"))


def test_cards_of_all_frames_stay_with_their_comments() -> None:
    frames = [frame(OBJECT="M 8", FILTER="R", GAIN=100), frame(OBJECT="M 8", FILTER="R", GAIN=100)]
    frames[0].header.comments["FILTER"] = "of the wheel"
    header = common_header(frames, frames[0])
    assert (header["OBJECT"], header["FILTER"], header["GAIN"]) == ("M 8", "R", 100)
    assert header.comments["FILTER"] == "of the wheel"


def test_names_are_the_same_however_they_are_spelled() -> None:
    frames = [frame(OBJECT="M 31", FILTER="Ha"), frame(OBJECT="m31", FILTER="H-alpha ")]
    header = common_header(frames, frames[0])
    assert (header["OBJECT"], header["FILTER"]) == ("M 31", "Ha")
    frames.append(frame(OBJECT="M-31", FILTER="Hb"))
    header = common_header(frames, frames[0])
    assert not {"OBJECT", "FILTER"} & set(header)


@pytest.mark.parametrize(
    ("times", "exptime", "total"),
    [
        ((60.0, 60.0), 60.0, 120.0),
        ((60.0, 60.03125), 60.0, 120.03125),
        (("60 s", 60), 60.0, 120.0),
        ((60.0, 300.0), None, 360.0),
        ((60.0, None), None, None),
    ],
)
def test_an_exposure_is_told_only_if_it_is_that_of_all_frames(
    times: tuple[Any, Any], exptime: float | None, total: float | None
) -> None:
    frames = [frame(**({} if time is None else {"EXPTIME": time})) for time in times]
    header = common_header(frames, frames[0])
    assert (header.get("EXPTIME"), header.get("TOTEXP")) == (exptime, total)


def test_a_gain_in_electrons_is_that_of_a_frame() -> None:
    frames = [frame(GAIN=1.9), frame(GAIN=1.9)]
    frames[0].header.comments["GAIN"] = "e-/ADU"
    assert "GAIN" not in common_header(frames, frames[0])


def test_the_grid_is_the_references() -> None:
    grid: dict[str, Any] = {
        "CTYPE1": "RA---TAN-SIP",
        "CRVAL1": 83.1,
        "CRPIX2": 100.5,
        "CD1_2": 1e-4,
        "PC2_1": 0.1,
        "PV1_10": 0.2,
        "A_ORDER": 2,
        "BP_0_1": 1e-5,
        "CRVAL1B": 2.0,
        "EQUINOX": 2000.0,
        "ROWORDER": "TOP-DOWN",
        "XBINNING": 2,
        "YPIXSZ": 7.6,
    }
    one, other = frame(), frame()
    for keyword, value in grid.items():
        one.header[keyword] = value
        other.header[keyword] = value + value
    header = common_header([one, other], one)
    assert {keyword: header[keyword] for keyword in grid} == grid


def test_the_grid_may_be_that_of_another_group() -> None:
    reference = frame(FILTER="L", OBJECT="M 8", CRVAL1=83.1, CRPIX2=5.0, EXPTIME=10.0)
    frames = [frame(FILTER="Ha", OBJECT="M 8", CRVAL1=83.2, EQUINOX=2000.0, EXPTIME=60.0)] * 2
    header = common_header(frames, reference)
    cards = {key: header.get(key) for key in ("FILTER", "OBJECT", "EXPTIME", "CRVAL1", "EQUINOX")}
    assert list(cards.values()) == ["Ha", "M 8", 60.0, 83.1, None]
    assert header["CRPIX2"] == 5.0


def test_gain_and_read_noise_tell_the_noise_of_an_average() -> None:
    rng = np.random.default_rng(3)
    gains, scales, weights = [1.5, 0.8, 2.5, 1.5], [1.0, 0.7, 1.6, 1.1], [1.0, 2.0, 0.5, 1.0]
    light, read_noise, n = 300.0, [8.0, 5.0, 12.0, 8.0], 400_000
    frames = [
        frame(flux_scale=scale, EGAIN=gain, RDNOISE=noise)
        for scale, gain, noise in zip(scales, gains, read_noise, strict=True)
    ]
    values = [
        scale * (rng.poisson(light / scale * gain, n) + rng.normal(0, noise, n)) / gain
        for scale, gain, noise in zip(scales, gains, read_noise, strict=True)
    ]
    mean = np.average(values, axis=0, weights=weights)
    assert mean.mean() == pytest.approx(light, rel=1e-3)
    header = headers(frames, weights)["mean"]
    expected = light / header["EGAIN"] + (header["RDNOISE"] / header["EGAIN"]) ** 2
    assert mean.var() == pytest.approx(expected, rel=0.01)


def test_alike_frames_have_n_times_the_gain() -> None:
    header = headers([frame(EGAIN=1.5, RDNOISE=8.0)] * 9)["sigma_clip"]
    assert header["EGAIN"] == pytest.approx(9 * 1.5)
    assert header["RDNOISE"] == pytest.approx(3 * 8)
    assert header["NOISEADU"] == pytest.approx(10 / 3)


def test_what_is_known_of_averages_is_said_of_no_other_mode() -> None:
    found = headers([frame(EGAIN=1.5, RDNOISE=8.0)] * 3)
    for keyword in ("EGAIN", "RDNOISE", "NOISEADU", "WEIGHTS"):
        assert {mode for mode, header in found.items() if keyword in header} == set(AVERAGES)
    assert {mode for mode, header in found.items() if "SATURATE" not in header} == {"std"}
    assert {mode for mode, header in found.items() if "CLIPSIG" in header} == {
        *("sigma_clip", "winsorized", "noise_clip", "proper")
    }


def test_an_unknown_gain_is_not_told() -> None:
    header = headers([frame(EGAIN=1.5), frame()])["mean"]
    assert "EGAIN" not in header
    assert "RDNOISE" not in header


def test_the_saturation_is_that_of_the_faintest_scale() -> None:
    assert headers([frame(), frame(flux_scale=0.5)])["mean"]["SATURATE"] == 3e4


def test_the_middle_is_weighted_by_exposure() -> None:
    frames = [
        frame(DATE_OBS="2026-03-01T23:59:00", EXPTIME=60.0),
        frame(DATE_OBS="2026-03-02T00:04:00", EXPTIME=120.0),
    ]
    header = common_header(frames, frames[0])
    assert header["DATE-OBS"] == "2026-03-01T23:59:00.000"
    assert header["DATE-END"] == "2026-03-02T00:06:00.000"
    # 23:59:30 and 00:05:00, the latter twice.
    assert header["DATE-AVG"] == "2026-03-02T00:03:10.000"
    assert header["MJD-AVG"] == pytest.approx(61101 + 190 / 86400, abs=1e-7)
    assert "DATE-AVG" not in common_header([*frames, frame()], frames[0])


@pytest.mark.parametrize(
    "cards",
    [
        {"DATE_OBS": "2026-03-01T21:00:00"},
        *({"DATE_OBS": "2026-03-01", key: "21:00:00"} for key in ("UT", "UT_START", "UTSTART")),
        *({"DATE_OBS": "2026-03-01", key: "21:00:00.0"} for key in ("TIME_OBS", "UTC_OBS")),
        {"DATE_OBS": "2026-03-01", "MJD_OBS": 61100.875},
        {"DATE_OBS": "2026-03-01", "JD": 2461101.375},
        {"DATE_OBS": "2026-03-02", "JD": 2461101.375},
        {"MJD_OBS": 61100.875},
        {"DATE_OBS": "2026-03-01", "UT": "soon", "MJD_OBS": 61100.875},
    ],
)
def test_a_date_without_a_time_is_completed(cards: dict[str, Any]) -> None:
    found = exposed(frame(**cards).header)
    assert found is not None
    assert in_header(found.begin) == "2026-03-01T21:00:00.000"


@pytest.mark.parametrize(
    "cards",
    [
        {"DATE_OBS": "2026-03-01"},
        {"DATE_OBS": "2026-03-01", "UT": 21.0},
        {"DATE_OBS": "2026-03-01", "MJD_OBS": 51100.875},
        {"JD": 1e300},
        {"JD": 0.0},
        {"UT": "21:00:00"},
    ],
)
def test_no_time_is_invented(cards: dict[str, Any]) -> None:
    frames = [frame(**cards), frame(**cards)]
    assert exposed(frames[0].header) is None
    assert common_header(frames, frames[0]).get("DATE-OBS") == cards.get("DATE_OBS")
