"""What each file is used as: what it is, not what its folder was meant for."""

from collections import Counter
from collections.abc import Container, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from scripts.lightstack.order import natural_order
from scripts.lightstack.planning.frames import Frames
from scripts.lightstack.raw.exposure import Exposure
from scripts.lightstack.raw.roles import DARK, LIGHT, STACK, role_by_folder

Known = Mapping[str, Exposure | str]
"""How each file was taken, by its path, or the sentence that says why it cannot be read."""

CAUSES = {
    "rawer": "a rawer file of the same frame is there",
    "copy": "a copy of another file",
    "stack": "a stack among single exposures",
    "picture": "a picture of 8 bits among raw frames",
    "light": "a light among darks",
    "flat": "a flat",
    "bias": "a bias frame",
}
"""Why a file is left out, in words."""


@dataclass(frozen=True)
class Uses:
    """Which files are stacked, which are darks, and which are neither.

    Parameters
    ----------
    frames : Frames
        The lights.
    darks : Frames
        The darks of both folders.
    offered : dict of str to str
        Path of each light or stack among the lights by its frame's name, used or not.
    roles : dict of str to str
        What each file is, by its path: see `raw.roles`.
    left_out : dict of str to (str, str)
        Why a file is not used, by its path: one of `CAUSES`, and the file that is used instead,
        or nothing.
    """

    frames: Frames
    darks: Frames
    offered: dict[str, str]
    roles: dict[str, str]
    left_out: dict[str, tuple[str, str]]

    def why(self, path: str) -> str:
        """Say why a file is left out."""
        cause, other = self.left_out[path]
        return f"{CAUSES[cause]}: {other}" if other else CAUSES[cause]

    def lights_left_out(self) -> dict[str, str]:
        """Why lights are left out, in words, by the frame's name."""
        return {
            name: self.why(path) for name, path in self.offered.items() if path in self.left_out
        }

    def causes(self) -> dict[str, list[str]]:
        """Paths of the files that are left out, by the cause in words."""
        found: dict[str, list[str]] = {}
        for path in sorted(self.left_out, key=natural_order):
            found.setdefault(CAUSES[self.left_out[path][0]], []).append(path)
        return found


def sort_files(
    lights: tuple[str, Frames],
    darks: tuple[str, Frames],
    known: Known,
    contents: Mapping[str, str],
) -> Uses:
    """Tell lights from darks and from what is neither, in both folders.

    Parameters
    ----------
    lights, darks : (str, Frames)
        A folder and the image files below it.
    known : mapping
        How each file was taken.
    contents : dict of str to str
        Fingerprint of each file by its path.

    Returns
    -------
    Uses
        What a header says of its file counts first, then what its folders say, then whose folder
        it is.
    """
    roles: dict[str, str] = {}
    left_out: dict[str, tuple[str, str]] = {}
    for (folder, files), default in ((lights, LIGHT), (darks, DARK)):
        for path in files.paths.values():
            roles[path] = _role(path, folder, known[path], default)
        left_out |= {path: ("rawer", other) for path, other in files.copies.items()}
    of_lights, of_darks = lights[1].paths, darks[1].paths
    frames = {name: path for name, path in of_lights.items() if roles[path] in (LIGHT, STACK)}
    used_darks = {name: path for name, path in of_darks.items() if roles[path] == DARK}
    # Named by its whole path, a dark among the lights is no one's dark by its name.
    used_darks |= {path: path for path in of_lights.values() if roles[path] == DARK}
    taken = {*frames.values(), *used_darks.values()}
    left_out |= {
        path: (roles[path], "")
        for path in [*of_lights.values(), *of_darks.values()]
        if path not in taken
    }
    own = {path for name, path in used_darks.items() if name in of_lights}
    for found in (
        _stacks(frames, known),
        _pictures(frames, known),
        _copies(frames, known, contents),
        _copies(_without(used_darks, own), known, contents),
    ):
        left_out |= found
    return Uses(
        replace(lights[1], paths=_without(frames, left_out)),
        replace(darks[1], paths=_without(used_darks, left_out)),
        frames,
        roles,
        left_out,
    )


def frames_to_turn(frames: Frames, known: Known) -> set[str]:
    """Choose the frames whose rows are put into the other order, so that no two are mirrored.

    Parameters
    ----------
    frames : Frames
        The lights.
    known : mapping
        How each file was taken.

    Returns
    -------
    set of str
        Names of the frames whose row order is not that of most; of two that are as frequent, the
        first frame's counts. Frames that state none are left as they are.
    """
    orders = {
        name: exposure.orientation
        for name, path in frames.paths.items()
        if isinstance(exposure := known[path], Exposure) and exposure.orientation
    }
    most = Counter(orders.values()).most_common(1)
    return {name for name, order in orders.items() if order != most[0][0]}


def _role(path: str, folder: str, exposure: Exposure | str, default: str) -> str:
    stated = exposure.role if isinstance(exposure, Exposure) else None
    return stated or role_by_folder(Path(path).relative_to(folder)) or default


def _stacks(frames: dict[str, str], known: Known) -> dict[str, tuple[str, str]]:
    """Stacks among single exposures; where all are stacks, they are what there is to stack."""
    stacks = [path for path in frames.values() if _is_stack(known[path])]
    if len(stacks) == sum(isinstance(known[path], Exposure) for path in frames.values()):
        return {}
    return dict.fromkeys(stacks, ("stack", ""))


def _is_stack(exposure: Exposure | str) -> bool:
    return isinstance(exposure, Exposure) and exposure.role == STACK


def _pictures(frames: dict[str, str], known: Known) -> dict[str, tuple[str, str]]:
    """Pictures of 8 bits among frames of more: made to be looked at."""
    readable = [path for path in frames.values() if isinstance(known[path], Exposure)]
    pictures = [path for path in readable if _is_shallow(known[path])]
    if len(pictures) == len(readable):
        return {}
    return dict.fromkeys(pictures, ("picture", ""))


def _is_shallow(exposure: Exposure | str) -> bool:
    return isinstance(exposure, Exposure) and exposure.picture and exposure.pixel_type == "uint8"


def _copies(
    files: dict[str, str], known: Known, contents: Mapping[str, str]
) -> dict[str, tuple[str, str]]:
    """Files with the bytes of another: links, then those with the longer names."""
    alike: dict[str, list[str]] = {}
    for path in files.values():
        if isinstance(known[path], Exposure):
            alike.setdefault(contents[path], []).append(path)
    copies: dict[str, tuple[str, str]] = {}
    for paths in alike.values():
        if len(paths) > 1:
            first = min(
                paths, key=lambda path: (Path(path).is_symlink(), len(path), natural_order(path))
            )
            copies |= {path: ("copy", first) for path in paths if path != first}
    return copies


def _without(files: dict[str, str], left_out: Container[str]) -> dict[str, str]:
    return {name: path for name, path in files.items() if path not in left_out}
