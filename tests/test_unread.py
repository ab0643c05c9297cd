"""A raw file that the system cannot read costs its own frame, is told of, and is tried again."""

import errno
import hashlib
import json
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from snakemake.exceptions import WorkflowError

from scripts import calibrate_frame, combine_darks
from scripts.lightstack.files.frame_file import FAILURE, read_header
from scripts.lightstack.files.unread import NOTES, Unread, as_tried, note, noted
from scripts.lightstack.planning import fingerprints, inside_snakemake, making
from scripts.lightstack.planning import looks as looks_module
from scripts.lightstack.planning.dark_choice import DarkChoice, choose_darks
from scripts.lightstack.planning.frames import Frames, find_frames
from scripts.lightstack.planning.looks import Looks
from scripts.lightstack.raw import images
from scripts.lightstack.raw.image import UnreadableFileError, UnusableFrameError
from tests.calibration import plain
from tests.conftest import ROOT, planned_jobs, snakemake

BAD_SECTOR = Path("/proc/self/mem")
"""A file that Linux opens, and fails to read with an input/output error, whoever asks."""

pytestmark = pytest.mark.skipif(not BAD_SECTOR.is_file(), reason="needs Linux")


def write(path: Path, value: float = 1, shape: tuple[int, int] = (10, 20)) -> Path:
    """Write a frame whose pixels differ by one."""
    path.parent.mkdir(exist_ok=True, parents=True)
    pixels = value + np.indices(shape)[0] % 2
    fits.writeto(path, pixels.astype(np.int16), fits.Header([("EXPTIME", 60.0)]), overwrite=True)
    return path


def bad_sector(path: Path) -> Path:
    """Make a file that cannot be read."""
    path.parent.mkdir(exist_ok=True, parents=True)
    path.unlink(missing_ok=True)
    path.symlink_to(BAD_SECTOR)
    return path


def test_one_file_that_cannot_be_read_is_a_row_until_it_can(
    small_night: Callable[..., Path],
) -> None:
    folder = small_night()
    lights, darks = folder / "data", folder / "darkfield"
    kept = (lights / "light_0003.fits").rename(folder / "kept.fits")
    bad_sector(lights / "light_0003.fits")
    bad_sector(darks / "bad.fits")
    run = snakemake(folder)
    assert run.returncode == 0, run.output
    assert "Traceback" not in run.output
    cause = "cannot be read: Input/output error."
    start, _, end = run.output.partition(" jobs, ")
    assert f"Warning: this frame is left out: light_0003.fits: {cause}" in start
    assert f"Warning: this dark is not used: bad.fits: {cause}" in start
    assert f"light_0003: failed: light_0003.fits: {cause}" in end
    statuses = {name: row["status"] for name, row in run.ledger.items()}
    assert statuses.pop("light_0003") == "failed"
    assert sorted(statuses.values()).count("stacked") >= 3
    (lights / "light_0003.fits").unlink()
    kept.rename(lights / "light_0003.fits")
    again = snakemake(folder, "-n")
    assert planned_jobs(again)["grade_frame"] == 1
    assert planned_jobs(again)["stack_frames"] == 1


def test_the_next_run_tries_what_a_job_could_not_read(
    finished_night: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = finished_night
    monkeypatch.chdir(folder)
    note(NOTES, Path("data/light_0002.fits"), UnusableFrameError("why."))
    assert planned_jobs(snakemake(folder, "-n")) == {
        "calibrate_frame": 1,
        "subtract_background": 1,
        "detect_sources": 1,
        "grade_frame": 1,
        "select_frames": 1,
        "align_frames": 1,
        "list_frames": 1,
        "stack_frames": 1,
        "draw_preview": 1,
        "write_report": 1,
        "all": 1,
    }
    (dark,) = sorted(Path("darkfield").glob("dark_*1.fits"))
    note(NOTES, dark, UnusableFrameError("why."))
    assert planned_jobs(snakemake(folder, "-n"))["combine_darks"] == 1


def contents(folder: Path, **options: Any) -> fingerprints.Contents:
    paths = [str(path) for path in sorted(folder.rglob("*.fits"))]
    return fingerprints.fingerprints(paths, folder / "memory.json", **options)


def choose(frames: Frames, darks: Frames, digests: dict[str, str], memory: Path) -> DarkChoice:
    looks = Looks(digests, memory)
    known = {path: looks.exposure(path) for path in digests}
    choice = choose_darks(frames, darks, known, digests, 1.0, looks.damage)
    looks.keep()
    return choice


@pytest.mark.parametrize("name", ["EIO", "EACCES", "EPERM", "ENOENT", "EUCLEAN"])
@pytest.mark.parametrize("at", ["stat", "open"])
def test_a_file_that_fails_is_told_and_the_others_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, at: str
) -> None:
    good, bad = write(tmp_path / "good.fits"), write(tmp_path / "bad.fits")
    whole = getattr(Path, at)

    def fail(path: Path, *arguments: Any, **options: Any) -> Any:
        if path == bad:
            number = getattr(errno, name)
            raise OSError(number, os.strerror(number))
        return whole(path, *arguments, **options)

    monkeypatch.setattr(Path, at, fail)
    found = fingerprints.fingerprints([str(good), str(bad)], tmp_path / "memory.json")
    assert list(found.digests) == [str(good)]
    cause = os.strerror(getattr(errno, name))
    assert found.unreadable == {str(bad): f"bad.fits: cannot be read: {cause}."}
    monkeypatch.undo()
    assert set(contents(tmp_path).digests) == {str(good), str(bad)}


