"""Which frames are stacked together, and which groups share a reference."""

import difflib
import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePath

from scripts.lightstack.order import natural_order
from scripts.lightstack.raw.exposure import (
    BINNING_KEYS,
    BINNING_TEXT_KEYS,
    CAMERA_KEYS,
    EGAIN_KEYS,
    FILTER_KEYS,
    GAIN_KEYS,
    ISO_KEYS,
    OBJECT_KEYS,
    OFFSET_KEYS,
    READOUT_KEYS,
    TELESCOPE_KEYS,
    WHEEL_KEYS,
    Exposure,
)
from scripts.lightstack.raw.spelling import filter_in_name, filter_of, without_spelling
from scripts.lightstack.raw.values import EXPOSURE_UNITS
from scripts.lightstack.telling import listed

FOLDER = "folder"
"""Stands in ``group_by`` for the folder in which a frame lies."""

Value = str | None
"""What a frame states for a key; None if it states nothing."""


def _number(value: float | None, digits: int = 10) -> Value:
    return None if value is None else f"{value:.{digits}g}"


def _binning(exposure: Exposure, axis: int) -> Value:
    return _number(exposure.binning[axis]) if exposure.binning else None


def _both_binnings(exposure: Exposure) -> Value:
    return "{:g}x{:g}".format(*exposure.binning) if exposure.binning else None


FILTERS = (*FILTER_KEYS, *WHEEL_KEYS)

READ: dict[str, Callable[[Exposure], Value]] = {
    **dict.fromkeys(FILTERS, lambda frame: frame.filter),
    **dict.fromkeys(OBJECT_KEYS, lambda frame: frame.object),
    # Shutters and clocks differ in the last digits.
    **dict.fromkeys(EXPOSURE_UNITS, lambda frame: _number(frame.exptime, 3)),
    **dict.fromkeys((*ISO_KEYS, *GAIN_KEYS), lambda frame: _number(frame.gain)),
    **dict.fromkeys(EGAIN_KEYS, lambda frame: _number(frame.egain)),
    **dict.fromkeys(OFFSET_KEYS, lambda frame: _number(frame.offset)),
    **dict.fromkeys(READOUT_KEYS, lambda frame: frame.readout_mode),
    **dict.fromkeys((x for x, _ in BINNING_KEYS), lambda frame: _binning(frame, 0)),
    **dict.fromkeys((y for _, y in BINNING_KEYS), lambda frame: _binning(frame, 1)),
    **dict.fromkeys(BINNING_TEXT_KEYS, _both_binnings),
    **dict.fromkeys(CAMERA_KEYS, lambda frame: frame.camera),
    **dict.fromkeys(TELESCOPE_KEYS, lambda frame: frame.telescope),
    "NAXIS1": lambda frame: str(frame.shape[1]),
    "NAXIS2": lambda frame: str(frame.shape[0]),
}
"""Keys of a header that are understood in all their spellings, whichever of them a file has."""

NOT_OF_THE_FIELD = frozenset((*FILTERS, *EXPOSURE_UNITS))
"""Keys that part what can lie on one grid all the same."""

LONGEST_NAME = 80
"""Bytes of a group's name: it is part of names of files, and of lines that a person reads."""

MOST_LISTED = 5
"""Values of a header that are told of: enough to see what is mixed."""

MOST_GROUPS = 12
"""Groups that are told of by name."""

MIXED_EXPOSURES = 3
"""Exposures that differ by more than this factor are no mere variation."""


class GroupingError(ValueError):
    """A sentence that says why frames cannot be grouped so."""


