"""Snakemake's messages in a few lines: progress, the plan by rule, errors with the cause first."""

import logging
import re
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from snakemake.logging import ColorizingTextHandler, DefaultFilter, DefaultFormatter
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_interface_logger_plugins.settings import LogHandlerSettingsBase

from snakemake_logger_plugin_brief.failures import Failures
from snakemake_logger_plugin_brief.plan import Plan
from snakemake_logger_plugin_brief.progress import Progress
from snakemake_logger_plugin_brief.terminal import Terminal
from snakemake_logger_plugin_brief.words import duration

__all__ = ["LogHandler", "LogHandlerSettings"]

RED, YELLOW = "\033[31m", "\033[33m"

SECONDS_BETWEEN_LINES = 60.0
"""Where a line cannot be written anew, one is written this often, and at each quarter."""

SECONDS_BETWEEN_CHANGES = 0.1
"""How often the line of progress is written anew at most."""

UNNEEDED = re.compile(
    "Assuming unrestricted shared filesystem|Building DAG of jobs|Using shell: |Select jobs to "
    "execute|Conda environments: ignored|Singularity containers: ignored|Group jobs: inactive|"
    "Processed [0-9]+ potential jobs|Removing temporary output|Touching output file|Storing "
    "output in storage|Job rate limit reached|Shutting down, this might|Elapsed time: |Updating "
    "(jobs|checkpoint)|This was a dry-run|Config file .* is extended|Exiting because a job|"
    "Complete log|Would remove temporary|Write-protecting output|Reasons:|Some jobs were "
    "triggered by provenance|If you (prefer|are sure) that|Rules with provenance triggered jobs|"
    "Removing output files of failed job|Loading script code for rule"
)
"""Messages for someone who looks for faults of Snakemake; they are in its log."""

AT_LEAST_ONE_JOB = "At least one job did not complete successfully."

ERROR_TEXT = re.compile(
    r'(?P<kind>\w+)(?: in rule .*?)?(?: in file "(?P<file>.*?)", line (?P<line>\d+))?[:.]\n?'
    r'(?P<text>.*?)(?P<trace>\n  File ".*)?',
    re.DOTALL,
)
"""How Snakemake words an exception: kind and place, text, trace."""

INTERRUPTED = "Terminating processes on user request"

STATUS = re.compile(r"(?:returned non-zero exit status|died with) .*")


@dataclass
class LogHandlerSettings(LogHandlerSettingsBase):
    """Settings: ``--logger-brief-…`` on the command line, ``logger-brief-…`` in a profile."""

    count: list[str] = field(
        default_factory=list,
        metadata={
            "help": "What is counted in the line of progress beside jobs, each with the rule "
            "whose job is the last of each: samples=call_variants.",
            "nargs": "+",
            "metavar": "THINGS=RULE",
        },
    )

    @property
    def counted(self) -> dict[str, str]:
        """Rule by the things that are counted."""
        pairs = (text.partition("=") for text in self.count)
        return {things: rule for things, _, rule in pairs if rule}


