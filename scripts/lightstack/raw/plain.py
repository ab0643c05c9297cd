"""A quick look at plain FITS headers: for thousands of files astropy would take most of the plan.

What is out of the ordinary in any way is left to `images.read_cards`; where this look finds
something, the other finds the same.
"""

import re
from math import isfinite
from pathlib import Path

from scripts.lightstack.raw.image import MAX_PIXELS

BLOCK = 2880

MAX_BLOCKS = 40
"""Longer headers are not plain."""

PRINTABLE = re.compile(rb"[ -~]*")

FIRST_CARD = f"SIMPLE  = {'T':>20}"

KEYWORD = re.compile(r"[A-Z0-9_-]+")

NUMBER = re.compile(r" *([+-]?[0-9]+(?:\.[0-9]*)?(?:E[+-]?[0-9]+)?) *(?:/.*)?")

PIXEL_BITS = (8, 16, 32, 64, -32, -64)

INTEGERS = ("BITPIX", "NAXIS", "NAXIS1", "NAXIS2", "PCOUNT", "GCOUNT")
"""Cards that tell where the pixels are."""

FACTORS = ("BSCALE", "BZERO")
"""Cards without which no pixel can be read if they are no numbers."""


def plain_cards(
    path: Path, keys: tuple[str, ...]
) -> tuple[tuple[int, int], dict[str, int | float]] | None:
    """Read the shape and some numbers of an uncompressed image at the beginning of a FITS file.

    Parameters
    ----------
    path : Path
        The file.
    keys : tuple of str
        Cards to read.

    Returns
    -------
    ((int, int), dict of str to number) or None
        ``(ny, nx)`` [pixels] and those of the cards that are there; None where anything is out of
        the ordinary. If it is not, all pixels are there as well: `images.read_image` reads them.
    """
    with path.open("rb") as file:
        header = _header(file.read(MAX_BLOCKS * BLOCK))
        size = file.seek(0, 2)
    if header is None:
        return None
    numbers = _numbers(header, {*INTEGERS, *FACTORS, *keys})
    shape = None if numbers is None else _shape(numbers, size - len(header))
    if numbers is None or shape is None:
        return None
    return shape, {key: numbers[key] for key in keys if key in numbers}


def _header(start: bytes) -> str | None:
    """Return the first header, if it is whole and plain text."""
    for first in range(0, len(start) - BLOCK + 1, BLOCK):
        for at in range(first, first + BLOCK, 80):
            if start[at : at + 80].rstrip() == b"END":
                content = start[: first + BLOCK]
                return content.decode("ascii") if PRINTABLE.fullmatch(content) else None
    return None


def _numbers(header: str, keys: set[str]) -> dict[str, int | float] | None:
    """Return the numbers of these cards; None if one is no number, or any card is odd."""
    numbers: dict[str, int | float] = {}
    if not header.startswith(FIRST_CARD):
        return None
    for first in range(0, len(header), 80):
        keyword = header[first : first + 8].rstrip()
        if keyword in ("", "COMMENT", "HISTORY", "END"):
            continue
        has_value = header[first + 8 : first + 10] == "= " and KEYWORD.fullmatch(keyword)
        if not has_value or keyword == "ZIMAGE" or keyword in numbers:
            return None
        if keyword in keys:
            match = NUMBER.fullmatch(header, first + 10, first + 80)
            if match is None:
                return None
            is_integer = match[1].lstrip("+-").isdecimal()
            numbers[keyword] = int(match[1]) if is_integer else float(match[1])
    return numbers


def _shape(numbers: dict[str, int | float], n_bytes: int) -> tuple[int, int] | None:
    """Return the shape of a 2-D image that fits into these bytes."""
    layout = {"PCOUNT": 0, "GCOUNT": 1} | {key: numbers[key] for key in INTEGERS if key in numbers}
    if len(layout) < len(INTEGERS) or not all(isinstance(value, int) for value in layout.values()):
        return None
    bits, axes, nx, ny, extra, groups = (int(layout[key]) for key in INTEGERS)
    if bits not in PIXEL_BITS or (axes, extra, groups) != (2, 0, 1) or min(nx, ny) < 1:
        return None
    if nx * ny > MAX_PIXELS or abs(bits) // 8 * nx * ny > n_bytes:
        return None
    return (ny, nx) if all(isfinite(numbers.get(key, 0)) for key in FACTORS) else None
