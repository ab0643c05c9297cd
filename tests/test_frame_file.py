"""Frames on their way: the files between the steps, and what is handed over beside them."""

import gc
import os
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np
import pytest
from astropy.io import fits

from scripts import calibrate_frame, detect_sources, subtract_background
from scripts.lightstack.files import frame_file, handover
from scripts.lightstack.files.byte_order import read_columns
from scripts.lightstack.files.frame_file import (
    Frame,
    PixelFile,
    read_frame,
    read_header,
    write_frame,
)
from scripts.lightstack.job import JobError
from tests.calibration import plain


def make_frame(shape: tuple[int, int] = (30, 41), seed: int = 1) -> Frame:
    rng = np.random.default_rng(seed)
    data = rng.normal(100, 5, shape).astype(np.float32)
    data[3, 4] = np.nan
    header = fits.Header([("EXPTIME", 60.0), ("LONG", "long " * 40), ("HISTORY", "of a camera")])
    return Frame(data, header, rng.random(shape) < 0.2)


def copy_of(frame: Frame) -> Frame:
    return Frame(frame.data.copy(), frame.header.copy(), frame.saturated.copy())


def assert_same(one: Frame, other: Frame) -> None:
    assert one.data.tobytes() == other.data.tobytes()
    assert one.data.dtype == other.data.dtype == np.float32
    assert one.saturated.tobytes() == other.saturated.tobytes()
    assert one.saturated.dtype == other.saturated.dtype == bool
    assert one.header.tostring() == other.header.tostring()


@pytest.fixture
def from_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], Frame]:
    """Read a frame as another process would."""

    def read(path: Path) -> Frame:
        with monkeypatch.context() as patch:
            patch.setattr(handover, "take", lambda _: None)
            return read_frame(path)

    return read


@pytest.mark.parametrize("some_saturated", [True, False])
def test_files_are_those_that_astropy_writes(tmp_path: Path, some_saturated: bool) -> None:
    frame = make_frame()
    frame.saturated[:] &= some_saturated
    edges = np.flatnonzero(np.diff(frame.saturated.ravel(), prepend=False, append=False))
    columns = [
        fits.Column("START", "K", array=edges[::2]),
        fits.Column("LENGTH", "K", array=edges[1::2] - edges[::2]),
    ]
    table = fits.BinTableHDU.from_columns(columns, name="SATURATED")
    image = fits.PrimaryHDU(frame.data, frame.header)
    fits.HDUList([image, table]).writeto(tmp_path / "astropy.fits")
    write_frame(tmp_path / "own.fits", frame)
    assert (tmp_path / "own.fits").read_bytes() == (tmp_path / "astropy.fits").read_bytes()


def test_a_frame_larger_than_a_chunk_comes_back(
    tmp_path: Path, from_disk: Callable[[Path], Frame], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frame_file, "CHUNK_PIXELS", 1000)
    frame = make_frame((50, 70))
    expected = copy_of(frame)
    write_frame(tmp_path / "a.fits", frame)
    read = from_disk(tmp_path / "a.fits")
    assert read.data.tobytes() == expected.data.tobytes()
    assert read.saturated.tobytes() == expected.saturated.tobytes()
    assert read.header["LONG"] == expected.header["LONG"]
    rows = PixelFile(tmp_path / "a.fits").read_rows(7, 31)
    assert rows.tobytes() == expected.data[7:31].tobytes()


@pytest.mark.parametrize("width", [3, 60])
def test_columns_of_rows_are_read_as_all_are(tmp_path: Path, width: int) -> None:
    frame = make_frame((50, 70))
    expected = copy_of(frame).data
    write_frame(tmp_path / "a.fits", frame)
    first = np.arange(24) % 10
    columns = np.stack([first, first + width], axis=1)
    columns[5] = 0
    rows = PixelFile(tmp_path / "a.fits").read_rows(7, 31, columns)
    for row, (left, right) in enumerate(columns):
        assert rows[row, left:right].tobytes() == expected[7 + row, left:right].tobytes()
    assert PixelFile(tmp_path / "a.fits").read_rows(7, 7, columns[:0]).shape == (0, 70)


@pytest.mark.parametrize("width", [3, 60])
def test_columns_that_a_file_no_longer_has_are_a_sentence(tmp_path: Path, width: int) -> None:
    path = tmp_path / "a.fits"
    write_frame(path, make_frame((50, 70)))
    pixels = PixelFile(path)
    columns = np.tile(np.array([0, width]), (43, 1))
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(JobError, match=r"a\.fits is damaged or cut short"):
        pixels.read_rows(7, 50, columns)


def test_a_disk_that_fails_is_told_by_its_own_error(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(4000))
    with (tmp_path / "a").open("ab") as unreadable, pytest.raises(OSError, match="descriptor"):
        read_columns(unreadable.fileno(), 0, np.array([[2, 5]]), np.empty((1, 10), np.float32))


def test_pixels_are_handed_over_in_memory_to_one_reader(
    tmp_path: Path, from_disk: Callable[[Path], Frame]
) -> None:
    frame, path = make_frame(), tmp_path / "a.fits"
    write_frame(path, frame)
    first, second = read_frame(path), read_frame(path)
    assert np.shares_memory(first.data, frame.data)
    assert np.shares_memory(first.saturated, frame.saturated)
    assert not np.shares_memory(first.data, second.data)
    assert_same(first, second)
    assert_same(first, from_disk(path))


