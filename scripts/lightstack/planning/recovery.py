"""What a crash may have left, and whether there is room for the run."""

import base64
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

from scripts.lightstack.files.alignment_file import problem_of
from scripts.lightstack.files.atomic import is_part_name, part_name
from scripts.lightstack.files.output_folder import is_complete
from scripts.lightstack.files.records import read_json
from scripts.lightstack.files.wholeness import is_whole

COMPRESSED = (".gz", ".fz", ".png", ".jpg", ".jpeg", ".tif", ".tiff")

RECORDS = Path(".snakemake", "metadata")
"""Where Snakemake keeps a record of each file that a job has made."""


def files_to_make_again(
    made: Iterable[str], passing: Mapping[str, str], selection: str, output: Path
) -> list[str]:
    """List files that are there and must not be used: damaged, or of an unknown state.

    Parameters
    ----------
    made : iterable of str
        Paths of the files that jobs make.
    passing : mapping of str to str
        Those among them that are removed once another has been made of them, and that other. They
        are not written durably: one that is still needed may be what a power cut left of it.
    selection : str
        The file among them by which the job is known that fills the output folder.
    output : Path
        Folder of the accepted frames.

    Returns
    -------
    list of str
    """
    # Without the folder, Snakemake has not run yet, or keeps its records in a database.
    in_files = RECORDS.is_dir()
    found = [
        path
        for path in made
        if os.path.lexists(path) and not (is_whole(path) and (not in_files or _is_recorded(path)))
    ]
    found += [
        path
        for path, product in passing.items()
        if os.path.exists(path) and not os.path.exists(product) and path not in found
    ]
    if selection not in found and Path(selection).exists() and not is_complete(output):
        found.append(selection)
    return found


def has_lost_stacks(thumbnails: str, alignment: str, group: str, stacks: Iterable[str]) -> bool:
    """Whether stacks of a group are gone or damaged that its job has made.

    Parameters
    ----------
    thumbnails, alignment : str
        What the group's jobs have made beside its stacks.
    group : str
        Its name.
    stacks : iterable of str
        Paths of its stacks.

    Returns
    -------
    bool
    """
    if not (os.path.exists(thumbnails) and os.path.exists(alignment) and is_whole(alignment)):
        return False
    if problem_of(read_json(Path(alignment)), group):
        return False
    return not all(os.path.exists(path) and is_whole(path) for path in stacks)


