"""What a script leaves behind for the next one in its process: nothing."""

import json
import os
import re
import signal
import textwrap
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
from harness import Result, Workflow
from snakemake.benchmark import BenchmarkRecord
from test_processes import nothing_is_left, running, wait_until

KEPT = ("--warm-scripts-per-child", "100", "--warm-preload", "numpy")


@dataclass(frozen=True)
class Leftover:
    """Something that a script leaves behind.

    Attributes
    ----------
    leave
        What it does.
    look
        An expression that would show it.
    """

    leave: str
    look: str


UNDONE = {
    "variables": Leftover("stained = True", "'stained' in vars(sys.modules['__main__'])"),
    "arguments": Leftover("sys.argv.append('more')", "len(sys.argv)"),
    "directory": Leftover("os.chdir('/')", "os.getcwd()"),
    "environment": Leftover("os.environ['STAIN'] = '1'", "os.environ.get('STAIN')"),
    "cleared environment": Leftover("os.environ.clear()", "sorted(os.environ)"),
    "logging": Leftover(
        "logging.basicConfig(filename='some.log', level=10, force=True)",
        "[logging.root.level, str(logging.root.handlers), len(os.listdir('/proc/self/fd'))]",
    ),
    "warning filters": Leftover("warnings.simplefilter('error')", "str(warnings.filters)"),
    "captured warnings": Leftover(
        "logging.captureWarnings(True)", "[warnings.showwarning.__module__, shown()]"
    ),
    "shown warnings": Leftover("shown()", "shown()"),
    "streams": Leftover(
        "sys.stdout = sys.stderr = open('some.txt', 'w'); os.dup2(sys.stdout.fileno(), 1)",
        "[os.readlink(f'/proc/self/fd/{n}') for n in range(3)]"
        " + [sys.stdout is sys.__stdout__, sys.stderr is sys.__stderr__]",
    ),
    "open files": Leftover(
        "unclosed = open('unclosed.txt', 'w'); unclosed.write('x')",
        "[len(os.listdir('/proc/self/fd')), os.path.exists('unclosed.txt')"
        " and open('unclosed.txt').read() != 'x']",
    ),
    "finalizers": Leftover(
        "kept = Finalized(); kept.cycle = kept",
        "[snakemake.wildcards.step == 'second' and not os.path.exists('finalized')]",
    ),
    "hook": Leftover("sys.excepthook = print", "sys.excepthook is sys.__excepthook__"),
    "random state": Leftover(
        "random.seed(1); numpy.random.seed(1)",
        "[random.random() == random.Random(1).random(),"
        " numpy.random.random() == numpy.random.RandomState(1).random_sample()]",
    ),
    "numpy's errors": Leftover("numpy.seterr(all='raise')", "numpy.geterr()"),
    "decimals": Leftover("decimal.getcontext().prec = 3", "decimal.getcontext().prec"),
    "temporary folder": Leftover("tempfile.tempdir = '/'", "tempfile.gettempdir() == '/'"),
}
"""After these, the process goes on."""

