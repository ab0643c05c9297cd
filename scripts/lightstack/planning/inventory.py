"""What is in the folders of a run: every file, how it was taken and what becomes of it."""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Self

from scripts.lightstack.digest import VERSIONS, code_digest
from scripts.lightstack.files.records import read_json, write_json
from scripts.lightstack.order import natural_order
from scripts.lightstack.planning.calibration_choice import Calibration
from scripts.lightstack.planning.clocks import doubts
from scripts.lightstack.planning.groups import Groups, told
from scripts.lightstack.planning.master_choice import NOUNS
from scripts.lightstack.planning.progress import Progress
from scripts.lightstack.planning.uses import Known, Uses
from scripts.lightstack.raw.exposure import EXPOSURE_CARDS, Exposure, exposure_of
from scripts.lightstack.raw.image import FIRST, UnreadableFileError, UnusableFrameError
from scripts.lightstack.raw.images import AS_STATED, is_fits_name, read_cards
from scripts.lightstack.raw.roles import LIGHT
from scripts.lightstack.raw.sections import LEFT, Asked
from scripts.lightstack.raw.values import written
from scripts.lightstack.telling import counted, listed
from scripts.lightstack.text import on_one_line

MOST_NAMED = 3
"""Files of a kind that are told of by name; the inventory has them all."""


class Looks:
    """How files were taken, each looked at only once as long as its content stays.

    What the system cannot read now is looked at again the next time.

    Parameters
    ----------
    contents : mapping of str to str
        Fingerprint of each file by its path.
    cache_path : Path
        JSON file that remembers between runs. It may be damaged or deleted: that costs time,
        nothing else.
    cards : sequence of str, optional
        More cards to look for.
    extension : str or int, optional
        Which image of a FITS file is meant: see `fits_reader.read_fits`.
    sections : Asked, optional
        What the settings say of the part that was exposed.
    say : function of str, optional
        Is told how far the looking has come, if it takes a while: a camera's raw file takes a
        tenth of a second, and one that calibrates is read to its end.
    """

    def __init__(
        self,
        contents: Mapping[str, str],
        cache_path: Path,
        cards: Sequence[str] = (),
        extension: str | int = FIRST,
        sections: Asked = AS_STATED,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._contents, self._cache_path, self._cards = contents, cache_path, tuple(cards)
        self._reading: dict[str, Any] = {"extension": extension, "sections": sections}
        code = code_digest("scripts/lightstack/planning/inventory.py")
        self._code = [code, str(self._reading), *VERSIONS]
        self._known = self._recall()
        self._entries: dict[str, dict[str, Any]] = {}
        self._n_new = sum(not self._is_known(path) for path in contents)
        self._n_looks, self._n_reads, self._progress = 0, 0, Progress(say)

    def __enter__(self) -> Self:
        """Begin to look."""
        return self

    def __exit__(self, *_: object) -> None:
        """Keep what was seen, even if the looking was interrupted."""
        self.keep()

    def exposure(self, path: str) -> Exposure | str:
        """How a file was taken, or the sentence that says why it cannot be read."""
        entry = self._entry(path)
        if "problem" in entry:
            return str(entry["problem"])
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in entry["exposure"].items()
        }
        return Exposure(**values)

    def cards(self, path: str) -> dict[str, str]:
        """Return what the header of a file states for each of the cards that it has."""
        return {key: text for key, text in self._entry(path)["cards"].items() if text is not None}

    def damage(self, path: str) -> str:
        """Why the pixels of a file cannot be read, or nothing if they can."""
        entry = self._entry(path)
        if "damage" not in entry:
            try:
                read_cards(Path(path), (), with_pixels=True, **self._reading)
                entry["damage"] = ""
            except UnusableFrameError as error:
                entry["damage"] = str(error)
                entry["passing"] = isinstance(error, UnreadableFileError)
            self._n_reads += 1
            self._tell(f"Reading new darks, bias frames and flats: {self._n_reads:,}.")
        return str(entry["damage"])

    def keep(self) -> None:
        """Remember what was seen; of files that are gone nothing is kept."""
        seen = self._known | self._entries
        lasting = {
            path: entry
            for path, entry in seen.items()
            if path in self._contents and not entry["passing"]
        }
        if lasting != self._known:
            cached = {"code": self._code, "sha256": _digest(lasting), "files": lasting}
            write_json(self._cache_path, cached)

    def _entry(self, path: str) -> dict[str, Any]:
        if path not in self._entries:
            if self._is_known(path):
                self._entries[path] = dict(self._known[path])
            else:
                seen = _look(Path(path), self._cards, **self._reading)
                self._entries[path] = {"sha256": self._contents[path], **seen}
                self._n_looks += 1
                self._tell(f"Looking at new files: {self._n_looks:,} of {self._n_new:,}.")
        return self._entries[path]

    def _is_known(self, path: str) -> bool:
        known = self._known.get(path)
        return (
            known is not None
            and known["sha256"] == self._contents[path]
            and known["cards"].keys() >= set(self._cards)
        )

    def _tell(self, line: str) -> None:
        """Tell how far the looking has come, and keep what was seen, if it is time to."""
        if self._progress.step(line):
            self.keep()

    def _recall(self) -> dict[str, dict[str, Any]]:
        """Read the cache; what is not as it was written is forgotten."""
        try:
            cached = read_json(self._cache_path)
            files: dict[str, dict[str, Any]] = cached["files"]
            is_whole = cached["code"] == self._code and cached["sha256"] == _digest(files)
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return {}
        return files if is_whole else {}


