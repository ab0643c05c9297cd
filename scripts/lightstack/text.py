"""Text for people and files: what is not printable, as escapes."""

DOUBT = "; "
"""Stands in the cards and the ledger between the name of a dark, bias or flat and what speaks
against it."""

NOTHING_USED = "none"
"""Stands there for the name where none was used."""


def is_used(text: str) -> bool:
    """Whether a dark, bias, flat or pattern was used, by what cards or the ledger say of it."""
    return text.partition(DOUBT)[0] != NOTHING_USED


def on_one_line(text: str) -> str:
    """Text as a line of output can show it: what is not printable, as escapes."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def printable(text: str) -> str:
    """Text as a FITS card can hold it: ASCII, all else as escapes."""
    return ascii(text)[1:-1]


def text_of(card: str) -> str:
    """Text that `printable` made a card of, on one line."""
    return on_one_line(card.encode("ascii").decode("unicode_escape"))