LASTING = {
    "umask": Leftover("os.umask(0o777)", "os.umask(0o022)"),
    "signal handler": Leftover("signal.signal(signal.SIGUSR1, print)", "handler('SIGUSR1')"),
    "ignored signal": Leftover(
        "signal.signal(signal.SIGINT, signal.SIG_IGN)", "handler('SIGINT')"
    ),
    "signal mask": Leftover(
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])",
        "list(signal.pthread_sigmask(signal.SIG_BLOCK, []))",
    ),
    "timer": Leftover("signal.alarm(1000)", "signal.getitimer(signal.ITIMER_REAL)"),
    "limit": Leftover(
        "resource.setrlimit(resource.RLIMIT_CORE, (0, 0))",
        "resource.getrlimit(resource.RLIMIT_CORE)",
    ),
    "nice": Leftover("os.nice(1)", "os.nice(0)"),
    "descriptor": Leftover("os.open('/dev/null', 0)", "len(os.listdir('/proc/self/fd'))"),
    "closed stream": Leftover("sys.stdout.close()", "sys.stdout.closed"),
    "thread": Leftover(
        "threading.Thread(target=time.sleep, args=(0.1,)).start()", "threading.active_count()"
    ),
    "process": Leftover("process = subprocess.Popen(['sleep', '0.1'])", "has_children()"),
    "exit function": Leftover("atexit.register(int)", "atexit._ncallbacks()"),
    "locale": Leftover("locale.setlocale(locale.LC_ALL, 'C')", "locale.setlocale(locale.LC_ALL)"),
    "time zone": Leftover("os.environ['TZ'] = 'A+5'; time.tzset()", "time.tzname"),
    "garbage": Leftover("gc.disable()", "gc.isenabled()"),
    "recursion": Leftover("sys.setrecursionlimit(5000)", "sys.getrecursionlimit()"),
    "trace": Leftover("sys.setprofile(lambda *_: None)", "str(sys.getprofile())"),
    "builtins": Leftover("builtins.stain = 1", "hasattr(builtins, 'stain')"),
    "replaced module": Leftover("sys.modules['string'] = sys", "sys.modules.get('string') is sys"),
    "import hook": Leftover("sys.meta_path.append(sys.meta_path[0])", "len(sys.meta_path)"),
    "logger": Leftover(
        "logging.getLogger('some').setLevel(10)", "logging.getLogger('some').level"
    ),
    "disabled logging": Leftover("logging.disable(50)", "logging.root.manager.disable"),
    "bit generator": Leftover(
        "numpy.random.set_bit_generator(numpy.random.PCG64())",
        "type(numpy.random.get_bit_generator()).__name__",
    ),
    "search path": Leftover("sys.path.append('/')", "sys.path[-1]"),
}
"""With these, the process ends."""

SNAKEFILE = """
rule all:
    input: expand("{n}.second.json", n=range(len(config["leftovers"])))

rule first:
    output: "{n}.first.json"
    params: leftover=lambda wildcards: config["leftovers"][int(wildcards.n)], step="first"
    script: "leave.py"

rule second:
    input: "{n}.first.json"
    output: "{n}.second.json"
    params: leftover=lambda wildcards: config["leftovers"][int(wildcards.n)], step="second"
    priority: 1
    script: "leave.py"
"""

LEAVE = """
import atexit, builtins, decimal, gc, json, locale, logging, os, random, resource, signal
import subprocess, sys, tempfile, threading, time, warnings
import numpy

def shown():
    # How often a warning of a module that stays is shown.
    seen = []
    before, warnings.showwarning = warnings.showwarning, lambda *_: seen.append(1)
    registry = vars(json).setdefault("__warningregistry__", {})
    warnings.warn_explicit("again", UserWarning, "json.py", 1, registry=registry)
    warnings.showwarning = before
    return len(seen)

def handler(name):
    return str(signal.getsignal(signal.Signals[name]))

def has_children():
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True

class Finalized:
    def __del__(self):
        os.close(os.open("finalized", os.O_CREAT))

snakemake.wildcards.step = snakemake.params.step
leave, look = snakemake.params.leftover
facts = {"pid": os.getpid(), "found": eval(look)}
with open(snakemake.output[0], "w") as file:
    json.dump(facts, file)
if snakemake.params.step == "first":
    exec(leave)
"""

PID = """
import os
with open(snakemake.output[0], "w") as file:
    file.write(str(os.getpid()))
"""


@pytest.fixture(scope="module")
def soiled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, object]]]:
    """Tell what the script before and the one after each leftover find, by its name."""
    leftovers = UNDONE | LASTING
    config = {"leftovers": [[it.leave, it.look] for it in leftovers.values()]}
    workflow = Workflow(
        tmp_path_factory.mktemp("soiled") / "workflow",
        {"Snakefile": SNAKEFILE, "leave.py": LEAVE, "config.json": json.dumps(config)},
    )
    result = workflow.run("--configfile", "config.json", *KEPT, cores=1)
    assert result.status == 0, result.messages
    return {
        name: [json.loads(result.read(f"{n}.{step}.json")) for step in ("first", "second")]
        for n, name in enumerate(leftovers)
    }


