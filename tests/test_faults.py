"""Whatever happens, the next run repairs it, and nothing of anybody is lost."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest
from snakemake.persistence.file import FilePersistence

from scripts.lightstack.planning import recovery
from scripts.lightstack.planning.recovery import RECORDS, lack_of_space
from tests.conftest import ROOT, snakemake

SMALL_NIGHT = Callable[..., Path]


def start(folder: Path) -> subprocess.Popen[bytes]:
    """Start a run in a process group of its own."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    command += ["--directory", str(folder), "--cores", "2"]
    with (folder / "output.txt").open("wb") as output:
        return subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True, cwd=folder
        )


def kill(run: subprocess.Popen[bytes]) -> None:
    """Kill a run and all its jobs at once."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(run.pid, signal.SIGKILL)
    run.wait()


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.01)


def has_written(folder: Path, pattern: str, run: subprocess.Popen[bytes]) -> bool:
    """Whether a run has written such a file, or has ended."""
    return any(folder.glob(pattern)) or run.poll() is not None


def repaired(folder: Path) -> dict[str, bytes]:
    """Continue as the README says, and return all results."""
    assert snakemake(folder, "--unlock").returncode == 0
    run = snakemake(folder)
    assert run.returncode == 0, run.output
    parts = [path for path in folder.rglob("*.part") if ".snakemake" not in path.parts]
    assert not parts
    return run.results


@pytest.fixture
def undisturbed(small_night: SMALL_NIGHT) -> dict[str, bytes]:
    run = snakemake(small_night("undisturbed"))
    assert run.returncode == 0, run.output
    return run.results


def test_a_run_killed_at_twenty_moments_ends_in_the_same_bytes(
    small_night: SMALL_NIGHT, undisturbed: dict[str, bytes]
) -> None:
    rng = random.Random(1)
    folder = small_night("killed 0")
    for moment in range(20):
        run = start(folder)
        time.sleep(rng.uniform(0.8, 5))
        finished = run.poll() is not None
        kill(run)
        if finished:
            assert repaired(folder) == undisturbed
            folder = small_night(f"killed {moment}")
    assert repaired(folder) == undisturbed


def test_a_file_without_permission_is_told_and_the_others_are_stacked(
    small_night: SMALL_NIGHT,
) -> None:
    folder = small_night()
    closed = folder / "data" / "light_0002.fits"
    closed.chmod(0)
    under: tuple[str, ...] = ()
    if os.access(closed, os.R_OK):  # root may read everything, unless it waives that
        if shutil.which("setpriv") is None:
            pytest.skip("root may read everything, and there is no setpriv to waive that")
        rights = "-dac_override,-dac_read_search"
        under = ("setpriv", f"--bounding-set={rights}", f"--inh-caps={rights}")
    run = snakemake(folder, under=under)
    assert run.returncode == 0, run.output
    cause = "light_0002.fits: cannot be read: Permission denied."
    assert f"Warning: this frame is left out: {cause}" in run.output.partition("rule ")[0]
    assert f"light_0002: failed: {cause}" in run.output
    assert "Traceback" not in run.output
    assert run.ledger["light_0001"]["status"] == "stacked"
    closed.chmod(0o644)
    assert snakemake(folder).ledger["light_0002"]["status"] == "stacked"


def test_a_killed_job_is_done_again(
    small_night: SMALL_NIGHT, undisturbed: dict[str, bytes]
) -> None:
    folder = small_night()
    run = start(folder)
    wait_for(partial(has_written, folder, "work/dark_subtracted/*.fits", run))
    while run.poll() is None:
        for job in jobs_of(run):
            with contextlib.suppress(psutil.NoSuchProcess):
                job.kill()
    assert run.returncode == 1
    after = snakemake(folder)
    assert after.returncode == 0, after.output
    assert after.results == undisturbed


def jobs_of(run: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Return the processes of a run that work for others: forks of forks, without own children."""
    with contextlib.suppress(psutil.NoSuchProcess):
        main = psutil.Process(run.pid)
        return [
            process
            for process in main.children(recursive=True)
            if process.parent() != main and not process.children()
        ]
    return []


