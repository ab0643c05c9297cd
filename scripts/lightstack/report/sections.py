"""What the report says of each group: its stacks, what is gained by them, how its frames drift."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.files.alignment_file import problem_of
from scripts.lightstack.files.frame_file import PixelFile, read_header
from scripts.lightstack.files.records import read_json
from scripts.lightstack.raw.bayer import GREY_CORRELATION, GREY_OF
from scripts.lightstack.report.figures import Drift, drift
from scripts.lightstack.report.pictures import Picture, picture_of_preview
from scripts.lightstack.report.rows import Row
from scripts.lightstack.report.stacks import Gain, HeaderFacts, Map, SingleFrame, look_at_stacks


@dataclass(frozen=True)
class GroupFiles:
    """Where the products of a group lie.

    Parameters
    ----------
    alignment, preview : Path
    stacks : dict of str to Path
        FITS file of each mode.
    """

    alignment: Path
    preview: Path
    stacks: dict[str, Path]


@dataclass(frozen=True)
class Section:
    """A group as the page shows it.

    Parameters
    ----------
    name : str
        Empty where frames are not grouped.
    rows : list of (int, Row)
        Its frames, with their places in the ledger.
    reference, problem : str or None
        On which frame its own are aligned, and why there are no stacks.
    told : HeaderFacts
        What the headers of its stacks tell.
    maps : list of Map
    gain : Gain or None
    preview : Picture or None
    modes : list of str
        Its stacks.
    drift : Drift or None
    """

    name: str
    rows: list[tuple[int, Row]]
    reference: str | None
    problem: str | None
    told: HeaderFacts
    maps: list[Map]
    gain: Gain | None
    preview: Picture | None
    modes: list[str]
    drift: Drift | None

    @property
    def n_stacked(self) -> int:
        """How many of its frames are in the stacks."""
        return sum(row.is_stacked for _, row in self.rows)

    @property
    def exposure_s(self) -> float:
        """Exposure of its stacked frames together [s]."""
        return sum(row.values["exptime_s"] or 0 for _, row in self.rows if row.is_stacked)


def section_of(
    name: str,
    files: GroupFiles,
    rows: list[tuple[int, Row]],
    cleaned: Mapping[str, Path],
    settings: dict[str, Any],
) -> Section:
    """Read the products of a group; without stacks, neither they nor a preview are looked at.

    Parameters
    ----------
    name : str
    files : GroupFiles
    rows : list of (int, Row)
        Its frames, with their places in the ledger.
    cleaned : mapping of str to Path
        What `subtract_background` wrote, by frame.
    settings : dict
        All settings.

    Returns
    -------
    Section
    """
    alignment = read_json(files.alignment)
    problem, reference = problem_of(alignment, name), alignment["reference"]
    told, gain, preview = HeaderFacts(), None, None
    maps: list[Map] = []
    if problem is None:
        of_group = [row for _, row in rows]
        single = _frame_on_scale(alignment, name, cleaned)
        told, maps, gain = look_at_stacks(files.stacks, of_group, single, settings)
        preview = picture_of_preview(files.preview)
    return Section(
        name,
        rows,
        reference,
        problem,
        told,
        maps,
        gain,
        preview,
        list(files.stacks),
        drift(rows),
    )


def _frame_on_scale(
    alignment: dict[str, Any], group: str, cleaned: Mapping[str, Path]
) -> SingleFrame:
    """Take the frame on whose scale the stacks are: the reference, or one of its own group."""
    reference = alignment["reference"]
    name = alignment.get("flux_references", {}).get(group, reference)
    header = read_header(cleaned[name])
    noise = float(header["NOISEADU"])
    correlation = GREY_CORRELATION if GREY_OF in header else (1.0,)
    if name == reference:
        return SingleFrame(PixelFile(cleaned[name]).read_rows, noise, correlation)
    # Resampling takes a while to load, and most reports need none.
    from scripts.lightstack.stacking.aligned import aligned_frames

    paths = {each: cleaned[each] for each in (name, reference)}
    (frame,) = (each for each in aligned_frames(alignment, paths) if each.name == name)
    nx = PixelFile(cleaned[reference]).shape[1]

    def rows(first: int, last: int) -> NDArray[np.float32]:
        out = np.empty((last - first, nx), np.float32)
        frame.fill((first, last), out)
        return out

    return SingleFrame(rows, noise, correlation)
