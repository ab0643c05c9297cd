"""Each frame gets the dark that matches it."""

import gzip
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from scripts import calibrate_frame, combine_darks
from scripts.lightstack.calibration import masters, pedestals, subtraction
from scripts.lightstack.calibration.matching import (
    DARKS,
    Match,
    differences,
    is_turned,
    kinds,
    match_master,
    told,
)
from scripts.lightstack.calibration.median import median
from scripts.lightstack.files.frame_file import read_frame
from scripts.lightstack.files.ledger import COLUMNS, summary
from scripts.lightstack.files.records import write_csv
from scripts.lightstack.job import JobError
from scripts.lightstack.planning import looks as looks_module
from scripts.lightstack.planning.dark_choice import DarkChoice, choose_darks
from scripts.lightstack.planning.fingerprints import sha256_of
from scripts.lightstack.planning.frames import find_frames
from scripts.lightstack.planning.looks import Looks
from scripts.lightstack.raw import images
from scripts.lightstack.raw.exposure import Exposure
from tests.calibration import plain

SHAPE = (10, 20)
FRAME = Exposure(SHAPE, exptime=60.0, gain=1.0, binning=(2, 2), temperature=-10.0)


FULL = Exposure(
    SHAPE,
    exptime=60.0,
    gain=1.0,
    binning=(2, 2),
    temperature=-10.0,
    offset=30.0,
    readout_mode="High Gain",
    window=(0, 0),
    camera="TestCam",
)


@pytest.mark.parametrize(
    "other",
    [
        {"shape": (20, 10)},
        {"exptime": 30.0},
        {"gain": 2.0},
        {"binning": (1, 1)},
        {"temperature": -12.0},
        {"offset": 10.0},
        {"readout_mode": "Low Noise"},
        {"window": (0, 16)},
        {"camera": "Another"},
        {"calibrated": "B"},
        {"unit": "electrons"},
        {"gain": None, "egain": 0.5},
        {"picture": True, "orientation": "TOP-DOWN"},
    ],
    ids="-".join,
)
def test_a_dark_that_differs_in_one_value_is_neither_used_nor_pooled(
    other: dict[str, Any],
) -> None:
    frame = replace(FULL, egain=1.0, unit="ADU")
    dark = replace(frame, **other)
    assert match_master(frame, {"m": dark}, 1.0).master is None
    assert match_master(dark, {"m": frame}, 1.0).master is None
    assert len(kinds({"a": frame, "b": dark}, 1.0)) == 2


def test_headers_round_and_spell_as_they_like() -> None:
    dark = replace(
        FULL, exptime=60.3, temperature=-9.5, camera="TESTCAM", readout_mode="high gain"
    )
    assert match_master(FULL, {"m": dark}, 1.0).master == "m"
    assert kinds({"a": FULL, "b": dark}, 1.0) == [(FULL, ["a", "b"])]


def test_a_missing_value_is_passed_over_where_nothing_contradicts_it() -> None:
    bare = Exposure(SHAPE, gain=1.0)
    master = Exposure(SHAPE, 60.0, 1.0)
    assert match_master(bare, {"m": master}, 1.0) == Match("m", ("exposure",))
    assert match_master(master, {"m": bare}, 1.0, [master]) == Match("m", ("exposure",))
    assert match_master(bare, {"m": bare}, 1.0) == Match("m")


def test_a_frame_without_exposure_has_no_dark_where_darks_have_two() -> None:
    darks = {"60": Exposure(SHAPE, 60.0), "300": Exposure(SHAPE, 300.0)}
    match = match_master(Exposure(SHAPE), darks, 1.0)
    assert match.master is None
    assert told([match.differences], "darks") == [
        (1, "exposure not stated, darks of 60 and 300 s")
    ]


