"""Words for numbers and names."""

from collections.abc import Iterable, Sequence

MOST_NAMED = 10
"""Names in a line; of more, only the number is told."""


def names(of: Sequence[str], most: int = MOST_NAMED) -> str:
    """List the first names and say how many more there are."""
    more = f" and {len(of) - most} more" if len(of) > most else ""
    return ", ".join(of[:most]) + more


def some(count: int, noun: str) -> str:
    """Write a number of things."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def duration(seconds: float) -> str:
    """Write a time in its two largest units."""
    whole = max(1, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        minutes, rest = divmod(whole, 60)
        return f"{minutes} min {rest} s" if rest and minutes < 10 else f"{minutes} min"
    hours, rest = divmod(whole // 60, 60)
    return f"{hours} h {rest} min" if rest else f"{hours} h"


def printable(text: str) -> str:
    """Write what a terminal might obey, such as an escape in a file's name, as an escape."""
    return "\n".join(
        "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in line)
        for line in text.expandtabs().splitlines()
    )


def table(rows: Iterable[tuple[str, ...]]) -> list[str]:
    """Align columns, two spaces apart, indented by two."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  " + "  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
