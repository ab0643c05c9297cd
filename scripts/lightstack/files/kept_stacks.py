"""The last good stacks, kept until new ones are there.

Snakemake removes stacks before it makes them again, and a setting that leaves nothing to stack
would cost those that were there. So a finished stack gets a second name in the working folder (a
hard link, which takes no space). When it is to be made again, it goes from there to a folder
beside the stacks, which goes when the new ones are finished.
"""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

PREVIOUS = "previous"
"""Folder in that of the results, with stacks of earlier settings or frames."""

STACKS = "stack_*.fits"

SHOWN_BY = ("preview.png", "report.html")
"""What shows the stacks, and goes where they go."""


def keep(stacks: Iterable[Path], kept: Path) -> None:
    """Give finished stacks a second name, and remove those that were set aside.

    Parameters
    ----------
    stacks : iterable of Path
        All in one folder.
    kept : Path
        The folder for the second names. Where a file system has no hard links, or `kept` is on
        another one, nothing is kept.
    """
    for stack in stacks:
        _remove(stack.parent / PREVIOUS)
        with suppress(OSError):
            (kept / stack.name).hardlink_to(stack)


def set_aside(kept: Path, results: Path) -> None:
    """Move the last good stacks and what shows them to the folder `PREVIOUS` of the results.

    Parameters
    ----------
    kept : Path
        Where `keep` gave them a second name; without one, what was set aside before stays.
    results : Path
        Its stacks and what shows them are no longer there afterwards.
    """
    previous, stacks = results / PREVIOUS, list(kept.glob(STACKS))
    shown_by = [results / name for name in SHOWN_BY]
    if stacks:
        _remove(previous)
        previous.mkdir(parents=True, exist_ok=True)
        for path in [*stacks, *shown_by]:
            with suppress(OSError):
                path.replace(previous / path.name)
    for path in [*kept.glob(STACKS), *results.glob(STACKS), *shown_by]:
        path.unlink(missing_ok=True)


def _remove(previous: Path) -> None:
    """Remove the folder, but nothing that a person has put there."""
    for path in [*previous.glob(STACKS), *(previous / name for name in SHOWN_BY)]:
        path.unlink(missing_ok=True)
    with suppress(OSError):
        previous.rmdir()