def test_a_dark_without_exposure_suits_no_frame_where_others_have_another() -> None:
    bare, frame = Exposure(SHAPE, gain=1.0), Exposure(SHAPE, 60.0, 1.0)
    other = Exposure(SHAPE, 300.0, 1.0)
    for darks, frames in (({"m": bare}, [frame, other]), ({"m": bare, "n": other}, [frame])):
        match = match_master(frame, darks, 1.0, frames)
        assert match.master is None
        text = "exposure 60 s, darks that do not state it"
        assert told([match.differences], "darks") == [(1, text)]
    stated = Exposure(SHAPE, 60.0, 1.0)
    assert match_master(frame, {"m": bare, "n": stated}, 1.0, [frame]).master == "n"
    # What has another shape is no frame that the dark could be meant for.
    window, whole = replace(frame, shape=(5, 5), window=(3, 3)), replace(frame, window=(0, 0))
    assert match_master(whole, {"m": frame}, 1.0, [whole, window]) == Match("m", ("window",))
    elsewhere = replace(whole, window=(3, 3))
    assert match_master(whole, {"m": frame}, 1.0, [whole, elsewhere]).master is None
    # Temperatures drift: frames that differ in them may share a dark that has none.
    drifting = [replace(frame, temperature=t) for t in (15.0, 20.0)]
    assert match_master(drifting[0], {"m": frame}, 1.0, drifting) == Match("m", ("temperature",))


def test_the_closest_master_is_chosen_then_the_first_name() -> None:
    masters = {
        "unknown": Exposure(SHAPE),
        "warm": Exposure(SHAPE, 60.0, 1.0, (2, 2), -9.2),
        "z near": Exposure(SHAPE, 60.0, 1.0, (2, 2), -9.9),
        "a near": Exposure(SHAPE, 60.0, 1.0, (2, 2), -9.9),
    }
    assert match_master(FRAME, masters, 1.0).master == "a near"
    del masters["a near"], masters["z near"]
    assert match_master(FRAME, masters, 1.0).master == "warm"
    alike = dict.fromkeys(("10", "2"), Exposure(SHAPE))
    assert match_master(FRAME, alike, 1.0).master == "2"


@pytest.mark.parametrize(("letters", "dark"), [("", "m"), ("B", None), ("D", None), ("BDF", None)])
def test_a_calibrated_frame_is_not_calibrated_again(letters: str, dark: str | None) -> None:
    assert match_master(replace(FULL, calibrated=letters), {"m": FULL}, 1.0).master == dark
    assert DARKS.come_too_late(replace(FULL, calibrated=letters)) == ("D" in letters)
    # Nor by a dark of which the same is said.
    alike = replace(FULL, calibrated="D")
    assert match_master(alike, {"m": alike}, 1.0).master is None


def test_bias_may_be_gone_from_both() -> None:
    free = replace(FULL, calibrated="B")
    assert match_master(free, {"m": free}, 1.0).master == "m"


def test_a_dark_with_the_other_row_order_is_turned_and_not_pooled() -> None:
    down, up = (replace(FULL, orientation=order) for order in ("TOP-DOWN", "BOTTOM-UP"))
    assert match_master(down, {"m": up}, 1.0).master == "m"
    assert is_turned(down, up)
    assert not is_turned(down, down)
    assert not is_turned(down, FULL)
    assert len(kinds({"a": down, "b": up}, 1.0)) == 2


def test_reasons_are_told_with_their_values() -> None:
    frames = [Exposure(SHAPE, seconds, 1.0) for seconds in (60.0, 160.0, 90.0)]
    frames.append(Exposure((5, 5), 80.0, 2.0))
    darks = {"m": Exposure(SHAPE, 80.0, 1.0)}
    matches = [match_master(frame, darks, 1.0) for frame in frames]
    assert told([match.differences for match in matches], "darks") == [
        (3, "exposure 60 to 160 s, darks of 80 s"),
        (1, "shape 5 x 5 pixels, darks of 20 x 10 pixels; gain 2, darks of 1"),
    ]
    picture = replace(FRAME, picture=True, orientation="TOP-DOWN")
    match = match_master(picture, {"m": FRAME}, 1.0)
    assert told([match.differences], "darks") == [
        (1, "row order top-down (pictures), darks of unknown (FITS without ROWORDER)"),
    ]
    unused = differences(darks["m"], frames, 1.0)
    assert told([unused], "frames") == [(1, "exposure 80 s, frames of 60, 90 and 160 s")]


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