@pytest.mark.parametrize("name", UNDONE)
def test_what_can_be_undone_is(soiled: dict[str, list[dict[str, object]]], name: str) -> None:
    first, second = soiled[name]
    assert second["pid"] == first["pid"]
    assert second["found"] == first["found"]


@pytest.mark.parametrize("name", LASTING)
def test_what_cannot_be_undone_ends_the_process(
    soiled: dict[str, list[dict[str, object]]], name: str
) -> None:
    first, second = soiled[name]
    assert second["pid"] != first["pid"]
    assert second["found"] == first["found"]


def pids(result: Result, *names: str) -> list[str]:
    assert result.status == 0, result.messages
    return [result.read(name) for name in names]


CHAINS = """
rule all:
    input: expand("{n}.c", n=range(6))

rule a:
    output: "{n}.a"
    script: "pid.py"

rule b:
    input: "{n}.a"
    output: "{n}.b"
    priority: 1
    script: "pid.py"

rule c:
    input: "{n}.b"
    output: "{n}.c"
    priority: 2
    script: "pid.py"
"""


MEETING = """
rule all:
    input: expand("{n}.b", n=range(4))

rule a:
    output: "{n}.a"
    script: "meet.py"

rule meet:
    input: expand("{n}.a", n=range(4))
    output: "met"
    shell: "touch met"

rule b:
    input: "met", "{n}.a"
    output: "{n}.b"
    script: "pid.py"
"""

MEET = """
import os, time
open(f"here.{snakemake.wildcards.n}", "w").close()
end = time.monotonic() + 60
while sum(name.startswith("here.") for name in os.listdir()) < 4:
    assert time.monotonic() < end
    time.sleep(0.02)
"""


FROZEN = """
import gc
import xml.dom.minidom
with open(snakemake.output[0], "w") as file:
    file.write(str(any(item is xml.dom.minidom.Document for item in gc.get_objects())))
"""


def test_modules_of_earlier_scripts_are_no_garbage(folder: Path) -> None:
    """They are looked through where they are new, and by no script that follows."""
    workflow = Workflow(folder, {"Snakefile": CHAINS, "pid.py": FROZEN})
    result = workflow.run(*KEPT, cores=1)
    found = Counter(result.read(f"{n}.{step}") for n in range(6) for step in "abc")
    assert found == {"True": 1, "False": 17}


def test_a_script_runs_where_what_it_reads_was_written(folder: Path) -> None:
    """Four scripts have run at the same time, and all their children wait for the next ones."""
    workflow = Workflow(folder, {"Snakefile": MEETING, "meet.py": MEET + PID, "pid.py": PID})
    result = workflow.run(*KEPT, cores=4)
    first, second = (pids(result, *(f"{n}.{step}" for n in range(4))) for step in "ab")
    assert len(set(first)) == 4
    assert second == first


@pytest.mark.parametrize(("options", "counts"), [((), [1]), ((*KEPT[:1], "4"), [4, 4, 4, 4, 2])])
def test_a_child_runs_as_many_scripts_as_it_is_told(
    folder: Path, options: tuple[str, ...], counts: list[int]
) -> None:
    workflow = Workflow(folder, {"Snakefile": CHAINS, "pid.py": PID})
    result = workflow.run(*options, cores=1)
    found = Counter(pids(result, *(f"{n}.{step}" for n in range(6) for step in "abc")))
    assert sorted(found.values(), reverse=True) == (counts if options else counts * 18)


SIBLINGS = """
rule all:
    input: "one.txt", "two.txt", "three.txt", "four.txt"

rule one:
    output: "one.txt"
    script: "one/job.py"

rule two:
    input: "one.txt"
    output: "two.txt"
    script: "two/job.py"

rule three:
    input: "two.txt"
    output: "three.txt"
    params: add="added/three"
    script: "one/adds.py"

rule four:
    input: "three.txt"
    output: "four.txt"
    params: add="added/four"
    script: "one/adds.py"
"""


