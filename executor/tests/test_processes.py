"""How scripts and the processes behind them live and die."""

import json
import os
import signal
import subprocess
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from harness import IS_FORKED, Workflow

MANY = """
rule all:
    input: expand("out/{{n}}.json", n=range({count}))

rule job:
    output: "out/{{n}}.json"
    script: "job.py"
"""

REPORT = f"""
import json, os
facts = {{"forked": {IS_FORKED}, "parent": os.getppid()}}
with open(snakemake.output[0], "w") as file:
    json.dump(facts, file)
"""

KILL_ZYGOTE = """
import os, signal, time
if IS_FORKED and {when}:
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(60)
""".replace("IS_FORKED", IS_FORKED.replace("{", "{{").replace("}", "}}"))

WAIT = """
import os, signal, subprocess, time
{prelude}
if os.fork() == 0:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    time.sleep(60)
    os._exit(0)
with open(snakemake.output[0] + ".started", "w") as file:
    file.write(str(os.getppid()))
time.sleep({seconds})
open(snakemake.output[0], "w").close()
"""

STUBBORN = """
if snakemake.wildcards.n == "0":
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
"""


def session_members(session: int) -> list[int]:
    """Return the living processes of a session."""
    members = []
    for entry in Path("/proc").iterdir():
        with suppress(ValueError, OSError):
            if os.getsid(int(entry.name)) == session:
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                if state != "Z":
                    members.append(int(entry.name))
    return members


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