@pytest.mark.parametrize("held", [0, 2 * 4 * 40 * 30, 10**9])
def test_master_is_the_median_of_its_darks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: int
) -> None:
    rng = np.random.default_rng(1)
    cube = rng.normal(100, 5, (4, 40, 30)).astype(np.float32)
    cube[1, 3, 4] = np.nan
    paths = []
    for number, pixels in enumerate(cube):
        paths.append(tmp_path / f"d{number}.fits")
        fits.writeto(paths[-1], pixels, fits.Header([("EXPTIME", 60.0)]))
    # Bands of a few rows: the median must not depend on how often the files are read.
    monkeypatch.setattr(masters, "BAND_BYTES", 4 * 30 * 4 * 7)
    monkeypatch.setattr(masters, "HELD_FRAMES", 1)
    monkeypatch.setattr(masters, "HELD_BYTES", held)
    master = tmp_path / "work" / "master.fits"
    combine_darks.run(paths, master)
    with fits.open(master) as hdus:
        expected = np.nanmedian(cube.astype(float), axis=0)
        np.testing.assert_allclose(hdus[0].data, expected, rtol=1e-6)
        assert hdus[0].header["NCOMBINE"] == 4
        assert hdus[0].header["MASTER"] == "master of 4: 60 s 30 x 40"
    assert [path.name for path in master.parent.iterdir()] == ["master.fits"]


@pytest.mark.parametrize("n", range(1, 8))
def test_median_leaves_out_what_has_no_data(n: int) -> None:
    rng = np.random.default_rng(n)
    cube = rng.integers(300, 310, (n, 50, 60)).astype(np.float32)
    cube[rng.random(cube.shape) < 0.3] = np.nan
    cube[:, 7, 8] = np.nan
    with warnings.catch_warnings(action="ignore"):
        expected = np.nanmedian(cube.astype(float), axis=0)
    np.testing.assert_array_equal(median(cube), expected.astype(np.float32))


