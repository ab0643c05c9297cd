"""Tests of the words for numbers, names and causes."""

import io
import os
from contextlib import suppress
from pathlib import Path

import pytest

from snakemake_logger_plugin_brief.failures import Failures, cause
from snakemake_logger_plugin_brief.plan import Plan
from snakemake_logger_plugin_brief.plan import cause as cause_of_plan
from snakemake_logger_plugin_brief.progress import Progress
from snakemake_logger_plugin_brief.terminal import Terminal
from snakemake_logger_plugin_brief.words import duration, names


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "1 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (125, "2 min 5 s"),
        (1500, "25 min"),
        (3600, "1 h"),
        (5000, "1 h 23 min"),
    ],
)
def test_times_are_told_in_two_units(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_of_many_names_the_first_ten_are_told() -> None:
    assert names([*"abcdefghij"]) == "a, b, c, d, e, f, g, h, i, j"
    assert names([*"abcdefghijkl"]) == "a, b, c, d, e, f, g, h, i, j and 2 more"


def test_the_cause_is_the_end_of_the_log(tmp_path: Path) -> None:
    log = tmp_path / "job.log"
    log.write_text("INFO: reads\nERROR: a.fits: the disk is full.\n  Free 3 MB.\n\n")
    assert cause([str(tmp_path / "none.log"), str(log)]) == (
        "a.fits: the disk is full.\n  Free 3 MB."
    )
    log.write_text("Traceback (most recent call last):\n  File 'x.py', line 3\nValueError: no\n")
    assert cause([str(log)]) == "ValueError: no"
    log.write_text("")
    assert cause([str(log)]) == ""


def test_the_end_of_a_long_log_is_enough(tmp_path: Path) -> None:
    log = tmp_path / "job.log"
    log.write_text("line\n" * 1_000_000 + "ERROR: why\n")
    assert cause([str(log)]) == "why"


def test_a_cause_is_told_once_and_all_jobs_that_share_it(tmp_path: Path) -> None:
    log = tmp_path / "job.log"
    log.write_text("ERROR: the disk is full.\n")
    failures = Failures()
    told = [failures.add("sort", f"s{k}", [str(log)], "hint") for k in range(13)]
    assert told[0] == ["sort of s0 failed: the disk is full.", f"  Log: {log}"]
    assert not any(told[1:])
    (rest,) = failures.rest()
    assert rest.startswith("sort failed for the same cause (the disk is full.): s1, s2, s3, ")
    assert rest.endswith(", s10 and 2 more")
    assert failures.add("count", "", [], "its command died with SIGKILL") == [
        "count failed: its command died with SIGKILL"
    ]


def test_settings_that_have_changed_are_named() -> None:
    reason = (
        "Params have changed since last execution: Union of exclusive params before and now "
        "across all output: before: '4e41',{'least': 20, 'modes': ['a', 'b']} "
        "now: {'least': 30, 'modes': ['a']},'fb71' "
    )
    assert cause_of_plan(reason) == "least 20 -> 30, modes ['a', 'b'] -> ['a']"
    many = {f"s{k}": 1 for k in range(9)}, {f"s{k}": 2 for k in range(9)}
    told = cause_of_plan("Params have changed: before: {} now: {} ".format(*many))
    assert told == "s0 1 -> 2, s1 1 -> 2, s2 1 -> 2 and 6 more"
    assert (
        cause_of_plan(reason.replace("'least'", "least")) == "made of something else than before"
    )


def test_the_plan_tells_how_many_jobs_and_why() -> None:
    plan = Plan()
    plan.count({"sort": 5, "join": 1, "make": 1, "total": 7})
    for k in range(4):
        plan.add("sort", {"sample": f"s{k}"}, "Forced execution", ["b", "raw"], [f"{k}.txt"])
    plan.add("make", {"kind": "163c8b12dfa4"}, "Missing output files: b", [], ["b"])
    plan.add("sort", {"sample": "new"}, "Missing output files: a; Input files updated by another")
    assert plan.lines() == [
        "To be done: 7 jobs",
        "  make  1 kind     no result yet",
        "  sort  5 samples  4 gone, half done, or forced; 1 no result yet (new)",
        "  join  1 job",
    ]


def test_the_time_left_is_that_of_the_jobs_before() -> None:
    progress = Progress({"samples": "sort", "none": "absent"})
    progress.plan({"sort": 4, "total": 4})
    assert progress.line(100.0) == "0 of 4 jobs, 0 of 4 samples"
    for job in (1, 2):
        progress.start(job, "sort", 100.0)
    for job in (1, 2):
        progress.finish(job, 110.0)
        progress.done += 1
    # Two at a time took ten seconds, and two are left.
    assert progress.line(110.0) == "2 of 4 jobs, 2 of 4 samples, about 10 s left"
    progress.plan({"sort": 4, "join": 1, "total": 5})
    progress.start(3, "sort", 110.0)
    assert progress.line(110.0) == "2 of 5 jobs, 2 of 4 samples, more than 10 s left: sort"
    assert progress.counts() == "2 of 5 jobs, 2 of 4 samples"


def test_only_a_terminal_gets_a_line_that_is_written_anew() -> None:
    for is_tty, written in [
        (True, "\r\033[K1 of 2\r\033[Ka \\x1b[2J\n\r\033[K1 of 2\r\033[K"),
        (False, "a \\x1b[2J\n"),
    ]:
        stream = io.StringIO()
        terminal = Terminal(stream, is_tty=is_tty)
        terminal.live("1 of 2")
        terminal.line("a \033[2J")
        terminal.live("")
        assert stream.getvalue() == written


def test_jobs_go_on_when_nobody_reads() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with suppress(BrokenPipeError), os.fdopen(writer, "w") as stream:
        terminal = Terminal(stream, is_tty=False)
        terminal.line("one")
        terminal.line("two")
