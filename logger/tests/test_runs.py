"""Tests of real runs: what a person reads."""

import os
import pty
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

SNAKEFILE = """
rule all:
    input:
        expand("out/{sample}.txt", sample=[f"s{k}" for k in range(12)]),

rule make:
    output: "out/{sample}.txt"
    log: "logs/{sample}.log"
    params: settings={"least": config.get("least", 1)}
    shell: "echo >> started; sleep {config[sleep]}; sh {config[script]} > {output} 2> {log}"
"""

SETTINGS = {"sleep": "0", "script": "good.sh", "least": 1}

SCRIPTS = {
    "good.sh": "echo done",
    "full.sh": "echo Reads >&2; echo 'ERROR: the disk is full.' >&2; exit 1",
    "killed.sh": "kill -9 $PPID",
    "silent.sh": "exit 3",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a folder with a workflow of twelve samples."""
    (tmp_path / "Snakefile").write_text(textwrap.dedent(SNAKEFILE))
    for name, text in SCRIPTS.items():
        (tmp_path / name).write_text(f"{text}\n")
    return tmp_path


def command(*options: str, **settings: object) -> list[str]:
    """Return a command that runs the workflow."""
    pairs = [f"{key}={value}" for key, value in {**SETTINGS, **settings}.items()]
    brief = ["--logger", "brief", "--logger-brief-count", "samples=make"]
    run = [sys.executable, "-m", "snakemake", "--cores", "2", "--config", *pairs]
    return [*run, *(() if "--logger" in options else brief), *options]


def told(folder: Path, *options: str, status: int = 0, **settings: object) -> list[str]:
    """Run the workflow; return the lines that it tells."""
    done = subprocess.run(
        command(*options, **settings),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == status, done.stdout
    assert "\r" not in done.stdout
    assert "\033" not in done.stdout
    return done.stdout.splitlines()


def test_a_run_is_a_few_lines(folder: Path) -> None:
    lines = told(folder)
    assert len(lines) == 4, lines
    assert lines[0].startswith("4 of 13 jobs, 4 of 12 samples, ")
    assert re.fullmatch(r"13 of 13 jobs, 12 of 12 samples, in \d+ s", lines[3])
    (log,) = (folder / ".snakemake/log").iterdir()
    assert log.read_text().count("rule make:") == 12
    assert told(folder) == ["Nothing to be done (all requested files are present and up to date)."]


def test_the_plan_is_a_line_per_rule_with_the_cause(folder: Path) -> None:
    assert told(folder, "--dry-run") == [
        "To be done: 13 jobs",
        "  make  12 samples  no result yet",
        "  all   1 job       follows",
    ]
    told(folder)
    (folder / "out/s3.txt").unlink()
    assert told(folder, "--dry-run")[1] == "  make  1 sample  no result yet (s3)"
    assert told(folder, "--dry-run", least=2)[1] == (
        "  make  12 samples  11 least 1 -> 2; 1 no result yet (s3)"
    )
    assert told(folder, "--dry-run", "--quiet")[:2] == ["To be done: 2 jobs", "  make  1 job"]


def test_an_error_is_its_cause_and_the_path_of_the_log(folder: Path) -> None:
    lines = told(folder, "--keep-going", script="full.sh", status=1)
    assert re.fullmatch(r"make of s\d+ failed: the disk is full\.", lines[0])
    assert re.fullmatch(rf"  Log: {folder}/logs/s\d+\.log", lines[1])
    assert lines[2].startswith("make failed for the same cause (the disk is full.): s")
    assert lines[2].endswith(" and 1 more")
    assert lines[3].startswith(f"All that Snakemake said: {folder}/.snakemake/log/")
    assert len(lines) == 4, lines


def test_a_job_without_a_word_is_told_by_its_end(folder: Path) -> None:
    lines = told(folder, script="killed.sh", status=1)
    assert " failed: its command died with <Signals.SIGKILL: 9>." in lines[0]
    lines = told(folder, script="silent.sh", status=1)
    assert " failed: its command returned non-zero exit status 3." in lines[0]


def test_an_error_in_the_workflow_is_told_first(folder: Path) -> None:
    (folder / "Snakefile").write_text(
        "from snakemake.exceptions import WorkflowError\n\n"
        "raise WorkflowError('No samples in data/.')\n"
    )
    assert told(folder, status=1) == ["No samples in data/."]
    (folder / "Snakefile").write_text("1 / 0\n")
    assert told(folder, status=1) == [
        "ZeroDivisionError: division by zero",
        f"  in {folder}/Snakefile, line 1",
    ]


@pytest.mark.parametrize("options", [("--verbose",), ("--debug-dag", "--dry-run")])
def test_verbose_brings_all_messages_back(folder: Path, options: tuple[str, ...]) -> None:
    output = "\n".join(told(folder, *options))
    assert "rule make:" in output
    assert "Job stats:" in output


def test_quiet_is_quiet(folder: Path) -> None:
    assert told(folder, "--quiet", "all") == []
    assert told(folder, "--forceall", "--quiet", "progress") == []
    failed = told(folder, "--forceall", "--quiet", script="silent.sh", status=1)
    assert " failed: " in failed[0]
    assert told(folder, "--forceall", "--quiet", "all", script="silent.sh", status=1) == []


def test_a_terminal_has_one_line_of_progress(folder: Path) -> None:
    reader, writer = pty.openpty()
    environment = os.environ | {"COLUMNS": "200", "TERM": "xterm"}
    with subprocess.Popen(
        command(sleep=0.15), cwd=folder, stdout=writer, stderr=writer, env=environment
    ):
        os.close(writer)
        output = b""
        while True:
            try:
                output += os.read(reader, 4096)
            except OSError:  # the other end is closed
                break
    os.close(reader)
    text = output.decode()
    assert text.count("\n") == 1
    assert re.search(r"\r\033\[K\d+ of 13 jobs, \d+ of 12 samples, .* left: make\r\033\[K", text)
    assert re.search(r"\r\033\[K13 of 13 jobs, 12 of 12 samples, in \d+ s\r\n$", text)


def test_an_interrupted_run_ends_with_a_word(folder: Path) -> None:
    process = subprocess.Popen(
        command(sleep=60), cwd=folder, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    started = folder / "started"
    while (started.read_text() if started.exists() else "") != "\n\n":
        assert process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    _, output = process.communicate(timeout=60)
    assert process.returncode != 0
    assert output == "Interrupted: the jobs that run are being ended.\n"