@contextmanager
def running(workflow: Workflow, *options: str, jobs: int = 2) -> Iterator[subprocess.Popen[str]]:
    """Start Snakemake in a session of its own and wait until its scripts run."""
    with subprocess.Popen(
        workflow.command(*options),
        cwd=workflow.folder,
        env=workflow.environment(),
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            started = workflow.folder / "out"
            assert wait_until(lambda: len(list(started.glob("*.started"))) == jobs, 30)
            yield process
        finally:
            for pid in session_members(process.pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def nothing_is_left(process: subprocess.Popen[str], seconds: float) -> bool:
    return wait_until(lambda: process.poll() is not None, seconds) and wait_until(
        lambda: not session_members(process.pid), 1
    )


@pytest.fixture
def waiting(folder: Path) -> Workflow:
    """Two scripts that would run for long, each with a child of its own, and more in the queue."""
    script = WAIT.format(prelude="", seconds=60)
    return Workflow(folder, {"Snakefile": MANY.format(count=4), "job.py": script})


def test_a_dead_zygote_is_replaced_and_its_jobs_run_again(folder: Path) -> None:
    kill = KILL_ZYGOTE.format(
        when="not os.path.exists('killed') and not open('killed', 'w').close()"
    )
    append = "open(snakemake.output[0] + '.log', 'a').write('run ')\n"
    wait = "import time; time.sleep(0.5)\n"
    workflow = Workflow(
        folder, {"Snakefile": MANY.format(count=6), "job.py": append + wait + kill + REPORT}
    )
    result = workflow.run()
    assert result.status == 0, result.messages
    assert "has died; another one takes its place." in result.messages
    lost = result.messages.count(
        "was lost with the process that it was forked from; it runs again"
    )
    assert lost in {1, 2}
    forked = [json.loads(result.read(f"out/{n}.json"))["forked"] for n in range(6)]
    assert forked.count(False) == lost
    runs = [result.read(f"out/{n}.json.log") for n in range(6)]
    assert runs == ["run " if once else "run run " for once in forked]


def test_jobs_become_plain_when_zygotes_keep_dying(folder: Path) -> None:
    workflow = Workflow(
        folder,
        {"Snakefile": MANY.format(count=5), "job.py": KILL_ZYGOTE.format(when="True") + REPORT},
    )
    result = workflow.run(cores=1)
    assert result.status == 0, result.messages
    assert result.messages.count("has died; another one takes its place.") == 2
    assert "processes of their own from here on." in result.messages
    assert not any(json.loads(result.read(f"out/{n}.json"))["forked"] for n in range(5))


def test_a_lost_job_with_a_shadow_directory(folder: Path) -> None:
    snakefile = """
        rule job:
            output: "out.json"
            shadow: "minimal"
            script: "job.py"
    """
    kill = KILL_ZYGOTE.format(when="not open('litter', 'w').close()")
    cwd = "import os\nassert '.snakemake/shadow' in os.getcwd() == os.environ['PWD']\n"
    workflow = Workflow(folder, {"Snakefile": snakefile, "job.py": cwd + kill + REPORT})
    result = workflow.run()
    assert result.status == 0, result.messages
    assert not json.loads(result.read("out.json"))["forked"]
    assert not result.wrote("litter")
    assert not list((folder / ".snakemake/shadow").iterdir())


MODULES = {
    "modules/leaves.py": "import sys\nsys.exit(4)",
    "modules/deadly.py": "import os\nos._exit(1)",
    "modules/threaded.py": """
        import threading, time
        from functools import partial
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
    """,
    "modules/forkless.py": """
        import os
        def fork():
            raise OSError("no room")
        os.fork = fork
    """,
}


@pytest.mark.parametrize(
    ("preload", "sentences", "forked"),
    [
        (
            ["no.such.module", "leaves", "threaded", "json.tool"],
            [
                "The module no.such.module of warm-preload cannot be imported (ModuleNotFound",
                "The module leaves of warm-preload cannot be imported (SystemExit: 4).",
                "The module threaded of warm-preload starts a thread when it is imported, ",
            ],
            True,
        ),
        (
            ["colorsys:rgb_to_hsv", "json:no.such"],
            [
                "The module colorsys:rgb_to_hsv of warm-preload cannot be imported (TypeError",
                "The module json:no.such of warm-preload cannot be imported (AttributeError",
            ],
            True,
        ),
        (["deadly"], ["The process that scripts are forked from died while it imported"], False),
        (["forkless"], ["A script runs as a process of its own: no room."], False),
    ],
    ids=["unusable", "functions", "deadly", "forkless"],
)
def test_a_bad_module_is_a_warning(
    folder: Path, preload: list[str], sentences: list[str], forked: bool
) -> None:
    workflow = Workflow(folder, {"Snakefile": MANY.format(count=3), "job.py": REPORT, **MODULES})
    result = workflow.run(
        "--warm-preload", *preload, variables={"PYTHONPATH": str(folder / "modules")}
    )
    assert result.status == 0, result.messages
    for sentence in sentences:
        assert result.messages.count(sentence) == 1, result.messages
    assert json.loads(result.read("out/2.json"))["forked"] is forked


def test_ctrl_c_in_a_terminal_ends_everything(waiting: Workflow) -> None:
    with running(waiting) as process:
        os.killpg(process.pid, signal.SIGINT)
        assert nothing_is_left(process, 8)
        assert process.returncode == 1
        assert process.stdout is not None
        output = process.stdout.read()
        assert "Traceback" not in output
    assert not list(waiting.folder.glob("out/[0-9].json"))


def test_an_interrupt_of_snakemake_alone_ends_everything(waiting: Workflow) -> None:
    waiting.write("Snakefile", MANY.format(count=2))
    waiting.write("job.py", WAIT.format(prelude=STUBBORN, seconds=60))
    with running(waiting) as process:
        process.send_signal(signal.SIGINT)
        assert nothing_is_left(process, 12)
        assert process.returncode == 1


def test_sigterm_lets_running_scripts_finish_as_with_local(waiting: Workflow) -> None:
    waiting.write("job.py", WAIT.format(prelude="", seconds=2).replace("os.fork() == 0", "False"))
    with running(waiting) as process:
        process.terminate()
        assert nothing_is_left(process, 8)
    assert len(list(waiting.folder.glob("out/[0-9].json"))) == 2


def test_sigterm_to_the_group_ends_everything(waiting: Workflow) -> None:
    with running(waiting) as process:
        os.killpg(process.pid, signal.SIGTERM)
        assert nothing_is_left(process, 8)
    assert not list(waiting.folder.glob("out/[0-9].json"))


def test_nothing_outlives_a_killed_snakemake(waiting: Workflow) -> None:
    with running(waiting) as process:
        process.kill()
        assert nothing_is_left(process, 8)


def test_children_do_not_outlive_a_killed_zygote(waiting: Workflow) -> None:
    waiting.write("job.py", WAIT.format(prelude="", seconds=60).replace("os.fork() == 0", "False"))
    with running(waiting) as process:
        zygote = int(next((waiting.folder / "out").glob("*.started")).read_text())
        os.kill(process.pid, signal.SIGKILL)
        os.kill(zygote, signal.SIGKILL)
        assert nothing_is_left(process, 4)


def test_ctrl_c_during_the_imports(folder: Path) -> None:
    slow = "import time\nopen('out/0.started', 'w').close()\ntime.sleep(60)"
    # The imports begin while Snakemake itself still starts, which is not what this is about.
    begun = "\nonstart:\n    open('out/1.started', 'w').close()\n"
    workflow = Workflow(
        folder,
        {
            "Snakefile": MANY.format(count=2) + begun,
            "job.py": REPORT,
            "out/.keep": "",
            "modules/slow.py": slow,
        },
    )
    workflow.environment = lambda **more: (  # type: ignore[method-assign]
        os.environ | {"PYTHONPATH": str(folder / "modules")} | more
    )
    with running(workflow, "--warm-preload", "slow", jobs=2) as process:
        process.send_signal(signal.SIGINT)
        assert nothing_is_left(process, 8)
    assert not list(folder.glob("out/*.json"))


@pytest.mark.parametrize("action", ['script: "job.py"', 'shell: "touch {output}"'])
def test_ctrl_c_while_the_thread_of_a_job_starts(folder: Path, action: str) -> None:
    """A thread that is interrupted there runs, and the pool of threads does not wait for it."""
    snakefile = MANY.format(count=2).replace('script: "job.py"', action)
    interrupted = """
        import threading, time
        from functools import partial
        start = threading.Thread.start
        def late(run):
            time.sleep(1)
            run()
        def interrupted(thread):
            if thread.name.startswith("ThreadPool"):
                threading.Thread.start = start
                thread.run = partial(late, thread.run)
                start(thread)
                raise KeyboardInterrupt
            start(thread)
        threading.Thread.start = interrupted
    """
    workflow = Workflow(
        folder,
        {
            "Snakefile": textwrap.dedent(interrupted) + snakefile,
            "job.py": REPORT,
            "out/.keep": "",
        },
    )
    assert workflow.run().status == 1
    assert not list(folder.glob("out/*.json"))


def test_a_process_that_a_script_leaves_on_purpose_goes_on(folder: Path) -> None:
    script = """
        import subprocess
        process = subprocess.Popen(["sleep", "30"], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        open(snakemake.output[0], "w").write(str(process.pid))
    """
    workflow = Workflow(folder, {"Snakefile": MANY.format(count=1), "job.py": script})
    result = workflow.run()
    os.kill(int(result.read("out/0.json")), signal.SIGKILL)


def test_no_descriptors_pile_up(folder: Path) -> None:
    snakefile = """
        rule last:
            input: expand("out/{n}.json", n=range(30))
            output: "last.json"
            script: "last.py"

        rule job:
            output: "out/{n}.json"
            script: "job.py"
    """
    last = """
        import json, os
        zygote = os.getppid()
        snakemake_pid = int(open(f"/proc/{zygote}/stat").read().rpartition(")")[2].split()[1])
        counts = [len(os.listdir(f"/proc/{pid}/fd")) for pid in (zygote, snakemake_pid)]
        with open(snakemake.output[0], "w") as file:
            json.dump(counts, file)
    """
    workflow = Workflow(folder, {"Snakefile": snakefile, "job.py": REPORT, "last.py": last})
    result = workflow.run(cores=4)
    in_zygote, in_snakemake = json.loads(result.read("last.json"))
    assert in_zygote <= 7
    assert in_snakemake <= 30


def test_each_environment_has_its_zygote_up_to_a_limit(folder: Path) -> None:
    snakefile = """
        rule all:
            input: expand("out/{n}.json", n=range(1, 11))

        rule job:
            output: "out/{n}.json"
            threads: lambda wildcards: int(wildcards.n)
            script: "job.py"
    """
    workflow = Workflow(folder, {"Snakefile": snakefile, "job.py": REPORT})
    result = workflow.run(cores=10)
    assert result.status == 0
    facts = [json.loads(result.read(f"out/{n}.json")) for n in range(1, 11)]
    assert len({fact["parent"] for fact in facts if fact["forked"]}) == 8
    assert sum(not fact["forked"] for fact in facts) == 2
    assert result.messages.count("more than 8 different environments") == 1
