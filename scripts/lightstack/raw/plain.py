"""A quick look at plain FITS headers: for thousands of files astropy would take most of the plan.

What is out of the ordinary in any way is left to `images.read_cards`; where this look finds
something, the other finds the same.
"""

import re
from math import isfinite
from pathlib import Path

from scripts.lightstack.raw.cards import is_impossible_date, pixel_type
from scripts.lightstack.raw.image import MAX_PIXELS

BLOCK = 2880

MAX_BLOCKS = 40
"""Longer headers are not plain."""

PRINTABLE = re.compile(rb"[ -~]*")

FIRST_CARD = f"SIMPLE  = {'T':>20}"

KEYWORD = re.compile(r"[A-Z0-9_-]+")

NUMBER = re.compile(r" *([+-]?[0-9]+(?:\.[0-9]*)?(?:E[+-]?[0-9]+)?) *(?:/(.*))?")

TEXT = re.compile(r" *'((?:[^']|'')*)' *(?:/(.*))?")

LOGICAL = re.compile(r" *([TF]) *(?:/(.*))?")

PIXEL_TYPES = {8: "uint8", 16: "int16", 32: "int32", 64: "int64", -32: "float32", -64: "float64"}
"""By BITPIX."""

INTEGERS = ("BITPIX", "NAXIS", "NAXIS1", "NAXIS2", "PCOUNT", "GCOUNT")
"""Cards that tell where the pixels are."""

FACTORS = ("BSCALE", "BZERO")
"""Cards without which no pixel can be read if they are no numbers."""


Value = int | float | str | bool


class PlainCards(dict[str, Value]):
    """Values of cards by keyword, with their comments."""

    def __init__(self) -> None:
        super().__init__()
        self.comments: dict[str, str] = {}


def plain_cards(
    path: Path, keys: tuple[str, ...]
) -> tuple[tuple[int, int], PlainCards, str] | None:
    """Read the shape and some cards of an uncompressed image at the beginning of a FITS file.

    Parameters
    ----------
    path : Path
        The file.
    keys : tuple of str
        Cards to read.

    Returns
    -------
    ((int, int), PlainCards, str) or None
        ``(ny, nx)`` [pixels], those of the cards that are there and the type of the pixels; None
        where anything is out of the ordinary. If it is not, all pixels are there as well:
        `images.read_image` reads them.
    """
    with path.open("rb") as file:
        header = _header(file.read(MAX_BLOCKS * BLOCK))
        size = file.seek(0, 2)
    if header is None:
        return None
    cards = _cards(header, {*INTEGERS, *FACTORS, *keys})
    shape = None if cards is None else _shape(cards, size - len(header))
    if cards is None or shape is None or _has_more(cards, size - len(header)):
        return None
    stored = pixel_type(PIXEL_TYPES[int(cards["BITPIX"])], float(cards.get("BZERO", 0)))
    for key in {*INTEGERS, *FACTORS} - {*keys}:
        cards.pop(key, None)
    return shape, cards, stored


def first_cards(path: Path, keys: tuple[str, ...]) -> PlainCards | None:
    """Read some cards of the first header of a FITS file, whatever it is a header of.

    Returns
    -------
    PlainCards or None
        Those that are there; None where anything is out of the ordinary.
    """
    with path.open("rb") as file:
        header = _header(file.read(MAX_BLOCKS * BLOCK))
    return None if header is None else _cards(header, {*keys})


def _header(start: bytes) -> str | None:
    """Return the first header, if it is whole and plain text."""
    for first in range(0, len(start) - BLOCK + 1, BLOCK):
        for at in range(first, first + BLOCK, 80):
            if start[at : at + 80].rstrip() == b"END":
                content = start[: first + BLOCK]
                return content.decode("ascii") if PRINTABLE.fullmatch(content) else None
    return None


def _cards(header: str, keys: set[str]) -> PlainCards | None:
    """Return these cards; None if one of them, or any other, is odd."""
    cards = PlainCards()
    if not header.startswith(FIRST_CARD):
        return None
    for first in range(0, len(header), 80):
        keyword = header[first : first + 8].rstrip()
        if keyword in ("", "COMMENT", "HISTORY", "END"):
            continue
        has_value = header[first + 8 : first + 10] == "= " and KEYWORD.fullmatch(keyword)
        if not has_value or keyword == "ZIMAGE" or keyword in cards:
            return None
        if keyword in keys:
            read = _value(header, first + 10)
            if read is None or (keyword in (*INTEGERS, *FACTORS) and not _is_number(read[0])):
                return None
            if not is_impossible_date(keyword, read[0]):
                cards[keyword], cards.comments[keyword] = read
    return cards


def _value(header: str, start: int) -> tuple[Value, str] | None:
    """Return the value of a card, which begins here, and its comment."""
    end = start + 70
    if match := NUMBER.fullmatch(header, start, end):
        is_integer = match[1].lstrip("+-").isdecimal()
        return (int(match[1]) if is_integer else float(match[1])), match[2] or ""
    if match := TEXT.fullmatch(header, start, end):
        return match[1].replace("''", "'"), match[2] or ""
    if match := LOGICAL.fullmatch(header, start, end):
        return match[1] == "T", match[2] or ""
    return None


def _has_more(numbers: PlainCards, n_bytes: int) -> bool:
    """Whether another part of the file follows the image that begins these bytes."""
    of_image = abs(int(numbers["BITPIX"])) // 8 * int(numbers["NAXIS1"]) * int(numbers["NAXIS2"])
    return n_bytes >= of_image + -of_image % BLOCK + BLOCK


def _is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shape(numbers: PlainCards, n_bytes: int) -> tuple[int, int] | None:
    """Return the shape of a 2-D image that fits into these bytes."""
    layout = {"PCOUNT": 0, "GCOUNT": 1} | {key: numbers[key] for key in INTEGERS if key in numbers}
    if len(layout) < len(INTEGERS) or not all(isinstance(value, int) for value in layout.values()):
        return None
    bits, axes, nx, ny, extra, groups = (int(layout[key]) for key in INTEGERS)
    if bits not in PIXEL_TYPES or (axes, extra, groups) != (2, 0, 1) or min(nx, ny) < 1:
        return None
    if nx * ny > MAX_PIXELS or abs(bits) // 8 * nx * ny > n_bytes:
        return None
    return (ny, nx) if all(isfinite(float(numbers.get(key, 0))) for key in FACTORS) else None
