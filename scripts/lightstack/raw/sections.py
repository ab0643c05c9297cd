"""Which part of an image was exposed and which is overscan, as headers or settings tell."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.raw.image import UnusableFrameError
from scripts.lightstack.raw.ports import PORT_CARDS, UnclearPortError, parts_of_port
from scripts.lightstack.raw.values import LONGEST_TEXT, Cards

HEADER, NONE = "header", "none"
"""Values of the settings beside sections: what the header says, or nothing."""

TRIM_KEYS, OVERSCAN_KEYS = ("TRIMSEC", "DATASEC"), ("BIASSEC",)
"""NOAO's cards, as IRAF and ccdproc have them; of the first two the one that is stated first."""

NUMBERED_TRIM_KEYS = ("TRIMSEC", "TSEC", "DATASEC", "DSEC")

NUMBERED_OVERSCAN_KEYS = ("BIASSEC", "BSEC")

NUMBERS = ("1", "2", "3", "4", "5", "6", "7", "8", "11", "12", "21", "22")
"""Behind these names where there are several amplifiers: one by one, or by row and column."""

SECTION_CARDS = (
    *(TRIM_KEYS + OVERSCAN_KEYS),
    *(stem + number for stem in NUMBERED_TRIM_KEYS + NUMBERED_OVERSCAN_KEYS for number in NUMBERS),
    *PORT_CARDS,
)
"""All cards that tell of exposed pixels and of overscan."""

SUBTRACTED, LEFT = "subtracted", "not subtracted"
"""What becomes of an overscan."""

STATE, PROBLEM, LEFTOVER = "OVERSTAT", "OVERWHY", "OVERLEFT"
"""Cards that tell what becomes of an image's overscan, why nothing does, and which section of data
is larger than the image."""

SECTION = re.compile(r"\s*\[\s*(\d{1,9})\s*:\s*(\d{1,9})\s*,\s*(\d{1,9})\s*:\s*(\d{1,9})\s*\]\s*")

MEANT = re.compile(r"[\[:,].*[1-9]")
"""What of a card means a section, and not that there is none."""

FEWEST_PIXELS = 64
"""Fewer pixels of overscan tell their level no better than the noise."""

Region = tuple[slice, slice]
"""Rows and columns of an image."""


class _UnclearError(Exception):
    """Sections contradict each other, or the image; the message says how."""


@dataclass(frozen=True)
class Asked:
    """What the settings say of the parts of all images.

    Parameters
    ----------
    overscan, trim : str
        Sections as IRAF writes them, such as ``[2049:2080,1:1024]``: columns and rows, counted
        from 1, ends included. Or `HEADER`, or `NONE`.
    """

    overscan: str = HEADER
    trim: str = HEADER


@dataclass(frozen=True)
class Amplifier:
    """A part of an image that was exposed, and the overscan that tells its level, if any."""

    data: Region
    overscan: Region | None = None


@dataclass(frozen=True)
class Sections:
    """Parts of an image.

    Parameters
    ----------
    amplifiers : tuple of Amplifier
        What is kept, in rows and columns beside each other; none if all is, as it is.
    problem : str
        Why the cards that speak of parts are not followed.
    has_overscan : bool
        Whether they speak of overscan.
    leftover : str
        The section of data of an image that was cut since to less than that.
    """

    amplifiers: tuple[Amplifier, ...] = ()
    problem: str = ""
    has_overscan: bool = True
    leftover: str = ""

    @property
    def state(self) -> str | None:
        """What becomes of the overscan; None where nothing speaks of any."""
        if any(each.overscan for each in self.amplifiers):
            return SUBTRACTED
        return LEFT if self.problem and self.has_overscan else None

    def places(self, axis: int) -> NDArray[np.intp]:
        """Rows (axis 0) or columns (axis 1) that are kept."""
        parts = _in_order(each.data[axis] for each in self.amplifiers)
        return np.concatenate([np.arange(part.start, part.stop) for part in parts])


