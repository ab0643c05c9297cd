"""Write the report: one page that shows what became of every frame, and why."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scripts.lightstack.detection.quality import fwhm_range, stars
from scripts.lightstack.files.atomic import atomic_write
from scripts.lightstack.files.frame_file import FAILURE, read_header
from scripts.lightstack.files.records import read_csv, read_json
from scripts.lightstack.files.table_file import read_table
from scripts.lightstack.job import JobError, job_log
from scripts.lightstack.report.calibration import figures, uses
from scripts.lightstack.report.charts import frame_axis
from scripts.lightstack.report.criteria import criteria, what_if
from scripts.lightstack.report.figures import charts
from scripts.lightstack.report.notes import notes
from scripts.lightstack.report.page import render
from scripts.lightstack.report.pictures import (
    Picture,
    is_top_down,
    picture_of_frame,
    shrinking,
)
from scripts.lightstack.report.rows import STATUSES, Row, causes, nearest_misses_first, rows_of
from scripts.lightstack.report.sections import GroupFiles, Section, section_of

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

MOST_MARKS = 150
"""Sources that are marked on a frame's picture, the brightest."""

MOST_CARDS = 60
"""Frames left out that are shown large; the table has them all."""


@dataclass(frozen=True)
class Frame:
    """A frame as the page shows it.

    Parameters
    ----------
    row : Row
    number : int
        Its place in the ledger, from 0.
    picture : Picture or None
    stars, others : str
        Places of its brightest sources on the picture, for a frame that is left out: those that
        count as stars, and the others.
    """

    row: Row
    number: int
    picture: Picture | None
    stars: str = ""
    others: str = ""


def run(
    frames: dict[str, dict[str, Path]],
    results: dict[str, Path],
    groups: dict[str, GroupFiles],
    pictures: Path,
    report: Path,
    *,
    settings: dict[str, Any],
    facts: dict[str, Any],
    threads: int = 1,
    needs_stacks: bool = True,
) -> None:
    """Write the page.

    Parameters
    ----------
    frames : dict of str to dict of str to Path
        By frame, its files: ``cleaned`` and ``sources``.
    results : dict of str to Path
        ``ledger`` and ``inventory``.
    groups : dict of str to GroupFiles
        Where the products of each group lie; one without a name where frames are not grouped.
    pictures : Path
        Folder that keeps the frames' pictures for the next report.
    report : Path
        HTML file to write.
    settings : dict
        Those that have a part in the results.
    facts : dict
        What no result tells: ``defaults`` of the settings, and ``unused``, a sentence for each
        dark that is not used.
    threads : int, optional
        How many threads draw pictures; they change nothing but the time.
    needs_stacks : bool, optional
        Whether there must be stacks.

    Raises
    ------
    JobError
        If there must be stacks, and no group has any.
    """
    limits = criteria(settings)
    rows = rows_of(read_csv(results["ledger"]), limits)
    mad_thresh = settings["outlier_mad_thresh"]

    def frame(number: int, row: Row) -> Frame:
        return _frame(row, number, frames.get(row.name), pictures, mad_thresh)

    cleaned = {name: files["cleaned"] for name, files in frames.items()}

    def section(name: str, files: GroupFiles) -> Section:
        members = [(number, row) for number, row in enumerate(rows) if row.group == name]
        return section_of(name, files, members, cleaned, settings)

    # When Python ends, as after a failed run, no thread can be started any more.
    with ThreadPoolExecutor(threads) if threads > 1 else nullcontext() as pool:
        at_once = pool.map if pool else map
        of_groups = at_once(section, groups.keys(), groups.values())
        of_frames = at_once(frame, range(len(rows)), rows)
        sections, shown = list(of_groups), list(of_frames)
    order = {row.name: place for place, row in enumerate(nearest_misses_first(rows))}
    shown.sort(key=lambda frame: order[frame.row.name])
    left_out = [frame for frame in shown if not frame.row.is_stacked]
    axis, places = frame_axis([None if row.margin is None else row.date_obs for row in rows])
    alignments = dict.fromkeys(files.alignment for files in groups.values())
    if needs_stacks and all(section.problem for section in sections):
        raise JobError("No group could be stacked: logs/stack_frames tells of each why.")
    software = next((section.told.software for section in sections if section.told.software), [])
    graded = [row.values for row in rows if row.margin is not None]
    parts = {
        "exposure": sum(row.values["exptime_s"] or 0 for row in rows if row.is_stacked),
        "rows": rows,
        "frames": shown,
        "left_out": left_out[:MOST_CARDS],
        "n_left_out": len(left_out),
        "counts": {status: sum(row.status == status for row in rows) for status in STATUSES},
        "causes": causes(rows, limits),
        "is_grouped": list(groups) != [""],
        "sections": sections,
        "notes": [
            *(note for path in alignments for note in notes(read_json(path))),
            *dict.fromkeys(note for section in sections for note in section.told.notes),
        ],
        "software": software,
        "axis": axis,
        "places": places,
        "charts": charts(rows, limits),
        "limits": limits,
        "what_if": what_if(limits, graded),
        "n_graded": len(graded),
        "uses": uses(rows),
        "figures": figures(rows),
        "settings": settings,
        "inputs": read_csv(results["inventory"]),
        **facts,
    }
    with atomic_write(report) as file:
        file.write(render(parts))