@pytest.mark.parametrize("name", ["EMFILE", "ENOMEM", "ESTALE"])
def test_a_machine_that_fails_stops_the_run_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = write(tmp_path / "a.fits")

    def fail(*_: object) -> None:
        raise OSError(getattr(errno, name), os.strerror(getattr(errno, name)))

    monkeypatch.setattr(hashlib, "file_digest", fail)
    with pytest.raises(OSError, match=os.strerror(getattr(errno, name))) as failure:
        contents(tmp_path)
    assert failure.value.filename == str(path)


def test_a_look_that_fails_is_not_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("data/a.fits", "darkfield/b.fits", "darkfield/c.fits"):
        write(tmp_path / name)
    frames, darks = find_frames(tmp_path / "data"), find_frames(tmp_path / "darkfield")
    digests = contents(tmp_path).digests
    read = images.read_cards

    def fail(path: Path, *rest: Any, **options: Any) -> Any:
        if path.name == "b.fits":
            raise UnreadableFileError("b.fits: cannot be read: Input/output error.")
        return read(path, *rest, **options)

    def choice() -> DarkChoice:
        return choose(frames, darks, digests, tmp_path / "exposures.json")

    monkeypatch.setattr(looks_module, "read_cards", fail)
    failed = choice()
    assert failed.unused == ["b.fits: cannot be read: Input/output error."]
    assert [Path(path).name for path in failed.files[failed.kind["a"]]] == ["c.fits"]
    monkeypatch.undo()
    found = choice()
    assert not found.unused
    assert len(found.files[found.kind["a"]]) == 2


def subtract(folder: Path, dark: Path | None, master: Path | None) -> fits.Header:
    calibrate_frame.run(
        folder / "raw.fits",
        folder / "frame.fits",
        sha256="digest",
        masters={key: path for key, path in (("own", dark), ("dark", master)) if path},
        **plain(),
    )
    return read_header(folder / "frame.fits")


def test_a_frame_that_fails_in_its_job_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    raw = bad_sector(tmp_path / "raw.fits")
    before = {str(raw): "digest", "other": "digest"}
    recipes = [as_tried(before, noted(NOTES))]
    for times in (1, 2):
        header = subtract(tmp_path, None, None)
        assert header[FAILURE] == "raw.fits: cannot be read: Input/output error."
        assert noted(NOTES) == {str(raw): Unread(times, header[FAILURE])}
        recipes.append(as_tried(before, noted(NOTES)))
    assert recipes[0] == before
    assert len({found[str(raw)] for found in recipes}) == 3
    assert {found["other"] for found in recipes} == {"digest"}
    raw.unlink()
    write(raw)
    assert FAILURE not in subtract(tmp_path, None, None)
    # Nothing is to be done again once it has been read.
    assert as_tried(before, noted(NOTES)) == recipes[2]


@pytest.mark.parametrize("kind", ["bad sector", "damaged", "other shape"])
def test_a_dark_that_fails_in_its_job_is_left_out_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "raw.fits", 100)
    good, bad = tmp_path / "good.fits", tmp_path / "bad.fits"
    pixels = np.full((10, 20), 7, np.int16)
    pixels[0, 0] += 1
    fits.writeto(good, pixels, fits.Header([("EXPTIME", 60.0)]))
    if kind == "bad sector":
        bad_sector(bad)
    elif kind == "damaged":
        bad.write_text("no dark")
    else:
        write(bad, shape=(5, 5))
    master = tmp_path / "master.fits"
    combine_darks.run([good, bad, good], master)
    assert list(noted(NOTES)) == [str(bad)]
    assert noted(NOTES)[str(bad)].why.startswith("bad.fits: ")
    assert subtract(tmp_path, None, master)["DARK"] == "master of 2 of 3: 60 s 20 x 10"
    taken_off = fits.getdata(tmp_path / "raw.fits") - fits.getdata(tmp_path / "frame.fits")
    assert (taken_off == pixels).all()