def _digest(files: object) -> str:
    return hashlib.sha256(json.dumps(files).encode()).hexdigest()


def _look(path: Path, more: tuple[str, ...] = (), **reading: Any) -> dict[str, Any]:
    """Look at the header of a file."""
    try:
        shape, cards, pixel_type = read_cards(path, (*EXPOSURE_CARDS, *more), **reading)
    except UnusableFrameError as error:
        is_passing = isinstance(error, UnreadableFileError)
        return {"problem": str(error), "passing": is_passing, "cards": dict.fromkeys(more)}
    picture = not is_fits_name(path)
    exposure = exposure_of(cards, shape, picture=picture, pixel_type=pixel_type)
    values = ((field.name, getattr(exposure, field.name)) for field in fields(exposure))
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in values}
    stated = {key: written(cards, key) for key in more}
    return {"exposure": plain, "passing": False, "cards": stated}


def inventory(
    uses: Uses,
    known: Known,
    contents: Mapping[str, str],
    calibration: Calibration,
    groups: Groups,
) -> list[dict[str, Any]]:
    """List all files, a row each.

    Parameters
    ----------
    uses : Uses
        What each file is used as.
    known : mapping
        How each file was taken.
    contents : mapping of str to str
        Fingerprints of the files.
    calibration : Calibration
        What the frames are calibrated with.
    groups : Groups
        Which frames are stacked together.

    Returns
    -------
    list of dict
        With the columns of `list_inventory` as keys, in the order of the files.
    """
    lights = {path: name for name, path in uses.frames.paths.items()}
    used = {
        path: noun for noun, choice in calibration.masters.items() for path in sorted(choice.used)
    }
    idle = {
        path: why for choice in calibration.masters.values() for path, why in choice.idle.items()
    }
    rows = []
    for path in sorted({*known, *uses.left_out}, key=natural_order):
        seen = known.get(path)
        used_as, why = "", idle.get(path, "no frame needs it")
        if path in uses.left_out:
            why = uses.why(path)
        elif isinstance(seen, str):
            why = seen
        elif path in lights:
            frame = lights[path]
            used_as, why = LIGHT, calibration.without(frame) or calibration.unstated(frame)
        elif path in used:
            used_as, why = used[path], ""
        rows.append(
            {
                "file": path,
                "role": uses.roles.get(path, "unknown"),
                "used_as": used_as,
                "why": why,
                "group": groups.of_frame.get(lights.get(path, "")),
                **_described(seen),
                "sha256": contents.get(path),
            }
        )
    rows += [
        {"file": name, "role": "unknown", "why": why}
        for files in (uses.frames, uses.darks, uses.bias, uses.flats)
        for name, why in files.refused.items()
    ]
    return rows


def _described(exposure: Exposure | str | None) -> dict[str, Any]:
    """Columns that tell how a file was taken."""
    if not isinstance(exposure, Exposure):
        return {}
    return {
        "shape": _pair(exposure.shape[::-1]),
        "type": exposure.pixel_type,
        "exptime_s": exposure.exptime,
        "gain": exposure.gain,
        "egain": exposure.egain,
        "offset": exposure.offset,
        "readout_mode": exposure.readout_mode,
        "binning": _pair(exposure.binning),
        "temperature_c": exposure.temperature,
        "filter": exposure.filter,
        "object": exposure.object,
        "bayer_pattern": exposure.bayer,
        "orientation": exposure.orientation,
        "window": _pair(exposure.window),
        "camera": exposure.camera,
        "telescope": exposure.telescope,
        "date_obs": exposure.date,
    }


def _pair(values: tuple[float, ...] | None) -> str | None:
    return None if values is None else " x ".join(f"{value:g}" for value in values)


