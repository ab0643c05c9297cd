"""Why jobs failed, once for each cause."""

import re
from collections.abc import Sequence
from pathlib import Path

from snakemake_logger_plugin_brief.words import names

LOG_TAIL_BYTES = 20_000
"""How much of a log is looked at for a cause: its end."""

SEVERITY = re.compile(r"^(?:ERROR|CRITICAL|FATAL|Error)\s*:\s*")

NO_CAUSE = "it left no word of why"


def cause(logs: Sequence[str]) -> str:
    """Find what a job's log ends with.

    Parameters
    ----------
    logs : sequence of str
        Paths of the logs.

    Returns
    -------
    str
        The last line that is not indented, such as the exception below a traceback, with what
        stands below it, if it is indented; empty if there is none.
    """
    for log in logs:
        lines = _last_lines(Path(log))
        starts = [at for at, line in enumerate(lines) if line.strip() and not line[0].isspace()]
        if starts:
            last = "\n".join(lines[starts[-1] :]).rstrip()
            return SEVERITY.sub("", last)
    return ""


def _last_lines(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - LOG_TAIL_BYTES))
            return file.read().decode(errors="replace").splitlines()
    except OSError:
        return []


class Failures:
    """Tells of failed jobs: a cause when it is met first, and how many share it in the end."""

    def __init__(self) -> None:
        self._jobs: dict[tuple[str, str], list[str]] = {}

    def add(self, rule: str, job: str, logs: Sequence[str], hint: str) -> list[str]:
        """Take up a failed job.

        Parameters
        ----------
        rule, job : str
            The rule, and what the job is for; empty if it is the rule's only one.
        logs : sequence of str
            Paths of the job's logs.
        hint : str
            What Snakemake knows of the cause; used if the logs say nothing.

        Returns
        -------
        list of str
            What to tell now: the cause first, then where to read more. Nothing if the cause was
            told of before.
        """
        why = cause(logs) or hint or NO_CAUSE
        jobs = self._jobs.setdefault((rule, why), [])
        jobs.append(job)
        if len(jobs) > 1:
            return []
        what = f"{rule} of {job}" if job else rule
        return [f"{what} failed: {why}", *(f"  Log: {Path(log).resolve()}" for log in logs)]

    def rest(self) -> list[str]:
        """Tell which other jobs failed for the causes that were told."""
        return [
            f"{rule} failed for the same cause ({why.splitlines()[0]}): {names(jobs[1:])}"
            for (rule, why), jobs in self._jobs.items()
            if len(jobs) > 1
        ]

    def __bool__(self) -> bool:
        """Whether a job has failed."""
        return bool(self._jobs)