def test_a_frame_goes_on_without_a_dark_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "raw.fits", 100)
    bad, master = bad_sector(tmp_path / "bad.fits"), tmp_path / "master.fits"
    combine_darks.run([bad], master)
    assert read_header(master)[FAILURE] == "none of its darks can be used."
    unused = "none; none of its darks can be used."
    for own, shared, told in ((bad, None, "none"), (None, master, unused)):
        header = subtract(tmp_path, own, shared)
        assert FAILURE not in header
        assert header["DARK"] == told
    assert noted(NOTES)[str(bad)].times == 2


def test_a_damaged_note_counts_as_none(tmp_path: Path) -> None:
    note(tmp_path, Path("a.fits"), UnusableFrameError("why."))
    (path,) = tmp_path.iterdir()
    for content in (b"", b"[]", b'{"file": "a.fits"', b'{"file": 1, "times": []}', b"\xff"):
        path.write_bytes(content)
        assert noted(tmp_path) == {}
    note(tmp_path, Path("a.fits"), UnusableFrameError("why."))
    assert noted(tmp_path) == {"a.fits": Unread(1, "why.")}


DAMAGED = ("", "[]", "{", "7", '"text"', "null", "[" * 100_000, "\udcff")


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_memory_of_fingerprints_is_made_again(tmp_path: Path, content: str) -> None:
    write(tmp_path / "a.fits")
    whole = contents(tmp_path)
    right = (tmp_path / "memory.json").read_bytes()
    (tmp_path / "memory.json").write_bytes(content.encode(errors="surrogateescape"))
    assert contents(tmp_path) == whole
    assert (tmp_path / "memory.json").read_bytes() == right


@pytest.mark.parametrize(
    "damage", [None, 7, "text", [], [1, 2, 3], [1, 2, 3, 4, 5], [1, 2, 3, 4, "short"]]
)
def test_a_damaged_entry_of_the_memory_is_made_again(tmp_path: Path, damage: object) -> None:
    path = write(tmp_path / "a.fits")
    memory = tmp_path / "memory.json"
    whole = contents(tmp_path)
    entry = json.loads(memory.read_text())[str(path)]
    damaged = [*entry[:4], damage[4]] if isinstance(damage, list) and len(damage) == 5 else damage
    memory.write_text(json.dumps({str(path): damaged}))
    assert contents(tmp_path) == whole


@pytest.mark.parametrize(
    "content",
    [
        *DAMAGED,
        '{"code": CODE, "sha256": "", "files": []}',
        '{"code": CODE, "files": {"PATH": "text"}}',
        '{"code": CODE, "files": {"PATH": ["DIGEST", 7]}}',
        '{"code": CODE, "files": {"PATH": ["DIGEST", {"shape": [1]}]}}',
        '{"code": CODE, "files": {"PATH": ["DIGEST", {"shape": [1, 2], "exptime": "long"}]}}',
    ],
)
def test_a_damaged_memory_of_exposures_is_made_again(tmp_path: Path, content: str) -> None:
    dark = write(tmp_path / "darkfield" / "b.fits")
    write(tmp_path / "data" / "a.fits")
    frames, darks = find_frames(tmp_path / "data"), find_frames(tmp_path / "darkfield")
    digests, memory = contents(tmp_path).digests, tmp_path / "exposures.json"
    whole = choose(frames, darks, digests, memory)
    assert whole.kind
    right = memory.read_bytes()
    code = json.dumps(json.loads(right)["code"])
    filled = content.replace("CODE", code).replace("PATH", str(dark))
    filled = filled.replace("DIGEST", digests[str(dark)])
    memory.write_bytes(filled.encode(errors="surrogateescape"))
    assert choose(frames, darks, digests, memory) == whole
    assert memory.read_bytes() == right


def test_an_interrupted_reading_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        write(tmp_path / f"{number}.fits", number)
    digest, read = fingerprints.sha256_of, []

    def note_and_read(path: Path) -> str:
        read.append(path.name)
        return digest(path)

    def until_the_third(path: Path) -> str:
        if path.name == "2.fits":
            raise KeyboardInterrupt
        return note_and_read(path)

    monkeypatch.setattr(fingerprints, "sha256_of", until_the_third)
    with pytest.raises(KeyboardInterrupt):
        contents(tmp_path)
    known = {Path(path).name for path in json.loads((tmp_path / "memory.json").read_text())}
    assert {"0.fits", "1.fits"} <= known
    read.clear()
    monkeypatch.setattr(fingerprints, "sha256_of", note_and_read)
    contents(tmp_path)
    assert set(read) == {f"{number}.fits" for number in range(5)} - known


