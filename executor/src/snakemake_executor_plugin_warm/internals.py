"""The one place that knows the inside of Snakemake.

To run a Python script, Snakemake builds a shell command (with the prefix, the container, the conda
environment and the modules that the job asks for) and an environment (with its thread limits), and
hands both to ``subprocess.Popen`` in `snakemake.shell`. `Diversion` stands in for that call alone:
log, benchmark, error messages and clean-up remain Snakemake's own. It takes over a command that
is nothing but ``python script``; whatever Snakemake adds to it makes it an ordinary process.
"""

import argparse
import ast
import atexit
import functools
import gc
import heapq
import importlib
import inspect
import itertools
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, Any, NamedTuple

import snakemake
from snakemake.executors import local
from snakemake.executors.local import Executor as LocalExecutor
from snakemake.executors.local import common_settings
from snakemake.logging import logger
from snakemake_interface_executor_plugins.settings import DeploymentMethod

from snakemake_executor_plugin_warm.nursery import Child, Errand, Nursery, ZygoteDiedError
from snakemake_executor_plugin_warm.zygote import flush_files

__all__ = [
    "Diversion",
    "LocalExecutor",
    "ScriptRun",
    "asks_for_jobs",
    "bring_logs_out_of_shadow",
    "collect_less_garbage",
    "common_settings",
    "find_flags_quickly",
    "forks_in_shadow",
    "give_flags_when_needed",
    "hurry_scheduler",
    "is_first_run",
    "lift_rate_limit",
    "look_at_functions_once",
    "obstacle",
    "open_sources_plainly",
    "run_wrapper",
    "script_output",
    "share_guards",
    "share_what_is_empty",
    "store_plain_params_as_they_are",
    "warn",
    "without_shadow",
]

KNOWN_VERSIONS = ("9.27.1",)
"""The releases of Snakemake whose inside has been read and tested."""

DEFAULT_RATE = (100, 1)

_WITHOUT_JOBS = (
    *("--archive", "--cleanup", "--containerize", "--d3dag", "--dag", "--delete", "--detailed"),
    *("--dry", "--filegraph", "--generate", "--lint", "--list", "--mode", "--report"),
    *("--rulegraph", "--summary", "--touch", "--unlock"),
)
"""Beginnings of options that ask for a plan, a list or the like."""

_LETTERS = re.compile(r"-\w*[DSlnt]")

# The attribute snakemake.shell is the function of that name, not the module.
_SHELL_MODULE: Any = importlib.import_module("snakemake.shell")
_SOURCES: Any = importlib.import_module("snakemake.sourcecache")
_BENCHMARKS: Any = importlib.import_module("snakemake.benchmark")
_CONTAINERS: Any = importlib.import_module("snakemake.iocontainers")

_QUIET_SHELLS = frozenset({"bash", "dash", "sh"})
_BASH_PREFIX = ["set", "-euo", "pipefail;"]
_SEARCH_PATH = re.compile(
    r"^import sys;sys\.path\.extend\((\[.*?\])\);import pickle;", re.MULTILINE
)

_PARSING = threading.Lock()


def obstacle() -> str | None:
    """Return why scripts cannot be forked here, as a sentence, or None."""
    if sys.platform != "linux":
        return f"The warm executor forks on Linux only, and this is {sys.platform}."
    if snakemake.__version__ not in KNOWN_VERSIONS:
        return (
            f"The warm executor knows Snakemake {', '.join(KNOWN_VERSIONS)}, and this is "
            f"{snakemake.__version__}."
        )
    return None


def asks_for_jobs(words: Sequence[str]) -> bool:
    """Guess whether a command line of Snakemake asks for a run, and not for a plan or a list."""
    return not any(word.startswith(_WITHOUT_JOBS) or _LETTERS.match(word) for word in words)


def is_first_run(words: Sequence[str]) -> bool:
    """Guess whether a command line of Snakemake runs jobs in a folder where none has run yet.

    Wrong, the guess costs time only.
    """
    if not asks_for_jobs(words):
        return False
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("-d", "--directory", default=".")
    try:
        folder = parser.parse_known_args(words)[0].directory
    except argparse.ArgumentError:
        return False
    records = Path(folder, ".snakemake", "metadata")
    return not (records.with_suffix(".db").exists() or any(records.glob("*")))