@dataclass(frozen=True)
class Groups:
    """The groups of a run's frames.

    Parameters
    ----------
    keys : list of str
        By what frames are parted; empty if they are not: one group without a name has all then.
    members : dict of str to list of str
        Frames of each group, in their order.
    shared : dict of str to str
        By group, the name of the groups among which it shares a reference: an empty one if all
        groups do.
    """

    keys: list[str] = field(default_factory=list)
    members: dict[str, list[str]] = field(default_factory=dict)
    shared: dict[str, str] = field(default_factory=dict)

    @cached_property
    def of_frame(self) -> dict[str, str]:
        """Group of each frame that has one."""
        return {frame: name for name, frames in self.members.items() for frame in frames}

    @property
    def stacked(self) -> list[str]:
        """Groups with frames enough for a stack, if all are good."""
        return [name for name, frames in self.members.items() if not name or len(frames) > 1]

    @property
    def alone(self) -> list[str]:
        """Groups of a single frame."""
        return [name for name in self.members if name not in self.stacked]

    @cached_property
    def aligned(self) -> dict[str, list[str]]:
        """Groups that share a reference, by their common name."""
        found: dict[str, list[str]] = {}
        for name, common in self.shared.items():
            found.setdefault(common, []).append(name)
        return found

    @cached_property
    def sharing(self) -> dict[str, dict[str, str]]:
        """Frames that share a reference, each with its group, by the common name."""
        return {
            common: {
                frame: self.of_frame[frame]
                for frame in sorted(
                    (frame for name in names for frame in self.members[name]), key=natural_order
                )
            }
            for common, names in self.aligned.items()
        }


def key_of(name: str) -> str:
    """Name a key as headers do."""
    key = " ".join(name.upper().split())
    return FOLDER if key == FOLDER.upper() else key


def cards_of(group_by: Iterable[str]) -> list[str]:
    """List the keys that have to be read from headers beside what is always read."""
    return sorted({key_of(name) for name in group_by} - {FOLDER, *READ})


def group_frames(
    frames: Mapping[str, str],
    known: Mapping[str, Exposure | str],
    cards: Callable[[str], Mapping[str, str]],
    *,
    group_by: Sequence[str],
    align_by: Sequence[str] | None,
) -> Groups:
    """Part the frames.

    Parameters
    ----------
    frames : dict of str to str
        Path of each frame.
    known : mapping
        How each file was taken, by its path. A file that cannot be read is of no group.
    cards : callable
        Gives for a path what its header states for each of `cards_of`.
    group_by : sequence of str
        Keys of headers, or "folder": frames with the same values are a group.
    align_by : sequence of str or None
        Those of the keys by which references are parted; None for all but filters and exposures.

    Returns
    -------
    Groups
        Ordered by their names.

    Raises
    ------
    GroupingError
        If a key is in no header, `align_by` is no part of `group_by`, or nothing could be stacked.
    """
    keys = tuple(dict.fromkeys(map(key_of, group_by)))
    common = _keys_of_references(keys, align_by)
    if not keys:
        return Groups([], {"": list(frames)}, {"": ""})
    values = {
        frame: [_value(key, frame, known[path], cards(path)) for key in keys]
        for frame, path in frames.items()
        if isinstance(known[path], Exposure)
    }
    _check_keys(keys, values)
    names = _named(keys, values)
    members: dict[str, list[str]] = {}
    for frame in values:
        members.setdefault(names[frame], []).append(frame)
    members = {name: members[name] for name in sorted(members, key=natural_order)}
    if values and max(map(len, members.values())) < 2:
        raise GroupingError(
            f"group_by: [{', '.join(group_by)}] leaves each of the {len(values)} frames alone, "
            "with nothing to stack it with. Name fewer keys, or others."
        )
    places = [keys.index(key) for key in common]
    fewer = {frame: [stated[place] for place in places] for frame, stated in values.items()}
    references = _named(common, fewer)
    return Groups(
        list(keys), members, {name: references[some[0]] for name, some in members.items()}
    )


def _keys_of_references(keys: tuple[str, ...], align_by: Sequence[str] | None) -> tuple[str, ...]:
    if align_by is None:
        return tuple(key for key in keys if key not in NOT_OF_THE_FIELD)
    wanted = tuple(dict.fromkeys(map(key_of, align_by)))
    for key in wanted:
        if key not in keys:
            raise GroupingError(
                f"align_by: {key} is not in group_by, so frames of one stack would lie on several "
                f"grids. Set group_by: [{', '.join((*keys, key))}], or leave {key} out of "
                "align_by."
            )
    return wanted


