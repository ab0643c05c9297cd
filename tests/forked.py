"""Runs of Snakemake in forks of a process that has imported it already, and what its jobs import.

To import Snakemake and its plugins takes longer than to plan a small night, and what jobs use
longer than to stack it. A fork has the command line, folder, environment and streams of
``python -m snakemake``, and finds the modules of the workflow where its Snakefile lies: none of
them is imported before. Its own first fork waits to be what the executor forks scripts from.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml

MODULES = (
    "snakemake.cli",
    "snakemake.report",
    "snakemake.scheduling.job_scheduler",
    "numpy",
    "PIL.Image",
)
"""What each Snakemake of this workflow imports, or all that takes long."""

OF_JOBS = (
    "PIL.Image:preinit",
    "PIL.ImageDraw",
    "PIL.ImageFont",
    "astroalign",
    "faulthandler",
    "jinja2",
    "skimage.transform._geometric",
    "statistics",
)
"""What jobs import beside what the profile lets them find."""

LONGEST_MESSAGE = 2**20


class Running:
    """A run that has begun, with as much of `subprocess.Popen` as tests use."""

    def __init__(self, answers: socket.socket) -> None:
        self._answers = answers
        self.pid = int(answers.recv(LONGEST_MESSAGE))
        self.returncode: int | None = None

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it ends, and return its exit status."""
        if self.returncode is None:
            if not select.select([self._answers], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("snakemake", timeout or 0)
            answer = self._answers.recv(LONGEST_MESSAGE)
            self._answers.close()
            if not answer:
                raise ChildProcessError("The process that forks Snakemakes has ended.")
            self.returncode = int(answer)
        return self.returncode

    def poll(self) -> int | None:
        """Return its exit status if it has ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode


class Snakemake:
    """A process that forks Snakemakes."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno())],
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},  # a fork has no threads
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )

    def start(
        self,
        arguments: Sequence[str],
        folder: Path,
        environment: dict[str, str],
        output: int,
        *,
        new_session: bool = False,
    ) -> Running:
        """Start Snakemake in a folder; all that it prints goes to a descriptor."""
        task = {
            "arguments": [*arguments],
            "folder": str(folder),
            "environment": environment,
            "new_session": new_session,
        }
        answers, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            message = json.dumps(task).encode()
            socket.send_fds(self._control, [message], [output, theirs.fileno()])
        return Running(answers)

    def run(
        self, arguments: Sequence[str], folder: Path, environment: dict[str, str]
    ) -> tuple[int, str]:
        """Run Snakemake in a folder; return its exit status, and all that it prints."""
        reading, writing = os.pipe()
        with os.fdopen(reading, encoding="utf-8") as printed:
            run = self.start(arguments, folder, environment, writing)
            os.close(writing)
            told = printed.read()
        return run.wait(), told

    def close(self) -> None:
        """End the process."""
        self._control.close()
        self._process.wait()


class Waiting:
    """A fork that waits to be the executor's zygote, in place of a fresh process that imports.

    It is a child of the run, and in its place for `subprocess` in `nursery`: what else is asked
    for is a process of its own.
    """

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.pid = os.fork()
        self.is_fork = self.pid == 0
        if self.is_fork:
            self._control.close()
            self._control = theirs
        else:
            theirs.close()
        self._taken = False

    def become_zygote(self) -> None:
        """Serve as zygote, if it comes to that."""
        from snakemake_executor_plugin_warm import zygote

        message, descriptors, _, _ = socket.recv_fds(self._control, LONGEST_MESSAGE, 2)
        self._control.close()
        if not message:
            os._exit(0)
        task = json.loads(message)
        control, output = descriptors
        os.dup2(output, sys.stdout.fileno())
        os.close(output)
        os.environ.clear()
        os.environ.update(task["environment"])
        zygote.main(str(control), *task["modules"])

    def start(
        self,
        command: Sequence[str],
        *,
        env: dict[str, str],
        pass_fds: Sequence[int],
        **options: Any,
    ) -> Any:
        """Start a zygote, as `subprocess.Popen` would; the first is this fork."""
        if self._taken:
            return subprocess.Popen(command, env=env, pass_fds=pass_fds, **options)
        self._taken = True
        _, _, control, *modules = command
        stdout = options["stdout"] or sys.stdout
        message = json.dumps({"environment": env, "modules": modules}).encode()
        socket.send_fds(self._control, [message], [int(control), stdout.fileno()])
        return self

    def kill(self) -> None:
        """Kill it."""
        os.kill(self.pid, signal.SIGKILL)

    def wait(self, timeout: float = 1e9) -> None:
        """Wait until it has ended."""
        end = time.monotonic() + timeout
        while os.waitpid(self.pid, os.WNOHANG) == (0, 0):
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired("zygote", timeout)
            time.sleep(0.002)