def warn(sentence: str) -> None:
    """Warn the user."""
    logger.warning(sentence)


def script_output() -> IO[Any] | None:
    """Return what Snakemake gives to scripts as standard output."""
    stdout: IO[Any] | None = _SHELL_MODULE.STDOUT
    return stdout


def lift_rate_limit(workflow: Any) -> None:
    """Take back Snakemake's default limit of a hundred jobs a second, and no other.

    The limit protects the queues of clusters. Under it each pass of the scheduler starts a timer
    thread, which starts another pass a second later: with short jobs that is half of the main
    process's work, and a second of waiting at its end.
    """
    rate, scheduler = workflow.scheduling_settings.max_jobs_per_timespan, workflow.scheduler
    if rate is not None and (rate.max_jobs, rate.timespan) == DEFAULT_RATE:
        scheduler.job_rate_limiter = None
        scheduler.resources["_job_count"] = sys.maxsize


def collect_less_garbage() -> None:
    """Look for garbage seldom: Snakemake makes few cycles, and many objects that stay.

    When the process ends, the plan of thousands of jobs is garbage itself. To look through all of
    it for cycles would take a fifth of the time of a plan that finds nothing to do.
    """
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    atexit.register(_leave_garbage)


def _leave_garbage() -> None:
    """Let the system have the memory of what is part of a cycle, but not what files have kept."""
    flush_files()
    gc.freeze()


def open_sources_plainly() -> None:
    """Take the paths of scripts and rules apart, and open them, without smart_open.

    It knows addresses on the web as well, and loads all that it needs for them: another seventh of
    the time that Snakemake takes to start. And whenever it takes a path apart, which Snakemake
    does several times for a job, it makes a class for the parts.
    """
    _SOURCES.parse_uri = _parts_of
    _SOURCES.SourceCache._open = _open_source


def _parts_of(path: Any) -> Any:
    """Return what `snakemake.common.parse_uri` does."""
    path = os.fspath(path)
    return PathParts("file", path) if path.startswith("/") else _take_apart(path)


class PathParts(NamedTuple):
    """A path, and that it is one."""

    scheme: str
    uri_path: str


def _open_source(cache: Any, source: Any, mode: str, encoding: str | None = None) -> Any:
    """Open a file as `snakemake.sourcecache.SourceCache` does."""
    path = os.fspath(source.get_path_or_uri(secret_free=False))
    if type(source) is _SOURCES.LocalSourceFile and path.startswith("/"):
        with suppress(OSError):  # Snakemake meets it again, and tells it
            return Path(path).open(mode, encoding=None if "b" in mode else encoding)
    return _open_any_source(cache, source, mode, encoding)


_take_apart: Any = _SOURCES.parse_uri
_open_any_source: Any = _SOURCES.SourceCache._open


def look_at_functions_once() -> None:
    """Keep which arguments a workflow's functions take, at which Snakemake looks for every job."""
    for name in _ASKING_FOR_ARGUMENTS:
        module: Any = importlib.import_module(name)
        module.get_function_params = _arguments_of


def _arguments_of(function: Callable[..., Any]) -> Any:
    """Return what `snakemake.common.get_function_params` does."""
    try:
        return _known_arguments_of(function)
    except TypeError:  # it has no hash
        return _find_arguments(function)


_ASKING_FOR_ARGUMENTS = ("snakemake.common", "snakemake.jobs", "snakemake.rules")
_find_arguments: Any = importlib.import_module("snakemake.common").get_function_params
_known_arguments_of = functools.lru_cache(maxsize=1000)(_find_arguments)


def find_flags_quickly() -> None:
    """Tell the flags of a path, such as ``temp``, without a look at what is like a path.

    Snakemake asks a hundred times for a job, and an abstract class each time.
    """
    for name, module in list(sys.modules.items()):
        if name.startswith("snakemake.") and vars(module).get("is_flagged") is _find_flag:
            module.is_flagged = _has_flag  # type: ignore[attr-defined]