def _is_recorded(path: str) -> bool:
    """Whether a record is there and neither empty nor full of zeros, as a power cut leaves it."""
    try:
        file = os.open(record_of(path), os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        return os.read(file, 1) == b"{"
    finally:
        os.close(file)


def is_made_by(folder: str, path: str, recipe: str) -> bool:
    """Whether a file of a run is there, whole, and made by a recipe, as the run's records say.

    Parameters
    ----------
    folder : str
        Folder of the run.
    path : str
        The file, as the run names it.
    recipe : str
        As in `recipes`.

    Returns
    -------
    bool
    """
    try:
        record = read_json(Path(folder, record_of(path, folder)))
        is_recorded = repr(recipe) in record["params"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return False
    file = os.path.join(folder, path)
    return is_recorded and os.path.exists(file) and is_whole(file)


def record_of(path: str, folder: str = ".") -> str:
    """Where Snakemake keeps the record of a file, below the folder of its run."""
    code = base64.urlsafe_b64encode(path.encode()).decode()
    length = _longest_name(folder) - 1
    parts = [code[first : first + length] for first in range(0, len(code), length)]
    return os.path.join(RECORDS, *(f"@{part}" for part in parts[:-1]), parts[-1])


@cache
def _longest_name(folder: str) -> int:
    return os.pathconf(folder, "PC_NAME_MAX")


def is_locked(folder: str = ".") -> bool:
    """Whether Snakemake's lock lies on the folder of a run: it may be at work."""
    return any(Path(folder, ".snakemake", "locks").glob("*"))


def has_stopped(folder: str) -> bool:
    """Whether jobs of a run were killed, and have not been done again."""
    return any(Path(folder, ".snakemake", "incomplete").glob("*"))


def loss_of_records(results: Iterable[str]) -> str:
    """Say that nothing is known any more about results that are there.

    Parameters
    ----------
    results : iterable of str
        Paths of the results.

    Returns
    -------
    str
        A sentence, or an empty string.
    """
    there = [Path(path) for path in results if Path(path).exists()]
    in_files = RECORDS.is_dir() and any(RECORDS.iterdir())
    if not there or in_files or RECORDS.with_suffix(".db").exists():
        return ""
    return (
        f"The records of earlier runs (.snakemake/metadata) are gone: whether {there[0]} is up to "
        f"date cannot be known. Move work/ and {there[0].parent}/ away and run again."
    )


def sweep(own: Iterable[Path], shared: Iterable[Path]) -> None:
    """Remove what killed runs left half-written.

    For a run that holds the lock: what has such a name may be another's that is at work.

    Parameters
    ----------
    own : iterable of Path
        Folders of the workflow, with all that is below them.
    shared : iterable of Path
        Folders in which only the files directly below them can be the workflow's; they may be
        absent.
    """
    below = [
        Path(parent, name)
        for folder in own
        for parent, _, names in os.walk(folder)
        for name in names
    ]
    beside = [path for folder in shared if folder.is_dir() for path in folder.iterdir()]
    for path in [*below, *beside]:
        if is_part_name(path.name):
            path.unlink(missing_ok=True)


def unwritable(folders: Iterable[Path]) -> str:
    """Say in which of some folders no file can be made; they are made if need be.

    Returns
    -------
    str
        A sentence, or an empty string.
    """
    for folder in folders:
        trial = folder / part_name()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            trial.touch(exist_ok=False)
            trial.unlink()
        except OSError as error:
            return f"{folder}: nothing can be written there: {error.strerror}."
    return ""


def lack_of_space(
    frames_mb: Sequence[float],
    made: Iterable[Path],
    n_stacks: int,
    *,
    n_copies: int = 2,
    in_bands: bool = False,
) -> str:
    """Say that the disk is too small for a run, if it seems so.

    Parameters
    ----------
    frames_mb : sequence of float
        Sizes of the frames as float32 [MB].
    made : iterable of Path
        Folders that the run fills; what they hold is needed no more.
    n_stacks : int
        Stacks to be written.
    n_copies : int, optional
        How many times each frame is kept, cleaned.
    in_bands : bool, optional
        Whether stacks are joined of bands, which are there until then.

    Returns
    -------
    str
        A sentence, or an empty string.
    """
    # Two frames or so are on their way at a time.
    n_images = n_stacks * (2 if in_bands else 1) + 8
    needed = n_copies * sum(frames_mb) + n_images * max(frames_mb, default=0)
    found = (
        Path(parent, name).lstat()
        for folder in made
        for parent, _, names in os.walk(folder)
        for name in names
    )
    # What has a second name is a stack that is kept until there are new ones.
    there = sum(status.st_size / 1e6 for status in found if status.st_nlink == 1)
    free = shutil.disk_usage(Path.cwd()).free / 1e6
    if needed - there <= free:
        return ""
    return (
        f"This run needs about {_amount(needed - there)} of disk in {Path.cwd()}, of which "
        f"{_amount(free)} are free. Make room, or it will stop halfway."
    )


def frame_mb(path: Path) -> float:
    """Guess the size of a frame as float32 from that of its file, mostly of 16 bits [MB]."""
    factor = 4 if path.suffix.lower() in COMPRESSED else 2
    return factor * path.stat().st_size / 1e6


def _amount(megabytes: float) -> str:
    """Write an amount of data in a unit that suits it."""
    return f"{megabytes / 1000:.1f} GB" if megabytes >= 1000 else f"{megabytes:.1f} MB"
