"""Which frames there are, and what they are called."""

import os
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from scripts.lightstack.order import natural_order
from scripts.lightstack.raw.names import IMAGE_NAME, is_hidden

MOST_TWINS = 10
"""Pairs of files with one name that are told of: enough to see what is wrong."""

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
    """

    paths: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """All frame names, refused ones among them, in natural order."""
        return sorted([*self.paths, *self.refused], key=natural_order)

    def without(self, unreadable: dict[str, str]) -> "Frames":
        """Refuse files that cannot be read, given a sentence for each by its path."""
        kept = {name: path for name, path in self.paths.items() if path not in unreadable}
        more = {name: unreadable[path] for name, path in self.paths.items() if path in unreadable}
        return Frames(kept, {**self.refused, **more})


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
        If two files have the same frame name, or one frame's files would lie where another's
        folder is; a sentence for each pair names both.
    """
    files: dict[str, str] = {}
    twins: list[str] = []
    refused: dict[str, str] = {}
    for path in sorted(_walk(Path(folder))):
        name = frame_name(path.relative_to(folder))
        if name is None:
            continue
        if name in files:
            twins.append(
                f"Two files have the frame name {name!r}: {files[name]} and {path}. "
                "Rename or move one of them."
            )
            continue
        files[name] = str(path)
        problem = _problem(path, name)
        if problem:
            refused[name] = problem
    if twins:
        more = [f"There are {len(twins) - MOST_TWINS} more such pairs."]
        raise ValueError("\n".join(twins[:MOST_TWINS] + more * (len(twins) > MOST_TWINS)))
    ordered = sorted(files, key=natural_order)
    usable = {name: files[name] for name in ordered if name not in refused}
    _check_nesting(usable)
    return Frames(
        usable,
        {name: refused[name] for name in ordered if name in refused},
    )


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


def _problem(path: Path, name: str) -> str:
    """Why no job can be made for a file, or an empty string."""
    problem = _problem_of_name(name)
    try:
        if not problem and path.is_symlink() and not path.exists():
            problem = "a link to a file that does not exist."
        elif not problem and not path.is_file():
            problem = "not a regular file."
    except OSError as error:
        problem = f"cannot be read: {error.strerror}."
    return f"{str(path)!r}: {problem}" if problem else ""


def _problem_of_name(name: str) -> str:
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