def sections_of(header: Cards, shape: tuple[int, int], asked: Asked) -> Sections:
    """Find the parts of an image.

    Parameters
    ----------
    header : mapping
        The image's cards, `SECTION_CARDS` among them.
    shape : (int, int)
        ``(ny, nx)`` of the image in the file [pixels].
    asked : Asked
        What the settings say.

    Returns
    -------
    Sections
        What is not clear is left as it is, with the reason.

    Raises
    ------
    UnusableFrameError
        If the image has no such part as the settings name.
    """
    trim = _asked(asked.trim, shape, "trim_section")
    overscan = _asked(asked.overscan, shape, "overscan_section")
    try:
        if asked == Asked() and (amplifiers := _several(header, shape)):
            return Sections(amplifiers)
        trim, overscan, leftover = _one(header, shape, asked, trim, overscan)
    except _UnclearError as unclear:
        has_overscan = overscan is not None or any(
            header.get(key)
            for key in SECTION_CARDS
            if key.startswith(NUMBERED_OVERSCAN_KEYS + PORT_CARDS)
        )
        return Sections(problem=str(unclear), has_overscan=has_overscan)
    trim = trim or _whole(shape)
    problem = ""
    if overscan:
        try:
            _check(trim, overscan)
            return Sections((Amplifier(trim, overscan),))
        except _UnclearError as unclear:
            problem = str(unclear)
    amplifiers = () if size_of(trim) == shape else (Amplifier(trim),)
    return Sections(amplifiers, problem, leftover=leftover)


def _asked(value: str, shape: tuple[int, int], name: str) -> Region | None:
    if value in (HEADER, NONE):
        return None
    region = region_of(value)
    if region is None or not _is_inside(region, shape):
        raise UnusableFrameError(
            f"it has {shape[1]} x {shape[0]} pixels, and no part {value} as {name} asks for."
        )
    return region


def _one(
    header: Cards,
    shape: tuple[int, int],
    asked: Asked,
    trim: Region | None,
    overscan: Region | None,
) -> tuple[Region | None, Region | None, str]:
    """Complete what the settings say of data and overscan by what the header says.

    And tell of a section of data that is larger than the image.
    """
    leftover = ""
    stated_trim = _stated(header, TRIM_KEYS) if asked.trim == HEADER else None
    stated_overscan = _stated(header, OVERSCAN_KEYS) if asked.overscan == HEADER else None
    stated = [region for region in (stated_trim, stated_overscan) if region]
    if any(not _is_inside(region, shape) for region in stated):
        # An image no larger than its data was cut before, and the cards were left.
        if stated_trim is None or not _was_cut(stated, stated_trim, shape):
            named = " and ".join(map(_written, stated))
            reach = "reaches" if len(stated) == 1 else "reach"
            raise _UnclearError(
                f"{named} {reach} beyond the image of {shape[1]} x {shape[0]} pixels"
            )
        leftover = "" if size_of(stated_trim) == shape else _written(stated_trim)
        stated_trim = stated_overscan = None
    trim, overscan = trim or stated_trim, overscan or stated_overscan
    if asked == Asked() and overscan is None and trim in (None, _whole(shape)):
        trim, overscan = _of_port(header, shape) or (trim, None)
    if overscan and trim is None and asked.trim == HEADER:
        trim = _beside(overscan, shape)
    return trim, overscan, leftover


def _of_port(header: Cards, shape: tuple[int, int]) -> tuple[Region, Region | None] | None:
    """Find what a camera tells in another way."""
    try:
        return parts_of_port(header, shape)
    except UnclearPortError as unclear:
        raise _UnclearError(str(unclear)) from unclear


def _whole(shape: tuple[int, int]) -> Region:
    return slice(0, shape[0]), slice(0, shape[1])


def _was_cut(stated: list[Region], trim: Region, shape: tuple[int, int]) -> bool:
    """Whether an image has nothing but data left, and is not one whose pixels are binned."""
    extent = [max(region[axis].stop for region in stated) for axis in (0, 1)]
    binning = [round(extent[axis] / shape[axis]) for axis in (0, 1)]
    is_binned = binning[0] == binning[1] > 1 and all(
        abs(extent[axis] - binning[axis] * shape[axis]) < binning[axis] for axis in (0, 1)
    )
    return not is_binned and all(size_of(trim)[axis] >= shape[axis] for axis in (0, 1))