def _has_flag(value: Any, flag: str) -> bool:
    """Return what `snakemake.io.is_flagged` does."""
    while (kind := type(value)) is _PATHS._IOFile:
        value = value._file
    if kind is str:
        return False
    if kind is _PATHS.AnnotatedString:
        return bool(value.flags.get(flag))
    return bool(_find_flag(value, flag))


_PATHS: Any = importlib.import_module("snakemake.io")
_find_flag: Any = _PATHS.is_flagged


def give_flags_when_needed() -> None:
    """Keep a path that has no flags as plain text, until it is given one.

    Else each has a text of its own with room for flags: a tenth of the memory of a plan.
    """
    _PATHS._IOFile.clone_flags = _clone_flags
    _PATHS._IOFile.flags = property(_flags_of)


def _clone_flags(path: Any, other: Any, **options: Any) -> None:
    """Do what `snakemake.io._IOFile` does to give a path the flags of another one."""
    if type(path._file) is not str or getattr(other._file, "flags", None):
        _clone_all_flags(path, other, **options)


def _flags_of(path: Any) -> dict[str, Any]:
    return FirstFlags(path) if type(path._file) is str else getattr(path._file, "flags", {})


_clone_all_flags: Any = _PATHS._IOFile.clone_flags


class FirstFlags(dict[str, Any]):
    """The flags of a path that has none: it takes them when there are some.

    Parameters
    ----------
    path
        The path.
    """

    def __init__(self, path: Any) -> None:
        super().__init__()
        self._path = path

    def __setitem__(self, flag: str, value: Any) -> None:
        """Give the path a flag."""
        super().__setitem__(flag, value)
        self._path.set_flags(self)


def share_guards() -> None:
    """Give all lists of paths the same guards of their names.

    Each would have its own two objects, which say that ``index`` and ``sort`` are no methods of
    it, and a list of the two: with thousands of jobs a fifteenth of the memory.
    """
    _CONTAINERS.AttributeGuard.__new__ = _guard
    _CONTAINERS.Namedlist.__init__ = _make_list


def _guard(kind: type, name: str = "") -> Any:
    """Make a guard, or give that of the name; one that is unpickled has its name later."""
    return _GUARDS.setdefault(name, object.__new__(kind)) if name else object.__new__(kind)


def _make_list(items: Any, *arguments: Any, **options: Any) -> None:
    _init_list(items, *arguments, **options)
    items._allowed_overrides = _GUARDED


_GUARDS: dict[str, Any] = {}
_GUARDED = ["index", "sort"]
_init_list: Any = _CONTAINERS.Namedlist.__init__


def share_what_is_empty() -> None:
    """Give all jobs the same set of no outputs of some kind, and of no changes of parameters.

    Each would have eight of its own: with thousands of jobs a fifteenth of the memory.
    """
    _JOBS.Job.__init__ = _make_job
    _RECORDS.PersistenceBase.params_changed = _changed_params


def _make_job(job: Any, *arguments: Any, **options: Any) -> None:
    _init_job(job, *arguments, **options)
    for kind in _KINDS_OF_FILES:
        if not getattr(job, kind):
            setattr(job, kind, _NO_FILES)


def _changed_params(records: Any, job: Any, file: Any = None) -> Any:
    return _compare_params(records, job, file) or _RECORDS.NO_PARAMS_CHANGE


_JOBS: Any = importlib.import_module("snakemake.jobs")
_RECORDS: Any = importlib.import_module("snakemake.persistence")
_KINDS_OF_FILES = (
    *("temp_output", "protected_output", "touch_output", "pipe_or_service_output"),
    "_queue_input",
)
_NO_FILES: frozenset[Any] = frozenset()
_init_job: Any = _JOBS.Job.__init__
_compare_params: Any = _RECORDS.PersistenceBase.params_changed


def store_plain_params_as_they_are() -> None:
    """Do not look for pandas and polars where no parameter can be one of their tables.

    Snakemake does so for every job, and where they are not installed, the search fails each time.
    """
    _CONTAINERS.Snakemake._safely_store_params = _store_params


