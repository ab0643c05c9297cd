"""What the report says of calibration: what was used, and what was found in the pixels."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import median

from scripts.lightstack.report.columns import OF_CALIBRATION, Column
from scripts.lightstack.report.rows import Row
from scripts.lightstack.text import DOUBT

NOUNS = ("dark", "bias", "flat", "mosaic")
"""Columns of names."""

NUMBER = re.compile(r"\d[\d.]*")

UNUSED = ("", "none")


def uses(rows: Sequence[Row]) -> list[tuple[str, Counter[str]]]:
    """Count the frames of each dark, bias, flat and pattern of a mosaic.

    Parameters
    ----------
    rows : sequence of Row

    Returns
    -------
    list of (str, Counter)
        "dark", and the others if a frame has one, with the names in the ledger. What is in doubt
        counts as one where doubts differ in numbers alone, with those of its first frame.
    """
    found = [
        (noun, _counted(name for row in rows if (name := getattr(row, noun)))) for noun in NOUNS
    ]
    return [
        (noun, counts)
        for noun, counts in found
        if counts and (noun == "dark" or set(counts) - set(UNUSED))
    ]


def _counted(texts: Iterable[str]) -> Counter[str]:
    """Count texts of the ledger that are the same but for the numbers of doubts."""
    first: dict[tuple[str, str], str] = {}
    counts: Counter[str] = Counter()
    for text in texts:
        name, _, doubts = text.partition(DOUBT)
        counts[first.setdefault((name, NUMBER.sub("0", doubts)), text)] += 1
    return counts


def columns_of(rows: Sequence[Row]) -> list[Column]:
    """Choose the columns of calibration in which a frame has something."""
    return [column for column in OF_CALIBRATION if _told(column, rows)]


def figures(rows: Sequence[Row]) -> list[tuple[str, str, int]]:
    """Sum up what was found in the frames' pixels.

    Parameters
    ----------
    rows : sequence of Row

    Returns
    -------
    list of (str, str, int)
        Of each quantity its name, the median and the range, and the number of frames with one.
    """
    found = []
    for column in OF_CALIBRATION:
        if column.key in NOUNS or not (told := _told(column, rows)):
            continue
        told.sort(key=lambda row: row.values[column.key] or 0)
        low, high = column.text(told[0]), column.text(told[-1])
        unit = f" {column.unit}" if column.unit else ""
        if low == high:
            text = f"{low}{unit}"
        else:
            middle = median(row.values[column.key] or 0 for row in told)
            text = f"{column.written(middle)}{unit} ({low} to {high})"
        found.append((column.title, text, len(told)))
    return found


def _told(column: Column, rows: Sequence[Row]) -> list[Row]:
    """Frames that have something in a column."""
    if column.key in NOUNS:
        return [row for row in rows if getattr(row, column.key) not in UNUSED]
    return [row for row in rows if row.values[column.key]]
