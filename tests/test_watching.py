"""Tests of `make watch`: finished files alone, and all that arrive."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scripts.lightstack.files.records import read_csv
from scripts.lightstack.planning import watching
from tests.conftest import ROOT

MODULE = "scripts.lightstack.planning.watching"


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let files be finished soon."""
    monkeypatch.setattr(watching, "SETTLED_S", 0.3)
    monkeypatch.setattr(watching, "LOOKS_S", 0.02)


@pytest.mark.usefixtures("hurried")
def test_a_file_that_grows_is_not_finished(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    path.write_bytes(b"0")
    written = threading.Event()

    def grow() -> None:
        for _ in range(20):
            time.sleep(0.05)
            with path.open("ab") as file:
                file.write(b"0")
        written.set()

    thread = threading.Thread(target=grow)
    thread.start()
    assert watching.settle([tmp_path])
    assert written.is_set()
    thread.join()
    assert path.stat().st_size == 21


@pytest.mark.usefixtures("hurried")
def test_files_that_never_stop_to_arrive_are_not_waited_for_for_ever(tmp_path: Path) -> None:
    stop = threading.Event()

    def arrive() -> None:
        number = 0
        while not stop.wait(0.02):
            number += 1
            (tmp_path / f"{number}.fits").write_bytes(b"0")

    thread = threading.Thread(target=arrive)
    thread.start()
    assert not watching.settle([tmp_path], patience=1.0)
    stop.set()
    thread.join()


@pytest.mark.usefixtures("hurried")
def test_what_arrives_during_a_run_is_noticed_after_it(tmp_path: Path) -> None:
    (tmp_path / "a.fits").write_bytes(b"0")
    passes = watching.arrivals([tmp_path])
    next(passes)
    (tmp_path / "b.fits").write_bytes(b"0")  # while the run of this pass is going on
    next(passes)
    (tmp_path / "a.fits").unlink()
    next(passes)
    passes.close()


@pytest.mark.usefixtures("hurried")
def test_settings_that_change_are_noticed(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "config").mkdir()
    settings = tmp_path / "config" / "config.yaml"
    passes = watching.arrivals([tmp_path / "data", settings])
    next(passes)
    settings.write_text("minarea: five\n")
    next(passes)
    (tmp_path / "config" / "new").write_text("minarea: 5\n")
    (tmp_path / "config" / "new").replace(settings)
    next(passes)
    passes.close()


def frames(night: Path) -> dict[str, str]:
    path = night / "results" / "frames.csv"
    return {row["frame"]: row["status"] for row in read_csv(path)} if path.exists() else {}


def until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, "the watch has ended"
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.fixture
def watched(small_night: Callable[..., Path]) -> Iterator[tuple[Path, subprocess.Popen[str]]]:
    """Watch a night that lacks two of its frames."""
    night = small_night()
    (night / "later").mkdir()
    for name in ("light_0002.fits", "light_0005.fits"):
        (night / "data" / name).rename(night / "later" / name)
    with night.with_suffix(".txt").open("w") as told:
        process = subprocess.Popen(
            [sys.executable, "-m", MODULE, str(night), "--cores", "2"],
            cwd=ROOT,
            stdout=told,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
    yield night, process
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def test_frames_that_arrive_during_a_run_are_stacked(
    watched: tuple[Path, subprocess.Popen[str]],
) -> None:
    night, process = watched
    until((night / "work" / "calibrated").exists, process)
    part = night / "later" / "light_0002.fits"
    with (night / "data" / part.name).open("wb") as slowly:
        content = part.read_bytes()
        for start in range(0, len(content), 50_000):
            slowly.write(content[start : start + 50_000])
            slowly.flush()
            time.sleep(0.3)
    until(lambda: frames(night).get("light_0002") == "stacked", process)
    (night / "later" / "light_0005.fits").rename(night / "data" / "light_0005.fits")
    until(lambda: frames(night).get("light_0005") == "stacked", process)
    report = night / "results" / "report.html"
    until(lambda: report.exists() and "light_0005" in report.read_text(), process)
    told = night.with_suffix(".txt")
    until(lambda: told.read_text().endswith("Ctrl-C ends it.\n"), process)
    os.killpg(process.pid, signal.SIGINT)
    process.wait(60)
    output = told.read_text()
    assert "Traceback" not in output
    assert output.rstrip().endswith("No longer watched.")
    assert process.returncode == 0


@pytest.mark.parametrize("there", [False, True])
def test_a_folder_without_frames_is_a_sentence(tmp_path: Path, there: bool) -> None:
    night = tmp_path / "night"
    if there:
        night.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", MODULE, str(night)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert ("no folder" if there else "no such folder") in done.stderr