def _store_params(holder: Any, params: Any) -> None:
    """Do what `snakemake.iocontainers.Snakemake` does with the parameters of a job."""
    if all(type(value).__module__ == "builtins" for value in params):
        holder._params_store = _CONTAINERS.Params(toclone=list(params))
        holder._params_store._take_names(params._get_names())
        holder._params_types = {}
    else:
        _convert_params(holder, params)


_convert_params: Any = _CONTAINERS.Snakemake._safely_store_params


class Queue:
    """The jobs that are ready, those of the highest priority first.

    Offered are as many as can start at once with what is free. Jobs that ask for the same cores
    and resources stand in one line: where the first cannot start, none can, and another line has
    its turn.

    Parameters
    ----------
    scheduler
        Snakemake's scheduler.
    """

    def __init__(self, scheduler: Any) -> None:
        self._scheduler = scheduler
        self._resources = [name for name in scheduler.global_resources if name != "_job_count"]
        self._waiting: set[Any] = set()
        self._lines: dict[tuple[int, ...], list[tuple[Any, ...]]] = {}
        self._numbers = itertools.count()

    def offer(self) -> list[Any]:
        """Return the jobs that can start now, or one that has to wait if none can."""
        ready = self._scheduler.workflow.dag.ready_jobs
        self._waiting &= ready
        for job in ready - self._waiting:
            self._line_up(job)
        free = tuple(self._scheduler.resources[name] for name in self._resources)
        offered = []
        while line := self._first_line(free):
            job = heapq.heappop(self._lines[line])[-1]
            self._waiting.remove(job)  # it lines up again if it is not taken
            offered.append(job)
            free = tuple(left - need for left, need in zip(free, line, strict=True))
        return offered or list(itertools.islice(ready, 1))

    def _line_up(self, job: Any) -> None:
        job.reset_params_and_resources()  # as the scheduler does with what is offered
        self._scheduler.validate_job(job)
        line = tuple(job.scheduler_resources.get(name, 0) for name in self._resources)
        number = -1 if job.is_group() else job.jobid
        place = (-job.priority, number, next(self._numbers), job)
        heapq.heappush(self._lines.setdefault(line, []), place)
        self._waiting.add(job)

    def _first_line(self, free: tuple[int, ...]) -> tuple[int, ...] | None:
        """Return the line whose turn it is, of those whose first job can start."""
        heads = []
        for line, places in self._lines.items():
            if all(need <= left for need, left in zip(line, free, strict=True)):
                while places and places[0][-1] not in self._waiting:
                    heapq.heappop(places)
                if places:
                    heads.append((places[0], line))
        return min(heads)[1] if heads else None


class Listed(Sequence[Any]):
    """A list that is made when someone looks at it.

    Parameters
    ----------
    make
        Makes it.
    """

    def __init__(self, make: Callable[[], Sequence[Any]]) -> None:
        self._make = make

    def __len__(self) -> int:
        """Count the items."""
        return len(self._make())

    def __getitem__(self, index: Any) -> Any:
        """Return an item."""
        return self._make()[index]


def hurry_scheduler(workflow: Any) -> None:
    """Spare the greedy scheduler work that grows with the square of the number of jobs.

    Whenever a job has ended, it goes through all jobs that are ready, and lists all that remain,
    at which its selection does not look.
    """
    scheduler = workflow.scheduler
    if workflow.scheduling_settings.scheduler != "greedy":
        return
    kind, queue = type(scheduler), Queue(scheduler)
    remaining = Listed(lambda: kind.remaining_jobs.fget(scheduler))
    members = {
        "__module__": __name__,
        "open_jobs": property(lambda _: queue.offer()),
        "remaining_jobs": property(lambda _: remaining),
    }
    scheduler.__class__ = type(kind.__name__, (kind,), members)