def serve(control: socket.socket) -> list[str] | None:
    """Fork for each task; return the arguments of the task in a fork, and None at the end."""
    running: dict[int, tuple[int, socket.socket]] = {}
    while True:
        ready, _, _ = select.select([control.fileno(), *running], [], [])
        for watch in running.keys() & ready:
            pid, answers = running.pop(watch)
            os.close(watch)
            _, status = os.waitpid(pid, 0)
            with answers, contextlib.suppress(BrokenPipeError):
                answers.send(str(os.waitstatus_to_exitcode(status)).encode())
        if control.fileno() not in ready:
            continue
        message, descriptors, _, _ = socket.recv_fds(control, LONGEST_MESSAGE, 2)
        if not message:
            return None
        output, answers = descriptors[0], socket.socket(fileno=descriptors[1])
        pid = os.fork()
        if pid == 0:
            control.close()
            answers.close()
            for watch, (_, other) in running.items():
                os.close(watch)
                other.close()
            return become(json.loads(message), output)
        os.close(output)
        answers.send(str(pid).encode())
        running[os.pidfd_open(pid)] = pid, answers


def become(task: dict[str, Any], output: int) -> list[str] | None:
    """Be the process of a task; return its arguments, or None once it has been a zygote."""
    if task["new_session"]:
        os.setsid()
    os.dup2(output, sys.stdout.fileno())
    os.dup2(output, sys.stderr.fileno())
    os.close(output)
    if not differing(task["environment"]):
        waiting = Waiting(task["environment"])
        if waiting.is_fork:
            waiting.become_zygote()
            return None
        nursery: Any = importlib.import_module("snakemake_executor_plugin_warm.nursery")
        nursery.subprocess = SimpleNamespace(
            Popen=waiting.start, TimeoutExpired=subprocess.TimeoutExpired
        )
    os.chdir(task["folder"])
    os.environ.clear()
    os.environ.update(task["environment"])
    sys.path[0] = task["folder"]  # as -m has it
    return list(task["arguments"])


def differing(environment: dict[str, str]) -> set[str]:
    """Name the variables that libraries have not seen as they are when they were imported."""
    changed = {name for name, _ in environment.items() ^ os.environ.items()}
    return changed - {"OPENBLAS_NUM_THREADS", "PYTEST_CURRENT_TEST"}


def imported() -> None:
    """Import what runs and their jobs import, as a zygote does."""
    from snakemake_executor_plugin_warm import PREAMBLE_MODULES, zygote

    for name in MODULES:
        importlib.import_module(name)
    cli = importlib.import_module("snakemake.cli")
    cli.get_argument_parser()  # which imports the plugins
    profile = Path(__file__).parents[1] / "profiles" / "default" / "profile.yaml"
    warm = yaml.safe_load(profile.read_text())["warm-preload"]
    report = zygote.preload([*PREAMBLE_MODULES, *warm, *OF_JOBS])
    assert report == {"failures": {}, "threaded": None}, report


def run_to_the_end(main: Callable[[], None]) -> None:
    """Run a program, and end without taking apart all that was imported."""
    status = 0
    try:
        main()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    # What ends threads and pools when an interpreter ends has no public name.
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    imported()
    gc.freeze()
    with contextlib.closing(socket.socket(fileno=int(sys.argv[1]))) as control:
        arguments = serve(control)
    if arguments is not None:
        sys.argv[1:] = arguments
        run_to_the_end(importlib.import_module("snakemake.cli").main)
