"""Which darks belong to one frame, and whether they fit it."""

from pathlib import Path
from typing import Any

from scripts.lightstack.digest import VERSIONS, code_digest
from scripts.lightstack.frames import Frames
from scripts.lightstack.images import UnusableFrameError, read_image
from scripts.lightstack.records import read_json, write_json


def shared_darks(frames: Frames, darks: Frames) -> dict[str, str]:
    """Pick the darks that have no frame's name, by their own names: masters are made of them."""
    return {
        name: path
        for name, path in darks.paths.items()
        if name not in frames.paths and name not in frames.refused
    }


def frames_for_masters(
    frames: Frames, darks: Frames, contents: dict[str, str], memory: Path
) -> set[str]:
    """Tell which frames may take a master dark: all but those whose own dark fits them.

    Parameters
    ----------
    frames, darks : Frames
        The raw files.
    contents : dict of str to str
        Fingerprint of each raw file by its path.
    memory : Path
        JSON file that remembers which darks fit. It may be deleted: that costs time, nothing else.

    Returns
    -------
    set of str
        Frame names; none if there are no masters.
    """
    if not shared_darks(frames, darks):
        return set()
    decoders = [code_digest("scripts/lightstack/images.py"), *VERSIONS]
    recalled = _recall(memory)
    known = recalled["fits"] if recalled.get("decoders") == decoders else {}
    fits = {}
    for name in frames.paths.keys() & darks.paths.keys():
        frame, dark = frames.paths[name], darks.paths[name]
        pair = f"{contents[frame]} {contents[dark]}"
        fits[name] = pair, known[pair] if pair in known else _fits(Path(frame), Path(dark))
    remembered = dict(sorted(fits.values()))
    if remembered != known:
        write_json(memory, {"decoders": decoders, "fits": remembered})
    return {name for name in frames.paths if name not in fits or not fits[name][1]}


def _fits(frame: Path, dark: Path) -> bool:
    """Whether a dark can be subtracted from a frame; an unusable frame needs none."""
    try:
        shape = read_image(frame).data.shape
    except UnusableFrameError:
        return True
    try:
        return read_image(dark).data.shape == shape
    except UnusableFrameError:
        return False


def _recall(memory: Path) -> dict[str, Any]:
    try:
        return read_json(memory)
    except (OSError, ValueError):
        return {}
