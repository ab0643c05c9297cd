"""Which frames there are, and what they are called."""

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from scripts.lightstack.order import natural_order
from scripts.lightstack.raw.names import CAMERA_RAWS, IMAGE_NAME, is_hidden

RANKS = (
    tuple(f".{kind}" for kind in CAMERA_RAWS),
    (".fits", ".fit", ".fts"),
    (".fits.gz", ".fit.gz", ".fts.gz", ".fits.fz", ".fit.fz", ".fts.fz"),
    (".tif", ".tiff"),
    (".png",),
    (".jpg", ".jpeg"),
)
"""Extensions of frames, the rawest first: of several files of one frame the rawest counts."""

SMALL_COPY = re.compile(
    r"(?P<name>.+)[-_ ](?:thn|thumb|thumbnail|small|preview)", re.I | re.DOTALL
)
"""Names of small pictures that programs lay beside a frame: ``x_thn.jpg`` beside ``x.fit``."""

UNREAD = re.compile(
    r".+?(?P<kind>(?:\.(?:fits|fit|fts))?\.(?:bz2|xz|zst|zip|7z|rar)"
    r"|\.(?:xisf|ser|avi|mp4|mov|heic|webp|bmp|sbig|st[0-9]))",
    re.I | re.DOTALL,
)
"""Names of files that may be frames and cannot be read."""

MOST_TWINS = 10
"""Files with one name that are told of: enough to see what is wrong."""

LONGEST_NAME = 255 - len(".fits")
"""Bytes that a frame's own name may have, short of the extension of what is made of it."""

MADE_OF_FRAMES = (".fits", ".json", ".log")
"""Extensions of what is made of a frame, after its name."""


@dataclass(frozen=True)
class Frames:
    """The image files below a folder.

    Parameters
    ----------
    paths : dict of str to str
        Frame name to path, in natural order of the names.
    refused : dict of str to str
        Frame name to the sentence that says why its file cannot be read at all; these frames have
        no jobs, but a row in the ledger.
    copies : dict of str to str
        Path of each file of which a rawer file of the same frame is there, and that file's path.
    unread : dict of str to int
        Number of files that may be frames and cannot be read, by extension in small letters.
    """

    paths: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    copies: dict[str, str] = field(default_factory=dict)
    unread: dict[str, int] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """All frame names, refused ones among them, in natural order."""
        return sorted([*self.paths, *self.refused], key=natural_order)

    def without(self, unreadable: dict[str, str]) -> "Frames":
        """Refuse files that cannot be read, given a sentence for each by its path."""
        kept = {name: path for name, path in self.paths.items() if path not in unreadable}
        more = {name: unreadable[path] for name, path in self.paths.items() if path in unreadable}
        return replace(self, paths=kept, refused={**self.refused, **more})


def find_frames(folder: str | Path) -> Frames:
    """List the image files below a folder, hidden files and folders left out.

    Parameters
    ----------
    folder : path
        Where to look; links to folders are followed.

    Returns
    -------
    Frames
        Named by the path below `folder` without the extensions.

    Raises
    ------
    ValueError
        If one frame's files would lie where another's folder is; a sentence names both.
    """
    files: dict[str, list[Path]] = {}
    unread: Counter[str] = Counter()
    for path in sorted(_walk(Path(folder))):
        name = frame_name(path.relative_to(folder))
        if name is not None:
            files.setdefault(name, []).append(path)
        elif match := UNREAD.fullmatch(path.name):
            unread[match["kind"].lower()] += 1
    chosen: dict[str, str] = {}
    refused: dict[str, str] = {}
    copies: dict[str, str] = {}
    for name in sorted(files, key=natural_order):
        best = min(map(_rank, files[name]))
        first, *twins = (path for path in files[name] if _rank(path) == best)
        chosen[name] = str(first)
        copies |= {str(path): str(first) for path in files[name] if _rank(path) > best}
        if problem := _problem(first, name) or _clash(name, [first, *twins]):
            refused[name] = problem
    for name in list(chosen):
        match = SMALL_COPY.fullmatch(name)
        whole = chosen.get(match["name"]) if match else None
        if whole is not None and _rank(Path(chosen[name])) > _rank(Path(whole)):
            copies[chosen.pop(name)] = whole
            refused.pop(name, None)
    usable = {name: path for name, path in chosen.items() if name not in refused}
    _check_nesting(usable)
    return Frames(usable, refused, copies, dict(sorted(unread.items())))


def frame_name(path: Path) -> str | None:
    """Path without its image extensions, as a string; None if it is not an image's name."""
    match = IMAGE_NAME.fullmatch(path.name)
    if match is None:
        return None
    return (path.parent / (match["stem"] or match["picture"])).as_posix()


def _walk(folder: Path) -> Iterator[Path]:
    """Files below `folder`, each real folder once even if links lead back to it."""
    seen = set()
    if not folder.is_dir():
        return
    for parent, folders, files in os.walk(folder, onerror=_tell, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not is_hidden(name))
        yield from (Path(parent, name) for name in files if not is_hidden(name))


def _tell(error: OSError) -> None:
    """Stop at a folder that cannot be read: its frames would be missing without a word."""
    raise error


def _rank(path: Path) -> int:
    """Place of a file among several of one frame: 0 for the rawest."""
    name = path.name.lower()
    return next(rank for rank, extensions in enumerate(RANKS) if name.endswith(extensions))


def _clash(name: str, paths: list[Path]) -> str:
    """Say that several files are as raw as each other, or nothing if there is only one."""
    if len(paths) == 1:
        return ""
    named = " and ".join(str(path) for path in paths[:MOST_TWINS])
    return f"several files have the frame name {name!r}: {named}. Rename or move all but one."


def _problem(path: Path, name: str) -> str:
    """Why no job can be made for a file, or an empty string."""
    problem = problem_of_name(name)
    try:
        if not problem and path.is_symlink() and not path.exists():
            problem = "a link to a file that does not exist."
        elif not problem and not path.is_file():
            problem = "not a regular file."
    except OSError as error:
        problem = f"cannot be read: {error.strerror}."
    return f"{str(path)!r}: {problem}" if problem else ""


def problem_of_name(name: str) -> str:
    """Say why no frame can have a name, or nothing."""
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name):
        return "the name holds a control character or broken text; rename the file."
    if set("{}<>") & set(name):
        return "the name holds one of { } < >, which Snakemake reserves; rename it."
    if re.search(r"(.+?)\1{19}$", name):
        return "the name ends in one pattern 20 times over, which Snakemake refuses; rename it."
    if len(os.fsencode(Path(name).name)) > LONGEST_NAME:
        return f"the name is longer than {LONGEST_NAME} bytes; rename the file."
    return ""


def _check_nesting(files: dict[str, str]) -> None:
    """Refuse a frame ``a`` beside a frame ``a.fits/b``: ``a.fits`` would be file and folder."""
    for name, path in files.items():
        for parent in Path(name).parents:
            other = parent.as_posix().removesuffix(parent.suffix)
            if parent.suffix in MADE_OF_FRAMES and other in files:
                raise ValueError(
                    f"The frame {files[other]} and the folder of {path} would both become "
                    f"{parent}. Rename one of them."
                )
