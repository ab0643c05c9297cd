"""What a run says at its end: what is there now, and of which state it is."""

from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from scripts.lightstack.files.alignment_file import problem_of
from scripts.lightstack.files.frame_file import read_header
from scripts.lightstack.files.kept_stacks import PREVIOUS, SHOWN_BY, STACKS
from scripts.lightstack.files.ledger import summary
from scripts.lightstack.files.records import read_csv, read_json
from scripts.lightstack.raw.plain import first_cards
from scripts.lightstack.report.criteria import criteria
from scripts.lightstack.report.notes import CARDS, notes, notes_of_stack
from scripts.lightstack.report.rows import Row, rows_of
from scripts.lightstack.report.verdicts import advice, verdicts
from scripts.lightstack.stacking.modes import AVERAGES
from scripts.lightstack.stacking.rejection import blindness
from scripts.lightstack.telling import listed

MOST_NAMED = 5
"""Files and groups that are told of by name."""


def outcome(
    ledger: str,
    groups: Mapping[str, Mapping[str, Any]],
    report: str,
    *,
    current: Collection[str],
    settings: dict[str, Any],
    is_told: bool = False,
) -> list[str]:
    """Tell what became of the frames, and which results are there.

    Parameters
    ----------
    ledger : str
        Path of this result.
    groups : dict of str to dict
        Paths of each group's ``alignment`` and ``preview``, and of its ``stacks`` by mode; one
        group without a name where frames are not grouped.
    report : str
        Path of this result.
    current : collection of str
        Those of the paths that are there and of the run's frames, settings and code.
    settings : dict
        All settings.
    is_told : bool, optional
        Whether a job has told why there are no stacks, where frames are not grouped.

    Returns
    -------
    list of str
        Lines to print. Nothing is said to be done that is not.
    """
    found = {
        name: read_json(Path(files["alignment"]))
        for name, files in groups.items()
        if {ledger, files["alignment"]} <= set(current)
    }
    problems = {name: told for name, each in found.items() if (told := problem_of(each, name))}
    stacked = {
        name: set(files["stacks"].values()) <= set(current) for name, files in groups.items()
    }
    lines = []
    if found:
        limits = criteria(settings)
        rows = rows_of(read_csv(Path(ledger)), limits)
        lines += verdicts(rows, limits)
        all_stacked = all(stacked[name] or name in problems for name in groups)
        lines += summary(
            Path(ledger),
            stacked=all_stacked and problems.keys() != groups.keys(),
            in_colour=settings["color"] != "gray",
        )
        if "" not in groups:
            lines += _of_groups(rows, groups, problems, stacked)
        elif not is_told:
            lines += problems.values()
        lines += dict.fromkeys(note for each in found.values() for note in notes(each))
        lines += advice(rows, settings)
        if "sigma_clip" in settings["modes"]:
            lines += _blind(rows, [name for name in groups if stacked[name]], settings)
        lines += _notes_of([files for name, files in groups.items() if stacked[name]])
    wanted = {ledger: True}
    for name, files in groups.items():
        is_due = name not in problems
        if is_due or not name:
            wanted |= dict.fromkeys((*files["stacks"].values(), files["preview"]), is_due)
    wanted[report] = problems.keys() != groups.keys()
    others = [path for path in wanted if path not in current]
    earlier = [path for path in others if Path(path).exists()]
    missing = [path for path in others if wanted[path] and path not in earlier]
    if earlier:
        lines.append(
            f"Of an earlier state of frames, settings or code: {listed(earlier, MOST_NAMED)}"
        )
    if missing:
        lines.append(f"Not there yet: {listed(missing, MOST_NAMED)}")
    kept = [Path(files["preview"]).parent / PREVIOUS for files in groups.values()]
    if named := [str(folder) for folder in kept if folder.is_dir()]:
        told = listed(named, MOST_NAMED)
        lines.append(f"The last good stacks, of an earlier state, are kept in {told}.")
    if "" in groups and groups[""]["preview"] in current:
        lines.append(f"Preview: {Path(groups['']['preview']).resolve()}")
    if report in current:
        lines.append(f"Report: {Path(report).resolve()}")
    return lines


def _of_groups(
    rows: list[Row],
    groups: Mapping[str, Mapping[str, Any]],
    problems: Mapping[str, str],
    stacked: Mapping[str, bool],
) -> list[str]:
    """Tell of each group what is stacked, or why nothing is."""
    offered = Counter(row.group for row in rows)
    counts = Counter(row.group for row in rows if row.is_stacked)
    lines = []
    for name, files in groups.items():
        if name in problems:
            lines.append(f"{name}: no stacks. {problems[name]}")
        else:
            state = f"stacked; see {files['preview']}" if stacked[name] else "to be stacked"
            lines.append(f"{name}: {counts[name]} of {offered[name]} frames {state}")
    return lines


def _blind(rows: list[Row], groups: list[str], settings: dict[str, Any]) -> list[str]:
    """Tell in which groups no value can be clipped."""
    counts = Counter(row.group for row in rows if row.is_stacked)
    sigma = settings["sigma_clip"]
    blind = [name for name in groups if blindness(sigma, counts[name])]
    if not blind:
        return []
    told = blindness(sigma, *(counts[name] for name in blind))
    return [f"{listed(blind, MOST_NAMED)}: {told}" if any(blind) else told]


def _notes_of(groups: list[Mapping[str, Any]]) -> list[str]:
    """Tell what the headers of the groups' stacks tell."""
    lines: list[str] = []
    for files in groups:
        averages = [path for mode, path in files["stacks"].items() if mode in AVERAGES]
        if averages:
            path = Path(averages[0])
            # astropy would take most of the time of a run that has nothing to do.
            lines += notes_of_stack(first_cards(path, CARDS) or read_header(path))
    return lines


def leftovers(results: Path, stacked: Collection[str], aligned: Collection[str]) -> str:
    """Say what lies among the results and is of no group of the run.

    Parameters
    ----------
    results : Path
        Folder of the results.
    stacked, aligned : collection of str
        Names of the folders below it in which the run's stacks and alignments are; an empty name
        where they are beside them.

    Returns
    -------
    str
        A sentence, or an empty string.
    """
    found = set()
    for kind, groups in ((STACKS, stacked), (SHOWN_BY[0], stacked), ("alignment.json", aligned)):
        found |= {path for path in results.glob(kind) if "" not in groups}
        found |= {
            path.parent
            for path in results.glob(f"*/{kind}")
            if path.parent.name not in {*stacked, *aligned, PREVIOUS}
        }
    named = sorted(map(str, found))
    if not named:
        return ""
    return (
        f"Of an earlier grouping of the frames, and left as they are: {listed(named, MOST_NAMED)}."
    )
