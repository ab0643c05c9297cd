"""One workflow of scripts of every sort, run by the local and by the warm executor."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from harness import IS_FORKED, Result, Workflow

MODULES = ("numpy", "sep", "astropy.io.fits", "scipy.ndimage")

SNAKEFILE = """
from pathlib import Path


rule all:
    input:
        "fresh.json", "shadowed.txt", "piped.txt", "shell.txt", "bash.txt", "retried.txt",
        "ran.txt", "measured.txt", "pools.json", "leftovers.txt", "frames/0.fits", "frames/1.fits",
        expand("isolated/{n}.json", n=range(4)), expand("threads/{n}.json", n=[1, 2]),
        expand("ends/{end}", end=config["ends"]), "shadow_failed.txt", "modules.json",
        "printed.txt", "handled.txt",


rule fresh:
    output: "fresh.json"
    params: values=[1, "zwei", {"drei": 3.0}]
    script: "scripts/fresh.py"

rule isolated:
    output: "isolated/{n}.json"
    script: "scripts/isolated.py"

rule frames:
    output: "frames/{n}.fits"
    script: "scripts/frames.py"

rule threads:
    output: "threads/{n}.json"
    threads: lambda wildcards: int(wildcards.n)
    script: "scripts/threads.py"

rule shadowed:
    input: "scripts/shadowed.py"
    output: "shadowed.txt"
    log: "logs/shadowed.log"
    shadow: "minimal"
    script: "scripts/shadowed.py"

rule shadow_failed:
    output: "shadow_failed.txt"
    log: "logs/shadow_failed.log"
    shadow: "minimal"
    script: "scripts/shadow_failed.py"

rule write_pipe:
    output: pipe("pipe")
    script: "scripts/write_pipe.py"

rule read_pipe:
    input: "pipe"
    output: "piped.txt"
    shell: "cat {input} > {output}"

rule shell_command:
    output: "shell.txt"
    shell: "ps -o args= -p $PPID > {output}"

rule bash_script:
    output: "bash.txt"
    script: "scripts/bash.sh"

rule run_block:
    output: "ran.txt"
    run:
        Path(output[0]).write_text(Path(f"/proc/{os.getppid()}/cmdline").read_text())

rule retried:
    output: "retried.txt"
    retries: 2
    script: "scripts/retried.py"

rule measured:
    output: "measured.txt"
    benchmark: "measured.tsv"
    script: "scripts/measured.py"

rule pools:
    output: "pools.json"
    script: "scripts/pools.py"

rule handled:
    output: "handled.txt"
    script: "scripts/handled.py"

rule leftovers:
    output: "leftovers.txt"
    script: "scripts/leftovers.py"

rule modules:
    output: "modules.json"
    script: "scripts/modules.py"

rule printed:
    output: "printed.txt"
    log: "logs/printed.log"
    script: "scripts/printed.py"

"""

END_RULE = """
rule {end}:
    output: "ends/{end}"
    log: "logs/ends_{end}.log"
    script: "scripts/{end}.py"
