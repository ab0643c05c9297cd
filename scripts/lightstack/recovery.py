"""What a crash may have left, and whether there is room for the run."""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from scripts.lightstack.output_folder import lost_files

COMPRESSED = (".gz", ".fz", ".png", ".jpg", ".jpeg", ".tif", ".tiff")


RESULTS = ("selection.csv", "alignment.json", "frames.csv", "preview.png", "stack_*.fits")


def discard_damage(work: Path, results: Path, output: Path) -> None:
    """Remove files that a crash of the machine left empty, so that they are made again.

    Parameters
    ----------
    work, results, output : Path
        Folders of the working files, of the results and of the accepted frames. The workflow
        never leaves a file empty; in `results`, only files with its own names are looked at.
    """
    made = [Path(parent, name) for parent, _, names in os.walk(work) for name in names]
    made += [path for pattern in RESULTS for path in results.glob(pattern)]
    for path in made:
        if path.is_file() and path.stat().st_size == 0 and path.suffix != ".part":
            path.unlink()
    if lost_files(output):
        # The job that writes them is known by this file.
        (results / "selection.csv").unlink(missing_ok=True)


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
