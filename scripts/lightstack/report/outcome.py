"""What a run says at its end: what is there now, and of which state it is."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from scripts.lightstack.files.kept_stacks import PREVIOUS
from scripts.lightstack.files.ledger import summary
from scripts.lightstack.files.records import read_csv, read_json
from scripts.lightstack.report.criteria import criteria
from scripts.lightstack.report.rows import rows_of
from scripts.lightstack.report.verdicts import advice, verdicts
from scripts.lightstack.stacking.rejection import blindness


def outcome(
    ledger: str,
    alignment: str,
    stacks: list[str],
    preview: str,
    report: str,
    *,
    current: Collection[str],
    settings: dict[str, Any],
) -> list[str]:
    """Tell what became of the frames, and which results are there.

    Parameters
    ----------
    ledger, alignment, preview, report : str
        Paths of these results.
    stacks : list of str
        Paths of the stacks, one per mode.
    current : collection of str
        Those of the paths that are there and of the run's frames, settings and code.
    settings : dict
        All settings.

    Returns
    -------
    list of str
        Lines to print. Nothing is said to be done that is not.
    """
    stacked = set(stacks) <= set(current)
    lines = []
    if {ledger, alignment} <= set(current):
        limits = criteria(settings)
        rows = rows_of(read_csv(Path(ledger)), limits)
        lines += [*verdicts(rows, limits), *summary(Path(ledger), stacked=stacked)]
        found = read_json(Path(alignment))
        lines += [found["problem"]] if "problem" in found else []
        lines += advice(rows, settings)
        blind = blindness(len(found["frames"]), settings["sigma_clip"])
        if stacked and blind and "sigma_clip" in settings["modes"]:
            lines.append(blind)
    others = [path for path in (ledger, *stacks, preview, report) if path not in current]
    earlier = [path for path in others if Path(path).exists()]
    missing = [path for path in others if path not in earlier]
    if earlier:
        lines.append(f"Of an earlier state of frames, settings or code: {', '.join(earlier)}")
    if missing:
        lines.append(f"Not there yet: {', '.join(missing)}")
    previous = Path(preview).parent / PREVIOUS
    if previous.is_dir():
        lines.append(f"The last good stacks, of an earlier state, are kept in {previous}.")
    if preview in current:
        lines.append(f"Preview: {Path(preview).resolve()}")
    if report in current:
        lines.append(f"Report: {Path(report).resolve()}")
    return lines
