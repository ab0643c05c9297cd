"""Files take their names when they are whole, and a damaged one is known by its ends."""

import os
import secrets
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from PIL import Image

from scripts.lightstack.files.atomic import atomic_write, part_name
from scripts.lightstack.files.frame_file import Frame, write_frame
from scripts.lightstack.files.records import write_csv, write_json
from scripts.lightstack.files.table_file import read_table, write_table
from scripts.lightstack.files.wholeness import is_whole
from scripts.lightstack.planning.recovery import sweep


def write_image(path: Path) -> None:
    header = fits.Header([(f"KEY{n}", f"NAXIS1  = {n}") for n in range(100)])
    header["COMMENT"] = "END"
    write_frame(path, Frame(np.ones((30, 50), np.float32), header, np.ones((30, 50), bool)))


def write_cube(path: Path) -> None:
    fits.writeto(path, np.ones((3, 4, 5), np.float32))


def write_sources(path: Path) -> None:
    write_table(path, np.zeros(1000, [("x", ">f4"), ("n", ">i4")]), {"NX": 5})


@pytest.mark.parametrize("n", [0, 1, 100])
def test_tables_have_the_bytes_that_astropy_writes(tmp_path: Path, n: int) -> None:
    table = np.zeros(n, [("x", "f8"), ("v", ">f4", (7,)), ("n", "i4"), ("k", "i8"), ("s", "u1")])
    for name in table.dtype.names or ():
        table[name] = np.random.default_rng(1).integers(0, 200, table[name].shape)
    cards = {"NX": 5, "LONG": "many words " * 9, "EMPTY": None, "RATIO": 1.5, "IS_SO": True}
    write_table(tmp_path / "table.fits", table, cards)
    primary = fits.PrimaryHDU(header=fits.Header(list(cards.items())))
    fits.HDUList([primary, fits.BinTableHDU(table)]).writeto(tmp_path / "same.fits")
    assert (tmp_path / "table.fits").read_bytes() == (tmp_path / "same.fits").read_bytes()
    np.testing.assert_array_equal(read_table(tmp_path / "table.fits"), table)


def write_picture(path: Path) -> None:
    Image.new("L", (50, 40)).save(path)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.fits", write_image),
        ("a.fits", write_cube),
        ("a.fits", write_sources),
        ("a.fits", lambda path: fits.PrimaryHDU(header=fits.Header([("A", 1)])).writeto(path)),
        ("a.json", lambda path: write_json(path, {"a": [1, 2, 3]})),
        ("a.json", lambda path: write_json(path, {})),
        ("a.csv", lambda path: write_csv(path, ("a", "b"), [{"a": 1, "b": 2}])),
        ("a.png", write_picture),
    ],
)
def test_a_file_is_whole_until_its_end_is_cut_or_zero(
    tmp_path: Path, name: str, write: Callable[[Path], None]
) -> None:
    path = tmp_path / name
    write(path)
    assert is_whole(str(path))
    content = path.read_bytes()
    cuts = {0, 1, len(content) - 1}
    if path.suffix != ".csv":  # the end of a line is not known from the end of all
        cuts |= {len(content) // 2, 2 * len(content) // 3}
    for cut in cuts:
        path.write_bytes(content[:cut])
        assert not is_whole(str(path)), cut
    path.write_bytes(bytes(len(content)))
    assert not is_whole(str(path))
    path.write_bytes(content + bytes(2880))
    assert not is_whole(str(path))


def test_two_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with atomic_write(path) as first:
        first.write(b"first")
        with atomic_write(path) as second:
            second.write(b"second")
        assert path.read_bytes() == b"second"
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("durable", [False, True])
def test_a_link_at_the_temporary_name_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, durable: bool
) -> None:
    monkeypatch.setattr(secrets, "token_hex", lambda _: "guessed")
    mine = tmp_path / "mine"
    (tmp_path / ".guessed.part").symlink_to(mine)
    with (
        pytest.raises(FileExistsError),
        atomic_write(tmp_path / "a.json", durable=durable) as file,
    ):
        file.write(b"overwritten")
    assert not mine.exists()


def test_a_file_is_on_the_disk_before_it_takes_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.fits"
    done: list[tuple[str, int, int]] = []
    fsync, replace = os.fsync, Path.replace

    def synced(descriptor: int) -> None:
        fsync(descriptor)
        status = os.fstat(descriptor)
        done.append(("on the disk", status.st_ino, status.st_size))

    def renamed(part: Path, target: Path) -> Path:
        status = part.stat()
        done.append(("named", status.st_ino, status.st_size))
        return replace(part, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", renamed)
    write_image(path)
    status = path.stat()
    assert done == [(what, status.st_ino, status.st_size) for what in ("on the disk", "named")]


def test_files_have_the_permissions_that_the_user_wants(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.touch()
    with atomic_write(tmp_path / "a.json") as file:
        file.write(b"{}")
    assert (tmp_path / "a.json").stat().st_mode == plain.stat().st_mode


def test_only_half_written_files_of_the_workflow_are_swept(tmp_path: Path) -> None:
    own, shared = tmp_path / "work", tmp_path / "results"
    for folder in (own / "deep", shared / "deep"):
        folder.mkdir(parents=True)
        (folder / part_name()).touch()
        (folder / ".my download.part").touch()
    (shared / part_name()).touch()
    (shared / "my.part").touch()
    sweep([own], [shared, tmp_path / "absent"])
    left = sorted(path.name for path in tmp_path.rglob("*.part") if "deep" not in path.parts)
    assert left == ["my.part"]
    assert [path.name for path in (own / "deep").iterdir()] == [".my download.part"]
    assert len(list((shared / "deep").iterdir())) == 2