class LogHandler(LogHandlerBase):
    """Writes to the terminal; with ``--verbose`` or ``--debug-dag`` all that Snakemake says."""

    writes_to_stream = True
    writes_to_file = False
    has_filter = True
    has_formatter = True
    needs_rulegraph = False

    def __post_init__(self) -> None:
        """Prepare for messages."""
        common = self.common_settings
        stream = sys.stdout if common.stdout else sys.stderr
        quiet: Collection[Any] = common.quiet or ()
        self._quiet = {level.name for level in quiet}
        self._full: logging.Handler | None = None
        if common.verbose or common.debug_dag:
            self._full = ColorizingTextHandler(common.nocolor, stream)
            self._full.setFormatter(DefaultFormatter(quiet, common.show_failed_logs))
            self._full.addFilter(
                DefaultFilter(
                    quiet, common.debug_dag, common.verbose, common.dryrun, common.printshellcmds
                )
            )
        colours = ColorizingTextHandler(common.nocolor, stream)
        self._coloured = not colours.nocolor
        self._terminal = Terminal(stream, is_tty=colours.is_tty)
        settings = self.settings
        counted = settings.counted if isinstance(settings, LogHandlerSettings) else {}
        self._progress = Progress(counted)
        self._plan, self._failures = Plan(), Failures()
        self._jobs: dict[int, tuple[str, str]] = {}
        self._unexplained: list[str] = []
        self._told: set[str] = set()
        self._last_line = self._last_change = self._now = 0.0
        self._quarter = 0
        self._log = ""
        self._is_closed = self._is_interrupted = False
        self._events: dict[LogEvent | None, Callable[[Any], None]] = {
            None: self._message,
            LogEvent.ERROR: self._error,
            LogEvent.RUN_INFO: self._job_counts,
            LogEvent.JOB_INFO: self._job_info,
            LogEvent.JOB_FINISHED: self._job_finished,
            LogEvent.JOB_ERROR: self._job_error,
            LogEvent.PROGRESS: self._advance,
        }

    def emit(self, record: logging.LogRecord) -> None:
        """Tell what a person needs to know of a message."""
        if self._full is not None:
            self._full.handle(record)
            return
        try:
            self._now = record.created
            self._events.get(getattr(record, "event", None), lambda _: None)(record)
        except Exception:  # noqa: BLE001 - what every handler of the standard library does
            self.handleError(record)

    def close(self) -> None:
        """Tell what is known only at the end."""
        if not self._is_closed and self._full is None:
            self._is_closed = True
            self._terminal.live("")
            self._tell_end()
        super().close()

    def _tell_end(self) -> None:
        if self.common_settings.dryrun:
            for line in self._plan.lines():
                self._terminal.line(line)
            return
        unexplained = [] if self._is_interrupted else self._unexplained
        for text in [*unexplained, *self._failures.rest()]:
            self._tell(text, RED)
        if self._failures or unexplained:
            self._tell(f"All that Snakemake said: {self._log}" if self._log else "")
        progress = self._progress
        if self._terminal.is_tty and progress.done and "PROGRESS" not in self._quiet:
            self._tell(self._end_of_progress())

    def _end_of_progress(self) -> str:
        progress = self._progress
        return f"{progress.counts()}, in {duration(progress.elapsed(self._now))}"

    def _tell(self, text: str, colour: str = "") -> None:
        if text and "ALL" not in self._quiet:
            self._terminal.line(text, colour if self._coloured else "")

    def _message(self, record: Any) -> None:
        """Pass on a message in words, each once, unless nobody needs it."""
        text = str(record.msg or "").strip("\n")
        if record.levelno >= logging.INFO and text.startswith("Complete log"):
            self._log = text.partition(": ")[2]
        quietness = getattr(getattr(record, "quietness", None), "name", "")
        needed = not UNNEEDED.match(text) and quietness not in self._quiet
        if text in {"", "None"} or text in self._told or not needed:
            return
        self._told.add(text)
        if text.startswith(INTERRUPTED):
            self._is_interrupted = True
            text = "Interrupted: the jobs that run are being ended."
        colours = {logging.WARNING: YELLOW, logging.ERROR: RED, logging.CRITICAL: RED}
        self._tell(text, colours.get(record.levelno, ""))

    def _error(self, record: Any) -> None:
        """Tell of an exception; of one that ended a job when that is reported, with its log."""
        text = str(record.msg)
        if record.exception == "RuleException":
            self._unexplained.append(text)
        elif AT_LEAST_ONE_JOB not in text:
            self._tell(_worded(text), RED)

    def _job_counts(self, record: Any) -> None:
        """Take up the number of jobs of each rule."""
        self._progress.plan(record.stats)
        self._plan.count(record.stats)

    def _job_info(self, record: Any) -> None:
        """Take up a job that begins, or would."""
        wildcards = dict(record.wildcards)
        self._jobs[record.jobid] = record.rule_name, ", ".join(wildcards.values())
        if self.common_settings.dryrun:
            files = record.input or (), record.output or ()
            self._plan.add(record.rule_name, wildcards, record.reason, *files)
        else:
            self._progress.start(record.jobid, record.rule_name, record.created)
            self._show_progress()

    def _job_finished(self, record: Any) -> None:
        """Take up a job that has ended well."""
        self._progress.finish(record.job_id, record.created)

    def _job_error(self, record: Any) -> None:
        """Tell of a job that failed."""
        rule, job = self._jobs.get(record.jobid, (record.rule_name, ""))
        self._progress.stop(record.jobid)
        status = [STATUS.search(text) for text in self._unexplained]
        hint = next((f"its command {found[0]}" for found in status if found), "")
        self._unexplained.clear()
        if self._is_interrupted or "SIGINT" in hint:  # it did not fail by itself
            return
        if lines := self._failures.add(rule, job, record.log, hint or record.rule_msg or ""):
            self._tell("\n".join(lines), RED)

    def _advance(self, record: Any) -> None:
        """Tell how far the run has come."""
        self._progress.done, self._progress.total = record.done, record.total
        self._show_progress()

    def _show_progress(self) -> None:
        if self._quiet & {"PROGRESS", "ALL"} or self.common_settings.dryrun:
            return
        now, progress = self._now, self._progress
        if self._terminal.is_tty:
            if now - self._last_change >= SECONDS_BETWEEN_CHANGES:
                self._last_change = now
                self._terminal.live(progress.line(now))
            return
        self._last_line = self._last_line or now
        quarter = 4 * progress.done // max(1, progress.total)
        if quarter > self._quarter or now - self._last_line >= SECONDS_BETWEEN_LINES:
            self._quarter, self._last_line = quarter, now
            ended = progress.done == progress.total
            self._terminal.line(self._end_of_progress() if ended else progress.line(now))


def _worded(text: str) -> str:
    """Put the cause of an exception first, and where it arose behind it.

    What a workflow tells its user is an exception, too: of these the place says nothing.
    """
    found = ERROR_TEXT.fullmatch(text.rstrip())
    if found is None or not found["text"].strip():
        return text
    said = found["text"].strip()
    if found["kind"] == "WorkflowError":
        return said
    place = f"\n  in {found['file']}, line {found['line']}" if found["file"] else ""
    return f"{found['kind']}: {said}{place}"
