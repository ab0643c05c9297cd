"""Frames are found by their names, whatever these are."""

import errno
import os
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.lightstack.order import natural_order
from scripts.lightstack.planning.frames import find_frames, frame_name


def make(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


@pytest.mark.parametrize(
    "extension",
    "fits fit fts fits.gz fit.gz fts.gz fits.fz fit.fz fts.fz png jpg jpeg tif tiff".split(),
)
@pytest.mark.parametrize("case", [str.lower, str.upper])
def test_all_extensions_count_in_any_case(extension: str, case: type[str]) -> None:
    assert frame_name(Path(f"night/a.b {case(extension)}.{case(extension)}")) == (
        f"night/a.b {case(extension)}"
    )


@pytest.mark.parametrize(
    "name", ["notes.txt", "a.fits.bak", "a.png.gz", ".fits", "fits", "a.xisf"]
)
def test_other_files_are_no_frames(name: str) -> None:
    assert frame_name(Path(name)) is None


def test_frames_come_in_natural_order_with_their_folders(tmp_path: Path) -> None:
    make(tmp_path, "f10.fits", "f2.FIT", "f1.png", "b/f3.fts.gz", "é ü.tif", "readme.md")
    frames = find_frames(tmp_path)
    assert list(frames.paths) == ["b/f3", "f1", "f2", "f10", "é ü"]
    assert frames.paths["f2"] == str(tmp_path / "f2.FIT")
    assert not frames.refused


@given(st.lists(st.text(alphabet="af019é.", max_size=6), unique=True))
def test_natural_order_is_a_strict_order(names: list[str]) -> None:
    keys = sorted(map(natural_order, names))
    assert all(one < other for one, other in pairwise(keys))


def test_hidden_files_are_left_out(tmp_path: Path) -> None:
    make(tmp_path, "._light.fits", ".trash/old.fits", "light.fits")
    make(tmp_path, "@eaDir/light.fits/THUMB_M.jpg", "$RECYCLE.BIN/S-1/$R1.fits")
    assert find_frames(tmp_path).names == ["light"]


def test_the_rawest_file_of_a_frame_counts(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg", "a.png", "a.tif", "a.fit", "b.PNG", "b.jpeg", "c.jpg")
    make(tmp_path, "a_thn.jpg", "b-thumb.jpg", "d_thn.jpg", "c_thn.fit")
    make(tmp_path, "e.fits.gz", "e.FITS", "e.fit.fz", "f.fits", "f.CR2")
    frames = find_frames(tmp_path)
    assert {name: Path(path).name for name, path in frames.paths.items()} == {
        "a": "a.fit",
        "b": "b.PNG",
        "c": "c.jpg",
        "c_thn": "c_thn.fit",
        "d_thn": "d_thn.jpg",
        "e": "e.FITS",
        "f": "f.CR2",
    }
    assert {Path(copy).name: Path(path).name for copy, path in frames.copies.items()} == {
        "a.jpg": "a.fit",
        "a.png": "a.fit",
        "a.tif": "a.fit",
        "a_thn.jpg": "a.fit",
        "b.jpeg": "b.PNG",
        "b-thumb.jpg": "b.PNG",
        "e.fits.gz": "e.FITS",
        "e.fit.fz": "e.FITS",
        "f.fits": "f.CR2",
    }
    assert not frames.refused


def test_files_of_one_name_that_are_as_raw_as_each_other_are_refused(tmp_path: Path) -> None:
    make(tmp_path, "a.fits", "a.FIT", "a.png", "b.fits")
    frames = find_frames(tmp_path)
    assert list(frames.paths) == ["b"]
    assert all(text in frames.refused["a"] for text in ("a.fits", "a.FIT", "Rename or move"))


def test_files_that_cannot_be_read_are_counted_by_kind(tmp_path: Path) -> None:
    make(tmp_path, "IMG_1.SER", "b/IMG_2.xisf", "a.xisf", "c.ser", "e.fits.bz2", "f.fit.zst")
    make(tmp_path, "notes.txt", "frames.csv", "x.fits", ".hidden.cr2")
    assert find_frames(tmp_path).unread == {
        ".fit.zst": 1,
        ".fits.bz2": 1,
        ".ser": 2,
        ".xisf": 2,
    }


@pytest.mark.parametrize("extension", ["fits", "json", "log"])
def test_a_frame_where_another_needs_a_folder_is_refused(tmp_path: Path, extension: str) -> None:
    make(tmp_path, "a/x.b.fit", f"a/x.b.{extension}/c/y.fit", "x.fit", "x/y.fit", "x.txt/y.fit")
    with pytest.raises(ValueError, match=rf"x\.b\.fit and .*y\.fit would .* a/x\.b\.{extension}"):
        find_frames(tmp_path)


def test_a_frame_without_jobs_stands_in_no_ones_way(tmp_path: Path) -> None:
    make(tmp_path, "x.json/y.fit")
    (tmp_path / "x.fit").symlink_to("nowhere")
    assert find_frames(tmp_path).names == ["x", "x.json/y"]


def test_a_folder_that_cannot_be_read_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "a.fits", "closed/b.fits")
    scandir = os.scandir

    def refuse(path: str) -> object:
        if path.endswith("closed"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(PermissionError, match="closed"):
        find_frames(tmp_path)


def test_a_folder_that_is_not_there_holds_no_frames(tmp_path: Path) -> None:
    assert find_frames(tmp_path / "darkfield").names == []


def test_names_that_no_job_can_carry_are_refused_with_a_reason(tmp_path: Path) -> None:
    make(tmp_path, "a\nb.fits", "c{d}.fits", "good.fits")
    (tmp_path / "gone.fits").symlink_to("nowhere")
    (tmp_path / os.fsdecode(b"\xff.fits")).touch()
    os.mkfifo(tmp_path / "pipe.fits")
    frames = find_frames(tmp_path)
    assert list(frames.paths) == ["good"]
    assert set(frames.refused) == {"a\nb", "c{d}", "gone", os.fsdecode(b"\xff"), "pipe"}
    assert "'" + str(tmp_path) + "/a\\nb.fits'" in frames.refused["a\nb"]


def test_a_file_whose_state_cannot_be_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "a.fits", "b.fits")
    is_file = Path.is_file

    def fail(path: Path) -> bool:
        if path.name == "a.fits":
            raise OSError(errno.EIO, "Input/output error", str(path))
        return is_file(path)

    monkeypatch.setattr(Path, "is_file", fail)
    frames = find_frames(tmp_path)
    assert list(frames.paths) == ["b"]
    assert frames.refused["a"].endswith("a.fits': cannot be read: Input/output error.")


def test_links_to_folders_are_followed_once(tmp_path: Path) -> None:
    make(tmp_path, "night/a.fits")
    (tmp_path / "night" / "again").symlink_to(tmp_path / "night")
    assert find_frames(tmp_path).names == ["night/a"]
