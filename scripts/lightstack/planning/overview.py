"""What a run says of its files at its start."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from scripts.lightstack.order import natural_order
from scripts.lightstack.planning.calibration_choice import Calibration
from scripts.lightstack.planning.clocks import doubts
from scripts.lightstack.planning.groups import Groups, told
from scripts.lightstack.planning.master_choice import NOUNS
from scripts.lightstack.planning.uses import Known, Uses
from scripts.lightstack.raw.exposure import Exposure
from scripts.lightstack.raw.sections import LEFT
from scripts.lightstack.telling import counted, listed
from scripts.lightstack.text import on_one_line

MOST_NAMED = 3
"""Files of a kind that are told of by name; the inventory has them all."""


def overview(
    uses: Uses,
    known: Known,
    calibration: Calibration,
    groups: Groups,
    *,
    in_colour: bool = False,
) -> list[str]:
    """Tell in a few lines what is there, and what of it is not used.

    Parameters
    ----------
    uses : Uses
        What each file is used as.
    known : mapping
        How each file was taken.
    calibration : Calibration
        What the frames are calibrated with.
    groups : Groups
        Which frames are stacked together.
    in_colour : bool, optional
        Whether stacks have colours.

    Returns
    -------
    list of str
        One line for all files; those of the groups; one for frames that differ and are stacked
        together; one for each cause to leave files out, or frames without a dark; one for files
        that cannot be read.
    """
    n_used = {noun: len(choice.used) for noun, choice in calibration.masters.items()}
    found = [counted(len(uses.frames.names), "light")]
    found += [
        f"{count} {NOUNS[noun][count != 1]}"
        for noun, count in n_used.items()
        if count or noun == "dark"
    ]
    lines = [f"Found {', '.join(found)} for them."]
    lines += told(groups, uses.frames.paths, known)
    taken = {
        path: exposure
        for path in uses.frames.paths.values()
        if isinstance(exposure := known[path], Exposure)
    }
    lines += doubts(taken)
    lights = [*taken.values()]
    many = [light.picture for light in lights if light.n_images > 1]
    for is_picture, choice in ((False, "which fits_extension chooses"), (True, "the first")):
        if count := many.count(is_picture):
            lines.append(
                f"{counted(count, 'light')} with several images in a file: one of them is used, "
                f"{choice}."
            )
    lines += _unfollowed(known)
    lines += _leftovers(known)
    mosaics = Counter(light.bayer for light in lights if light.bayer)
    for pattern, count in sorted(mosaics.items()):
        made = "stacked in colour" if in_colour else "made grey, 1/4 red, 1/2 green and 1/4 blue"
        lines.append(f"{counted(count, 'light')} of a Bayer mosaic ({pattern}): {made}.")
    for used_as, paths in uses.strays().items():
        lines.append(f"As their headers or names say, {used_as}: {listed(paths, MOST_NAMED)}.")
    for cause, paths in uses.causes().items():
        lines.append(f"Not used, {cause}: {listed(paths, MOST_NAMED)}.")
    lines += calibration.told
    counts = sum(
        (Counter(each.unread) for each in (uses.frames, uses.darks, uses.bias, uses.flats)),
        Counter(),
    )
    if counts:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
        lines.append(f"Not read, for lightstack does not know their kinds: {kinds}.")
    return [on_one_line(line) for line in lines]


def _unfollowed(known: Known) -> list[str]:
    """Say why sections in headers are not followed, a line for all files that are alike."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for path, seen in _by_name(known):
        if seen.overscan_problem:
            what = "Overscan left as it is in" if seen.overscan == LEFT else "Not cut:"
            found[what, seen.overscan_problem].append(path)
    return [
        f"{what} {_files(paths)}: {problem}. "
        "Set overscan_section and trim_section to where overscan and data are, or to none."
        for (what, problem), paths in found.items()
    ]


def _leftovers(known: Known) -> list[str]:
    """Say which files may be cut out of larger ones, where others of their size are not."""
    of_size: dict[tuple[int, int], dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for path, seen in _by_name(known):
        of_size[seen.shape][seen.leftover].append(path)
    return [
        f"A section of data {section} is in the header of {_files(paths)}, and not in that of "
        f"others of {nx} x {ny} pixels: if cut out of larger images, darks and flats may not fit. "
        "Else correct TRIMSEC or DATASEC."
        for (ny, nx), found in of_size.items()
        if len(found) > 1
        for section, paths in found.items()
        if section
    ]


def _files(paths: Sequence[str]) -> str:
    return paths[0] if len(paths) == 1 else f"{len(paths)} files, such as {paths[0]}"


def _by_name(known: Known) -> Iterator[tuple[str, Exposure]]:
    for path in sorted(known, key=natural_order):
        if isinstance(seen := known[path], Exposure):
            yield path, seen
