"""Workflows in temporary folders, run by Snakemake as a user runs it."""

import atexit
import multiprocessing
import os
import re
import sys
import textwrap
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["snakemake.cli"])
"""Forks Snakemakes, as importing it takes longer than most workflows here."""

SNAKEMAKE = (sys.executable, "-m", "snakemake")

# An expression for scripts: the parent is a zygote.
IS_FORKED = 'b"zygote.py" in open(f"/proc/{os.getppid()}/cmdline", "rb").read()'


@dataclass(frozen=True)
class Result:
    """What a run of Snakemake left behind."""

    folder: Path
    status: int
    messages: str
    printed: str

    def read(self, name: str) -> str:
        """Return the text of a file."""
        return (self.folder / name).read_text()

    def wrote(self, name: str) -> bool:
        """Tell whether there is such a file."""
        return (self.folder / name).exists()

    def failure_of(self, rule: str) -> list[str]:
        """Return what Snakemake prints about a failed rule, without what differs between runs.

        Line by line: jobs that run at the same time print theirs in between.
        """
        text = re.sub(r"tmp\w{8}\.", "tmp.", self.messages.replace(str(self.folder), "<folder>"))
        told = [
            # Python's last words about another job may stand behind this in the same line.
            re.findall(rf"^Command .*\.{rule}\.py' [\w -]*(?:<.*?>|\d+)\.", text, re.MULTILINE),
            re.findall(rf"^Error in rule {rule}:$", text, re.MULTILINE),
            re.findall(rf"^    (?:output|log): .*ends.{rule}\b.*$", text, re.MULTILINE),
            re.findall(rf"^Logfile logs/ends_{rule}\.log.*$", text, re.MULTILINE),
        ]
        assert all(told), self.messages
        return [line for lines in told for line in lines]


class Workflow:
    """A folder with a Snakefile and its scripts.

    Parameters
    ----------
    folder
        The folder.
    files
        Text by file name.
    """

    def __init__(self, folder: Path, files: Mapping[str, str]) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            self.write(name, text)

    def write(self, name: str, text: str) -> None:
        """Write a file, without the indentation that its lines share."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))

    def command(self, *options: str, executor: str = "warm", cores: int = 2) -> Sequence[str]:
        """Return a command that runs Snakemake."""
        return [
            *SNAKEMAKE,
            "--cores",
            str(cores),
            "--executor",
            executor,
            "--scheduler",
            "greedy",
            "--nocolor",
            *options,
        ]

    def environment(self, **variables: str) -> dict[str, str]:
        """Return the environment in which it runs."""
        return os.environ | {"XDG_CACHE_HOME": str(self.folder / "cache")} | variables

    def run(
        self,
        *options: str,
        executor: str = "warm",
        cores: int = 2,
        program: str | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> Result:
        """Run Snakemake to its end.

        Parameters
        ----------
        options
            Further options of Snakemake.
        executor, cores
            The options of these names.
        program
            Python code to run before Snakemake in its process.
        variables
            Further environment variables.
        """
        arguments = self.command(*options, executor=executor, cores=cores)[len(SNAKEMAKE) :]
        environment = self.environment(**(variables or {}))
        before = []
        if program is not None:
            self.write("program.py", program)
            before.append("program")
        printed = [Path(f"{self.folder}.{name}") for name in ("stdout", "stderr")]
        process = SERVER.Process(
            target=be_snakemake, args=(arguments, self.folder, environment, printed, before)
        )
        process.start()
        process.join(600)
        if process.exitcode is None:
            process.kill()
            raise TimeoutError("Snakemake runs for ever.")
        stdout, stderr = (path.read_text() for path in printed)
        return Result(self.folder, process.exitcode, stderr, stdout)


def be_snakemake(
    arguments: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    printed: Sequence[Path],
    before: Sequence[str],
) -> None:
    """Be ``python -m snakemake``, after some modules, with the standard streams in files."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path.insert(0, str(folder))  # as -m has it
    sys.argv[1:] = arguments
    for descriptor, path in enumerate(printed, start=1):
        with path.open("wb") as file:
            os.dup2(file.fileno(), descriptor)
    for name in before:
        import_module(name)
    try:
        import_module("snakemake.cli").main()
    finally:
        # What ends an interpreter; processes of multiprocessing do without.
        for thread in threading.enumerate():
            if thread is not threading.current_thread() and not thread.daemon:
                thread.join()
        atexit._run_exitfuncs()
