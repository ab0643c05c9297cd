"""The JSON and CSV files that the steps hand to each other."""

import csv
import io
import json
from pathlib import Path
from typing import Any

from scripts.lightstack.files.atomic import atomic_write


def write_json(path: Path, record: dict[str, Any]) -> None:
    """Write a JSON file; the same values always give the same bytes."""
    text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False)
    with atomic_write(path) as file:
        file.write(text.encode() + b"\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file."""
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return record


def write_csv(path: Path, columns: tuple[str, ...], rows: list[dict[str, Any]]) -> None:
    """Write a CSV file (RFC 4180, UTF-8); None becomes an empty field."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with atomic_write(path) as file:
        # A file name may hold bytes that are no text.
        file.write(text.getvalue().encode(errors="backslashreplace"))


def read_csv(path: Path) -> list[dict[str, str]]:
    """Read a CSV file, a dict per row."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
