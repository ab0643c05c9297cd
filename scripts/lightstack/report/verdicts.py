"""The verdicts of a run in a few lines: frames that share a cause, and values to try."""

import math
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from scripts.lightstack.report.criteria import Criterion, broken, criteria, limiting
from scripts.lightstack.report.rows import Row
from scripts.lightstack.telling import in_common, listed, without_name, without_numbers
from scripts.lightstack.text import on_one_line

MOST_LINES = 10
"""Lines of one kind; of more, only the number is told."""

FEW_ACCEPTED = 0.5
"""Share of the frames below which other limits are suggested."""

FEWEST_STARS = 20
"""With fewer in the median frame, the detection is what to look at, and not the limits."""


def verdicts(rows: list[Row], limits: list[Criterion]) -> list[str]:
    """Tell which frames are left out and why, those that share a cause in one line.

    Parameters
    ----------
    rows : list of Row
        The ledger.
    limits : list of Criterion
        What the frames were judged by.

    Returns
    -------
    list of str
        Where a frame is alone with its cause, the reasons of the ledger.
    """
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        if not row.is_stacked:
            groups[row.status, without_numbers(_cause(row, limits))].append(row)
    lines = []
    alone: dict[str, int] = defaultdict(int)
    for (status, _), group in groups.items():
        names = [on_one_line(row.name) for row in group]
        if len(group) == 1:
            alone[status] += 1
            if alone[status] <= MOST_LINES:
                lines.append(f"{names[0]}: {status}: {'; '.join(group[0].reasons)}")
            continue
        cause = in_common([_cause(row, limits) for row in group])
        lines.append(f"{len(group)} {status}: {cause}: {listed(names)}")
    lines += [
        f"{count - MOST_LINES} more {status}, each for a reason of its own: see the ledger"
        for status, count in alone.items()
        if count > MOST_LINES
    ]
    return lines


def _cause(row: Row, limits: list[Criterion]) -> str:
    """Say what a frame may share with others: the limits that it breaks, or its reasons."""
    found = broken(limits, row.values) if row.status == "rejected" else []
    if found:
        return "; ".join(f"{limit.complaint} ({limit.setting} {limit.limit:g})" for limit in found)
    return "; ".join(without_name(reason, row.name) for reason in row.reasons)


def advice(rows: list[Row], settings: Mapping[str, Any]) -> list[str]:
    """Give values with which more frames would be accepted, if few are.

    Parameters
    ----------
    rows : list of Row
        The ledger.
    settings : mapping of str to object
        All settings.

    Returns
    -------
    list of str
        A line for each limit that does not suit a usual frame, and one for all of them together;
        nothing if at least half of the frames with an image are accepted. What is counted are the
        frames that would be accepted if the other limits stayed.
    """
    limits = criteria(settings)
    judged = [row for row in rows if row.margin is not None]
    rejected = [row for row in judged if row.status == "rejected"]
    if len(judged) - len(rejected) >= max(1, FEW_ACCEPTED * len(judged)):
        return []
    lines = []
    changed: dict[str, float] = {}
    for limit in limits:
        values = sorted(
            value for row in judged if (value := row.values.get(limit.column)) is not None
        )
        trial = _more_tolerant(limit, values[len(values) // 2], settings) if values else {}
        if trial:
            shown = limit.shown(values[len(values) // 2])
            told = f"{shown} {limit.name}" if limit.is_least else f"{limit.name} {shown}"
            lines.append(f"  median {told}; {_would_accept(judged, settings, trial)}")
            changed |= trial
    if len(lines) > 1:
        lines.append(f"  {_would_accept(judged, settings, changed)}")
    if _accepted(judged, {**settings, **changed}) <= len(judged) - len(rejected):
        lines.clear()
    counts = [row.values["n_stars"] or 0 for row in judged]
    if counts and sorted(counts)[len(counts) // 2] < FEWEST_STARS:
        lines.append(
            "  few stars are found at all; lower threshold_sigma or minarea: "
            "`snakemake --cores 2 tune` shows what that would find"
        )
    return ["To accept more frames, by the ledger:", *lines] if lines else []


def _would_accept(rows: list[Row], settings: Mapping[str, Any], trial: Mapping[str, float]) -> str:
    count = _accepted(rows, {**settings, **trial})
    values = " ".join(f"{name}={value:g}" for name, value in trial.items())
    return f"{values} would accept {count} of {len(rows)}"


def _accepted(rows: list[Row], settings: Mapping[str, Any]) -> int:
    """Count the frames that keep all limits of these settings."""
    limits = criteria(settings)
    return sum(not broken(limits, row.values) for row in rows)


def _more_tolerant(
    limit: Criterion, median: float, settings: Mapping[str, Any]
) -> dict[str, float]:
    """Find a value of the limit's setting that suits a usual frame, if its own does not.

    It leaves room for frames that are not as good: half of the median stars, or half as much again
    of what must not be exceeded. Frames that are worse are what the limit is for.
    """
    if limit.is_least:
        value = float(_rounded_down(median / 2))
        return {limit.setting: value} if 1 <= value < limit.limit else {}
    name, scale = limiting(limit, settings)
    step = 10.0 ** -min(limit.digits, 2)
    value = round(math.ceil(1.5 * median / scale / step) * step, 2)
    return {name: value} if limit.limit < value * scale <= limit.highest else {}


def _rounded_down(value: float) -> int:
    """Round to one digit, or two below 30, such as 14 or 100."""
    if value < 30:
        return math.floor(value)
    digits: int = 10 ** math.floor(math.log10(value))
    return int(value // digits * digits)