def _several(header: Cards, shape: tuple[int, int]) -> tuple[Amplifier, ...]:
    """Find the parts of several amplifiers; none if no card has a number."""
    found = []
    for number in NUMBERS:
        overscan = _stated(header, NUMBERED_OVERSCAN_KEYS, number)
        data = _stated(header, NUMBERED_TRIM_KEYS, number)
        if overscan is None:
            continue
        if data is None:
            raise _UnclearError(f"amplifier {number} has an overscan, and no section of data")
        if not _is_inside(data, shape) or not _is_inside(overscan, shape):
            raise _UnclearError(
                f"the header's sections of amplifier {number} reach beyond the image of "
                f"{shape[1]} x {shape[0]} pixels"
            )
        found.append(Amplifier(data, overscan))
    rows, columns = (_in_order(each.data[axis] for each in found) for axis in (0, 1))
    overlaps = any(
        one.stop > other.start for parts in (rows, columns) for one, other in pairwise(parts)
    )
    if found and (overlaps or len(rows) * len(columns) != len(found)):
        raise _UnclearError("the amplifiers' sections of data do not lie in rows and columns")
    for each in found:
        for other in found:
            if other.overscan:
                _check(each.data, other.overscan)
    return tuple(found)


def _stated(header: Cards, stems: Iterable[str], number: str = "") -> Region | None:
    values = {stem + number: header.get(stem + number) for stem in stems}
    regions = (region_of(value) for value in values.values())
    region = next((region for region in regions if region), None)
    if region is None:
        for key, value in values.items():
            if isinstance(value, str) and MEANT.search(text := value[:LONGEST_TEXT].strip()):
                raise _UnclearError(f"{key} = {text!r} is no section such as [1:2048,1:1024]")
    return region


def region_of(value: object) -> Region | None:
    """Tell rows and columns of a section, whichever way it runs; None if it is none."""
    match = SECTION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return None
    x0, x1, y0, y1 = map(int, match.groups())
    if 0 in (x0, x1, y0, y1):
        return None
    return slice(min(y0, y1) - 1, max(y0, y1)), slice(min(x0, x1) - 1, max(x0, x1))


def _written(region: Region) -> str:
    rows, columns = region
    return f"[{columns.start + 1}:{columns.stop},{rows.start + 1}:{rows.stop}]"


def size_of(region: Region) -> tuple[int, int]:
    """Tell how many rows and columns a region has."""
    return region[0].stop - region[0].start, region[1].stop - region[1].start


def _is_inside(region: Region, shape: tuple[int, int]) -> bool:
    return bool(region[0].stop <= shape[0] and region[1].stop <= shape[1])


def _in_order(parts: Iterable[slice]) -> list[slice]:
    """Different ranges of rows or columns."""
    return [slice(*ends) for ends in sorted({(part.start, part.stop) for part in parts})]


def _beside(overscan: Region, shape: tuple[int, int]) -> Region:
    """Find what was exposed beside a strip at a border, where the header tells the strip alone."""
    for axis in (0, 1):
        strip, across = overscan[axis], overscan[1 - axis]
        is_across = across == slice(0, shape[1 - axis])
        if is_across and strip.start == 0 and strip.stop < shape[axis]:
            rest = slice(strip.stop, shape[axis])
        elif is_across and strip.start > 0 and strip.stop == shape[axis]:
            rest = slice(0, strip.start)
        else:
            continue
        return (rest, across) if axis == 0 else (across, rest)
    raise _UnclearError(f"the overscan {_written(overscan)} is no strip at a border")


def _check(data: Region, overscan: Region) -> None:
    """Refuse an overscan that was exposed, or is too small."""
    if all(
        one.start < other.stop and other.start < one.stop
        for one, other in zip(data, overscan, strict=True)
    ):
        raise _UnclearError(
            f"the overscan {_written(overscan)} overlaps the data {_written(data)}"
        )
    rows, columns = size_of(overscan)
    if rows * columns < FEWEST_PIXELS:
        raise _UnclearError(f"the overscan {_written(overscan)} has too few pixels")