def files_of(groups: dict[str, dict[str, Any]]) -> dict[str, GroupFiles]:
    """Take the paths of each group's products as Snakemake hands them on."""
    return {
        name: GroupFiles(
            Path(files["alignment"]),
            Path(files["preview"]),
            {mode: Path(path) for mode, path in files["stacks"].items()},
        )
        for name, files in groups.items()
    }


def _frame(
    row: Row,
    number: int,
    files: dict[str, Path] | None,
    pictures: Path,
    mad_thresh: float,
) -> Frame:
    """Gather what is shown of a frame."""
    if files is None:
        return Frame(row, number, None)
    picture = picture_of_frame(files["cleaned"], pictures / f"{row.name}.jpeg")
    if picture is None or row.is_stacked:
        return Frame(row, number, picture)
    return Frame(row, number, picture, *_marks(files, picture, mad_thresh))


def _marks(files: dict[str, Path], picture: Picture, mad_thresh: float) -> tuple[str, str]:
    """Places of a frame's brightest sources on its picture: the stars, and the others."""
    if FAILURE in read_header(files["sources"]):
        return "", ""
    sources = read_table(files["sources"])
    chosen = stars(sources, fwhm_range(sources["fwhm"], mad_thresh))
    brightest = sources[:MOST_MARKS]
    is_star = np.isin(brightest, chosen)
    header = read_header(files["cleaned"])
    per_pixel = shrinking((header["NAXIS2"], header["NAXIS1"]))
    x, y = (brightest["x"] + 0.5) / per_pixel, (brightest["y"] + 0.5) / per_pixel
    if not is_top_down(header):
        y = picture.height - y
    points = [f"{one:.0f},{other:.0f}" for one, other in zip(x, y, strict=True)]
    return (
        " ".join(point for point, star in zip(points, is_star, strict=True) if star),
        " ".join(point for point, star in zip(points, is_star, strict=True) if not star),
    )


if "snakemake" in globals():
    with job_log(snakemake):
        given, settings = snakemake.input, snakemake.params.settings
        files = zip(map(Path, given.cleaned), map(Path, given.sources), strict=True)
        run(
            {
                name: {"cleaned": cleaned, "sources": sources}
                for name, (cleaned, sources) in zip(snakemake.params.frames, files, strict=True)
            },
            {name: Path(given[name]) for name in ("ledger", "inventory")},
            files_of(snakemake.params.groups),
            Path(snakemake.params.pictures),
            Path(snakemake.output.report),
            settings=settings,
            facts=snakemake.params.facts,
            threads=snakemake.threads,
        )