def ledger_facts(uses: Uses, known: Known, groups: Groups) -> dict[str, dict[str, str]]:
    """Tell what the ledger says of frames, used or not, from their headers.

    Parameters
    ----------
    uses : Uses
        What each file is used as.
    known : mapping
        How each file was taken.
    groups : Groups
        Which frames are stacked together.

    Returns
    -------
    dict of str to dict of str to str
        By frame, of ``filter``, ``object`` and ``group`` what there is.
    """
    facts = {}
    for frame, path in {**uses.offered, **uses.frames.paths}.items():
        seen = known.get(path)
        stated = {"group": groups.of_frame.get(frame)}
        if isinstance(seen, Exposure):
            stated |= {"filter": seen.filter, "object": seen.object}
        facts[frame] = {column: text for column, text in stated.items() if text}
    return facts


def overview(
    uses: Uses,
    known: Known,
    calibration: Calibration,
    groups: Groups,
    *,
    in_colour: bool = False,
) -> list[str]:
    """Tell in a few lines what is there, and what of it is not used.

    Parameters
    ----------
    uses : Uses
        What each file is used as.
    known : mapping
        How each file was taken.
    calibration : Calibration
        What the frames are calibrated with.
    groups : Groups
        Which frames are stacked together.
    in_colour : bool, optional
        Whether stacks have colours.

    Returns
    -------
    list of str
        One line for all files; those of the groups; one for frames that differ and are stacked
        together; one for each cause to leave files out, or frames without a dark; one for files
        that cannot be read.
    """
    n_used = {noun: len(choice.used) for noun, choice in calibration.masters.items()}
    found = [counted(len(uses.frames.names), "light")]
    found += [
        f"{count} {NOUNS[noun][count != 1]}"
        for noun, count in n_used.items()
        if count or noun == "dark"
    ]
    lines = [f"Found {', '.join(found)} for them."]
    lines += told(groups, uses.frames.paths, known)
    taken = {
        path: exposure
        for path in uses.frames.paths.values()
        if isinstance(exposure := known[path], Exposure)
    }
    lines += doubts(taken)
    lights = [*taken.values()]
    many = [light.picture for light in lights if light.n_images > 1]
    for is_picture, choice in ((False, "which fits_extension chooses"), (True, "the first")):
        if count := many.count(is_picture):
            lines.append(
                f"{counted(count, 'light')} with several images in a file: one of them is used, "
                f"{choice}."
            )
    lines += _unfollowed(known)
    lines += _leftovers(known)
    mosaics = Counter(light.bayer for light in lights if light.bayer)
    for pattern, count in sorted(mosaics.items()):
        made = "stacked in colour" if in_colour else "made grey, 1/4 red, 1/2 green and 1/4 blue"
        lines.append(f"{counted(count, 'light')} of a Bayer mosaic ({pattern}): {made}.")
    for used_as, paths in uses.strays().items():
        lines.append(f"As their headers or names say, {used_as}: {listed(paths, MOST_NAMED)}.")
    for cause, paths in uses.causes().items():
        lines.append(f"Not used, {cause}: {listed(paths, MOST_NAMED)}.")
    lines += calibration.told
    counts = sum(
        (Counter(each.unread) for each in (uses.frames, uses.darks, uses.bias, uses.flats)),
        Counter(),
    )
    if counts:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
        lines.append(f"Not read, for lightstack does not know their kinds: {kinds}.")
    return [on_one_line(line) for line in lines]


def _unfollowed(known: Known) -> list[str]:
    """Say why sections in headers are not followed, a line for all files that are alike."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for path, seen in _by_name(known):
        if seen.overscan_problem:
            what = "Overscan left as it is in" if seen.overscan == LEFT else "Not cut:"
            found[what, seen.overscan_problem].append(path)
    return [
        f"{what} {_files(paths)}: {problem}. "
        "Set overscan_section and trim_section to where overscan and data are, or to none."
        for (what, problem), paths in found.items()
    ]


def _leftovers(known: Known) -> list[str]:
    """Say which files may be cut out of larger ones, where others of their size are not."""
    of_size: dict[tuple[int, int], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for path, seen in _by_name(known):
        of_size[seen.shape][seen.leftover].append(path)
    return [
        f"A section of data {section} is in the header of {_files(paths)}, and not in that of "
        f"others of {nx} x {ny} pixels: if cut out of larger images, darks and flats may not fit. "
        "Else correct TRIMSEC or DATASEC."
        for (ny, nx), found in of_size.items()
        if len(found) > 1
        for section, paths in found.items()
        if section
    ]


def _files(paths: Sequence[str]) -> str:
    return paths[0] if len(paths) == 1 else f"{len(paths)} files, such as {paths[0]}"


def _by_name(known: Known) -> Iterator[tuple[str, Exposure]]:
    for path in sorted(known, key=natural_order):
        if isinstance(seen := known[path], Exposure):
            yield path, seen