@dataclass
class ScriptRun:
    """A job whose script is about to run in the current thread.

    Attributes
    ----------
    job
        The job.
    directory
        Where it runs, if not in the working directory: the shadow directory of the job.
    plain
        Whether it runs as a process of its own.
    lost
        Whether its process has vanished together with the zygote.
    process
        Where the script runs, if in a fork.
    """

    job: Any
    directory: str | None = None
    plain: bool = False
    lost: bool = False
    process: "ForkedProcess | None" = None

    @property
    def is_large(self) -> bool:
        """Whether it has several threads: the machine is to be free for it."""
        return bool(self.job.threads > 1)

    def errand(self, script: str) -> Errand:
        """Describe the job, and the file that Snakemake has made of its script."""
        return Errand(
            inputs=frozenset(self.job.input),
            search_path=None if self.is_large else search_path(script),
            large=self.is_large,
        )


class Diversion:
    """Stands in for the subprocess module in `snakemake.shell`, and measures scripts in forks.

    Snakemake measures processes, not scripts, by a thread that looks at them every half second. A
    child knows better what its script has used, and that costs next to nothing. Of jobs of several
    threads the thread looks at the memory as well: it sees what processes have at the same time.

    Parameters
    ----------
    nursery
        Where the children come from.
    """

    def __init__(self, nursery: Nursery) -> None:
        self._nursery = nursery
        self._thread = threading.local()
        self._benchmarked = _BENCHMARKS.benchmarked

    def __getattr__(self, name: str) -> Any:
        """Be the subprocess module in every other respect."""
        return getattr(subprocess, name)

    def install(self) -> None:
        """Stand in from now on."""
        _SHELL_MODULE.sp = self
        _BENCHMARKS.benchmarked = self.benchmarked

    def remove(self) -> None:
        """Put the subprocess module back, and Snakemake's measuring."""
        if _SHELL_MODULE.sp is self:
            _SHELL_MODULE.sp = subprocess
            _BENCHMARKS.benchmarked = self._benchmarked

    @contextmanager
    def benchmarked(
        self, pid: Any = None, benchmark_record: Any = None, **options: Any
    ) -> Iterator[Any]:
        """Fill in a record of `snakemake.benchmark` with what happens in a process meanwhile."""
        run: ScriptRun | None = getattr(self._thread, "run", None)
        process = run.process if run is not None else None
        watched = self._benchmarked(pid, benchmark_record, **options)
        if run is None or process is None:
            with watched as record:
                yield record
            return
        start = time.perf_counter()
        with watched if run.is_large else nullcontext():
            yield benchmark_record
        elapsed, used = time.perf_counter() - start, process.used
        vars(benchmark_record).update(
            running_time=elapsed,
            data_collected=True,
            max_rss=max(used["peak_mb"], benchmark_record.max_rss or 0),
            io_in=used["read_mb"],
            io_out=used["written_mb"],
            cpu_time=used["cpu_s"],
            cpu_usage=100 * used["cpu_s"],
        )

    @contextmanager
    def expect(self, run: ScriptRun) -> Iterator[None]:
        """Divert the script that the current thread is about to run."""
        self._thread.run = run
        try:
            yield
        finally:
            del self._thread.run

    def Popen(self, command: str, **options: Any) -> Any:  # noqa: N802 - it stands in for the class
        """Run a command, in a fork if it is the script that the current thread expects."""
        run: ScriptRun | None = getattr(self._thread, "run", None)
        if run is None:
            return subprocess.Popen(command, **options)
        run.process = None
        script = None if run.plain else plain_script(command, options)
        if script is not None:
            errand = run.errand(script)
            child = self._nursery.child(options["env"], options["stdout"], errand)
            if child is not None:
                run.process = ForkedProcess(child, script, options, run, self._nursery)
                return run.process
        return subprocess.Popen(command, **options, cwd=run.directory)


