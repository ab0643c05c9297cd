"""Each frame gets the dark that matches it."""

import gzip
import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from scripts import combine_darks, subtract_dark
from scripts.lightstack.calibration.darks import closest_master, kinds
from scripts.lightstack.calibration.median import median
from scripts.lightstack.job import JobError
from scripts.lightstack.planning import dark_choice
from scripts.lightstack.planning.dark_choice import DarkChoice, choose_darks
from scripts.lightstack.planning.fingerprints import sha256_of
from scripts.lightstack.planning.frames import find_frames
from scripts.lightstack.raw.exposure import Exposure, exposure_of

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


def test_master_is_the_median_of_its_darks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(1)
    cube = rng.normal(100, 5, (4, 40, 30)).astype(np.float32)
    cube[1, 3, 4] = np.nan
    paths = []
    for number, pixels in enumerate(cube):
        paths.append(tmp_path / f"d{number}.fits")
        fits.writeto(paths[-1], pixels, fits.Header([("EXPTIME", 60.0)]))
    # Bands of a few rows: the median must not depend on how often the files are read.
    monkeypatch.setattr(combine_darks, "BAND_BYTES", 4 * 30 * 4 * 7)
    master = tmp_path / "work" / "master.fits"
    combine_darks.run(paths, master)
    with fits.open(master) as hdus:
        expected = np.nanmedian(cube.astype(float), axis=0)
        np.testing.assert_allclose(hdus[0].data, expected, rtol=1e-6)
        assert hdus[0].header["NCOMBINE"] == 4
        assert hdus[0].header["DARKNAME"] == "master of 4: 60 s 30 x 40"
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
    monkeypatch.delattr(combine_darks, "median")
    combine_darks.run([tmp_path / "d.fits"], tmp_path / "one.fits")
    one, two = (fits.getdata(tmp_path / f"{name}.fits") for name in ("one", "two"))
    assert one.tobytes() == two.tobytes()
    assert fits.getval(tmp_path / "one.fits", "DARKNAME") == "master of 1: 60 s 30 x 40"


def subtract(raw: Path, dark: Path | None, saturation_limit: float = 1) -> None:
    subtract_dark.run(
        raw,
        raw.with_name("frame.fits"),
        sha256="",
        dark=dark,
        master=None,
        saturation_limit=saturation_limit,
        debug_region=0,
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
        monkeypatch.setattr(subtract_dark, "BAND_ROWS", rows)
        for name in ("dark", "master"):
            files.append(tmp_path / f"{name}{rows}.fits")
            subtract_dark.run(
                tmp_path / "raw.fits",
                files[-1],
                sha256="",
                dark=tmp_path / "dark.fits" if name == "dark" else None,
                master=tmp_path / "master.fits" if name == "master" else None,
                saturation_limit=1000,
                debug_region=side,
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
    return choose_darks(frames, darks, contents, 1.0, folder / "exposures.json")


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
        name: [Path(path).stem for path in choice.darks[kind]]
        for name, kind in choice.kind.items()
    } == {"short": ["a"], "broken": ["a"], "long": ["b", "c"], "misfit": ["b", "c"]}
    # Of what no frame uses no master is made.
    assert len(choice.darks) == 2
    causes = {"gone": "a link", "broken": "not a FITS", "misfit": "shape", "torn": "truncated"}
    assert len(choice.unused) == len(causes)
    for name, cause in causes.items():
        assert any(f"{name}.fits" in line and cause in line for line in choice.unused)


def test_files_are_looked_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("data/a", "data/b", "darkfield/a", "darkfield/c"):
        write((tmp_path / name).with_suffix(".fits"), 60, 1)
    first = choose(tmp_path)
    looked = []
    look = dark_choice._look

    def note(path: Path, *, whole: bool) -> object:
        looked.append(path.name)
        return look(path, whole=whole)

    monkeypatch.setattr(dark_choice, "_look", note)
    assert choose(tmp_path) == first
    assert not looked
    write(tmp_path / "darkfield" / "c.fits", 30, 2)
    assert not choose(tmp_path).kind
    assert looked == ["c.fits"]
    monkeypatch.setattr(dark_choice, "code_digest", lambda _: "another")
    choose(tmp_path)
    assert len(looked) == 5
