"""Values of header cards as cameras and programs really write them.

Numbers stand as text, with decimal commas, units and quotes; nothing that a card can hold raises.
"""

import math
import re
from datetime import datetime
from typing import Any, Protocol


class Cards(Protocol):
    """Values by keyword, as in astropy's headers and in dictionaries."""

    def get(self, key: str, /) -> Any:
        """Return the value of a card; None if there is none."""


EXPOSURE_UNITS = {
    "EXPTIME": "s",  # SBFITSEXT, NOAO, and nearly all others
    "EXPOSURE": "s",  # OGIP, SBIG, SGP, NINA, ASIAIR
    "XPOSURE": "s",  # FITS 4.0
    "EXP_TIME": "s",
    "EXP-TIME": "s",
    "EXP": "s",  # Dwarf
    "ITIME": "s",
    "EXPOINUS": "us",  # ASICAP
    "EXPTIMEM": "ms",
    "EXPTIMMS": "ms",
    "EXP_MS": "ms",
    "EXPMS": "ms",
    "EXP_US": "us",
    "EXPUS": "us",
}
"""Cards of the exposure time and the unit of a bare number in them."""

LONGEST_EXPOSURE_S = 1e6
"""Twelve days: more is a header's mistake."""

CLOCKS_BEGIN = ("1904-01-01", "1970-01-01", "1980-01-01", "1980-01-06", "2000-01-01")
"""Days from which on Macintosh, Unix, DOS, GPS and cameras count."""

LONGEST_TEXT = 200
"""Characters; a card has 68, and may be continued."""

NUMBER = re.compile(
    r"(?P<number>[-+]?(?:[0-9][0-9.,]*|[.,][0-9]+)(?:[edED][-+]?[0-9]+)?)"
    r"(?:\s*/\s*(?P<divisor>[0-9]+(?:[.,][0-9]+)?))?"
    r"\s*[\[(°]?\s*(?P<unit>[^\W\d_]*)(?![-:.,0-9])"
)
"""A number, perhaps a fraction, and its unit; neither a date nor a time of day."""

SECONDS = {
    "s sec secs second seconds sek sekunden": 1.0,
    "ms msec millisec millisecond milliseconds": 1e-3,
    "us µs μs usec microsec microsecond microseconds": 1e-6,
    "min mins minute minutes": 60.0,
}
"""What the units of time are in seconds; "ISO" and others are no units of time."""

UNIT_IN_COMMENT = re.compile(r"\[\s*(\w+)\s*\]|\bin\s+(\w+)", re.ASCII)


def text(header: Cards, keys: tuple[str, ...]) -> str | None:
    """Text of the first of these cards that holds any, on one line; numbers become text."""
    for key in keys:
        value = header.get(key)
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            continue
        if isinstance(value, float) and not math.isfinite(value):
            continue
        try:
            found = " ".join(str(value)[:LONGEST_TEXT].strip(" '\"\t").split())
        except ValueError:
            # Python writes no integer of more than 4300 digits.
            continue
        if found:
            return found
    return None


def written(header: Cards, key: str) -> str | None:
    """Value of a card of any kind, in one way of writing it; None if it holds nothing."""
    value = header.get(key)
    if isinstance(value, bool):
        return "T" if value else "F"
    if isinstance(value, int | float):
        found = _finite(value, "")
        return None if found is None else f"{found[0]:.10g}"
    return text(header, (key,))


def number(value: object) -> tuple[float, str] | None:
    """Read a number and the unit behind it.

    Parameters
    ----------
    value : object
        A number, or a text such as ``'300,000'``, ``'-10.0 C'``, ``'ISO 800'`` or ``'1/250 s'``.
        A single comma parts decimals: no header groups thousands by it alone.

    Returns
    -------
    (float, str) or None
        The finite number and its unit in small letters, empty if there is none; None if the value
        is no number.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return _finite(value, "")
    if not isinstance(value, str):
        return None
    cleaned = re.sub(r"^iso(?![a-z])\s*", "", value[:LONGEST_TEXT].strip(" '\"\t"), flags=re.I)
    match = NUMBER.match(cleaned)
    if match is None:
        return None
    try:
        found = float(_with_a_point(match["number"]))
        if match["divisor"]:
            found /= float(_with_a_point(match["divisor"]))
    except (ValueError, ZeroDivisionError, OverflowError):
        return None
    return _finite(found, match["unit"].lower())


def _finite(value: float, unit: str) -> tuple[float, str] | None:
    try:
        return (float(value), unit) if math.isfinite(value) else None
    except OverflowError:
        return None


def _with_a_point(digits: str) -> str:
    """Write a number's decimals behind a point, and no separators of thousands."""
    digits = re.sub("[dD]", "e", digits)
    decimal = max(".,", key=digits.rfind)
    other = "," if decimal == "." else "."
    digits = digits.replace(other, "")
    if digits.count(decimal) > 1:
        return digits.replace(decimal, "")
    return digits.replace(decimal, ".")


def first_number(header: Cards, keys: tuple[str, ...]) -> float | None:
    """Value of the first of these cards that holds a number."""
    for key in keys:
        found = number(header.get(key))
        if found is not None:
            return found[0]
    return None


def seconds(header: Cards, key: str, unit: str = "s") -> float | None:
    """Read a duration.

    Parameters
    ----------
    header : mapping
        The cards.
    key : str
        The card.
    unit : str
        Unit of a bare number, unless the card's comment names another.

    Returns
    -------
    float or None
        The duration [s]; None if the card holds none.
    """
    found = number(header.get(key))
    if found is None:
        return None
    value, written = found
    factor = _factor(written or _unit_in_comment(header, key) or unit)
    return None if factor is None else value * factor


def exposure_time(header: Cards) -> float | None:
    """Exposure time of a frame [s]; None if its header states none that makes sense."""
    for key, unit in EXPOSURE_UNITS.items():
        exptime = seconds(header, key, unit)
        if exptime is not None and 0 <= exptime < LONGEST_EXPOSURE_S:
            return exptime
    return None


def _unit_in_comment(header: Cards, key: str) -> str | None:
    """Find the unit of time that a comment names, such as ``[ms]`` or ``in milliseconds``."""
    comments = getattr(header, "comments", None)
    match = UNIT_IN_COMMENT.search(str(comments[key])) if comments is not None else None
    unit = (match[1] or match[2]).lower() if match else None
    return unit if unit is not None and _factor(unit) is not None else None


def _factor(unit: str) -> float | None:
    return next((factor for units, factor in SECONDS.items() if unit in units.split()), None)


def pair(header: Cards, key: str) -> tuple[float, float] | None:
    """Read two numbers of a card, such as ``'2x2'``, ``'2 2'`` or ``'2*2'``; one counts twice."""
    value = header.get(key)
    found = number(value)
    if found is None:
        return None
    if not isinstance(value, str):
        return found[0], found[0]
    digits = re.findall(r"[0-9]{1,9}(?:\.[0-9]{1,9})?", value[:LONGEST_TEXT])
    return (float(digits[0]), float(digits[min(1, len(digits) - 1)])) if len(digits) < 3 else None


def is_of_a_clock(moment: datetime) -> bool:
    """Whether a time is not of a day on which clocks begin that nobody has set."""
    return moment.date().isoformat() not in CLOCKS_BEGIN
