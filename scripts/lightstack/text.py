"""Text for people and files: the order of names, and what is not printable."""

import re


def natural_order(name: str) -> list[tuple[int, int, str]]:
    """Sort key that puts ``f2`` before ``f10``; names that differ at all have different keys."""
    parts = re.split(r"([0-9]+)", name)
    key = [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part]
    return [*key, (-1, 0, name)]


def on_one_line(text: str) -> str:
    """Text as a line of output can show it: what is not printable, as escapes."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def printable(text: str) -> str:
    """Text as a FITS card can hold it: ASCII, all else as escapes."""
    return ascii(text)[1:-1]


def text_of(card: str) -> str:
    """Text that `printable` made a card of, on one line."""
    return on_one_line(card.encode("ascii").decode("unicode_escape"))
