"""The verdicts on frames, once frames are compared with each other."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scripts.lightstack.files.records import read_json
from scripts.lightstack.order import natural_order
from scripts.lightstack.text import is_used


def read_verdicts(
    quality: Mapping[str, Path], groups: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    """Read what was found of frames, and count the same pixels once.

    Parameters
    ----------
    quality : dict of str to Path
        What `grade_frame` wrote, by frame.
    groups : dict of str to str
        Group of each frame; frames of different groups are never in one stack.

    Returns
    -------
    dict of str to dict
        The records by frame. Of accepted frames with the same pixels, in files that differ in
        their headers, one stays accepted: the one with a dark, then the one whose header tells
        when it was taken, then that of the shortest name. The others are rejected. Where those of
        several groups have the same pixels, ``same_pixels_as`` names one of another group.
    """
    # In the run of its night a frame goes without the night's name.
    records = {name: {**read_json(path), "frame": name} for name, path in quality.items()}
    alike: dict[tuple[str, str], list[str]] = {}
    for name, record in records.items():
        if record["verdict"] == "accepted":
            alike.setdefault((groups[name], record["pixels_sha256"]), []).append(name)
    for names in alike.values():
        first = min(names, key=lambda name: _rank(name, records[name]))
        reason = {"code": "same_pixels", "other": first}
        for name in names:
            if name != first:
                records[name] |= {"verdict": "rejected", "reasons": [reason]}
    for names in _in_several_groups(records, groups):
        for name in names:
            others = (other for other in names if groups[other] != groups[name])
            records[name]["same_pixels_as"] = next(others)
    return records


def _in_several_groups(
    records: Mapping[str, Mapping[str, Any]], groups: Mapping[str, str]
) -> list[list[str]]:
    """Find frames of different groups that are accepted and have the same pixels."""
    alike: dict[str, list[str]] = {}
    for name, record in records.items():
        if record["verdict"] == "accepted":
            alike.setdefault(record["pixels_sha256"], []).append(name)
    return [names for names in alike.values() if len({groups[name] for name in names}) > 1]


def _rank(name: str, record: Mapping[str, Any]) -> tuple[Any, ...]:
    unstated = (record["date_obs"] is None) + (record["exptime_s"] is None)
    return not is_used(record["dark"]), unstated, len(name), natural_order(name)