def test_a_single_dark_is_its_own_master(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(1).normal(100, 5, (40, 30)).astype(np.float32)
    pixels[3, 4] = np.nan
    fits.writeto(tmp_path / "d.fits", pixels, fits.Header([("EXPTIME", 60.0)]))
    fits.writeto(tmp_path / "copy.fits", pixels)
    combine_darks.run([tmp_path / "d.fits", tmp_path / "copy.fits"], tmp_path / "two.fits")
    monkeypatch.setattr(pedestals, "combined", None)
    combine_darks.run([tmp_path / "d.fits"], tmp_path / "one.fits")
    one, two = (fits.getdata(tmp_path / f"{name}.fits") for name in ("one", "two"))
    assert one.tobytes() == two.tobytes()
    assert fits.getval(tmp_path / "one.fits", "MASTER") == "master of 1: 60 s 30 x 40"


def subtract(raw: Path, dark: Path | None, saturation_limit: float = 1) -> None:
    calibrate_frame.run(
        raw,
        raw.with_name("frame.fits"),
        sha256="",
        masters={"own": dark} if dark else {},
        **plain(saturation_limit=saturation_limit),
    )


@pytest.mark.parametrize(
    ("limit", "with_dark", "level"),
    [(1000, False, 1000), (1000, True, 993), (np.inf, True, np.finfo(np.float32).max)],
)
def test_the_level_of_saturated_pixels_is_that_without_the_dark(
    tmp_path: Path, limit: float, with_dark: bool, level: float
) -> None:
    raw, dark = tmp_path / "raw.fits", tmp_path / "dark.fits"
    pixels = np.arange(400.0).reshape(20, 20)
    fits.writeto(raw, pixels)
    fits.writeto(dark, np.where(pixels == 5, np.nan, 7.0))
    subtract(raw, dark if with_dark else None, limit)
    assert fits.getval(tmp_path / "frame.fits", "SATURATE") == pytest.approx(level)


@pytest.mark.parametrize("side", [0, 20])
def test_a_dark_is_subtracted_alike_in_one_piece_or_in_bands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, side: int
) -> None:
    rng = np.random.default_rng(3)
    raw, dark = rng.normal(500, 9, (50, 41)), rng.normal(100, 9, (50, 41)).astype(np.float32)
    dark[8, 16] = np.nan
    fits.writeto(tmp_path / "raw.fits", raw.astype(np.float32))
    fits.writeto(tmp_path / "dark.fits", dark)
    combine_darks.run([tmp_path / "dark.fits"], tmp_path / "master.fits")
    files = []
    for rows in (8, 64):
        monkeypatch.setattr(subtraction, "BAND_ROWS", rows)
        for name in ("dark", "master"):
            files.append(tmp_path / f"{name}{rows}.fits")
            calibrate_frame.run(
                tmp_path / "raw.fits",
                files[-1],
                sha256="",
                masters={"own" if name == "dark" else "dark": tmp_path / f"{name}.fits"},
                **plain(saturation_limit=1000, debug_region=side),
            )
    region = np.s_[15:35, 10:30] if side else np.s_[:]
    for file in files:
        with fits.open(file) as hdus:
            np.testing.assert_array_equal(hdus[0].data, (raw.astype(np.float32) - dark)[region])
            assert hdus[0].header["SATURATE"] == 1000 - float(np.nanmedian(dark[::8, ::8]))


def test_a_dark_of_another_shape_than_when_the_run_began_is_told(tmp_path: Path) -> None:
    raw, dark = tmp_path / "raw.fits", tmp_path / "dark.fits"
    fits.writeto(raw, np.arange(20.0).reshape(4, 5))
    fits.writeto(dark, np.arange(30.0).reshape(6, 5))
    with pytest.raises(JobError, match=r"raw\.fits: it had another shape"):
        subtract(raw, dark)
    assert not (tmp_path / "frame.fits").exists()


def choose(folder: Path) -> DarkChoice:
    frames, darks = find_frames(folder / "data"), find_frames(folder / "darkfield")
    paths = [*frames.paths.values(), *darks.paths.values()]
    contents = {path: sha256_of(Path(path)) for path in paths}
    looks = Looks(contents, folder / "exposures.json")
    known = {path: looks.exposure(path) for path in paths}
    choice = choose_darks(frames, darks, known, contents, 1.0, looks.damage)
    looks.keep()
    return choice


def write(path: Path, exptime: float, value: int, shape: tuple[int, int] = SHAPE) -> None:
    path.parent.mkdir(exist_ok=True)
    pixels = np.full(shape, value, np.int16)
    fits.writeto(path, pixels, fits.Header([("EXPTIME", exptime)]), overwrite=True)


