"""Which frames show the bad pixels of which, chosen before any job."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from scripts.lightstack.calibration.matching import DARKS
from scripts.lightstack.planning.dark_choice import DarkChoice
from scripts.lightstack.raw.exposure import Exposure

NUMBERS = (16, 8, 4)
"""How many frames a map is made of: the first so many that a sensor took, by their dates, else by
their names. So it stays what it is when others arrive, but where a number is reached."""


@dataclass(frozen=True)
class BadPixelChoice:
    """Where the bad pixels of each frame are looked up.

    Parameters
    ----------
    kind : dict of str to str
        Kind of the map, by frame.
    files : dict of str to list of str
        Paths of the raw frames of which a map is made, by its kind; none if it is made of a dark.
    darks : dict of str to str
        Kind of the dark of which a map is made, by the map's kind.
    """

    kind: dict[str, str] = field(default_factory=dict)
    files: dict[str, list[str]] = field(default_factory=dict)
    darks: dict[str, str] = field(default_factory=dict)


def choose_maps(
    lights: Mapping[str, Exposure],
    paths: Mapping[str, str],
    darks: DarkChoice,
    contents: Mapping[str, str],
    bad_pixels: str,
) -> BadPixelChoice:
    """Choose of what the map of each frame's bad pixels is made.

    Parameters
    ----------
    lights : mapping of str to Exposure
        How the frames were taken, by name, in the order of the frames.
    paths : mapping of str to str
        Paths of the frames by name.
    darks : DarkChoice
        The darks of the frames.
    contents : mapping of str to str
        Fingerprints by path.
    bad_pixels : str
        "auto": of the frames themselves where there is no dark; "all": also of the darks; "none".

    Returns
    -------
    BadPixelChoice
    """
    choice = BadPixelChoice()
    if bad_pixels == "none":
        return choice
    sensors: dict[tuple[object, ...], list[str]] = {}
    for name, frame in lights.items():
        if name in darks.own:
            continue
        if name in darks.kind:
            if bad_pixels == "all":
                kind = f"dark_{darks.kind[name]}"
                choice.kind[name], choice.files[kind] = kind, []
                choice.darks[kind] = darks.kind[name]
        elif not DARKS.come_too_late(frame):
            sensors.setdefault(_sensor(frame), []).append(name)
    for names in sensors.values():
        # Frames that arrive are later ones, whatever they are called.
        in_time = sorted(names, key=lambda name: lights[name].date or "")
        first = [paths[name] for name in _first(in_time)]
        if first:
            content = " ".join(contents[path] for path in first)
            kind = hashlib.sha256(content.encode()).hexdigest()[:12]
            choice.kind.update(dict.fromkeys(names, kind))
            choice.files[kind] = first
    return choice


def _sensor(frame: Exposure) -> tuple[object, ...]:
    """Frames that are alike in this have their bad pixels at the same places."""
    camera = frame.camera and frame.camera.lower()
    return (
        *(frame.shape, frame.binning, frame.window, camera),
        *(frame.bayer, frame.orientation, frame.picture),
    )


def _first(names: Sequence[str]) -> Iterator[str]:
    count = next((number for number in NUMBERS if number <= len(names)), 0)
    yield from names[:count]
