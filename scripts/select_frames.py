"""Collect the accepted frames in the output folder."""

import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.lightstack.digest import code_digest
from scripts.lightstack.files.accepted_file import METRICS, copy_with_metrics
from scripts.lightstack.files.output_folder import files_of_others, note_files, written_files
from scripts.lightstack.files.quality_records import read_verdicts
from scripts.lightstack.files.records import write_csv
from scripts.lightstack.job import JobError, job_log
from scripts.lightstack.report.reasons import sentences

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

COLUMNS = ("frame", "verdict", "reasons")

COPYING = "scripts/lightstack/files/accepted_file.py"
"""Code that makes a copy what it is: when it changes, frames are copied anew."""

log = logging.getLogger(__name__)


def run(
    quality: dict[str, Path],
    cleaned: dict[str, Path],
    selection: Path,
    *,
    groups: dict[str, str],
    output_dir: Path,
    threads: int,
) -> None:
    """Write the accepted frames with their metrics, and the list of verdicts.

    Parameters
    ----------
    quality, cleaned : dict of str to Path
        What `grade_frame` and `subtract_background` wrote, by frame.
    selection : Path
        CSV file to write: a row per frame.
    groups : dict of str to str
        Group of each frame.
    output_dir : Path
        Folder that holds the accepted frames and nothing else when this is done. Only files that
        its manifest lists are ever overwritten or removed.
    threads : int
        How many frames are copied at a time.
    """
    records = read_verdicts(quality, groups)
    accepted = {
        f"{name}.fits": (record, cleaned[name])
        for name, record in records.items()
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

    def copied(name: str) -> list[Any]:
        """Copy a frame if need be, and give its mark."""
        record, path = accepted[name]
        target = output_dir / name
        mark = _mark(path, record, target)
        if mark == written.get(name):
            return mark
        copy_with_metrics(path, target, record)
        return _mark(path, record, target)

    with ThreadPoolExecutor(threads) as pool:
        marks = dict(zip(accepted, pool.map(copied, accepted), strict=True))
    note_files(output_dir, marks)
    log.info("%d of %d frames accepted.", len(accepted), len(records))
    rows = [{**record, "reasons": sentences(record["reasons"])} for record in records.values()]
    write_csv(selection, COLUMNS, [{key: row[key] for key in COLUMNS} for row in rows])


def _mark(source: Path, record: dict[str, Any], target: Path) -> list[Any]:
    """Note what tells whether a file has to be written again."""
    files = [path.stat() for path in (source, target) if path.is_file()]
    times = [[status.st_mtime_ns, status.st_size] for status in files]
    values = [record[key] for key, _ in METRICS.values()]
    return [times, values, code_digest(COPYING)]


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
            dict(zip(snakemake.params.frames, map(Path, snakemake.input.quality), strict=True)),
            dict(zip(snakemake.params.frames, map(Path, snakemake.input.cleaned), strict=True)),
            Path(snakemake.output.selection),
            groups=snakemake.params.groups,
            output_dir=Path(snakemake.params.settings["output_dir"]),
            threads=snakemake.threads,
        )
