"""What `align_frames` found, for the steps that read it."""

from typing import Any


def problem_of(alignment: dict[str, Any], group: str) -> str | None:
    """Why a group cannot be stacked.

    Parameters
    ----------
    alignment : dict
        What `align_frames` wrote.
    group : str
        One of the groups that share its reference; empty where frames are not grouped.

    Returns
    -------
    str or None
        A sentence; None if it can.
    """
    problem: str | None = alignment.get("problem") or alignment.get("problems", {}).get(group)
    return problem
