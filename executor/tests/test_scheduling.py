"""In which order jobs start, and that each gets what it asks for."""

import copy
import sys
from pathlib import Path

import numpy as np
import pytest
from harness import Workflow
from snakemake import io, iocontainers, path_modifier, rules
from snakemake.iocontainers import Params

from snakemake_executor_plugin_warm import internals

NOTE = """
with open("order.txt", "a") as file:
    file.write(f"{snakemake.rule}{snakemake.wildcards.get('n', '')} ")
open(snakemake.output[0], "w").close()
"""

STEPS = """
rule all:
    input: expand("{n}.c", n=range(4)), "last"

rule a:
    output: "{n}.a"
    script: "note.py"

rule b:
    input: "{n}.a"
    output: "{n}.b"
    priority: 1
    script: "note.py"

rule c:
    input: "{n}.b"
    output: "{n}.c"
    priority: 2
    script: "note.py"

rule last:
    output: "last"
    priority: -1
    script: "note.py"
"""


@pytest.mark.parametrize("option", ["", "--prioritize=last"])
def test_jobs_of_higher_priority_come_first(folder: Path, option: str) -> None:
    """Be it the priority of the rule, or that of a target on the command line."""
    workflow = Workflow(folder, {"Snakefile": STEPS, "note.py": NOTE})
    result = workflow.run(*filter(None, [option]), cores=1)
    assert result.status == 0, result.messages
    order = result.read("order.txt").split()
    assert order.pop(order.index("last")) == "last"
    assert result.read("order.txt").split()[0 if option else -1] == "last"
    chains = [order[k : k + 3] for k in range(0, 12, 3)]
    assert all(chain == [f"{step}{chain[0][1]}" for step in "abc"] for chain in chains)


WAITING = """
rule all:
    input: "long", "small", "large.0", "large.1"

rule begin:
    output: "begun"
    script: "note.py"

rule long:
    output: "long"
    priority: 5
    {holds}
    script: "wait_for_small.py"

rule large:
    input: "begun"
    output: "large.{{n}}"
    priority: 9
    {needs}
    script: "note.py"

rule small:
    input: "begun"
    output: "small"
    script: "note.py"
"""

WAIT_FOR_SMALL = """
import os, time
end = time.monotonic() + 30
while not os.path.exists("small"):
    assert time.monotonic() < end, "the small job does not start"
    time.sleep(0.02)
assert not os.path.exists("large.0") and not os.path.exists("large.1")
open(snakemake.output[0], "w").close()
"""


@pytest.mark.parametrize(
    ("holds", "needs", "options"),
    [
        ("threads: 1", "threads: 2", ()),
        ("resources: gpu=1", "resources: gpu=1", ("--resources", "gpu=1")),
        ("resources: gpu=1", "resources: gpu=lambda wildcards: 1", ("--resources", "gpu=1")),
    ],
)
def test_a_job_that_has_to_wait_keeps_none_from_starting(
    folder: Path, holds: str, needs: str, options: tuple[str, ...]
) -> None:
    """It lacks cores or another resource, and comes when they are free."""
    snakefile = WAITING.format(holds=holds, needs=needs)
    files = {"Snakefile": snakefile, "note.py": NOTE, "wait_for_small.py": WAIT_FOR_SMALL}
    result = Workflow(folder, files).run(*options)
    assert result.status == 0, result.messages


def test_no_more_is_used_at_a_time_than_there_is(folder: Path) -> None:
    snakefile = """
        rule all:
            input: expand("{n}.txt", n=range(9))

        rule one:
            output: "{n}.txt"
            resources: shelves=lambda wildcards: 1 + int(wildcards.n) % 3
            script: "one.py"
    """
    script = """
        import os, time
        shelf = [open(f"shelf.{os.getpid()}.{k}", "x") for k in range(snakemake.resources.shelves)]
        time.sleep(0.05)
        assert len([name for name in os.listdir() if name.startswith("shelf.")]) <= 3
        for file in shelf:
            os.remove(file.name)
        open(snakemake.output[0], "w").close()
    """
    workflow = Workflow(folder, {"Snakefile": snakefile, "one.py": script})
    result = workflow.run("--resources", "shelves=3", cores=4)
    assert result.status == 0, result.messages


def test_all_cores_are_used(folder: Path) -> None:
    """Twenty jobs that wait for each other."""
    snakefile = """
        rule all:
            input: expand("{n}.txt", n=range(40))

        rule one:
            output: "{n}.txt"
            script: "meet.py"
    """
    script = """
        import os, time
        open(f"here.{snakemake.wildcards.n}", "w").close()
        end = time.monotonic() + 30
        while sum(name.startswith("here.") for name in os.listdir()) < 20:
            assert time.monotonic() < end, "the others do not start"
            time.sleep(0.02)
        open(snakemake.output[0], "w").close()
    """
    workflow = Workflow(folder, {"Snakefile": snakefile, "meet.py": script})
    result = workflow.run(cores=20)
    assert result.status == 0, result.messages