def test_each_frame_depends_on_the_darks_that_it_uses(tmp_path: Path) -> None:
    lights, darks = tmp_path / "data", tmp_path / "darkfield"
    for number, (name, exptime) in enumerate(
        {"short": 10, "long": 60, "own": 60, "misfit": 60, "broken": 10, "other": 300}.items()
    ):
        write(lights / f"{name}.fits", exptime, number)
    (lights / "bad.fits").write_text("no frame")
    write(darks / "a.fits", 10, 10)
    write(darks / "b.fits", 60, 11)
    write(darks / "c.fits", 60, 12)
    write(darks / "d.fits", 900, 13)
    write(darks / "own.fits", 60, 14)
    write(darks / "misfit.fits", 60, 15, (5, 5))
    (darks / "broken.fits").write_text("no dark")
    # Its header is whole.
    noise = np.random.default_rng(1).integers(0, 9999, (100, 200), np.int16)
    fits.writeto(darks / "torn.fits", noise)
    torn = gzip.compress((darks / "torn.fits").read_bytes())[:-20]
    (darks / "torn.fits").rename(darks / "torn.fits.gz").write_bytes(torn)
    (darks / "gone.fits").symlink_to("nowhere")
    choice = choose(tmp_path)
    assert choice.own == {"own": str(darks / "own.fits")}
    assert {
        name: [Path(path).stem for path in choice.files[kind]]
        for name, kind in choice.kind.items()
    } == {
        "short": ["a"],
        "broken": ["a"],
        "long": ["b", "c"],
        "misfit": ["b", "c"],
        # For the case that its own does harm.
        "own": ["b", "c"],
    }
    # Of what no frame uses no master is made.
    assert len(choice.files) == 2
    causes = {"gone": "a link", "broken": "not a FITS", "torn": "truncated"}
    assert len(choice.unused) == len(causes)
    for name, cause in causes.items():
        assert any(f"{name}.fits" in line and cause in line for line in choice.unused)


def test_a_dark_of_a_frames_name_that_contradicts_it_counts_as_any_other(tmp_path: Path) -> None:
    lights, darks = tmp_path / "data", tmp_path / "darkfield"
    for name, exptime in {"0001": 60, "0002": 300, "0003": 60}.items():
        write(lights / f"{name}.fits", exptime, int(name))
    (lights / "0004.fits").write_text("no frame")
    for number, name in enumerate(["0001", "0002", "0004"]):
        write(darks / f"{name}.fits", 60, 10 + number)
    choice = choose(tmp_path)
    assert choice.own == {"0001": str(darks / "0001.fits")}
    assert {*choice.kind} == {"0001", "0003"}
    assert choice.files[choice.kind["0003"]] == [str(darks / "0002.fits")]
    assert choice.without == {"0002": "exposure 300 s, darks of 60 s"}
    assert choice.idle == {str(darks / "0004.fits"): "the frame of its name cannot be read"}
    assert choice.told == [
        "1 dark not used for the frame of the same name: exposure 60 s, that frame of 300 s.",
        "1 dark not used: the frame of its name cannot be read.",
        "1 without a dark: exposure 300 s, darks of 60 s.",
    ]


def test_files_are_looked_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("data/a", "data/b", "darkfield/a", "darkfield/c"):
        write((tmp_path / name).with_suffix(".fits"), 60, 1)
    first = choose(tmp_path)
    looked = []
    read = images.read_cards

    def note(path: Path, *rest: Any, **options: Any) -> object:
        looked.append(path.name)
        return read(path, *rest, **options)

    monkeypatch.setattr(looks_module, "read_cards", note)
    assert choose(tmp_path) == first
    assert not looked
    write(tmp_path / "darkfield" / "c.fits", 30, 2)
    assert not choose(tmp_path).kind
    # Once at its header, once at its pixels.
    assert looked == ["c.fits", "c.fits"]
    monkeypatch.setattr(looks_module, "code_digest", lambda _: "another")
    choose(tmp_path)
    assert len(looked) == 8


def test_it_is_told_why_frames_and_darks_stay_alone(tmp_path: Path) -> None:
    for number, exptime in enumerate((60, 90, 160)):
        write(tmp_path / "data" / f"{number}.fits", exptime, number)
    for number, exptime in enumerate((80, 80, 160)):
        write(tmp_path / "darkfield" / f"d{number}.fits", exptime, number)
    choice = choose(tmp_path)
    assert [*choice.kind] == ["2"]
    assert choice.told == [
        "2 without a dark: exposure 60 to 90 s, darks of 80 and 160 s.",
        "2 darks without a frame: exposure 80 s, frames of 60, 90 and 160 s.",
    ]
    assert choice.without == {
        "0": "exposure 60 s, darks of 80 and 160 s",
        "1": "exposure 90 s, darks of 80 and 160 s",
    }