def _value(key: str, frame: str, exposure: Exposure | str, cards: Mapping[str, str]) -> Value:
    if key == FOLDER:
        folder = PurePath(frame).parent.as_posix()
        return None if folder == "." else folder
    if key in READ and isinstance(exposure, Exposure):
        return READ[key](exposure)
    return cards.get(key)


def _check_keys(keys: tuple[str, ...], values: Mapping[str, list[Value]]) -> None:
    """Refuse a key that no header has: it is mistyped, unless it is one that headers may lack."""
    for place, key in enumerate(keys):
        stated = any(found[place] is not None for found in values.values())
        if values and not stated and key not in READ and key != FOLDER:
            near = difflib.get_close_matches(key, [*READ, FOLDER], n=1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise GroupingError(f"group_by: no frame's header has a card {key}{hint}.")


def _named(keys: tuple[str, ...], values: Mapping[str, list[Value]]) -> dict[str, str]:
    """Name the group of each frame by its values; an empty name where there are no keys."""
    same: dict[tuple[Value, ...], list[str]] = {}
    for frame, stated in values.items():
        same.setdefault(tuple(map(_essence, keys, stated)), []).append(frame)
    wanted = {
        essence: _safe_name(
            [
                _most_frequent([values[frame][place] for frame in frames]) or f"no_{key}"
                for place, key in enumerate(keys)
            ],
            essence,
        )
        for essence, frames in same.items()
    }
    taken: set[str] = set()
    names: dict[str, str] = {}
    # The frames that are first in the order of their values keep the plain name.
    for essence in sorted(wanted, key=str):
        name = wanted[essence]
        if name.casefold() in taken:
            name = f"{name}-{_digest(essence)}"
        taken.add(name.casefold())
        names |= dict.fromkeys(same[essence], name)
    return names


def _essence(key: str, value: Value) -> Value:
    if value is None or key == FOLDER:
        return value
    return filter_of(value) if key in FILTERS else without_spelling(value)


def _most_frequent(written: Sequence[Value]) -> Value:
    return Counter(written).most_common(1)[0][0]


OF_THE_RUN = re.compile(r"previous|.*\.(fits|csv|json|png|html)", re.DOTALL)
"""Names that something else in the folder of the results may have, in small letters."""


def _safe_name(values: Sequence[str], essence: tuple[Value, ...]) -> str:
    """Join values to a name that any file system bears and Snakemake takes for a wildcard."""
    if not values:
        return ""
    parts = [re.sub(r"[^\w.+-]+|_+", "_", unicodedata.normalize("NFC", text)) for text in values]
    name = "_".join(part.strip("_") for part in parts).strip("._").lstrip("-")
    short = name.encode()[:LONGEST_NAME].decode(errors="ignore")
    is_odd = not name or OF_THE_RUN.fullmatch(name.casefold()) or re.search(r"(.+?)\1{19}$", name)
    return f"{short or 'group'}-{_digest(essence)}" if is_odd or short != name else name


def _digest(essence: tuple[Value, ...]) -> str:
    return hashlib.sha256(repr(essence).encode()).hexdigest()[:6]


def mixtures(exposures: Iterable[Exposure]) -> dict[str, list[str]]:
    """Tell in what frames differ that are going to be stacked together.

    Parameters
    ----------
    exposures : iterable of Exposure
        How the frames were taken.

    Returns
    -------
    dict of str to list of str
        By a text per quantity, such as "filter (4 of Ha, 4 of L, 4 of R)", the keys that part it.
        Exposures differ if the longest is more than three times the shortest.
    """
    frames = list(exposures)
    found: dict[str, list[str]] = {}
    sizes = [f"{frame.shape[1]} x {frame.shape[0]}" for frame in frames]
    axes = [
        axis for axis in ("NAXIS1", "NAXIS2") if len({READ[axis](each) for each in frames}) > 1
    ]
    binnings = [_both_binnings(frame) for frame in frames]
    other_binnings = len({*binnings} - {None}) > 1
    # Frames of several binnings differ in shape as well: one key parts both.
    found |= _mixed("shape", sizes, [] if other_binnings else axes)
    found |= _mixed(
        "binning", [text and text.replace("x", " x ") for text in binnings], ["XBINNING"]
    )
    for name, key in (("filter", "FILTER"), ("object", "OBJECT"), ("camera", "INSTRUME")):
        found |= _mixed(name, [READ[key](frame) for frame in frames], [key])
    times = [frame.exptime for frame in frames if frame.exptime]
    if times and max(times) > MIXED_EXPOSURES * min(times):
        texts = [f"{frame.exptime:.3g} s" if frame.exptime else None for frame in frames]
        found |= _mixed("exposure", texts, ["EXPTIME"])
    return found


def _mixed(name: str, values: Sequence[Value], keys: list[str]) -> dict[str, list[str]]:
    """Count the frames of each value, if there are several."""
    essence = filter_of if name == "filter" else without_spelling
    spelled: dict[str, list[str]] = {}
    for value in values:
        if value is not None:
            spelled.setdefault(essence(value), []).append(value)
    if len(spelled) < 2:
        return {}
    counts = {str(_most_frequent(same)): len(same) for same in spelled.values()}
    parts = [f"{counts[value]} of {value}" for value in sorted(counts, key=natural_order)]
    if len(parts) > MOST_LISTED:
        parts[MOST_LISTED - 2 : -1] = ["…"]
    if left := values.count(None):
        parts.append(f"{left} not stated")
    return {f"{name} ({', '.join(parts)})": keys}


def told(
    groups: Groups, frames: Mapping[str, str], known: Mapping[str, Exposure | str]
) -> list[str]:
    """Tell which groups there are, and in what frames differ that are stacked together.

    Parameters
    ----------
    groups : Groups
    frames : dict of str to str
        Path of each frame.
    known : mapping
        How each file was taken, by its path.

    Returns
    -------
    list of str
        A line each.
    """
    lines = []
    if groups.keys:
        named = [f"{name} ({len(groups.members[name])})" for name in groups.stacked]
        lines.append(f"Groups by {', '.join(groups.keys)}: {listed(named, MOST_GROUPS)}.")
        if alone := [f"{groups.members[name][0]} ({name})" for name in groups.alone]:
            lines.append(f"Not stacked, alone in their groups: {listed(alone, MOST_GROUPS)}.")
    mixed = {}
    for name in groups.stacked:
        seen = (known[frames[frame]] for frame in groups.members[name])
        if found := mixtures(frame for frame in seen if isinstance(frame, Exposure)):
            mixed[name] = found
    if mixed:
        lines.append(_warning(mixed, groups.keys))
    for name in groups.stacked:
        lines += _filters_of_names([frames[frame] for frame in groups.members[name]], known)
    return lines


def _filters_of_names(paths: list[str], known: Mapping[str, Exposure | str]) -> list[str]:
    """Tell of filters that the names of frames have, and no header."""
    seen = {path: taken for path in paths if isinstance(taken := known[path], Exposure)}
    filters = [filter_in_name(PurePath(path).stem) for path in seen]
    named = Counter(name for name in filters if name)
    if any(taken.filter for taken in seen.values()) or None in filters or len(named) < 2:
        return []
    counts = ", ".join(f"{count} of {name}" for name, count in sorted(named.items()))
    told = (
        f"By their names, frames of several filters are going to be stacked together ({counts})."
    )
    return [f"{told} To part them, move each filter's to a folder and set group_by: [folder]."]


def _warning(mixed: Mapping[str, Mapping[str, list[str]]], keys: Sequence[str]) -> str:
    """Say in what frames differ that are stacked together, and how to part them."""
    name, found = next(iter(mixed.items()))
    where = f"In the group {name}, frames" if name else "Frames"
    if len(mixed) > 1:
        where = f"In {len(mixed)} groups, such as {name}, frames"
    new = [key for found in mixed.values() for some in found.values() for key in some]
    wanted = ", ".join(dict.fromkeys((*keys, *new)))
    return (
        f"{where} are going to be stacked together that differ in {'; '.join(found)}. To part "
        f"them, set group_by: [{wanted}]."
    )