class ForkedProcess:
    """What Snakemake needs of a ``subprocess.Popen``, for a forked child.

    Parameters
    ----------
    child
        The child, which starts when it is waited for. Snakemake begins to watch it before that.
    script
        Path of the script.
    options
        What Snakemake would have passed to ``subprocess.Popen``.
    run
        The job to which it belongs.
    nursery
        Where the child came from.
    """

    def __init__(
        self,
        child: Child,
        script: str,
        options: Mapping[str, Any],
        run: ScriptRun,
        nursery: Nursery,
    ) -> None:
        self.pid = child.pid
        self.used = child.used
        self._child = child
        self._script = script
        self._run = run
        self._nursery = nursery
        self._directory = os.path.abspath(run.directory or ".")  # noqa: PTH100
        self._environment = through_shell(options, self._directory)

    def wait(self) -> int:
        """Run the script to its end and return its exit status."""
        try:
            status = self._child.run(self._script, self._directory, self._environment)
        except ZygoteDiedError:
            self._run.lost = True
            raise
        self.used = self._child.used  # before the child has another script
        self._nursery.take_back(self._child, frozenset(self._run.job.output))
        return status


def plain_script(command: str, options: Mapping[str, Any]) -> str | None:
    """Return the path of the script if the command does nothing but run it with this Python.

    Parameters
    ----------
    command
        The shell command.
    options
        What Snakemake passes to ``subprocess.Popen`` beside it.
    """
    if _shell_name(options) not in _QUIET_SHELLS or "BASH_ENV" in options["env"]:
        return None  # the shell itself may change what the script sees
    words = shlex.split(command)
    if words[: len(_BASH_PREFIX)] == _BASH_PREFIX:
        del words[: len(_BASH_PREFIX)]
    if len(words) != 2 or words[0] != sys.executable or not words[1].endswith(".py"):
        return None
    return words[1]


def search_path(script: str) -> tuple[str, ...] | None:
    """Return what a script appends to ``sys.path`` in the line that Snakemake has put first."""
    found = _SEARCH_PATH.search(Path(script).read_text(encoding="utf-8"))
    return _listed(found[1]) if found else None


@cache
def _listed(literal: str) -> tuple[str, ...] | None:
    # One at a time: Python 3.11 counts the depth of all threads' trees together, and may raise
    # SystemError (python/cpython issue 106905).
    with _PARSING, suppress(ValueError, SyntaxError):
        return tuple(ast.literal_eval(literal))
    return None


def through_shell(options: Mapping[str, Any], directory: str) -> dict[str, str]:
    """Return the environment as the shell would hand it on to the script."""
    environment = dict(options["env"])
    if not _is_directory(environment.get("PWD", ""), directory):
        environment["PWD"] = directory
    if _shell_name(options) == "bash":
        environment["_"] = sys.executable
        environment.setdefault("SHLVL", "0")
        if not Path(environment.get("OLDPWD", directory)).is_dir():
            del environment["OLDPWD"]
    return environment


def _is_directory(name: str, directory: str) -> bool:
    try:
        return Path(name).is_absolute() and Path(name).samefile(directory)
    except OSError:
        return False


def _shell_name(options: Mapping[str, Any]) -> str:
    return Path(options.get("executable") or "sh").name


def forks_in_shadow(job: Any) -> bool:
    """Tell whether a job is a script in a shadow directory that a forked child can run."""
    if not (job.is_shadow and job.is_script and str(job.rule.script).endswith(".py")):
        return False
    methods = job.dag.workflow.deployment_settings.deployment_method
    return not (
        (DeploymentMethod.CONDA in methods and job.conda_env)
        or (DeploymentMethod.APPTAINER in methods and job.container_img)
        or (DeploymentMethod.ENV_MODULES in methods and job.env_modules)
    )


def run_wrapper(*arguments: Any) -> None:
    """Run a job in the current thread, as the local executor does."""
    local.run_wrapper(*arguments)


def without_shadow(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the arguments for ``run_wrapper`` such that it stays in the working directory.

    It would change the directory of the whole of Snakemake, for which reason the local executor
    spends another Snakemake on each job with a shadow directory. A child changes its own.
    """
    position = list(inspect.signature(local.run_wrapper).parameters).index("shadow_dir")
    return (*arguments[:position], None, *arguments[position + 1 :])


def bring_logs_out_of_shadow(job: Any) -> None:
    """Copy the logs of a failed job to where they are looked for when its failure is reported."""
    if job.shadow_dir is None:
        return
    for log in job.log:
        inside = Path(job.shadow_dir, log)
        if inside.is_file():
            shutil.copy2(inside, log)
