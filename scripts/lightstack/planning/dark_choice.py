"""Which darks are subtracted from each frame, chosen before any job.

So each job depends on the darks that it uses, and on no others.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scripts.lightstack.calibration.darks import closest_master, kinds
from scripts.lightstack.digest import VERSIONS, code_digest
from scripts.lightstack.files.records import read_json, write_json
from scripts.lightstack.planning.frames import Frames
from scripts.lightstack.raw.exposure import EXPOSURE_CARDS, Exposure, exposure_of
from scripts.lightstack.raw.image import UnreadableFileError, UnusableFrameError
from scripts.lightstack.raw.images import read_cards


@dataclass(frozen=True)
class DarkChoice:
    """What is subtracted from which frame.

    Parameters
    ----------
    own : dict of str to str
        Path of the dark of a frame's own name, by frame, if it fits.
    kind : dict of str to str
        Kind of darks whose master is used, by frame, if no dark of its own fits.
    darks : dict of str to list of str
        Paths of the darks of each kind; kinds are named by their darks' contents.
    unused : list of str
        A sentence for each dark that cannot be used.
    """

    own: dict[str, str]
    kind: dict[str, str]
    darks: dict[str, list[str]]
    unused: list[str]


def choose_darks(
    frames: Frames,
    darks: Frames,
    contents: dict[str, str],
    temperature_tolerance: float,
    memory: Path,
) -> DarkChoice:
    """Choose for each frame the dark with its name, else the closest master that matches.

    Parameters
    ----------
    frames, darks : Frames
        The raw files. Darks that have no frame's name are combined into masters.
    contents : dict of str to str
        Fingerprint of each raw file by its path.
    temperature_tolerance : float
        Largest difference of sensor temperature between a frame and its master, and within a
        kind of darks [degrees Celsius].
    memory : Path
        JSON file that remembers how frames and darks were taken. It may be deleted: that costs
        time, nothing else.

    Returns
    -------
    DarkChoice
    """
    unused = list(darks.refused.values())
    if not darks.paths:
        return DarkChoice({}, {}, {}, unused)
    taken = _how_taken(frames.paths.values(), set(darks.paths.values()), contents, memory)
    own: dict[str, str] = {}
    shared: dict[str, Exposure] = {}
    for name, path in darks.paths.items():
        dark, frame = taken[path], taken.get(frames.paths.get(name, ""))
        if isinstance(dark, str):
            unused.append(dark)
        elif isinstance(frame, Exposure) and dark.shape != frame.shape:
            unused.append(f"{path}: it has another shape than the frame of its name.")
        elif name in frames.paths or name in frames.refused:
            own[name] = path
        else:
            shared[path] = dark
    found = kinds(shared, temperature_tolerance)
    masters = {str(number): exposure for number, (exposure, _) in enumerate(found)}
    kind, members = {}, {}
    for name, path in frames.paths.items():
        frame = taken[path]
        if name in own or isinstance(frame, str):
            continue
        closest = closest_master(frame, masters, temperature_tolerance)
        if closest is not None:
            paths = found[int(closest)][1]
            content = " ".join(contents[path] for path in paths)
            kind[name] = hashlib.sha256(content.encode()).hexdigest()[:12]
            members[kind[name]] = paths
    return DarkChoice(own, kind, members, unused)


def _how_taken(
    frames: Iterable[str], darks: set[str], contents: dict[str, str], memory: Path
) -> dict[str, Exposure | str]:
    """How each frame and dark was taken, by its path, or why it is unusable."""
    code = [code_digest("scripts/lightstack/planning/dark_choice.py"), *VERSIONS]
    known = _recall(memory, code)
    taken: dict[str, tuple[str, Exposure | str]] = {}
    unreadable: dict[str, Exposure | str] = {}
    for path in [*frames, *sorted(darks)]:
        content, found = known.get(path, ("", ""))
        if content != contents[path]:
            try:
                found = _look(Path(path), whole=path in darks)
            except UnreadableFileError as error:
                # Not to be remembered: it may be readable the next time.
                unreadable[path] = str(error)
                continue
        taken[path] = contents[path], found
    if taken != known:
        entries = {
            path: [content, found if isinstance(found, str) else asdict(found)]
            for path, (content, found) in taken.items()
        }
        write_json(memory, {"code": code, "files": entries})
    return {path: found for path, (_, found) in taken.items()} | unreadable


def _look(path: Path, *, whole: bool) -> Exposure | str:
    """Look at a frame's header, or at a whole dark: one that cannot be read is not chosen."""
    try:
        shape, header = read_cards(path, EXPOSURE_CARDS, with_pixels=whole)
    except UnreadableFileError:
        raise
    except UnusableFrameError as error:
        return str(error)
    return exposure_of(header, shape)


def _recall(memory: Path, code: list[str]) -> dict[str, tuple[str, Exposure | str]]:
    """Return what this code has found before: a content and how it was taken, by path.

    What is damaged is forgotten.
    """
    try:
        recalled = read_json(memory)
        entries = recalled["files"].items() if recalled["code"] == code else ()
        return {path: (str(content), _found(entry)) for path, (content, entry) in entries}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}


def _found(entry: Any) -> Exposure | str:
    if isinstance(entry, str):
        return entry
    exptime, gain, temperature = (
        _number(entry[key]) for key in ("exptime", "gain", "temperature")
    )
    ny, nx = map(int, entry["shape"])
    binning = None
    if entry["binning"] is not None:
        x, y = map(float, entry["binning"])
        binning = x, y
    return Exposure((ny, nx), exptime, gain, binning, temperature)


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
