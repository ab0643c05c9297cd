"""What a crash may have left, and whether there is room for the run."""

import base64
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from scripts.lightstack.files.output_folder import lost_files

COMPRESSED = (".gz", ".fz", ".png", ".jpg", ".jpeg", ".tif", ".tiff")

MADE_IN_WORK = ("dark_subtracted", "cleaned", "sources", "quality", "darks")

MADE_IN_RESULTS = (
    "selection.csv",
    "alignment.json",
    "frames.csv",
    "preview.png",
    "stack_*.fits",
)

RECORDS = Path(".snakemake", "metadata")
"""Where Snakemake keeps a record of each file that a job has made."""


def discard_damage(work: Path, results: Path, output: Path) -> None:
    """Remove files that a crash of the machine left empty, so that they are made again.

    Parameters
    ----------
    work, results, output : Path
        Folders of the working files, of the results and of the accepted frames. Only files that
        the workflow makes are looked at; it never leaves one empty.
    """
    made = [path for name in MADE_IN_WORK for path in (work / name).rglob("*")]
    made += [path for pattern in MADE_IN_RESULTS for path in results.glob(pattern)]
    for path in made:
        is_ours = path.suffix in (".fits", ".json", ".csv", ".png") and path.is_file()
        if is_ours and path.stat().st_size == 0:
            path.unlink()
    if lost_files(output):
        # The job that writes them is known by this file.
        (results / "selection.csv").unlink(missing_ok=True)


def mark_unrecorded(made: Iterable[str]) -> None:
    """Let Snakemake make files again of which it has lost the record: they may be out of date.

    Parameters
    ----------
    made : iterable of str
        Paths of the files that jobs make.
    """
    if not RECORDS.is_dir():
        # Snakemake has not run yet, or was told to keep its records in a database.
        return
    for path in made:
        if Path(path).exists() and not _is_record(_snakemake_path("metadata", path)):
            mark = _snakemake_path("incomplete", path)
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.write_text("{}")


def _snakemake_path(kind: str, path: str) -> Path:
    """Where Snakemake keeps what it knows of a file."""
    code = base64.urlsafe_b64encode(path.encode()).decode()
    length = os.pathconf(".", "PC_NAME_MAX") - 1
    parts = [code[first : first + length] for first in range(0, len(code), length)]
    return Path(".snakemake", kind, *(f"@{part}" for part in parts[:-1]), parts[-1])


def _is_record(path: Path) -> bool:
    """Whether a file is there and neither empty nor full of zeros, as a power cut leaves it."""
    try:
        with path.open("rb") as file:
            return file.read(1) == b"{"
    except FileNotFoundError:
        return False


def is_locked() -> bool:
    """Whether Snakemake's lock lies on the working folder: another run may be at work."""
    return any(Path(".snakemake", "locks").glob("*"))


def loss_of_records(results: Path) -> str:
    """Say that nothing is known any more about results that are there.

    Parameters
    ----------
    results : Path
        Folder of the results.

    Returns
    -------
    str
        A sentence, or an empty string.
    """
    made = [path for pattern in MADE_IN_RESULTS for path in results.glob(pattern)]
    in_files = RECORDS.is_dir() and any(RECORDS.iterdir())
    if not made or in_files or RECORDS.with_suffix(".db").exists():
        return ""
    return (
        f"The records of earlier runs (.snakemake/metadata) are gone: whether {made[0]} is up to "
        f"date cannot be known. Move work/ and {results}/ away and run again."
    )


def lack_of_space(raw: Iterable[Path], made: Iterable[Path], n_stacks: int) -> str:
    """Say that the disk is too small for a run, if it seems so.

    Parameters
    ----------
    raw : iterable of Path
        The raw frames.
    made : iterable of Path
        Folders that the run fills; what they hold is needed no more.
    n_stacks : int
        Stacks to be written.

    Returns
    -------
    str
        A sentence, or an empty string.
    """
    sizes = [_pixel_bytes(path) for path in raw if path.is_file()]
    # Each frame is kept twice, cleaned, and two or so are on their way at a time.
    needed = 2 * sum(sizes) + (n_stacks + 8) * max(sizes, default=0)
    there = sum(
        Path(parent, name).stat().st_size
        for folder in made
        for parent, _, names in os.walk(folder)
        for name in names
    )
    free = shutil.disk_usage(Path.cwd()).free
    if needed - there <= free:
        return ""
    return (
        f"This run needs about {(needed - there) / 1e9:.1f} GB of disk in {Path.cwd()}, of which "
        f"{free / 1e9:.1f} GB are free. Make room, or it will stop halfway."
    )


def _pixel_bytes(path: Path) -> int:
    """Guess the size of a frame as float32 from that of its file, which mostly has 16 bits."""
    factor = 4 if path.suffix.lower() in COMPRESSED else 2
    return factor * path.stat().st_size
