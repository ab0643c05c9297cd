"""Workflows in temporary folders, run by Snakemake as a user runs it."""

import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

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
        command = list(self.command(*options, executor=executor, cores=cores))
        if program is not None:
            start = "import sys; from snakemake.cli import main; main(sys.argv[1:])"
            command[1:3] = ["-c", f"{program}\n{start}"]
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment(**(variables or {})),
            timeout=600,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        return Result(self.folder, done.returncode, done.stderr, done.stdout)