def test_bias_frames_among_darks_are_told(tmp_path: Path) -> None:
    write(tmp_path / "data" / "a.fits", 60, 1000)
    for name, exptime in (("b1", 0), ("b2", 0), ("long", 300)):
        write(tmp_path / "darkfield" / f"{name}.fits", exptime, 100)
    *_, told = choose(tmp_path).told
    assert told.startswith("Darks that were exposed for 0 s: 2, such as ")
    assert "b1.fits. Those are bias frames" in told
    write(tmp_path / "data" / "a.fits", 0, 1000)
    assert not any("bias" in line for line in choose(tmp_path).told)


def test_calibrated_frames_and_what_is_left_open_are_told(tmp_path: Path) -> None:
    write(tmp_path / "data" / "a.fits", 60, 1)
    write(tmp_path / "darkfield" / "d.fits", 60, 2)
    fits.setval(tmp_path / "data" / "a.fits", "GAIN", value=100)
    assert choose(tmp_path).unstated == {"a": "gain not stated"}
    fits.setval(tmp_path / "data" / "a.fits", "CALSTAT", value="BD")
    choice = choose(tmp_path)
    assert not choice.kind
    assert choice.told == ["1 without a dark: calibrated already (bias and dark)."]
    # Neither is its own dark subtracted.
    write(tmp_path / "darkfield" / "a.fits", 60, 3)
    assert not choose(tmp_path).own


def test_darks_of_the_other_row_order_are_noted(tmp_path: Path) -> None:
    for name, order in (("data/a", "TOP-DOWN"), ("data/b", "BOTTOM-UP"), ("data/c", "TOP-DOWN")):
        path = (tmp_path / name).with_suffix(".fits")
        write(path, 60, 1)
        fits.setval(path, "ROWORDER", value=order)
    for name in ("darkfield/d", "darkfield/c"):
        path = (tmp_path / name).with_suffix(".fits")
        write(path, 60, 2)
        fits.setval(path, "ROWORDER", value="BOTTOM-UP")
    choice = choose(tmp_path)
    assert {*choice.kind} == {"a", "b", "c"}
    assert [*choice.own] == ["c"]
    assert (choice.turned, choice.own_turned) == ({"a", "c"}, {"c"})


def test_a_turned_dark_and_a_turned_frame_meet_pixel_by_pixel(tmp_path: Path) -> None:
    raw, dark, frame = (tmp_path / f"{name}.fits" for name in ("raw", "dark", "frame"))
    sky = np.random.default_rng(1).normal(500, 5, (8, 10))
    signal = np.zeros((8, 10))
    signal[1, 2] = 1000.0
    fits.writeto(raw, sky + signal, fits.Header([("ROWORDER", "TOP-DOWN"), ("CRPIX2", 2.0)]))
    fits.writeto(dark, signal[::-1])
    for turned in (False, True):
        calibrate_frame.run(
            raw,
            frame,
            sha256="",
            masters={"own": dark},
            turned=turned,
            **plain(mirrored=["own"], unstated={"own": "gain not stated"}, saturation_limit=1400),
        )
        done = read_frame(frame)
        expected = sky[::-1] if turned else sky
        np.testing.assert_allclose(done.data, expected, rtol=1e-6)
        np.testing.assert_array_equal(done.saturated, (signal > 0)[:: -1 if turned else 1])
        assert done.header["ROWORDER"] == ("BOTTOM-UP" if turned else "TOP-DOWN")
        assert done.header["CRPIX2"] == (7.0 if turned else 2.0)
        assert done.header["DARK"] == "dark.fits; gain not stated"


