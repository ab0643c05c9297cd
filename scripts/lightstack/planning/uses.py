"""What each file is used as: what it is, not what its folder was meant for."""

from collections import Counter
from collections.abc import Container, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from scripts.lightstack.order import natural_order
from scripts.lightstack.planning.frames import Frames
from scripts.lightstack.raw.exposure import Exposure
from scripts.lightstack.raw.roles import (
    BIAS,
    DARK,
    FLAT,
    LIGHT,
    PICTURE,
    STACK,
    is_named_as_stack,
    is_set_aside,
    made_of,
    parts_of,
    role_by_folder,
    role_by_name,
)

Known = Mapping[str, Exposure | str]
"""How each file was taken, by its path, or the sentence that says why it cannot be read."""

NO_COLOURS = (
    "no colours (one plane, and no BAYERPAT in the header). Set color to gray to stack such "
    "frames, or keep them apart from those with colours."
)

CAUSES = {
    "rawer": "a rawer file of the same frame is there",
    "copy": "a copy of another file",
    "stack": "a stack among single exposures",
    "made": "made of another file by a program",
    "picture": "a picture of 8 bits among raw frames",
    "aside": "set aside, as its name or its folder says",
    "light among dark": "a light among darks",
    "light among bias": "a light among bias frames",
    "light among flat": "a light among flats",
    "flat among dark": "a flat among darks",
    "flat among bias": "a flat among bias frames",
}
"""Why a file is left out, in words."""

OF_PICTURES = ("rawer", "picture")
"""The causes for which pictures are left out."""

PLURAL = {LIGHT: "lights", DARK: "darks", BIAS: "bias frames", FLAT: "flats"}


@dataclass(frozen=True)
class Uses:
    """Which files are stacked, which calibrate them, and which are neither.

    Parameters
    ----------
    frames : Frames
        The lights.
    darks : Frames
        Those of all folders.
    offered : dict of str to str
        Path of each light or stack among the lights by its frame's name, used or not.
    roles : dict of str to str
        What each file is, by its path: see `raw.roles`.
    left_out : dict of str to (str, str)
        Why a file is not used, by its path: one of `CAUSES`, and the file that is used instead,
        or nothing.
    bias, flats : Frames
        Those of all folders.
    astray : dict of str to str
        What the folder of a file was meant for, by the file's path, where it is used as something
        else because its header says so.
    """

    frames: Frames
    darks: Frames
    offered: dict[str, str]
    roles: dict[str, str]
    left_out: dict[str, tuple[str, str]]
    bias: Frames = field(default_factory=Frames)
    flats: Frames = field(default_factory=Frames)
    astray: dict[str, str] = field(default_factory=dict)

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

    def strays(self) -> dict[str, list[str]]:
        """Paths of files that are used as their headers say, against their folders, by words."""
        found: dict[str, list[str]] = {}
        for path in sorted(self.astray, key=natural_order):
            if path not in self.left_out:
                used, others = PLURAL[self.roles[path]], PLURAL[self.astray[path]]
                found.setdefault(f"{used} among {others}", []).append(path)
        return found


def sort_files(
    lights: tuple[str, Frames],
    darks: tuple[str, Frames],
    known: Known,
    contents: Mapping[str, str],
    *,
    bias: tuple[str, Frames] = ("", Frames()),
    flats: tuple[str, Frames] = ("", Frames()),
) -> Uses:
    """Tell lights from what calibrates them and from what is neither, in all folders.

    Parameters
    ----------
    lights, darks : (str, Frames)
        A folder and the image files below it.
    known : mapping
        How each file was taken.
    contents : dict of str to str
        Fingerprint of each file by its path.
    bias, flats : (str, Frames), optional
        As `lights`.

    Returns
    -------
    Uses
        What a header says of its file counts first, then what its folders say, then its name, then
        whose folder it is.
    """
    folders = {LIGHT: lights, DARK: darks, BIAS: bias, FLAT: flats}
    roles: dict[str, str] = {}
    left_out: dict[str, tuple[str, str]] = {}
    astray: dict[str, str] = {}
    for meant, (folder, files) in folders.items():
        for path in files.paths.values():
            role = roles[path] = _role(path, folder, known[path], meant)
            expected = role_by_folder(Path(path).relative_to(folder)) or meant
            if (meant != LIGHT and role == LIGHT) or (
                role == FLAT != expected and meant in (DARK, BIAS)
            ):
                left_out[path] = (f"{role} among {meant}", "")
            elif meant != LIGHT and role == STACK:
                left_out[path] = (STACK, "")
            elif role not in (expected, STACK) and expected != FLAT:
                # Flats may have darks of their own beside them.
                astray[path] = expected
        left_out |= {path: ("rawer", other) for path, other in files.copies.items()}
    of_lights = lights[1].paths
    frames = {name: path for name, path in of_lights.items() if roles[path] in (LIGHT, STACK)}
    used = {role: _of_role(role, folders, roles) for role in (DARK, BIAS, FLAT)}
    own = {path for name, path in used[DARK].items() if name in of_lights}
    for found in (
        _stacks(frames, known, roles),
        _made_of_others(frames, known, contents),
        _pictures(frames, known),
        _set_aside(frames),
        _copies(frames, known, contents),
        *(_copies(_without(files, own), known, contents) for files in used.values()),
    ):
        left_out |= found
    roles |= {path: PICTURE for path, (cause, _) in left_out.items() if cause in OF_PICTURES}
    return Uses(
        replace(lights[1], paths=_without(frames, left_out)),
        replace(darks[1], paths=_without(used[DARK], left_out)),
        frames,
        roles,
        left_out,
        replace(bias[1], paths=_without(used[BIAS], left_out)),
        replace(flats[1], paths=_without(used[FLAT], left_out)),
        astray,
    )