def test_what_a_job_asks_for_at_its_second_attempt(folder: Path) -> None:
    snakefile = """
        rule one:
            output: "one.txt"
            retries: 1
            resources: gpu=lambda wildcards, attempt: attempt
            script: "one.py"
    """
    script = """
        assert snakemake.resources.gpu == 2, "the first attempt"
        open(snakemake.output[0], "w").close()
    """
    workflow = Workflow(folder, {"Snakefile": snakefile, "one.py": script})
    result = workflow.run("--resources", "gpu=2")
    assert result.status == 0, result.messages


def test_a_batch_is_done_and_no_more(folder: Path) -> None:
    workflow = Workflow(folder, {"Snakefile": STEPS, "note.py": NOTE})
    result = workflow.run("--batch", "all=1/5", cores=1)
    assert result.status == 0, result.messages
    assert result.read("order.txt").split() == ["a0", "b0", "c0"]


KINDS = """
rule one:
    output: "one.txt"
    script: "note.py"

onsuccess:
    print("own queue:", "warm" in type(workflow.scheduler).__module__)
    print("remaining:", len(workflow.scheduler.remaining_jobs))
"""


@pytest.mark.parametrize(("scheduler", "own"), [("greedy", "True"), ("ilp", "False")])
def test_only_the_greedy_scheduler_is_hurried(folder: Path, scheduler: str, own: str) -> None:
    workflow = Workflow(folder, {"Snakefile": KINDS, "note.py": NOTE})
    result = workflow.run("--scheduler", scheduler)
    assert result.status == 0, result.messages
    assert f"own queue: {own}" in result.messages + result.printed
    assert "remaining: 0" in result.messages + result.printed


FUNCTIONS = """
import inspect
import os
from dataclasses import dataclass

ASKED = []
SIGNATURE = inspect.signature

def signature(function):
    ASKED.append(function)
    return SIGNATURE(function)

inspect.signature = signature

@dataclass
class Shared:  # it has no hash
    text: str

    def __call__(self, wildcards):
        return self.text

def of_job(wildcards):
    return wildcards.n

rule all:
    input: expand("{n}.out", n=range(9))

rule job:
    output: "{n}.out"
    params: own=of_job, shared=Shared("same"), threads=lambda wildcards, threads: threads
    shell: "echo {params.own} {params.shared} {params.threads} > {output}"

onsuccess:
    print("asked", ASKED.count(of_job), file=open("asked.txt", "w"))
"""


@pytest.mark.parametrize("executor", ["warm", "local"])
def test_functions_are_asked_once_for_their_arguments(folder: Path, executor: str) -> None:
    """Whatever they are: each job still has its own values."""
    workflow = Workflow(folder, {"Snakefile": FUNCTIONS})
    result = workflow.run("--executor", executor, cores=1)
    assert result.status == 0, result.messages
    assert [result.read(f"{n}.out").split() for n in range(9)] == [
        [str(n), "same", "1"] for n in range(9)
    ]
    asked = int(result.read("asked.txt").split()[1])
    assert asked == 1 if executor == "warm" else asked >= 9


PARAMETERS = """
import numpy as np

rule all:
    input: "table", "plain"

rule table:
    output: "table"
    params: 3, array=np.arange(3), word="a"
    script: "tell.py"

rule plain:
    output: "plain"
    params: 3, settings={"a": [1, 2.5], "b": None}, word="a"
    script: "tell.py"
"""

TELL = """
params = snakemake.params
kinds = [type(value).__name__ for value in params]
with open(snakemake.output[0], "w") as file:
    file.write(f"{kinds} {params[0]} {params.word} {params.get('settings')}")
"""


def test_parameters_of_all_kinds_reach_the_script(folder: Path) -> None:
    workflow = Workflow(folder, {"Snakefile": PARAMETERS, "tell.py": TELL})
    result = workflow.run()
    assert result.status == 0, result.messages
    assert result.read("table") == "['int', 'ndarray', 'str'] 3 a None"
    settings = "{'a': [1, 2.5], 'b': None}"
    assert result.read("plain") == f"['int', 'dict', 'str'] 3 a {settings}"


