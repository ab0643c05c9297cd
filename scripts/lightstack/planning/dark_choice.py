"""Which darks are subtracted from each frame, chosen before any job.

So each job depends on the darks that it uses, and on no others.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from scripts.lightstack.calibration.darks import (
    Difference,
    differences,
    is_calibrated,
    is_turned,
    kinds,
    match_dark,
    representatives,
    told,
)
from scripts.lightstack.planning.frames import Frames
from scripts.lightstack.planning.uses import Known
from scripts.lightstack.raw.exposure import Exposure

NOT_CHOSEN = "other darks fit better, or none surely"

CORRECTIONS = {"B": "bias", "D": "dark", "F": "flat"}


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
    turned : set of str
        Frames whose dark has its rows in the other order.
    unstated : dict of str to str
        In what a frame or its dark leave open whether they agree, by frame.
    without : dict of str to str
        Why a frame has no dark though there are some, by frame.
    unused : list of str
        A sentence for each dark that cannot be used.
    idle : dict of str to str
        Why a good dark serves no frame, by its path.
    told : list of str
        Why frames have no dark and darks no frame, in a line for all that are alike.
    """

    own: dict[str, str] = field(default_factory=dict)
    kind: dict[str, str] = field(default_factory=dict)
    darks: dict[str, list[str]] = field(default_factory=dict)
    turned: set[str] = field(default_factory=set)
    unstated: dict[str, str] = field(default_factory=dict)
    without: dict[str, str] = field(default_factory=dict)
    unused: list[str] = field(default_factory=list)
    idle: dict[str, str] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)


def choose_darks(
    frames: Frames,
    darks: Frames,
    known: Known,
    contents: Mapping[str, str],
    temperature_tolerance: float,
    damage: Callable[[str], str],
) -> DarkChoice:
    """Choose for each frame the dark with its name, else the closest master that matches.

    Parameters
    ----------
    frames, darks : Frames
        The raw files. Darks that have no frame's name are combined into masters.
    known : mapping
        How each file was taken, by its path.
    contents : mapping of str to str
        Fingerprint of each raw file by its path.
    temperature_tolerance : float
        Largest difference of sensor temperature between a frame and its master, and within a
        kind of darks [degrees Celsius].
    damage : callable
        Tells why the pixels of a dark cannot be read, or nothing: one that cannot is not chosen.

    Returns
    -------
    DarkChoice
    """
    choice = DarkChoice(unused=[*darks.refused.values()])
    strangers: list[tuple[Difference, ...]] = []
    shared: dict[str, Exposure] = {}
    for name, path in darks.paths.items():
        dark, frame = known[path], known.get(frames.paths.get(name, ""))
        if isinstance(dark, str) or (problem := damage(path)):
            choice.unused.append(dark if isinstance(dark, str) else problem)
        elif isinstance(frame, str) or name in frames.refused:
            choice.idle[path] = "the frame of its name cannot be read"
        elif isinstance(frame, Exposure) and is_calibrated(frame):
            choice.idle[path] = "the frame of its name is calibrated already"
        elif frame is None or (apart := differences(dark, [frame], temperature_tolerance)):
            shared[path] = dark
            if frame is not None:
                strangers.append(apart)
        else:
            choice.own[name] = path
            if is_turned(frame, dark):
                choice.turned.add(name)
    for count, why in told(strangers, "its frame"):
        choice.told.append(f"{_counted(count)} not used for the frame of its name: {why}.")
    for why, count in Counter(choice.idle.values()).items():
        choice.told.append(f"{_counted(count)} not used: {why}.")
    _use_masters(choice, frames, shared, known, contents, temperature_tolerance)
    return choice


def _use_masters(
    choice: DarkChoice,
    frames: Frames,
    darks: dict[str, Exposure],
    known: Known,
    contents: Mapping[str, str],
    temperature_tolerance: float,
) -> None:
    found = kinds(darks, temperature_tolerance)
    masters = {str(number): exposure for number, (exposure, _) in enumerate(found)}
    lights = {
        name: frame
        for name, path in frames.paths.items()
        if isinstance(frame := known[path], Exposure)
    }
    others = representatives(lights.values())
    apart: dict[str, tuple[Difference, ...]] = {}
    used = set()
    for name, frame in lights.items():
        if name in choice.own:
            continue
        if is_calibrated(frame):
            done = " and ".join(CORRECTIONS[letter] for letter in frame.calibrated)
            choice.without[name] = f"calibrated already ({done})"
        elif masters:
            match = match_dark(frame, masters, temperature_tolerance, others)
            if match.dark is None:
                apart[name] = match.differences
                continue
            used.add(match.dark)
            first, paths = found[int(match.dark)]
            content = " ".join(contents[path] for path in paths)
            choice.kind[name] = hashlib.sha256(content.encode()).hexdigest()[:12]
            choice.darks[choice.kind[name]] = paths
            if match.unstated:
                choice.unstated[name] = f"{', '.join(match.unstated)} not stated"
            if is_turned(frame, first):
                choice.turned.add(name)
    for name, reason in apart.items():
        ((_, choice.without[name]),) = told([reason], "darks")
    choice.told.extend(_frames_without(choice, apart))
    unused = {number: exposure for number, exposure in masters.items() if number not in used}
    raw = [frame for frame in lights.values() if not is_calibrated(frame)]
    choice.told.extend(_darks_without(choice, unused, found, raw, temperature_tolerance))


def _frames_without(
    choice: DarkChoice, apart: Mapping[str, tuple[Difference, ...]]
) -> Iterator[str]:
    """Say why frames have no dark, a line for all that are alike."""
    calibrated = Counter(why for name, why in choice.without.items() if name not in apart)
    for why, count in calibrated.items():
        yield f"{count} without a dark: {why}."
    for count, why in told(apart.values(), "darks"):
        yield f"{count} without a dark: {why}."


def _darks_without(
    choice: DarkChoice,
    unused: Mapping[str, Exposure],
    found: list[tuple[Exposure, list[str]]],
    frames: list[Exposure],
    temperature_tolerance: float,
) -> Iterator[str]:
    """Say why darks are not used, a line for all that are alike."""
    if not frames:
        return
    apart, others = [], 0
    for number, dark in unused.items():
        reason = differences(dark, frames, temperature_tolerance)
        paths = found[int(number)][1]
        count = len(paths)
        why = told([reason], "frames")[0][1] if reason else NOT_CHOSEN
        choice.idle.update(dict.fromkeys(paths, why))
        apart += [reason] * count if reason else []
        others += 0 if reason else count
    for count, why in told(apart, "frames"):
        yield f"{_counted(count)} without a frame: {why}."
    if others:
        yield f"{_counted(others)} without a frame: {NOT_CHOSEN}."


def _counted(count: int) -> str:
    return f"{count} dark{'s' * (count > 1)}"