def _of_role(
    role: str, folders: Mapping[str, tuple[str, Frames]], roles: Mapping[str, str]
) -> dict[str, str]:
    """Files of a role by name; elsewhere by the whole path, which is no frame's name."""
    own = {name: path for name, path in folders[role][1].paths.items() if roles[path] == role}
    strays = [
        path
        for meant, (_, files) in folders.items()
        for path in files.paths.values()
        if meant != role and roles[path] == role
    ]
    return own | {path: path for path in strays}


def without_colours(frames: Frames, known: Known) -> dict[str, str]:
    """Say of each light that has no colours why it cannot be stacked in colour.

    Parameters
    ----------
    frames : Frames
        The lights.
    known : mapping
        How each file was taken.

    Returns
    -------
    dict of str to str
        A sentence by the file's path.
    """
    return {
        path: f"{Path(path).name}: {NO_COLOURS}"
        for path in frames.paths.values()
        if isinstance(exposure := known[path], Exposure)
        and exposure.bayer is None
        and exposure.n_planes == 1
    }


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
    pixel_type = exposure.pixel_type if isinstance(exposure, Exposure) else ""
    # Cameras write integers, and programs leave the card of a light in what they have stacked.
    is_open = stated is None or (stated == LIGHT and pixel_type.startswith("float"))
    if default == LIGHT and is_open and is_named_as_stack(Path(path)):
        return STACK
    below = Path(path).relative_to(folder)
    return stated or role_by_folder(below) or role_by_name(below) or default


def _stacks(
    frames: dict[str, str], known: Known, roles: Mapping[str, str]
) -> dict[str, tuple[str, str]]:
    """Stacks among single exposures; where all are stacks, they are what there is to stack."""
    readable = [path for path in frames.values() if isinstance(known[path], Exposure)]
    stacks = [path for path in readable if roles[path] == STACK]
    return {} if len(stacks) == len(readable) else dict.fromkeys(stacks, ("stack", ""))


def _made_of_others(
    frames: dict[str, str], known: Known, contents: Mapping[str, str]
) -> dict[str, tuple[str, str]]:
    """Frames that a program has made of an exposure, where the exposure itself is there."""
    readable = {
        path: (Path(name), exposure)
        for name, path in frames.items()
        if isinstance(exposure := known[path], Exposure)
    }
    named: dict[str, list[str]] = {}
    for path, (name, _) in readable.items():
        named.setdefault(name.name, []).append(path)
    raw = {contents[path]: path for path in readable}
    found = {}
    for path, (name, exposure) in readable.items():
        if exposure.raw_sha256 in raw:
            found[path] = ("made", raw[exposure.raw_sha256])
            continue
        named_so = set(made_of(name.name))
        for rawer in (*reversed(made_of(name.name)), *parts_of(name.name)):
            others = [
                other
                for other in named.get(rawer, [])
                if _may_be_of(*readable[path], *readable[other])
                and (rawer in named_so or _is_rawer(readable[other][1], exposure))
            ]
            if others:
                found[path] = ("made", others[0])
                break
    return found


def _may_be_of(name: Path, made: Exposure, of_name: Path, of: Exposure) -> bool:
    """Whether dates, or folders where there are none, let a frame be made of another."""
    if made.picture and not of.picture and made.date is None:
        return True
    return made.date == of.date and (made.date is not None or of_name.parent == name.parent)


def _is_rawer(one: Exposure, other: Exposure) -> bool:
    """Whether one frame has the file, the numbers or the mosaic of a camera, the other not."""
    if other.picture and not one.picture:
        return True
    cameras = one.pixel_type.startswith(("int", "uint"))
    return (cameras and other.pixel_type.startswith("float")) or one.n_planes < other.n_planes


def _pictures(frames: dict[str, str], known: Known) -> dict[str, tuple[str, str]]:
    """Pictures of 8 bits among frames of more: made to be looked at."""
    readable = [path for path in frames.values() if isinstance(known[path], Exposure)]
    pictures = [path for path in readable if _is_shallow(known[path])]
    if len(pictures) == len(readable):
        return {}
    return dict.fromkeys(pictures, ("picture", ""))


def _set_aside(frames: dict[str, str]) -> dict[str, tuple[str, str]]:
    """Frames that somebody has set aside among those that nobody has."""
    found = [path for name, path in frames.items() if is_set_aside(Path(name + ".fits"))]
    return {} if len(found) == len(frames) else dict.fromkeys(found, ("aside", ""))


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
