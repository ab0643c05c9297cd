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
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from astropy.io import fits
from snakemake.persistence.file import FilePersistence

from scripts.lightstack.planning.recovery import RECORDS, frame_mb, lack_of_space, record_of
from tests.conftest import (
    ROOT,
    Run,
    command_line,
    forked_snakemake,
    snakemake,
)
from tests.forked import Running

SMALL_NIGHT = Callable[..., Path]


AnyRun = subprocess.Popen[bytes] | Running
Start = Callable[..., AnyRun]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start runs, each in a session of its own; none outlives the test."""
    runs: list[AnyRun] = []

    def start(folder: Path, *, forked: bool = True) -> AnyRun:
        run: AnyRun
        arguments = command_line(folder)
        with (folder / "output.txt").open("wb") as output:
            if forked:
                environment = {**os.environ}
                run = forked_snakemake().start(
                    arguments, folder, environment, output.fileno(), new_session=True
                )
            else:
                run = subprocess.Popen(
                    [sys.executable, "-m", "snakemake", *arguments],
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    cwd=folder,
                )
        runs.append(run)
        return run

    yield start
    for run in runs:
        kill(run)


def kill(run: AnyRun) -> None:
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


def has_written(folder: Path, pattern: str, run: AnyRun) -> bool:
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
def undisturbed(small_run: Run) -> dict[str, bytes]:
    return small_run.results


def test_a_run_killed_at_twenty_moments_ends_in_the_same_bytes(
    small_night: SMALL_NIGHT, undisturbed: dict[str, bytes], start: Start
) -> None:
    rng = random.Random(1)
    folder = small_night("killed 0")
    n_killed = 0
    while n_killed < 20:
        run = start(folder)
        wait_for(partial(has_written, folder, ".snakemake/locks/*", run))
        time.sleep(rng.uniform(0, 1.5))  # as long as it works where it has two cores
        finished = run.poll() is not None
        kill(run)
        if finished:
            assert repaired(folder) == undisturbed
            folder = small_night(f"killed {n_killed}")
        else:
            n_killed += 1
            assert snakemake(folder, "--unlock").returncode == 0
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
    assert f"Warning: this frame is left out: {cause}" in run.output.partition(" jobs, ")[0]
    assert f"light_0002: failed: {cause}" in run.output
    assert "Traceback" not in run.output
    assert run.ledger["light_0001"]["status"] == "stacked"
    closed.chmod(0o644)
    assert snakemake(folder).ledger["light_0002"]["status"] == "stacked"


def test_a_killed_job_is_done_again(
    small_night: SMALL_NIGHT, undisturbed: dict[str, bytes], start: Start
) -> None:
    folder = small_night()
    run = start(folder)
    wait_for(partial(has_written, folder, "work/calibrated/*.fits", run))
    while run.poll() is None:
        for job in jobs_of(run):
            with contextlib.suppress(psutil.NoSuchProcess):
                job.kill()
    assert run.returncode == 1
    after = snakemake(folder)
    assert after.returncode == 0, after.output
    assert after.results == undisturbed


def jobs_of(run: AnyRun) -> list[psutil.Process]:
    """Return the processes of a run that work for others: forks of forks, without own children."""
    with contextlib.suppress(psutil.NoSuchProcess):
        main = psutil.Process(run.pid)
        return [
            process
            for process in main.children(recursive=True)
            if process.parent() != main and not process.children()
        ]
    return []


def test_files_that_a_power_cut_damaged_are_made_again(
    small_night: SMALL_NIGHT, undisturbed: dict[str, bytes], start: Start
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
    for path in rng.sample(written, len(written) // 2):
        damage(path, rng)
    for path in (folder / "data_cleaned").rglob("*"):
        damage(path, rng)
    assert repaired(folder) == undisturbed


def test_a_frame_that_was_on_its_way_in_a_power_cut_is_read_anew(
    small_night: SMALL_NIGHT, undisturbed: dict[str, bytes]
) -> None:
    folder = small_night()
    assert snakemake(folder, "--until", "calibrate_frame", "--notemp").returncode == 0
    left = sorted((folder / "work" / "calibrated").iterdir())
    assert len(left) == len(list((folder / "data").iterdir()))
    for path in left:
        with fits.open(path, memmap=False) as hdus:
            pixels = hdus[0].fileinfo()
        with path.open("r+b") as file:
            file.seek(pixels["datLoc"])
            file.write(bytes(pixels["datSpan"]))
    run = snakemake(folder)
    assert run.results == undisturbed, run.output


def damage(path: Path, rng: random.Random) -> None:
    """Leave of a file what a power cut leaves: nothing, its beginning, or zeros."""
    content = path.read_bytes()
    whole = len(content)
    path.write_bytes(rng.choice([b"", content[: whole // 2], content[: whole - 1], bytes(whole)]))


@pytest.fixture
def finished(small_run: Run, tmp_path: Path) -> Run:
    """Return a copy of a finished run, to be damaged."""
    return replace(small_run, folder=shutil.copytree(small_run.folder, tmp_path / "night"))


@pytest.mark.parametrize("left", [0.0, 0.5])
def test_files_of_all_kinds_are_made_again_when_damaged(
    small_run: Run, finished: Run, left: float
) -> None:
    for name in (
        "work/cleaned/light_0001.fits",
        "work/sources/light_0002.fits",
        "work/quality/light_0003.json",
        "work/exposures.json",
        "work/fingerprints.json",
        "work/alignments.json",
        "work/plan.json",
        "results/alignment.json",
        "results/frames.csv",
        "results/preview.png",
        "results/stack_mean.fits",
        "data_cleaned/light_0002.fits",
        "data_cleaned/.lightstack.json",
    ):
        path = finished.folder / name
        content = path.read_bytes()
        path.write_bytes(content[: int(left * len(content)) - 7] if left else bytes(len(content)))
    run = snakemake(finished.folder)
    assert run.returncode == 0, run.output
    assert "Traceback" not in run.output
    assert run.results == small_run.results


def test_a_process_that_only_plans_changes_nothing(small_run: Run, finished: Run) -> None:
    folder = finished.folder
    snakemake(folder, "--dry-run")  # the caches know the copies now
    (folder / "work" / "quality" / "light_0001.json").write_bytes(b"")
    for place in ("work/cleaned", "data_cleaned", "results", "logs"):
        (folder / place / ".0123456789abcdef.part").touch()
    (folder / ".snakemake" / "metadata" / name_of_record("results/frames.csv")).unlink()

    def state() -> dict[str, tuple[bytes, int]]:
        files = [path for path in folder.rglob("*") if path.is_file()]
        snakemakes = {folder / ".snakemake" / name for name in ("log", "iocache")}
        return {
            str(path): (path.read_bytes(), path.stat().st_mtime_ns)
            for path in files
            if path.parent not in snakemakes
        }

    before = state()
    for mode in ("--dry-run", "--lint", "--summary", "--rulegraph", "--list-rules"):
        run = snakemake(folder, mode)
        assert state() == before, mode
        if mode == "--dry-run":
            files = "work/quality/light_0001.json, results/frames.csv"
            assert f"unfinished or damaged, and to be made again: {files}" in run.output
    assert snakemake(folder).results == small_run.results
    assert not list(folder.rglob("*.part"))


def test_a_process_that_runs_one_job_repairs_nothing(small_run: Run, finished: Run) -> None:
    folder = finished.folder
    left = [folder / place / ".0123456789abcdef.part" for place in ("work/cleaned", "logs")]
    for path in left:
        path.touch()
    (folder / "work" / "sources" / "light_0001.fits").write_bytes(b"")
    job = ("--mode", "subprocess", "--target-jobs", "grade_frame:frame=light_0002", "--force")
    # As the main process, which has the lock and has called the hooks, calls it.
    run = snakemake(folder, *job, "--nolock", "--no-hooks", "--ignore-incomplete")
    assert run.returncode == 0, run.output
    assert "made again" not in run.output
    assert run.results == small_run.results
    assert all(path.exists() for path in left)
    assert (folder / "work" / "sources" / "light_0001.fits").read_bytes() == b""


def name_of_record(path: str) -> str:
    return Path(record_of(path)).name


def test_a_deleted_output_folder_comes_back(small_run: Run, finished: Run) -> None:
    shutil.rmtree(finished.folder / "data_cleaned")
    run = snakemake(finished.folder)
    assert run.results == small_run.results
    assert "stack_frames" not in run.output
    assert "damaged" not in run.output


def test_what_other_programs_leave_is_no_obstacle(finished: Run) -> None:
    folder = finished.folder / "data_cleaned"
    for name in (".Trash", "@eaDir"):
        (folder / name).mkdir()
    names = [".DS_Store", "Thumbs.db", "desktop.ini", "._light_0001.fits", "a.seq"]
    junk = [folder / name for name in (*names, ".Trash/a.fits", "@eaDir/a.jpg")]
    for path in junk:
        path.write_text("junk")
    run = snakemake(finished.folder, "--config", "min_star_count=21", "--until", "select_frames")
    assert run.returncode == 0, run.output
    assert [path.read_text() for path in junk] == ["junk"] * 7


def test_an_accepted_frame_that_was_deleted_comes_back(small_run: Run, finished: Run) -> None:
    (finished.folder / "data_cleaned" / "light_0001.fits").unlink()
    run = snakemake(finished.folder)
    assert run.results == small_run.results
    assert "stack_frames" not in run.output


def test_interrupting_leaves_nothing_behind(small_night: SMALL_NIGHT, start: Start) -> None:
    folder = small_night()
    run = start(folder, forked=False)
    wait_for(lambda: any(folder.glob("work/cleaned/*.fits")))
    os.killpg(run.pid, signal.SIGINT)
    assert run.wait(30) != 0
    wait_for(lambda: not processes_in(folder), 10)
    told = (folder / "output.txt").read_text()
    assert told.strip().endswith("The same command goes on where this run has been stopped.")
    assert "Traceback" not in told
    again = snakemake(folder)
    assert again.returncode == 0
    assert "goes on where" not in again.output


def test_an_interrupt_before_the_first_job_is_a_word(small_night: SMALL_NIGHT) -> None:
    folder = small_night()
    interrupted = folder / "Snakefile"
    interrupted.write_text(
        f"include: {str(ROOT / 'rules' / 'plan.smk')!r}\nraise KeyboardInterrupt\n"
    )
    run = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "1", "--workflow-profile", "none"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode != 0
    assert run.stderr.endswith("Interrupted.\n")
    assert "Traceback" not in run.stderr


def processes_in(folder: Path) -> list[str]:
    """Command lines of processes that name a folder."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return [line for line in lines if str(folder) in line]