def test_a_dark_that_is_brighter_than_the_frame_is_told_in_its_name(tmp_path: Path) -> None:
    raw, dark = tmp_path / "raw.fits", tmp_path / "dark.fits"
    noise = np.random.default_rng(1)
    fits.writeto(raw, noise.normal(800, 10, (40, 50)))
    fits.writeto(dark, noise.normal(1500, 3, (40, 50)))
    subtract(raw, dark, 60000)
    name = fits.getval(tmp_path / "frame.fits", "DARK")
    assert name.startswith("dark.fits; the dark is brighter than the frame, 1500 against 800 ADU")
    assert name.endswith("; 100% of the pixels are far below zero after it")


def test_a_dark_that_is_not_used_is_told_to_be_brighter_as_well(tmp_path: Path) -> None:
    raw, dark = tmp_path / "raw.fits", tmp_path / "dark.fits"
    noise = np.random.default_rng(1)
    fits.writeto(raw, noise.normal(800, 10, (40, 50)))
    fits.writeto(dark, noise.normal(1500, 3, (40, 50)) + 30 * np.arange(50))
    subtract(raw, dark, 60000)
    name = fits.getval(tmp_path / "frame.fits", "DARK")
    assert name.startswith("none; dark.fits; the dark is brighter than the frame, ")
    assert "; columns differ by " in name


@pytest.mark.parametrize("doubtful_darks", ["skip", "use"])
@pytest.mark.parametrize("side", [0, 30])
@pytest.mark.parametrize("is_turned", [False, True])
def test_a_dark_that_makes_a_frame_worse_is_used_only_if_it_is_told_to(
    doubtful_darks: str, side: int, is_turned: bool, tmp_path: Path
) -> None:
    raw, dark = tmp_path / "raw.fits", tmp_path / "dark.fits"
    noise = np.random.default_rng(1)
    sky = noise.normal(800, 10, (40, 50)).astype(np.float32)
    glow = noise.normal(300, 3, (40, 50)).astype(np.float32)
    glow[:15] += 400
    fits.writeto(raw, sky)
    fits.writeto(dark, glow)
    calibrate_frame.run(
        raw,
        tmp_path / "frame.fits",
        sha256="0",
        masters={"own": dark},
        **plain(
            mirrored=["own"] if is_turned else [],
            saturation_limit=60000,
            doubtful_darks=doubtful_darks,
            debug_region=side,
        ),
    )
    done = read_frame(tmp_path / "frame.fits")
    middle = (slice(5, 35), slice(10, 40)) if side else (slice(None), slice(None))
    is_used = doubtful_darks == "use"
    expected = sky - (glow[::-1] if is_turned else glow) if is_used else sky
    np.testing.assert_array_equal(done.data, expected[middle])
    name = done.header["DARK"]
    assert name.startswith("dark.fits; rows differ by" if is_used else "none; dark.fits; rows")
    assert done.header["SATURATE"] == 60000 - (np.median(glow[::8, ::8]) if is_used else 0)


def test_the_summary_tells_of_darks_in_doubt(tmp_path: Path) -> None:
    rows = [
        {"frame": name, "status": "stacked", "dark": dark}
        for name, dark in (("a", "own.fits"), ("b", "master; gain not stated"), ("c", "none"))
    ]
    why = "rows differ by 510 ADU after it, by 9 before"
    worse = "Darks that would make frames worse, and are not used"
    rows.append({"frame": "d", "status": "stacked", "dark": f"none; master of 3; {why}"})
    none = "none of its darks can be used: d.fits: it has stars"
    rows.append({"frame": "e", "status": "stacked", "dark": f"none; {none}"})
    write_csv(tmp_path / "frames.csv", COLUMNS, rows)
    assert summary(tmp_path / "frames.csv") == [
        "Darks in doubt: 1, such as that of b (master): gain not stated",
        f"{worse}: 1, such as that of d (master of 3): {why}",
        f"Without a dark: 1 of 5 frames: {none}",
        "5 of 5 frames stacked; 3 without a dark",
    ]


