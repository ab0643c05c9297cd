"""The same pixels count once, however often they were saved."""

from pathlib import Path
from typing import Any

import pytest

from scripts.lightstack.files.ledger import COLUMNS, summary
from scripts.lightstack.files.quality_records import read_verdicts
from scripts.lightstack.files.records import write_csv, write_json


def verdicts(
    folder: Path, records: dict[str, dict[str, Any]], groups: dict[str, str] | None = None
) -> dict[str, str]:
    """Verdict on each frame, or which other one counts in its place."""
    usual: dict[str, Any] = {"verdict": "accepted", "reasons": [], "pixels_sha256": "p"}
    usual |= {"dark": "master", "date_obs": "2026-03-01", "exptime_s": 60.0}
    for name, record in records.items():
        write_json(folder / f"{name}.json", {**usual, **record})
    found = read_verdicts(
        {name: folder / f"{name}.json" for name in records}, groups or dict.fromkeys(records, "")
    )
    return {
        name: record["reasons"][0]["other"] if record["reasons"] else record["verdict"]
        for name, record in found.items()
    }


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ({"a": {}, "b": {"pixels_sha256": "q"}}, {"a": "accepted", "b": "accepted"}),
        ({"f10": {}, "f2": {}, "f2 copy": {}}, {"f10": "f2", "f2": "accepted", "f2 copy": "f2"}),
        ({"a": {"dark": "none"}, "copy of a": {}}, {"a": "copy of a", "copy of a": "accepted"}),
        ({"a": {"exptime_s": None}, "copy": {}}, {"a": "copy", "copy": "accepted"}),
        ({"a": {"verdict": "rejected"}, "b": {}}, {"a": "rejected", "b": "accepted"}),
    ],
)
def test_one_of_the_same_pixels_counts(
    tmp_path: Path, records: dict[str, dict[str, Any]], expected: dict[str, str]
) -> None:
    assert verdicts(tmp_path, records) == expected


def test_the_same_pixels_count_once_in_the_stack_of_each_group(tmp_path: Path) -> None:
    found = verdicts(tmp_path, {"a": {}, "b": {}, "c": {}}, {"a": "L", "b": "R", "c": "L"})
    assert found == {"a": "accepted", "b": "accepted", "c": "a"}


def test_the_same_pixels_in_several_groups_are_told(tmp_path: Path) -> None:
    records = {"a": {}, "b": {}, "c": {}, "d": {"pixels_sha256": "q"}}
    groups = {"a": "L", "b": "R", "c": "L", "d": "R"}
    verdicts(tmp_path, records, groups)
    paths = {name: tmp_path / f"{name}.json" for name in records}
    found = read_verdicts(paths, groups)
    twins = {name: record.get("same_pixels_as") for name, record in found.items()}
    assert twins == {"a": "b", "b": "a", "c": None, "d": None}
    rows = [
        {"frame": name, "status": "stacked", "dark": "m", "same_pixels_as": twins[name]}
        for name in records
    ]
    write_csv(tmp_path / "frames.csv", COLUMNS, rows)
    assert summary(tmp_path / "frames.csv") == [
        "The same pixels in the stacks of several groups: 2 frames, such as a and b",
        "4 of 4 frames stacked",
    ]
    one_group = read_verdicts(paths, dict.fromkeys(records, "L"))
    assert not any("same_pixels_as" in record for record in one_group.values())
