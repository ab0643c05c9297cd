"""The JSON and CSV files that the steps hand to each other.

CSV is read by Python's own module: a frame may have the name 0012, and astropy takes twice as long
if it is told that all is text (85 ms for 2,000 frames, against 45), and half a second to import.
"""

import csv
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from scripts.lightstack.files.atomic import atomic_write

_FORMULA = re.compile(r"'*[=+\-@\t\r]")
"""Text for which an apostrophe is needed, one more if it has some."""

_QUOTED_FORMULA = re.compile(r"'+[=+\-@\t\r]")


def write_json(path: Path, record: dict[str, Any]) -> None:
    """Write a JSON file; the same values always give the same bytes.

    Names of files that are no UTF-8 come back as they were.
    """
    text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False)
    with atomic_write(path) as file:
        file.write(text.encode(errors="surrogatepass") + b"\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file."""
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8", errors="surrogatepass"))
    return record


def write_csv(path: Path, columns: tuple[str, ...], rows: list[dict[str, Any]]) -> None:
    """Write a CSV file (RFC 4180, UTF-8); None becomes an empty field.

    Text that a spreadsheet would take for a formula gets an apostrophe before it, as the OWASP
    advises ("CSV injection"); `read_csv` takes it away.
    """
    lines: list[str] = []
    # Only a writer that ends lines with "\r\n" puts a cell with "\r" into quotes.
    writer = csv.DictWriter(SimpleNamespace(write=lines.append), columns, lineterminator="\r\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({column: _harmless(value) for column, value in row.items()})
    text = "".join(line.removesuffix("\r\n") + "\n" for line in lines)
    with atomic_write(path) as file:
        # A file name may hold bytes that are no text.
        file.write(text.encode(errors="backslashreplace"))


def read_csv(path: Path) -> list[dict[str, str]]:
    """Read a CSV file, a dict per row."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [
        {
            column: value[1:] if _QUOTED_FORMULA.match(value) else value
            for column, value in row.items()
        }
        for row in rows
    ]


def _harmless(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value