def test_the_summary_tells_of_flats_that_are_of_no_use(tmp_path: Path) -> None:
    why = "none of its flats can be used: f.fits: 100% of its pixels are saturated"
    flats = {"a": f"none; {why}", "b": "master of 2 of 3; f.fits: no light", "c": "none"}
    rows = [
        {"frame": name, "status": "stacked", "dark": "d", "flat": flat}
        for name, flat in flats.items()
    ]
    write_csv(tmp_path / "frames.csv", COLUMNS, rows)
    assert summary(tmp_path / "frames.csv") == [
        "Flats in doubt: 1, such as that of b (master of 2 of 3): f.fits: no light",
        f"Without a flat: 1 of 3 frames: {why}",
        "3 of 3 frames stacked",
    ]


@pytest.mark.parametrize("noun", ["dark", "flat"])
def test_a_frame_tells_why_its_master_is_of_no_use(tmp_path: Path, noun: str) -> None:
    raw, master = tmp_path / "raw.fits", tmp_path / "master.fits"
    fits.writeto(raw, np.random.default_rng(1).normal(800, 10, SHAPE))
    why = f"none of its {noun}s can be used: b.fits: why"
    fits.PrimaryHDU(header=fits.Header([("FAILURE", why)])).writeto(master)
    calibrate_frame.run(
        raw,
        tmp_path / "frame.fits",
        sha256="0",
        masters={noun: master},
        **plain(saturation_limit=60000),
    )
    header = read_frame(tmp_path / "frame.fits").header
    assert header[noun.upper()] == f"none; {why}"


def test_the_summary_tells_of_frames_that_would_outweigh_all_others(tmp_path: Path) -> None:
    def told(*noise: float | None) -> list[str]:
        rows = [
            {"frame": f"f{k}", "status": "stacked", "dark": "a", "noise_adu": of, "flux_scale": 2}
            for k, of in enumerate(noise)
        ]
        write_csv(tmp_path / "frames.csv", COLUMNS, rows)
        return summary(tmp_path / "frames.csv")[:-1]

    (sentence,) = told(30, 0.3, 29, 31)
    assert "than the others: 1 of 4 frames, such as f1 (0.6 ADU, most have 59)." in sentence
    assert not told(30, 6, 29, 31)
    assert not told(30, None)


def test_the_summary_tells_numbers_of_another_scale_from_clouds(tmp_path: Path) -> None:
    good = {"status": "stacked", "dark": "a", "noise_adu": 32, "flux_scale": 1}
    thin = {"status": "rejected", "dark": "a", "transparency": 1 / 16, "flux_scale": 16}

    def told(noise: float) -> list[str]:
        rows = [{"frame": "a", **good}, {"frame": "b", **thin, "noise_adu": noise}]
        write_csv(tmp_path / "frames.csv", COLUMNS, rows)
        return summary(tmp_path / "frames.csv")[:-1]

    (sentence,) = told(2)
    assert "1 of 2 frames, such as b, have 0.062 of the light of the others" in sentence
    assert sentence.endswith("min_transparency=0.03.")
    assert not told(8)


def test_the_summary_tells_what_the_pixels_showed(tmp_path: Path) -> None:
    rows = [
        {"frame": f"{k}", "status": "stacked", "dark": "a", "saturation_found_adu": top}
        | {"no_data_fraction": share}
        for k, (top, share) in enumerate([(4095.0, 0.0), (4095.0, 0.36), (None, 0.0005)])
    ]
    write_csv(tmp_path / "frames.csv", COLUMNS, rows)
    assert summary(tmp_path / "frames.csv") == [
        "Saturated at 4095 ADU, where pixels pile up, below saturation_limit: 2 of 3 frames",
        "Frames with pixels that are no data: 1, up to 36.0% of one",
        "3 of 3 frames stacked",
    ]
