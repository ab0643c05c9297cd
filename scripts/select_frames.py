"""Collect the accepted frames in the output folder."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.lightstack.digest import code_digest
from scripts.lightstack.files.atomic import atomic_write
from scripts.lightstack.files.output_folder import files_of_others, note_files, written_files
from scripts.lightstack.files.records import read_json, write_csv
from scripts.lightstack.job import JobError, job_log
from scripts.lightstack.report.reasons import sentences

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

COPIED_AT_ONCE = 1 << 20

COLUMNS = ("frame", "verdict", "reasons")

METRICS = {
    "NSOURCES": ("n_sources", "sources found"),
    "NSTARS": ("n_stars", "stars among them"),
    "FWHM": ("fwhm_px", "[pixel] median FWHM of the stars"),
    "ELLIPTIC": ("ellipticity", "median ellipticity (1 - b/a) of the stars"),
    "SATFRAC": ("saturated_fraction", "share of the stars that are saturated"),
}
"""Cards of an accepted frame: the value in its quality record, and the comment."""

log = logging.getLogger(__name__)


def run(quality: list[Path], cleaned: list[Path], selection: Path, *, output_dir: Path) -> None:
    """Write the accepted frames with their metrics, and the list of verdicts.

    Parameters
    ----------
    quality, cleaned : list of Path
        What `grade_frame` and `subtract_background` wrote, in the same order of frames.
    selection : Path
        CSV file to write: a row per frame.
    output_dir : Path
        Folder that holds the accepted frames and nothing else when this is done. Only files that
        its manifest lists are ever overwritten or removed.
    """
    records = [read_json(path) for path in quality]
    accepted = {
        f"{record['frame']}.fits": (record, path)
        for record, path in zip(records, cleaned, strict=True)
        if record["verdict"] == "accepted"
    }
    strangers = files_of_others(output_dir)
    if strangers:
        raise JobError(f"{output_dir / strangers[0]} is not the workflow's: move it away.")
    written = written_files(output_dir)
    # Names go into the manifest before their files, so that it covers whatever a kill leaves.
    note_files(output_dir, {name: written.get(name) for name in {*written, *accepted}})
    for name in written:
        if name not in accepted:
            _remove(output_dir, name)
    marks = {}
    for name, (record, path) in sorted(accepted.items()):
        target = output_dir / name
        marks[name] = _mark(path, record, target)
        if marks[name] != written.get(name):
            _copy_with_metrics(path, target, record)
            marks[name] = _mark(path, record, target)
    note_files(output_dir, marks)
    log.info("%d of %d frames accepted.", len(accepted), len(records))
    rows = [{**record, "reasons": sentences(record["reasons"])} for record in records]
    write_csv(selection, COLUMNS, [{key: row[key] for key in COLUMNS} for row in rows])


def _mark(source: Path, record: dict[str, Any], target: Path) -> list[Any]:
    """Note what tells whether a file has to be written again."""
    files = [path.stat() for path in (source, target) if path.is_file()]
    times = [[status.st_mtime_ns, status.st_size] for status in files]
    values = [record[key] for key, _ in METRICS.values()]
    return [times, values, code_digest("scripts/select_frames.py")]


def _copy_with_metrics(source: Path, target: Path, record: dict[str, Any]) -> None:
    """Copy a frame's pixels and write the metrics into its header."""
    from astropy.io import fits

    with fits.open(source, memmap=False) as hdus:
        header = hdus[0].header
        where = hdus[0].fileinfo()
    for card, (key, comment) in METRICS.items():
        header[card] = (record[key], comment)
    with atomic_write(target) as file, source.open("rb") as pixels:
        file.write(header.tostring().encode("ascii"))
        pixels.seek(where["datLoc"])
        for left in range(where["datSpan"], 0, -COPIED_AT_ONCE):
            file.write(pixels.read(min(left, COPIED_AT_ONCE)))


def _remove(folder: Path, name: str) -> None:
    """Remove a file that the workflow wrote, and the sub-folders that it leaves empty."""
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        return
    path.unlink(missing_ok=True)
    for parent in path.parents:
        if parent == folder or any(parent.iterdir()):
            break
        parent.rmdir()


if "snakemake" in globals():
    with job_log(snakemake):
        run(
            [Path(path) for path in snakemake.input.quality],
            [Path(path) for path in snakemake.input.cleaned],
            Path(snakemake.output.selection),
            output_dir=Path(snakemake.params.settings["output_dir"]),
        )
