"""What a dry run tells: how many jobs of each rule, and why."""

import ast
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter

from snakemake_logger_plugin_brief.words import names, some, table

MOST_NAMED = 3
"""So many jobs of one reason, and settings of one job, are named."""

DIGEST = re.compile("[0-9a-f]{12,}")
"""A name that tells a person nothing."""

FOLLOWS = "follows"

CAUSES = {
    "Forced execution": "gone, half done, or forced",
    "Missing output files": "no result yet",
    "Params have changed": "made of something else than before",
    "Code has changed": "code has changed",
    "Set of input files has changed": "other inputs than before",
    "Software environment definition": "software has changed",
    "Updated input files": "inputs have changed",
    "Input files updated by another job": FOLLOWS,
}
"""What Snakemake's reasons begin with, those that explain most first; in fewer words.

Snakemake forces jobs that a stopped run has left half done, and those whose files a workflow finds
damaged or gone, and does not tell them from those that ``--forcerun`` names.
"""

_CHANGE = re.compile(r"before: (?P<before>.*) now: (?P<now>.*)", re.DOTALL)
_DICTIONARY = re.compile(r"\{[^{}]*\}")


def cause(reason: str) -> str:
    """Say why a job is to be done.

    Parameters
    ----------
    reason : str
        What Snakemake gives as the reason.

    Returns
    -------
    str
        The cause; if settings have changed that are a job's parameters as a dictionary, which.
    """
    changes = _changed_settings(reason)
    if changes and "Missing output files" not in reason:
        return names(changes, MOST_NAMED)
    return next((words for start, words in CAUSES.items() if start in reason), reason)


def _changed_settings(reason: str) -> list[str]:
    """List what has changed in dictionaries with the same keys."""
    found = _CHANGE.search(reason)
    if found is None:
        return []
    before, now = (_dictionaries(found[side]) for side in ("before", "now"))
    return [
        f"{key} {old[key]} -> {new[key]}"
        for old in before
        for new in now
        if old.keys() == new.keys()
        for key in old
        if old[key] != new[key]
    ]


def _dictionaries(text: str) -> list[dict[object, object]]:
    found = []
    for match in _DICTIONARY.finditer(text):
        try:
            value = ast.literal_eval(match[0])
        except (ValueError, SyntaxError):
            continue
        found += [value] if isinstance(value, dict) else []
    return found


@dataclass
class _Stage:
    """Jobs of a rule, and what the one with the most inputs is made of."""

    noun: str
    inputs: Sequence[str] = ()
    reasons: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))


class Plan:
    """Collects the jobs of a dry run."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._stages: dict[str, _Stage] = {}
        self._makers: dict[str, str] = {}

    def count(self, jobs: Mapping[str, int]) -> None:
        """Take up how many jobs of each rule there are."""
        self._counts = Counter({rule: count for rule, count in jobs.items() if rule != "total"})

    def add(
        self,
        rule: str,
        wildcards: Mapping[str, str],
        reason: str,
        inputs: Sequence[str] = (),
        outputs: Sequence[str] = (),
    ) -> None:
        """Take up a job."""
        stage = self._stages.setdefault(rule, _Stage(next(iter(wildcards), "job")))
        stage.inputs = max(stage.inputs, inputs, key=len)
        self._makers |= dict.fromkeys(outputs, rule)
        stage.reasons[cause(reason)].append(", ".join(wildcards.values()))

    def lines(self) -> list[str]:
        """Tell the plan, a line for each rule, those that others wait for first."""
        if not self._counts:
            return []
        before = {
            rule: {self._makers[path] for path in stage.inputs if path in self._makers} - {rule}
            for rule, stage in self._stages.items()
        }
        try:
            order = list(TopologicalSorter(before).static_order())
        except CycleError:
            order = list(self._stages)
        rows = [(rule, *_told(self._stages[rule])) for rule in order]
        rows += [
            (rule, some(count, "job"), "")
            for rule, count in self._counts.items()
            if rule not in self._stages
        ]
        return [f"To be done: {some(self._counts.total(), 'job')}", *table(rows)]


def _told(stage: _Stage) -> tuple[str, str]:
    """Tell how many jobs of a rule there are, and why; which, where it is not all."""
    count = sum(map(len, stage.reasons.values()))
    parted = len(stage.reasons) > 1
    told = []
    for why, which in stage.reasons.items():
        known = sorted(name for name in which if name and not DIGEST.fullmatch(name))
        few = known and len(which) <= MOST_NAMED and why != FOLLOWS
        named = f" ({names(known)})" if few else ""
        told.append(f"{f'{len(which)} ' if parted else ''}{why}{named}")
    return some(count, stage.noun), "; ".join(told)