def test_tables_are_not_looked_for_among_plain_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    sought: list[str] = []

    class Finder:
        @staticmethod
        def find_spec(name: str, *_: object) -> None:
            sought.append(name)

    monkeypatch.setattr(iocontainers.Snakemake, "_safely_store_params", internals._store_params)
    monkeypatch.setattr(sys, "meta_path", [Finder, *sys.meta_path])
    for name in ("pandas", "polars"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    holder = iocontainers.Snakemake.__new__(iocontainers.Snakemake)
    holder._safely_store_params(Params(fromdict={"settings": {"a": 1}, "word": "b"}))
    assert sought == []
    assert holder.params.settings == {"a": 1}
    holder._safely_store_params(Params(fromdict={"path": Path("c")}))
    assert {"pandas", "polars"} <= set(sought)


def test_flags_are_those_that_snakemake_finds() -> None:
    internals.find_flags_quickly()
    assert {internals._has_flag} == {it.is_flagged for it in (io, path_modifier, rules)}
    flagged = io.flag(io.flag("path", "temp"), "ancient", flag_value=False)
    others = "path", io.IOFile("path"), Path("path"), len, np.ones(2)
    for value in (flagged, io.IOFile(flagged), io.IOFile(io.IOFile(flagged)), *others):
        flags = [io.is_flagged(value, flag) for flag in ("temp", "ancient", "owndata")]
        assert flags == [any(value is each for each in others) is False, False, False]


def test_names_of_items_are_guarded() -> None:
    """And may be given to items, of one list without the others."""
    internals.share_guards()
    plain, named = Params(fromdict={"a": 1}), Params(fromdict={"index": 2})
    assert named.index == 2
    assert named.sort is plain.sort
    for items in (plain, copy.deepcopy(plain)):
        assert items.get("index") is None
        with pytest.raises(AttributeError, match=r"^index\(\) cannot be used"):
            items.index(1)
        with pytest.raises(AttributeError, match=r"^sort\(\) cannot be used"):
            items.sort()


def test_a_path_has_flags_as_soon_as_it_is_given_one() -> None:
    """And no text of its own for them before."""
    internals.find_flags_quickly()
    internals.give_flags_when_needed()
    pattern, flagged = io.IOFile("{n}.txt"), io.IOFile(io.temp("{n}.txt"))
    first, second = (pattern.apply_wildcards({"n": n}) for n in "12")
    assert first.flags == second.flags == {}
    assert type(first._file) is type(second._file) is str
    first.flags["ancient"] = True
    io.flag(first, "checkpoint_target")
    assert first.flags == {"ancient": True, "checkpoint_target": True}
    assert [io.is_flagged(path, "ancient") for path in (first, second)] == [True, False]
    assert (first, hash(first), first._file) == ("1.txt", hash("1.txt"), "1.txt")
    assert flagged.apply_wildcards({"n": 3}).flags == {"temp": True}
    second.clone_flags(first)
    assert second.flags == first.flags
    second.clone_flags(pattern)
    assert second.flags == {}


OF_ALL_KINDS = """
import sys

def raw(wildcards):
    return f"{wildcards.n}.raw"

rule all:
    input: expand("{n}.end", n=range(2))

rule all_kinds:
    input: ancient(raw)
    output: kept="{n}.kept", gone=temp("{n}.gone"), seen=touch("{n}.seen"),
            held=protected("{n}.held")
    params: word=config["word"]
    shell: "echo {params.word} | tee {output.kept} {output.gone} > {output.held}"

rule end:
    input: rules.all_kinds.output.kept, rules.all_kinds.output.gone
    output: "{n}.end"
    shell: "cat {input} > {output}"

onsuccess:
    jobs = [job for job in workflow.dag.jobs if job.rule.name != "all"]
    print(len(jobs), len({id(job.pipe_or_service_output) for job in jobs}), file=open("sets", "w"))
    print("smart_open" in sys.modules, file=open("loaded", "w"))
"""


def test_files_of_all_kinds(folder: Path) -> None:
    """Jobs share what is empty, and each has its own of the rest."""
    workflow = Workflow(folder, {"Snakefile": OF_ALL_KINDS, "0.raw": "", "1.raw": ""})
    result = workflow.run("--config", "word=a")
    assert result.status == 0, result.messages
    assert [result.read(f"{n}.{kind}") for n in "01" for kind in ("end", "seen")] == [
        *("a\na\n", ""),
        *("a\na\n", ""),
    ]
    assert not [*folder.glob("*.gone")]
    assert {path.stat().st_mode & 0o222 for path in folder.glob("*.held")} == {0}
    assert result.read("sets") == "4 1\n"
    assert result.read("loaded") == "False\n"
    (folder / "0.raw").write_text("newer, but ancient")
    assert "Nothing to be done" in workflow.run("--config", "word=a", "-n").printed
    again = workflow.run("--config", "word=b", "-n").printed
    assert again.count("Params have changed since last execution") == 2


OPEN_FILE = """
rule all:
    output: "done"
    shell: "echo > {output}"

class Circle:
    pass

circle = Circle()
circle.itself, circle.file = circle, open("notes.txt", "w")
circle.file.write("kept")
del circle
"""


@pytest.mark.parametrize("option", ["--force", "--dry-run"])
def test_a_file_that_the_workflow_leaves_open_is_written(folder: Path, option: str) -> None:
    workflow = Workflow(folder, {"Snakefile": OPEN_FILE})
    result = workflow.run(option)
    assert result.status == 0, result.messages
    assert result.read("notes.txt") == "kept"
