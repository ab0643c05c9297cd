"""Runs of Snakemake in forks of a process that has imported it already.

To import Snakemake and its plugins takes longer than to plan a small night. A fork has the command
line, folder, environment and streams of ``python -m snakemake``, and finds the modules of the
workflow where its Snakefile lies: none of them is imported before.
"""

import contextlib
import gc
import importlib
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

MODULES = (
    "snakemake.cli",
    "snakemake.report",
    "snakemake.scheduling.job_scheduler",
    "numpy",
    "PIL.Image",
)
"""What each Snakemake of this workflow imports, or all that takes long."""

LONGEST_MESSAGE = 2**20


class Snakemake:
    """A process that forks Snakemakes, one at a time."""

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

    def run(
        self, arguments: list[str], folder: Path, environment: dict[str, str]
    ) -> tuple[int, str]:
        """Run Snakemake in a folder; return its exit status, and all that it prints."""
        task = {"arguments": arguments, "folder": str(folder), "environment": environment}
        reading, writing = os.pipe()
        with os.fdopen(reading, encoding="utf-8") as printed:
            socket.send_fds(self._control, [json.dumps(task).encode()], [writing])
            os.close(writing)
            told = printed.read()
        answer = self._control.recv(LONGEST_MESSAGE)
        if not answer:
            raise ChildProcessError("The process that forks Snakemakes has ended.")
        return int(answer), told

    def close(self) -> None:
        """End the process."""
        self._control.close()
        self._process.wait()


def serve(control: socket.socket) -> list[str] | None:
    """Fork for each task; return the arguments of the task in a fork, and None at the end."""
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, LONGEST_MESSAGE, 1)
        if not message:
            return None
        pid = os.fork()
        if pid == 0:
            control.close()
            task = json.loads(message)
            (output,) = descriptors
            os.dup2(output, sys.stdout.fileno())
            os.dup2(output, sys.stderr.fileno())
            os.close(output)
            os.chdir(task["folder"])
            os.environ.clear()
            os.environ.update(task["environment"])
            sys.path[0] = task["folder"]  # as -m has it
            return list(task["arguments"])
        os.close(descriptors[0])
        _, status = os.waitpid(pid, 0)
        control.send(str(os.waitstatus_to_exitcode(status)).encode())


if __name__ == "__main__":
    for name in MODULES:
        importlib.import_module(name)
    cli = importlib.import_module("snakemake.cli")
    cli.get_argument_parser()  # which imports the plugins
    gc.freeze()
    with contextlib.closing(socket.socket(fileno=int(sys.argv[1]))) as control:
        arguments = serve(control)
    if arguments is not None:
        sys.argv[1:] = arguments
        cli.main()