def test_files_that_a_power_cut_left_empty_are_made_again(
    small_night: SMALL_NIGHT, undisturbed: dict[str, bytes]
) -> None:
    folder = small_night()
    run = start(folder)
    wait_for(partial(has_written, folder, "results/frames.csv", run))
    kill(run)
    rng = random.Random(2)
    written = [
        path
        for name in ("work", "results", "data_cleaned", ".snakemake/metadata")
        for path in sorted((folder / name).rglob("*"))
        if path.is_file()
    ]
    for path in rng.sample(written, len(written) // 3):
        path.write_bytes(b"")
    for path in (folder / "data_cleaned").rglob("*"):
        path.write_bytes(b"")
    assert repaired(folder) == undisturbed


def test_an_accepted_frame_that_was_deleted_comes_back(small_night: SMALL_NIGHT) -> None:
    folder = small_night()
    before = snakemake(folder).results
    (folder / "data_cleaned" / "light_0001.fits").unlink()
    run = snakemake(folder)
    assert run.results == before
    assert "stack_frames" not in run.output


def test_interrupting_leaves_nothing_behind(small_night: SMALL_NIGHT) -> None:
    folder = small_night()
    run = start(folder)
    wait_for(lambda: any(folder.glob("work/cleaned/*.fits")))
    os.killpg(run.pid, signal.SIGINT)
    assert run.wait(30) != 0
    wait_for(lambda: not processes_in(folder), 10)
    assert snakemake(folder).returncode == 0


def processes_in(folder: Path) -> list[str]:
    """Command lines of processes that name a folder."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return [line for line in lines if str(folder) in line]


def test_a_second_run_in_the_folder_is_told(small_night: SMALL_NIGHT) -> None:
    folder = small_night()
    run = start(folder)
    wait_for(lambda: any(folder.glob("work/**/*.fits")))
    second = snakemake(folder)
    assert second.returncode == 1
    assert "cannot be locked" in second.output
    assert run.wait(120) == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=900k", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(mount, check=False).returncode:
        pytest.skip("only root can mount a small disk")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_is_told_and_a_rerun_completes(
    small_night: SMALL_NIGHT, small_disk: Path, undisturbed: dict[str, bytes]
) -> None:
    folder = small_night()
    (folder / "work").symlink_to(small_disk)
    full = snakemake(folder)
    assert full.returncode == 1
    assert "the disk is full" in full.output
    assert "work/" in full.output
    assert "Traceback" not in full.output
    for path in small_disk.rglob("*"):
        assert path.is_dir() or path.suffix == ".json" or path.stat().st_size % 2880 == 0
    subprocess.run(["mount", "-o", "remount,size=50m", str(small_disk)], check=True)
    assert repaired(folder) == undisturbed


def test_a_read_only_folder_is_named(small_night: SMALL_NIGHT, small_disk: Path) -> None:
    folder = small_night()
    (folder / "work").symlink_to(small_disk)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    run = snakemake(folder)
    assert run.returncode == 1
    assert "Read-only file system" in run.output
    assert "work/" in run.output
    assert "Traceback" not in run.output


@pytest.mark.parametrize("name", ["a.fits", "é ü/b.fits", "folder/" * 80 + "c.fits"])
def test_records_are_where_snakemake_keeps_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    RECORDS.mkdir(parents=True)
    snakemakes = FilePersistence.__new__(FilePersistence)
    snakemakes._max_len = None
    expected = snakemakes._record_path(str(RECORDS), name)
    assert recovery._snakemake_path("metadata", name) == Path(expected)


def test_lack_of_space_is_foreseen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    raw = tmp_path / "a.fits"
    raw.write_bytes(b"")
    os.truncate(raw, 1_000_000_000)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=30_000_000_000))
    assert (
        lack_of_space([raw], [], 6)
        == "This run needs about 32.0 GB of disk in "
        + str(tmp_path)
        + ", of which 30.0 GB are free. Make room, or it will stop halfway."
    )
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=33_000_000_000))
    assert lack_of_space([raw], [], 6) == ""


def test_files_of_others_survive_beside_the_workflow(small_night: SMALL_NIGHT) -> None:
    folder = small_night()
    mine = [folder / "results" / "notes.csv", folder / "work" / "mine.txt", folder / "my.fits"]
    for path in mine:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    (folder / "results" / "empty.txt").touch()
    (folder / "work" / "__init__.py").touch()
    assert snakemake(folder).returncode == 0
    (folder / "data_cleaned" / "mine.fits").write_text("mine")
    run = snakemake(folder)
    assert run.returncode == 1
    assert "did not write (mine.fits)" in run.output
    assert [path.read_text() for path in mine] == ["mine"] * 3
    assert (folder / "results" / "empty.txt").exists()
    assert (folder / "work" / "__init__.py").exists()
    assert (folder / "data_cleaned" / "mine.fits").read_text() == "mine"