def test_a_second_run_in_the_folder_is_told(small_night: SMALL_NIGHT, start: Start) -> None:
    folder = small_night()
    run = start(folder)
    wait_for(lambda: any(folder.glob(".snakemake/locks/*")))
    # It rests while the second tries, however slow the machine is.
    os.killpg(run.pid, signal.SIGSTOP)
    second = snakemake(folder)
    os.killpg(run.pid, signal.SIGCONT)
    assert second.returncode == 1
    assert "cannot be locked" in second.output
    assert "Traceback" not in second.output
    assert run.wait(300) == 0


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


def test_results_that_cannot_be_written_are_told_before_any_job(
    small_night: SMALL_NIGHT, small_disk: Path
) -> None:
    folder = small_night()
    (folder / "results").symlink_to(small_disk)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    run = snakemake(folder)
    assert run.returncode == 1
    assert "results: nothing can be written there: Read-only file system." in run.output
    assert "goes on where" not in run.output
    assert "Traceback" not in run.output
    assert not (folder / "work" / "cleaned").exists()


@pytest.mark.parametrize("name", ["a.fits", "é ü/b.fits", "folder/" * 80 + "c.fits"])
def test_records_are_where_snakemake_keeps_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    RECORDS.mkdir(parents=True)
    snakemakes = FilePersistence.__new__(FilePersistence)
    snakemakes._max_len = None
    expected = snakemakes._record_path(str(RECORDS), name)
    assert record_of(name) == expected


def test_lack_of_space_is_foreseen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    raw = tmp_path / "a.fits"
    raw.touch()
    usage = shutil.disk_usage(tmp_path)

    def told(raw_bytes: int, free: int, **options: Any) -> str:
        os.truncate(raw, raw_bytes)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=free))
        return lack_of_space([frame_mb(raw)], [], 6, **options)

    assert (
        told(1_000_000_000, 30_000_000_000)
        == f"This run needs about 32.0 GB of disk in {tmp_path}, of which 30.0 GB are free. "
        "Make room, or it will stop halfway."
    )
    assert told(1_000_000_000, 33_000_000_000) == ""
    assert "about 32.0 MB of disk in" in told(1_000_000, 30_000)
    assert told(1_000_000_000, 33_000_000_000, in_bands=True).startswith("This run needs about 44")
    assert "needs about 28.0 MB" in told(1_000_000, 30_000, n_copies=0)
    assert "of which 0.0 MB" not in told(1_000_000, 300_000)


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