def test_only_the_reader_can_change_what_is_handed_over(tmp_path: Path) -> None:
    memory = np.ones((60, 41), np.float32)
    frame = Frame(memory[:30], fits.Header(), np.zeros((30, 41), bool))
    write_frame(tmp_path / "a.fits", frame)
    for array in (memory, frame.data, frame.saturated):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    read = read_frame(tmp_path / "a.fits")
    read.data[:] = 2
    read.saturated[:] = True
    write_frame(tmp_path / "b.fits", Frame(read.data, read.header, read.saturated))
    again = read_frame(tmp_path / "b.fits")
    assert np.shares_memory(again.data, frame.data)
    assert again.data.flags.writeable
    assert again.saturated.flags.writeable


def flip_a_byte(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(2880)
        file.write(b"\x41")


def replace(path: Path) -> None:
    other = path.with_name("other.fits")
    other.write_bytes(path.read_bytes())
    flip_a_byte(other)
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    other.replace(path)


def flip_and_set_the_time_back(path: Path) -> None:
    status = path.stat()
    flip_a_byte(path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize("change", [flip_a_byte, replace, flip_and_set_the_time_back])
def test_a_file_that_changed_is_read_from_disk(
    tmp_path: Path, from_disk: Callable[[Path], Frame], change: Callable[[Path], None]
) -> None:
    for number in range(20):
        path = tmp_path / f"{number}.fits"
        write_frame(path, make_frame(seed=number))
        before = copy_of(from_disk(path))
        change(path)
        read = read_frame(path)
        assert read.data[0, 0] != before.data[0, 0]
        assert_same(read, from_disk(path))


def test_a_file_has_a_time_that_no_quick_change_can_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 1_700_000_000_123_456_789)
    frame = make_frame()
    write_frame(tmp_path / "a.fits", frame)
    assert (tmp_path / "a.fits").stat().st_mtime_ns == 1_700_000_000_123_456_789
    assert np.shares_memory(read_frame(tmp_path / "a.fits").data, frame.data)


def test_a_write_that_another_overtakes_hands_nothing_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.fits"
    keep = handover.keep

    def overtaken(path: Path, sealed: handover.Mark, arrays: handover.Arrays) -> None:
        replace(path)
        keep(path, sealed, arrays)

    monkeypatch.setattr(handover, "keep", overtaken)
    frame = make_frame()
    write_frame(path, frame)
    assert read_frame(path).data[0, 0] != frame.data[0, 0]


def test_memory_is_given_back(tmp_path: Path) -> None:
    def written(name: str) -> weakref.ref[np.ndarray]:
        frame = make_frame()
        write_frame(tmp_path / name, frame)
        return weakref.ref(frame.data)

    first = written("a.fits")
    second = written("b.fits")
    gc.collect()
    assert first() is None  # one frame at most is kept,
    assert second() is not None
    read_frame(tmp_path / "a.fits")
    gc.collect()
    assert second() is None  # and only until a frame is read


def test_steps_write_the_same_bytes_with_and_without_the_hand_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(2)
    pixels = rng.normal(500, 9, (90, 120))
    pixels[40:44, 50:54] = 9000
    fits.writeto(tmp_path / "raw.fits", pixels.astype(np.uint16))
    fits.writeto(tmp_path / "dark.fits", rng.normal(20, 2, (90, 120)).astype(np.uint16))
    taken = []
    take = handover.take

    def steps(name: str) -> list[bytes]:
        paths = [tmp_path / f"{name}{step}.fits" for step in range(3)]
        calibrate_frame.run(
            tmp_path / "raw.fits",
            paths[0],
            sha256="",
            masters={"own": tmp_path / "dark.fits"},
            **plain(saturation_limit=8000),
        )
        subtract_background.run(paths[0], paths[1], background_box=32)
        detect_sources.run(paths[1], paths[2], threshold_sigma=5, minarea=5, smoothing_sigma=1)
        return [path.read_bytes() for path in paths]

    def note(file: IO[bytes]) -> handover.Arrays | None:
        taken.append(take(file))
        return taken[-1]

    monkeypatch.setattr(handover, "take", note)
    handed_over = steps("with")
    assert [arrays is not None for arrays in taken] == [True, True]
    monkeypatch.setattr(handover, "take", lambda _: None)
    assert steps("without") == handed_over


@pytest.mark.parametrize("size", [0, 100, 2880, 3000, 8640, 8700, 11520, 11600])
def test_a_frame_cut_short_is_an_error_that_names_the_file(tmp_path: Path, size: int) -> None:
    path = tmp_path / "cleaned.fits"
    frame = make_frame()
    frame.saturated[:] = np.indices(frame.saturated.shape).sum(axis=0) % 2 == 0
    write_frame(path, frame)
    assert path.stat().st_size == 23040
    os.truncate(path, size)
    with pytest.raises(JobError, match=r"cleaned\.fits is damaged or cut short: delete it"):
        read_frame(path)


@pytest.mark.parametrize("content", [b"", bytes(20160), b"no FITS file" * 2000])
def test_a_file_of_something_else_is_an_error_that_names_it(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "cleaned.fits"
    path.write_bytes(content)
    for read in (read_frame, read_header, PixelFile):
        with pytest.raises(JobError, match=r"cleaned\.fits is damaged or cut short: delete it"):
            read(path)


def test_an_image_larger_than_its_file_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "cleaned.fits"
    write_frame(path, make_frame())
    content = path.read_bytes()
    path.write_bytes(content.replace(b"                  41", b"        999999999999", 1))
    with pytest.raises(JobError, match=r"cleaned\.fits is damaged or cut short"):
        read_frame(path)


def test_rows_beyond_the_end_are_an_error_that_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "cleaned.fits"
    write_frame(path, make_frame())
    pixels = PixelFile(path)
    os.truncate(path, 7000)
    with pytest.raises(JobError, match=r"cleaned\.fits is damaged or cut short"):
        pixels.read_rows(0, 30)
    with pytest.raises(JobError, match=r"cleaned\.fits is damaged or cut short"):
        pixels.read_rows(0, 30, np.tile([0, 1], (30, 1)))