def test_a_long_reading_is_told_of_and_kept_as_it_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(40):
        write(tmp_path / f"{number:02d}.fits", number)
    clock = [0.0]

    def later() -> float:
        clock[0] += 0.25
        return clock[0]

    written: list[int] = []
    said: list[str] = []
    monkeypatch.setattr(time, "monotonic", later)
    monkeypatch.setattr(fingerprints, "write_json", lambda _, kept: written.append(len(kept)))
    contents(tmp_path, say=said.append)
    # Four files a second: nothing for two seconds, then once a second; kept every five.
    assert said[0] == "Reading new files: 8 of 40, 0.0 of 0.0 GB."
    assert said[-1] == "Reading new files: 40 of 40, 0.0 of 0.0 GB."
    assert len(said) == 9
    assert written == [20, 40, 40]
    monkeypatch.undo()
    assert contents(tmp_path)
    contents(tmp_path, say=pytest.fail)


def test_a_long_look_is_told_of_and_kept_as_it_goes_and_at_ctrl_c(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(40):
        write(tmp_path / f"{number:02d}.fits", number)
    digests, memory = contents(tmp_path).digests, tmp_path / "exposures.json"
    clock = [0.0]
    said: list[str] = []

    def later() -> float:
        clock[0] += 0.25
        return clock[0]

    def kept() -> int:
        return len(json.loads(memory.read_text())["files"]) if memory.exists() else 0

    monkeypatch.setattr(time, "monotonic", later)
    so_far = []

    def look_at_thirty() -> None:
        with Looks(digests, memory, say=said.append) as looks:
            for path in [*digests][:30]:
                looks.exposure(path)
                so_far.append(kept())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        look_at_thirty()
    assert said[0] == "Looking at new files: 8 of 40."
    assert len(said) == 6
    assert so_far == [0] * 19 + [20] * 11
    assert kept() == 30
    with Looks(digests, memory) as looks:
        looks.exposure(next(iter(digests)))
    assert kept() == 30
    said.clear()
    with Looks(digests, memory, say=said.append) as looks:
        for path in digests:
            looks.exposure(path)
        for path in [*digests][20:]:
            looks.damage(path)
    assert said[0] == "Looking at new files: 8 of 10."
    assert said[-1] == "Reading new darks, bias frames and flats: 18."
    assert kept() == 40


def test_no_more_files_are_read_at_a_time_than_cores_are_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        write(tmp_path / f"{number}.fits", number)
    asked = []

    class Pool(ThreadPoolExecutor):
        def __init__(self, threads: int) -> None:
            asked.append(threads)
            super().__init__(threads)

    monkeypatch.setattr(fingerprints, "ThreadPoolExecutor", Pool)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    contents(tmp_path)
    write(tmp_path / "3.fits")
    contents(tmp_path, threads=2)
    write(tmp_path / "4.fits")
    contents(tmp_path, threads=500)
    assert asked == [1, 2, 2]


@pytest.fixture
def plan_of_a_run(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., object]], None]:
    """Give what runs the rules' plan with something else in place of `make_plan`."""
    for name in ("end_quietly_at_ctrl_c", "let_recipes_decide", "make_interpreter_callable"):
        monkeypatch.setattr(inside_snakemake, name, lambda: None)
    workflow = SimpleNamespace(
        is_main_process=True,
        configfiles=[],
        resource_settings=SimpleNamespace(cores=3),
        output_settings=SimpleNamespace(quiet=False),
    )

    def run(make_plan: Callable[..., object]) -> None:
        monkeypatch.setattr(making, "make_plan", make_plan)
        rules = (ROOT / "rules" / "plan.smk").read_text()
        exec(rules, {"workflow": workflow, "config": {}})  # noqa: S102 - our own rules

    return run


def test_a_run_reads_as_many_files_at_a_time_as_it_has_cores_and_says_how_far_it_is(
    plan_of_a_run: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    def make_plan(_: object, *, threads: int, say: Callable[[str], None]) -> object:
        say(f"{threads} at a time")
        plan = SimpleNamespace(has_news=lambda _: False)
        return plan, SimpleNamespace(overview=["Found."], warnings=[])

    plan_of_a_run(make_plan)
    assert capsys.readouterr().err == "3 at a time\nFound.\n"


def test_ctrl_c_before_the_first_job_is_a_sentence(plan_of_a_run: Callable[..., None]) -> None:
    def make_plan(*_: object, **__: object) -> object:
        raise KeyboardInterrupt

    with pytest.raises(WorkflowError, match=r"Interrupted\. What was read of new files is kept\."):
        plan_of_a_run(make_plan)
