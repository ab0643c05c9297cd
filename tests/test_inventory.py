"""The inventory knows every file, remembers it, and says what becomes of it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from astropy.io import fits

from scripts.lightstack.planning import looks as looks_module
from scripts.lightstack.planning.calibration_choice import Calibration, choose_calibration
from scripts.lightstack.planning.fingerprints import sha256_of
from scripts.lightstack.planning.frames import find_frames
from scripts.lightstack.planning.groups import Groups, group_frames
from scripts.lightstack.planning.inventory import inventory
from scripts.lightstack.planning.looks import Looks
from scripts.lightstack.planning.overview import overview
from scripts.lightstack.planning.uses import Known, Uses, frames_to_turn, sort_files
from scripts.lightstack.raw import images
from scripts.lightstack.raw.exposure import Exposure
from scripts.lightstack.raw.image import UnreadableFileError
from scripts.list_inventory import COLUMNS

CARDS = {
    "EXPTIME": "60,0",
    "GAIN": 100,
    "EGAIN": 1.5,
    "OFFSET": 30,
    "READOUTM": "Low Noise",
    "BINNING": "2x2",
    "CCD-TEMP": -10.0,
    "FILTER": "Ha",
    "OBJECT": "M 31",
    "BAYERPAT": "RGGB",
    "ROWORDER": "TOP-DOWN",
    "XORGSUBF": 8,
    "YORGSUBF": 0,
    "INSTRUME": "TestCam",
    "TELESCOP": "TestScope",
    "DATE-OBS": "2026-03-01T21:00:00",
}


def write(path: Path, value: int, **cards: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fits.writeto(path, np.full((4, 5), value, np.uint16), fits.Header([*cards.items()]))


def take(folder: Path) -> tuple[Uses, Known, dict[str, str], Calibration, Groups]:
    """Learn of the folders what a run does before its first job."""
    folders = [(str(folder / name), find_frames(folder / name)) for name in ("data", "darkfield")]
    paths = [path for _, files in folders for path in files.paths.values()]
    contents = {path: sha256_of(Path(path)) for path in paths}
    looks = Looks(contents, folder / "exposures.json")
    known = {path: looks.exposure(path) for path in paths}
    uses = sort_files(folders[0], folders[1], known, contents)
    choice = choose_calibration(uses, known, contents, 1.0, looks.damage)
    looks.keep()
    groups = group_frames(uses.frames.paths, known, looks.cards, group_by=[], align_by=None)
    return uses, known, contents, choice, groups


def test_a_row_tells_how_a_file_was_taken(tmp_path: Path) -> None:
    write(tmp_path / "data" / "a.fits", 1, **CARDS)
    (row,) = inventory(*take(tmp_path))
    assert [*row] == [*COLUMNS]
    assert len(str(row.pop("sha256"))) == 64
    assert row == {
        "file": str(tmp_path / "data" / "a.fits"),
        "group": "",
        "role": "light",
        "used_as": "light",
        "why": "",
        "shape": "5 x 4",
        "type": "uint16",
        "exptime_s": 60.0,
        "gain": 100.0,
        "egain": 1.5,
        "offset": 30.0,
        "readout_mode": "Low Noise",
        "binning": "2 x 2",
        "temperature_c": -10.0,
        "filter": "Ha",
        "object": "M 31",
        "bayer_pattern": "RGGB",
        "orientation": "TOP-DOWN",
        "window": "8 x 0",
        "camera": "TestCam",
        "telescope": "TestScope",
        "date_obs": "2026-03-01T21:00:00",
    }


def fill(folder: Path) -> None:
    """Make folders with one file of each kind."""
    write(folder / "data" / "a.fits", 1, EXPTIME=60)
    write(folder / "data" / "b.fits", 2, EXPTIME=90)
    write(folder / "data" / "stack.fits", 3, NCOMBINE=20)
    write(folder / "data" / "FLAT" / "f.fits", 4)
    (folder / "data" / "a.jpg").touch()
    (folder / "data" / "bad.fits").write_text("no frame")
    (folder / "data" / "gone.fits").symlink_to("nowhere")
    (folder / "data" / "raw.XISF").touch()
    write(folder / "darkfield" / "d.fits", 5, EXPTIME=60)
    write(folder / "darkfield" / "e.fits", 6, EXPTIME=300)
    write(folder / "darkfield" / "light.fits", 7, EXPTIME=60, IMAGETYP="Light Frame")


def test_it_is_said_what_becomes_of_each_file(tmp_path: Path) -> None:
    fill(tmp_path)
    rows = {Path(str(row["file"])).name: row for row in inventory(*take(tmp_path))}
    told = {
        name: (row["role"], row["used_as"], str(row["why"]).replace(str(tmp_path), ""))
        for name, row in rows.items()
        if "used_as" in row
    }
    assert told == {
        "a.fits": ("light", "light", ""),
        "b.fits": ("light", "light", "without a dark: exposure 90 s, darks of 60 and 300 s"),
        "stack.fits": ("stack", "", "a stack among single exposures"),
        "f.fits": ("flat", "flat", ""),
        "a.jpg": (
            "picture",
            "",
            "a rawer file of the same frame is there: /data/a.fits",
        ),
        "bad.fits": ("light", "", "bad.fits: not a FITS file."),
        "d.fits": ("dark", "dark", ""),
        "e.fits": ("dark", "", "exposure 300 s, frames of 60 and 90 s"),
        "light.fits": ("light", "", "a light among darks"),
    }
    assert "does not exist" in str(rows["gone"]["why"])


def test_an_overview_tells_what_is_not_used(tmp_path: Path) -> None:
    fill(tmp_path)
    uses, known, _, choice, groups = take(tmp_path)
    data, darkfield = tmp_path / "data", tmp_path / "darkfield"
    uncorrected = (
        "Flats from which neither a dark nor a bias is taken off, as none fits them: "
        f"{data / 'FLAT' / 'f.fits'}. They correct too little."
    )
    assert overview(uses, known, choice, groups) == [
        "Found 4 lights, 1 dark, 1 flat for them.",
        f"Not used, a light among darks: {darkfield}/light.fits.",
        f"Not used, a rawer file of the same frame is there: {data}/a.jpg.",
        f"Not used, a stack among single exposures: {data}/stack.fits.",
        "1 without a dark: exposure 90 s, darks of 60 and 300 s.",
        "1 dark without a frame: exposure 300 s, frames of 60 and 90 s.",
        uncorrected,
        "Not read, for lightstack does not know their kinds: 1 .xisf.",
    ]


def test_names_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    write(tmp_path / "data" / "a.fits", 1)
    write(tmp_path / "data" / "FLAT" / "x\u202ey.fits", 2)
    uses, known, _, choice, groups = take(tmp_path)
    told = overview(uses, known, choice, groups)
    assert "FLAT/x\\u202ey.fits" in told[1]
    assert all(line.isprintable() for line in told)


def test_files_of_several_images_are_told_of_with_what_is_used(tmp_path: Path) -> None:
    write(tmp_path / "data" / "a.fits", 1)
    pages = np.arange(2 * 30 * 40, dtype=np.uint16).reshape(2, 30, 40)
    hdus = [fits.PrimaryHDU(), *map(fits.ImageHDU, pages)]
    fits.HDUList(hdus).writeto(tmp_path / "data" / "b.fits")
    tifffile.imwrite(tmp_path / "data" / "c.tif", pages)
    uses, known, _, choice, groups = take(tmp_path)
    told = overview(uses, known, choice, groups)
    several = "1 light with several images in a file: one of them is used, "
    assert f"{several}which fits_extension chooses." in told
    assert f"{several}the first." in told


def test_sections_that_are_not_followed_are_told_of(tmp_path: Path) -> None:
    cards = {"OBJECT": "M 33", "TRIMSEC": "[1:6,1:5]", "DATASEC": "[1:5,", "BIASSEC": "[1:5]"}
    for number, (key, value) in enumerate(cards.items()):
        write(tmp_path / "data" / f"{number}.fits", number, **{key: value})
    uses, known, _, choice, groups = take(tmp_path)
    data = tmp_path / "data"
    no_section = "is no section such as [1:2048,1:1024]"
    assert [line.partition(". ")[0] for line in overview(uses, known, choice, groups)[1:]] == [
        f"Not cut: {data}/2.fits: DATASEC = '[1:5,' {no_section}",
        f"Overscan left as it is in {data}/3.fits: BIASSEC = '[1:5]' {no_section}",
        (
            f"A section of data [1:6,1:5] is in the header of {data}/1.fits, and not in that of "
            "others of 5 x 4 pixels: if cut out of larger images, darks and flats may not fit"
        ),
    ]


def test_frames_that_are_mixed_are_told_of(tmp_path: Path) -> None:
    for number, name in enumerate(("L", "L", "Ha")):
        write(tmp_path / "data" / f"{number}.fits", number, FILTER=name)
    uses, known, _, choice, groups = take(tmp_path)
    assert (
        "differ in filter (1 of Ha, 2 of L). To part them, set group_by: [FILTER]."
        in overview(uses, known, choice, groups)[1]
    )


@pytest.mark.parametrize(
    "damage",
    [
        "[]",
        "{",
        "null",
        '{"code": [], "files": {}}',
        "half",
        "another value",
    ],
)
def test_a_damaged_memory_costs_time_only(tmp_path: Path, damage: str) -> None:
    fill(tmp_path)
    first = take(tmp_path)
    memory = tmp_path / "exposures.json"
    whole = memory.read_text()
    content = json.loads(whole)
    if damage == "half":
        damaged = whole[: len(whole) // 2]
    elif damage == "another value":
        for entry in content["files"].values():
            entry["exposure"] = {"shape": [1, 2]}
        damaged = json.dumps(content)
    else:
        damaged = damage
    memory.write_text(damaged)
    assert take(tmp_path) == first
    assert memory.read_text() == whole


def test_what_the_system_cannot_read_now_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "data" / "a.fits", 1)
    read = images.read_cards

    def fail(*_: Any, **__: Any) -> object:
        raise UnreadableFileError("a.fits: bad sector")

    monkeypatch.setattr(looks_module, "read_cards", fail)
    uses, known, *_ = take(tmp_path)
    assert [*known.values()] == ["a.fits: bad sector"]
    assert [*uses.frames.paths] == ["a"]
    monkeypatch.setattr(looks_module, "read_cards", read)
    assert isinstance(next(iter(take(tmp_path)[1].values())), Exposure)


def test_what_is_gone_is_forgotten(tmp_path: Path) -> None:
    fill(tmp_path)
    take(tmp_path)
    (tmp_path / "data" / "b.fits").unlink()
    take(tmp_path)
    assert "b.fits" not in (tmp_path / "exposures.json").read_text()


def test_frames_are_turned_to_the_row_order_of_most(tmp_path: Path) -> None:
    orders = {"a": "BOTTOM-UP", "b": "TOP-DOWN", "c": "TOP-DOWN", "d": None}
    for number, (name, order) in enumerate(orders.items()):
        write(tmp_path / "data" / f"{name}.fits", number, **({"ROWORDER": order} if order else {}))
    uses, known, *_ = take(tmp_path)
    assert frames_to_turn(uses.frames, known) == {"a"}
    (tmp_path / "data" / "c.fits").unlink()
    uses, known, *_ = take(tmp_path)
    assert frames_to_turn(uses.frames, known) == {"b"}
    assert frames_to_turn(uses.frames, dict.fromkeys(known, Exposure((4, 5)))) == set()


def test_more_cards_are_looked_for_once_they_are_wanted(tmp_path: Path) -> None:
    write(tmp_path / "data" / "a.fits", 1, PIERSIDE="West", FOCUS=10.0, FLIPPED=True)
    (tmp_path / "data" / "b.fits").write_text("no image")
    paths = [str(path) for path in (tmp_path / "data").iterdir()]
    contents = {path: sha256_of(Path(path)) for path in paths}
    for cards in ((), ("PIERSIDE", "FOCUS", "FLIPPED", "ABSENT"), ("PIERSIDE",), ()):
        looks = Looks(contents, tmp_path / "exposures.json", cards)
        for path in paths:
            looks.exposure(path)
        stated = looks.cards(str(tmp_path / "data" / "a.fits"))
        expected = {"PIERSIDE": "West", "FOCUS": "10", "FLIPPED": "T"}
        assert {card: stated.get(card) for card in cards} == {
            card: expected.get(card) for card in cards
        }
        assert looks.cards(str(tmp_path / "data" / "b.fits")) == {}
        looks.keep()