"""

LOGGING = "import sys\nsys.stderr = open(snakemake.log[0], 'w')\n"

SCRIPTS = {
    "fresh.py": f"""
        import gc, json, locale, logging, os, random, signal, sys, threading

        names = sorted(globals())
        main = sys.modules["__main__"]
        status = open("/proc/self/status").read().split()
        facts = {{
            "argv": sys.argv, "orig_argv": sys.orig_argv, "path": sys.path, "names": names,
            "executable": sys.executable, "flags": str(sys.flags), "warnoptions": sys.warnoptions,
            "xoptions": sys._xoptions, "directory": os.getcwd(), "environment": dict(os.environ),
            "name": __name__, "file": __file__, "real_file": __real_file__, "doc": __doc__,
            "package": __package__, "spec": __spec__, "cached": __cached__,
            "annotations": __annotations__, "builtins": str(__builtins__),
            "loader": [type(__loader__).__name__, __loader__.path, __loader__.name],
            "main": vars(main) is globals(),
            "signals": {{number.name: getattr(handler, "__name__", str(handler))
                        for number in signal.Signals
                        for handler in [signal.getsignal(number)]}},
            "mask": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
            "wakeup": signal.set_wakeup_fd(-1),
            "descriptors": sorted(map(int, os.listdir("/proc/self/fd"))),
            "stdin": os.readlink("/proc/self/fd/0"),
            "streams": [[stream.encoding, stream.errors, stream.line_buffering, stream.newlines,
                         stream.seekable()] for stream in (sys.stdin, sys.stdout, sys.stderr)],
            "group_of_parent": os.getpgid(0) == os.getpgid(os.getppid()),
            "session_of_parent": os.getsid(0) == os.getsid(os.getppid()),
            "umask": os.umask(0o022), "nice": os.nice(0), "threads": threading.active_count(),
            "main_thread": threading.current_thread() is threading.main_thread(),
            "gc": [gc.isenabled(), gc.get_threshold()], "locale": locale.setlocale(locale.LC_ALL),
            "recursion": sys.getrecursionlimit(), "trace": str(sys.gettrace()),
            "hooks": [sys.excepthook is sys.__excepthook__, sys.stdout is sys.__stdout__],
            "handlers": str(logging.getLogger().handlers), "level": logging.getLogger().level,
            "params": repr(snakemake.params), "config": repr(snakemake.config),
            "rule": snakemake.rule, "scriptdir": snakemake.scriptdir,
        }}
        facts["forked"] = {IS_FORKED}
        with open(snakemake.output[0], "w") as file:
            json.dump(facts, file, indent=1)
        """,
    "modules.py": """
        import sys
        loaded = sorted(sys.modules)
        import json
        with open(snakemake.output[0], "w") as file:
            json.dump(loaded, file)
        """,
    "isolated.py": f"""
        import os
        import numpy, random, tempfile, uuid, json, time
        facts = {{
            "pid": os.getpid(), "forked": {IS_FORKED}, "parent": os.getppid(),
            "seen": [hasattr(numpy, "stain"), os.environ.get("STAIN"), os.getcwd()],
            "draws": [random.random(), float(numpy.random.random()), str(uuid.uuid4()),
                      float(numpy.random.default_rng().random()),
                      next(tempfile._get_candidate_names())],
        }}
        with open(snakemake.output[0], "w") as file:
            json.dump(facts, file)
        numpy.stain = True
        os.environ["STAIN"] = "1"
        os.chdir("/")
        """,
    "frames.py": """
        import numpy as np
        import scipy.ndimage, sep
        from astropy.io import fits
        rng = np.random.default_rng(int(snakemake.wildcards.n))
        data = scipy.ndimage.gaussian_filter(rng.normal(100, 5, (256, 256)), 2).astype("f4")
        data[rng.integers(9, 240, 20), rng.integers(9, 240, 20)] += 500
        covariance = np.linalg.svd(data @ data.T)[1]
        stars = sep.extract(data - sep.Background(data), 20.0)
        hdus = [fits.PrimaryHDU(data), fits.ImageHDU(covariance), fits.BinTableHDU(stars)]
        fits.HDUList(hdus).writeto(snakemake.output[0])
        """,
    "threads.py": f"""
        import json, os
        import numpy as np
        a = np.ones((600, 600))
        a @ a
        limits = {{name: value for name, value in os.environ.items() if "_THREADS" in name}}
        facts = {{"limits": limits, "threads": len(os.listdir("/proc/self/task"))}}
        facts["forked"] = {IS_FORKED}
        with open(snakemake.output[0], "w") as file:
            json.dump(facts, file)
        """,
    "shadowed.py": f"""
        import os
        with open("litter.txt", "w") as file:
            file.write("litter")
        with open(snakemake.log[0], "w") as file:
            file.write("a log")
        with open(snakemake.output[0], "w") as file:
            file.write(f"{{os.getcwd()}} {{os.environ['PWD']}} {{os.listdir('scripts')}} ")
            file.write(str({IS_FORKED}))
        """,
    "shadow_failed.py": LOGGING + 'open("litter.txt", "w").close()\nraise ValueError("in shadow")',
    "write_pipe.py": 'open(snakemake.output[0], "w").write("through the pipe")',
    "bash.sh": 'cat /proc/$PPID/cmdline > "${snakemake_output[0]}"',
    "retried.py": """
        import os
        if not os.path.exists("tried"):
            open("tried", "w").close()
            raise OSError("the first attempt fails")
        open(snakemake.output[0], "w").write("second attempt")
        """,
    "measured.py": """
        import time
        block = bytearray(120_000_000)
        end = time.process_time() + 1.3
        while time.process_time() < end:
            pass
        open(snakemake.output[0], "w").close()
        """,
    "pools.py": """
        import json, multiprocessing
        from concurrent.futures import ProcessPoolExecutor

        def square(x):
            return x * x

        if __name__ == "__main__":
            results = {}
            for method in ("fork", "spawn"):
                context = multiprocessing.get_context(method)
                with ProcessPoolExecutor(2, mp_context=context) as pool:
                    results[method] = list(pool.map(square, range(5)))
            with context.Pool(2) as pool:
                results["pool"] = pool.map(square, range(5))
            with open(snakemake.output[0], "w") as file:
                json.dump(results, file)
        """,
    "handled.py": """
        import ctypes, os, sqlite3  # which brings a library of its own
        # At the exit of the process, dprintf(0, "handled") is called.
        os.dup2(os.open(snakemake.output[0], os.O_WRONLY | os.O_CREAT), 0)
        libc = ctypes.CDLL(None)
        libc.strdup.restype = ctypes.c_void_p  # Python's own text is gone by then
        libc.on_exit(libc.dprintf, ctypes.c_void_p(libc.strdup(b"handled")))
        """,
    "leftovers.py": """
        import atexit, ctypes, os, threading, time
        import numpy

        unclosed = open(snakemake.output[0], "w")
        unclosed.write("unclosed ")
        numpy.unclosed = open("kept_by_module.txt", "w")
        numpy.unclosed.write("kept by a module")

        def note(name, delay=0):
            time.sleep(delay)
            with open("order.txt", "a") as file:
                file.write(name + " ")

        class Finalized:
            def __del__(self):
                os.write(descriptor, b"del ")

        descriptor = os.open("order.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        kept = Finalized()
        kept.cycle = kept
        atexit.register(note, "first")
        atexit.register(note, "last")
        threading.Thread(target=note, args=("thread", 0.3)).start()
        print("printed without a flush", end="")
        ctypes.CDLL(None).printf(b"printed in C")
        """,
    "printed.py": """
        import os, subprocess, sys
        log = open(snakemake.log[0], "w")
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        print("to stdout")
        print("to stderr", file=sys.stderr)
        subprocess.run(["echo", "by a child"], check=True)
        open(snakemake.output[0], "w").write("done")
        """,
    "exit_0.py": 'import sys\nopen(snakemake.output[0], "w").close()\nsys.exit(0)',
    "exit_3.py": LOGGING + 'print("why three", file=sys.stderr)\nsys.exit(3)',
    "exit_text.py": LOGGING + 'sys.exit("a sentence")',
    "error.py": LOGGING
    + 'def inner():\n    raise ValueError("ängstlich")\n\n'
    + 'unclosed = open("unclosed.txt", "w")\nunclosed.write("unclosed")\ninner()',
    "chained.py": LOGGING
    + """
try:
    1 / 0
except ZeroDivisionError as error:
    raise RuntimeError("while dividing") from error
""",
    "syntax.py": "print('unclosed\n",
    "interrupt.py": LOGGING + 'raise KeyboardInterrupt("by hand")',
    "hard_exit.py": "import os\nos._exit(7)",
    "killed.py": "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
    "terminated.py": "import os, signal\nos.kill(os.getpid(), signal.SIGTERM)",
    "segfault.py": "import ctypes, resource\nresource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n"
    "ctypes.string_at(0)",
    "not_unicode.py": LOGGING + 'raise ValueError("\\udc80")',
    "full_disk.py": 'import sys\nsys.stdout = open("/dev/full", "w")\nprint("lost")',
    "hook.py": LOGGING
    + """
import traceback
sys.excepthook = lambda kind, value, trace: print(
    "hook", kind.__name__, value, len(traceback.extract_tb(trace)), file=sys.stderr)
raise LookupError("own hook")
""",
}
ENDS = (
    "exit_3",
    "exit_text",
    "error",
    "chained",
    "syntax",
    "interrupt",
    "hard_exit",
    "killed",
    "terminated",
    "segfault",
    "not_unicode",
    "hook",
    "full_disk",
)


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Result]:
    """Run the workflow once with each executor."""
    files = {f"scripts/{name}": text for name, text in SCRIPTS.items()}
    ends = ("exit_0", *ENDS)
    rules = [END_RULE.format(end=end) for end in ends]
    files["Snakefile"] = "".join([f"config['ends'] = {ends}\n", SNAKEFILE, *rules])

    names = ("local", "warm", "kept")
    folders = {name: tmp_path_factory.mktemp(name) for name in names}

    def run(name: str) -> Result:
        workflow = Workflow(folders[name] / "workflow", files)
        return workflow.run(
            "--keep-going",
            "--show-failed-logs",
            "--warm-scripts-per-child",
            "100" if name == "kept" else "1",
            "--warm-preload",
            *MODULES,
            executor="local" if name == "local" else "warm",
            variables={"STAIN": "0"},
        )

    with ThreadPoolExecutor() as pool:
        return dict(zip(names, pool.map(run, names), strict=True))


@pytest.fixture(scope="module")
def local(gallery: dict[str, Result]) -> Result:
    return gallery["local"]


@pytest.fixture(scope="module")
def warm(gallery: dict[str, Result]) -> Result:
    return gallery["warm"]


@pytest.fixture(params=["warm", "kept"])
def each(request: pytest.FixtureRequest, gallery: dict[str, Result]) -> Result:
    """Return what was left when each script had its child, and when children went on."""
    return gallery[request.param]


def facts(result: Result, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(result.read(name))
    return found


def test_python_scripts_run_in_children_of_one_zygote(local: Result, warm: Result) -> None:
    assert not facts(local, "isolated/0.json")["forked"]
    children = [facts(warm, f"isolated/{n}.json") for n in range(4)]
    assert all(child["forked"] for child in children)
    assert len({child["parent"] for child in children}) == 1
    assert len({child["pid"] for child in children}) == 4


def test_the_modules_are_there_when_the_script_begins(local: Result, warm: Result) -> None:
    assert not set(MODULES) & set(json.loads(local.read("modules.json")))
    assert set(MODULES) <= set(json.loads(warm.read("modules.json")))


def test_everything_else_runs_as_before(warm: Result) -> None:
    for name in ("shell.txt", "bash.txt", "ran.txt"):
        assert "zygote" not in warm.read(name), name


def test_results_are_byte_identical(local: Result, each: Result) -> None:
    for name in ("frames/0.fits", "frames/1.fits", "piped.txt", "pools.json"):
        assert (each.folder / name).read_bytes() == (local.folder / name).read_bytes()


def test_a_script_finds_what_a_fresh_interpreter_offers(local: Result, warm: Result) -> None:
    def normalized(result: Result) -> Any:
        text = result.read("fresh.json").replace(str(result.folder), "<folder>")
        text = re.sub(r"tmp\w{8}", "tmp", text)
        found = json.loads(text)
        # Snakemake appends this one whenever it is imported, which here is earlier.
        found["path"].remove(".snakemake/pip-deployments")
        return found

    plain, forked = normalized(local), normalized(warm)
    assert (plain.pop("forked"), forked.pop("forked")) == (False, True)
    assert forked == plain


def test_a_job_leaves_no_trace_in_the_next(warm: Result) -> None:
    for n in range(4):
        assert facts(warm, f"isolated/{n}.json")["seen"] == [False, "0", str(warm.folder)]


def test_no_two_jobs_draw_the_same_random_numbers(each: Result) -> None:
    for draws in zip(*(facts(each, f"isolated/{n}.json")["draws"] for n in range(4)), strict=True):
        assert len(set(draws)) == 4, draws


@pytest.mark.parametrize("threads", [1, 2])
def test_thread_limits_hold_in_libraries_too(local: Result, each: Result, threads: int) -> None:
    plain, forked = (facts(result, f"threads/{threads}.json") for result in (local, each))
    assert (plain.pop("forked"), forked.pop("forked")) == (False, True)
    assert forked == plain
    assert forked["limits"]["OMP_NUM_THREADS"] == str(threads)


def test_shadow_directory_of_a_forked_script(each: Result) -> None:
    directory, variable, contents, forked = each.read("shadowed.txt").split()
    assert ".snakemake/shadow/" in directory
    assert variable == directory
    assert contents == "['shadowed.py']"
    assert forked == "True"
    assert each.read("logs/shadowed.log") == "a log"
    assert not each.wrote("litter.txt")
    assert not list((each.folder / ".snakemake/shadow").iterdir())


def test_benchmark_describes_the_child(each: Result) -> None:
    header, values = (line.split("\t") for line in each.read("measured.tsv").splitlines())
    row = dict(zip(header, values, strict=True))
    assert float(row["s"]) > 1.2
    assert float(row["max_rss"]) > 110
    assert float(row["cpu_time"]) > 0.4


def test_retries(each: Result) -> None:
    assert each.read("retried.txt") == "second attempt"


def test_multiprocessing_inside_scripts(each: Result) -> None:
    squares = [0, 1, 4, 9, 16]
    assert facts(each, "pools.json") == {"fork": squares, "spawn": squares, "pool": squares}


def test_the_interpreter_ends_in_order(local: Result, each: Result) -> None:
    for result in (local, each):
        assert result.read("order.txt") == "thread last first del "
        assert result.read("leftovers.txt") == "unclosed "
        assert result.read("kept_by_module.txt") == "kept by a module"
        assert "printed without a flush" in result.printed
        assert "printed in C" in result.printed
        assert result.read("unclosed.txt") == "unclosed"


def test_libraries_of_a_script_are_told_of_its_end(local: Result, warm: Result) -> None:
    assert warm.read("handled.txt") == local.read("handled.txt") == "handled"


def test_own_standard_streams(each: Result) -> None:
    assert sorted(each.read("logs/printed.log").splitlines()) == [
        "by a child",
        "to stderr",
        "to stdout",
    ]


@pytest.mark.parametrize("end", ENDS)
def test_failures_are_reported_as_snakemake_does(local: Result, each: Result, end: str) -> None:
    assert each.failure_of(end) == local.failure_of(end)
    assert not each.wrote(f"ends/{end}")


def test_tracebacks_begin_in_the_script(each: Result) -> None:
    assert "SyntaxError: unterminated string literal" in each.messages
    assert "zygote.py" not in each.messages


def test_failed_logs_are_shown(each: Result) -> None:
    assert "why three" in each.messages
    assert "ValueError: ängstlich" in each.messages
    assert "ValueError: in shadow" in each.messages


def test_others_go_on_when_a_job_fails(local: Result, each: Result) -> None:
    def outputs(result: Result) -> set[str]:
        hidden = (".snakemake", "cache")
        return {
            str(path.relative_to(result.folder))
            for path in result.folder.rglob("*")
            if path.relative_to(result.folder).parts[0] not in hidden
        }

    assert each.status == local.status == 1
    assert outputs(each) == outputs(local)
    assert each.wrote("ends/exit_0")


def test_temporary_scripts_are_removed(each: Result) -> None:
    assert not list(Path(each.folder, ".snakemake/scripts").iterdir())
