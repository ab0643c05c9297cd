"""The one place that knows the inside of Snakemake.

To run a Python script, Snakemake builds a shell command (with the prefix, the container, the conda
environment and the modules that the job asks for) and an environment (with its thread limits), and
hands both to ``subprocess.Popen`` in `snakemake.shell`. `Diversion` stands in for that call alone:
log, benchmark, error messages and clean-up remain Snakemake's own. It takes over a command that
is nothing but ``python script``; whatever Snakemake adds to it makes it an ordinary process.
"""

import importlib
import inspect
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import snakemake
from snakemake.executors import local
from snakemake.executors.local import Executor as LocalExecutor
from snakemake.executors.local import common_settings
from snakemake_interface_executor_plugins.settings import DeploymentMethod

from snakemake_executor_plugin_warm.nursery import Child, ZygoteDiedError

__all__ = [
    "Diversion",
    "LocalExecutor",
    "ScriptRun",
    "bring_logs_out_of_shadow",
    "command_runs_jobs",
    "common_settings",
    "forks_in_shadow",
    "lift_rate_limit",
    "obstacle",
    "run_wrapper",
    "script_output",
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
_LETTERS = re.compile(r"-\w*[DSlnt]")

# The attribute snakemake.shell is the function of that name, not the module.
_SHELL_MODULE: Any = importlib.import_module("snakemake.shell")

Fork = Callable[[Mapping[str, str], IO[Any] | None], Child | None]

_QUIET_SHELLS = frozenset({"bash", "dash", "sh"})
_BASH_PREFIX = ["set", "-euo", "pipefail;"]


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


def command_runs_jobs(words: Sequence[str]) -> bool:
    """Guess whether a command line of Snakemake is there to run jobs in this process.

    It is not if an option asks for a plan, a list or the like. Wrong, the guess costs time only.
    """
    return not any(word.startswith(_WITHOUT_JOBS) or _LETTERS.match(word) for word in words)


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


@dataclass
class ScriptRun:
    """A job whose script is about to run in the current thread.

    Attributes
    ----------
    directory
        Where it runs, if not in the working directory: the shadow directory of the job.
    plain
        Whether it runs as a process of its own.
    lost
        Whether its process has vanished together with the zygote.
    """

    directory: str | None = None
    plain: bool = False
    lost: bool = False


class Diversion:
    """Stands in for the subprocess module in `snakemake.shell`.

    Parameters
    ----------
    fork
        Given an environment and the standard output, returns a child that waits for its script,
        or None if the script is to run as a process of its own.
    """

    def __init__(self, fork: Fork) -> None:
        self._fork = fork
        self._thread = threading.local()

    def __getattr__(self, name: str) -> Any:
        """Be the subprocess module in every other respect."""
        return getattr(subprocess, name)

    def install(self) -> None:
        """Stand in from now on."""
        _SHELL_MODULE.sp = self

    def remove(self) -> None:
        """Put the subprocess module back."""
        if _SHELL_MODULE.sp is self:
            _SHELL_MODULE.sp = subprocess

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
        script = None if run.plain else plain_script(command, options)
        if script is not None:
            child = self._fork(options["env"], options["stdout"])
            if child is not None:
                return ForkedProcess(child, script, options, run)
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
    """

    def __init__(
        self, child: Child, script: str, options: Mapping[str, Any], run: ScriptRun
    ) -> None:
        self.pid = child.pid
        self._child = child
        self._script = script
        self._run = run
        self._directory = os.path.abspath(run.directory or ".")  # noqa: PTH100
        self._environment = through_shell(options, self._directory)

    def wait(self) -> int:
        """Run the script to its end and return its exit status."""
        try:
            return self._child.run(self._script, self._directory, self._environment)
        except ZygoteDiedError:
            self._run.lost = True
            raise


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