def test_modules_of_one_name_in_two_folders(folder: Path) -> None:
    """Be it the folder of the script, or one that the script appends to the search path."""
    write = "open(snakemake.output[0], 'w').write(VALUE)"
    adds = "import sys; sys.path.append(snakemake.params.add); from added_sibling import VALUE\n"
    workflow = Workflow(
        folder,
        {
            "Snakefile": SIBLINGS,
            **{f"{it}/job.py": f"from sibling import VALUE\n{write}" for it in ("one", "two")},
            **{f"{it}/sibling.py": f"VALUE = '{it}'" for it in ("one", "two")},
            "one/adds.py": adds + write,
            **{f"added/{it}/added_sibling.py": f"VALUE = '{it}'" for it in ("three", "four")},
        },
    )
    result = workflow.run(*KEPT, cores=1)
    names = ["one", "two", "three", "four"]
    assert pids(result, *(f"{name}.txt" for name in names)) == names


def test_memory_is_given_back_before_a_job_of_several_threads(folder: Path) -> None:
    snakefile = """
        rule all:
            input: "after.txt"

        rule before:
            output: "before.txt"
            script: "pid.py"

        rule wide:
            input: "before.txt"
            output: "wide.txt"
            threads: 2
            script: "wide.py"

        rule after:
            input: "wide.txt"
            output: "after.txt"
            script: "pid.py"
    """
    gone = 'import os\nassert not os.path.exists("/proc/" + open("before.txt").read())\n'
    workflow = Workflow(folder, {"Snakefile": snakefile, "pid.py": PID, "wide.py": gone + PID})
    result = workflow.run("--warm-share", *KEPT)
    assert len(set(pids(result, "before.txt", "wide.txt", "after.txt"))) == 3


@pytest.mark.parametrize("per_child", [2, 100])
def test_figures_of_a_measured_job_are_those_of_its_script(folder: Path, per_child: int) -> None:
    """And not of the script before it in the same process, or of that one's children."""
    snakefile = re.sub(r'(    output: "\{n\}(\..)"\n)', r'\1    benchmark: "{n}\2.tsv"\n', CHAINS)
    busy = """
        import os, time
        if snakemake.rule == "a":
            memory = b"x" * 100_000_000
            if (child := os.fork()) == 0:
                more = b"x" * 300_000_000
                os._exit(0)
            os.waitpid(child, 0)
            while time.process_time() < 0.4:
                pass
    """
    workflow = Workflow(folder, {"Snakefile": snakefile, "pid.py": textwrap.dedent(busy) + PID})
    options = ("--warm-scripts-per-child", str(per_child), "--warm-preload", "numpy")
    result = workflow.run("0.b", *options, cores=1)
    a, b = pids(result, "0.a", "0.b")
    assert a == b
    figures = {}
    for step in "ab":
        header, values = (line.split("\t") for line in result.read(f"0.{step}.tsv").splitlines())
        figures[step] = dict(zip(header, values, strict=True))
    assert list(figures["a"]) == BenchmarkRecord.get_header()
    assert float(figures["a"]["s"]) >= float(figures["a"]["cpu_time"]) > 0.39
    assert float(figures["a"]["mean_load"]) > 1
    assert float(figures["a"]["max_rss"]) > 300
    assert float(figures["b"]["cpu_time"]) < 0.3
    assert 10 < float(figures["b"]["max_rss"]) < 100
    assert figures["a"]["max_vms"] == "-"


def test_the_time_of_a_short_job_of_several_threads_is_known(folder: Path) -> None:
    """Also that of its processes: Snakemake looks at them every half second."""
    snakefile = """
        rule wide:
            output: "wide.txt"
            benchmark: "wide.tsv"
            threads: 2
            script: "wide.py"
    """
    busy = """
        import os, time
        if os.fork() == 0:
            while time.process_time() < 0.3: pass
            os._exit(0)
        os.wait()
        open(snakemake.output[0], "w").close()
    """
    result = Workflow(folder, {"Snakefile": snakefile, "wide.py": busy}).run(*KEPT)
    assert result.status == 0, result.messages
    header, values = (line.split("\t") for line in result.read("wide.tsv").splitlines())
    figures = dict(zip(header, values, strict=True))
    assert float(figures["cpu_time"]) > 0.29
    assert float(figures["max_rss"]) > 10


def test_a_script_that_fails_ends_its_child_and_no_other_job(folder: Path) -> None:
    """Be it by an exception, or because it is killed."""
    script = """
        import os, signal
        open(f"{snakemake.output[0]}.{os.getpid()}", "w").close()
        if snakemake.output[0] == "1.b":
            raise ValueError("its own")
        if snakemake.output[0] == "2.b":
            os.kill(os.getpid(), signal.SIGKILL)
        open(snakemake.output[0], "w").write(str(os.getpid()))
    """
    workflow = Workflow(folder, {"Snakefile": CHAINS, "pid.py": script})
    result = workflow.run("--keep-going", *KEPT, cores=1)
    assert result.status == 1
    assert [n for n in range(6) if result.wrote(f"{n}.c")] == [0, 3, 4, 5]
    ended = {path.suffix for n in (1, 2) for path in folder.glob(f"{n}.b.*")}
    assert len(ended) == 2
    for pid in ended:
        latest = max(folder.glob(f"*{pid}"), key=lambda path: path.stat().st_mtime_ns)
        assert latest.name in {f"1.b{pid}", f"2.b{pid}"}


def test_a_child_that_dies_between_two_scripts_is_replaced(folder: Path) -> None:
    snakefile = """
        rule all:
            input: "after.txt"

        rule before:
            output: "before.txt"
            script: "pid.py"

        rule kill:
            input: "before.txt"
            output: "killed.txt"
            shell: "kill -9 $(cat before.txt); sleep 0.3; touch killed.txt"

        rule after:
            input: "killed.txt"
            output: "after.txt"
            script: "pid.py"
    """
    workflow = Workflow(folder, {"Snakefile": snakefile, "pid.py": PID})
    result = workflow.run(*KEPT)
    assert len(set(pids(result, "before.txt", "after.txt"))) == 2


RAISE_AFTER = """
    import resource
    from pathlib import Path

    def interrupt(*_):
        raise KeyboardInterrupt

    Path("interrupted.txt").touch()
    resource.getrusage = interrupt
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "killed"])
def test_a_child_that_waits_does_not_outlive_snakemake(folder: Path, number: int) -> None:
    snakefile = """
        rule all:
            input: "out/after"

        rule before:
            output: "out/before.started"
            script: "pid.py"

        rule long:
            input: "out/before.started"
            output: "out/after"
            shell: "touch out/long.started; exec sleep 60"
    """
    workflow = Workflow(folder, {"Snakefile": snakefile, "pid.py": PID})
    with running(workflow, *KEPT) as process:
        child = int((folder / "out/before.started").read_text())
        os.kill(child, 0)
        if number == signal.SIGINT:
            os.killpg(process.pid, number)
        else:
            process.kill()
        assert wait_until(lambda: not Path(f"/proc/{child}").exists(), 8)
        assert number == signal.SIGKILL or nothing_is_left(process, 8)


@pytest.mark.parametrize(
    "interrupted", ["raise KeyboardInterrupt", RAISE_AFTER], ids=["in", "after"]
)
def test_ctrl_c_in_a_script_or_after_it_shows_no_traceback(folder: Path, interrupted: str) -> None:
    snakefile = """
        rule interrupted:
            output: "interrupted.txt"
            script: "interrupted.py"
    """
    workflow = Workflow(folder, {"Snakefile": snakefile, "interrupted.py": interrupted})
    result = workflow.run(*KEPT)
    assert result.status != 0
    assert "Traceback" not in result.messages
    assert "KeyboardInterrupt" not in result.messages
