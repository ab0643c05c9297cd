"""Where everything lies below the folder of a run: each path, named once.

``{frame}``, ``{kind}``, ``{mode}``, ``{band}`` and ``{group}`` are filled in per file; the place
of a group vanishes where frames are not grouped, or all groups share what lies there.
``<results>`` stands for the folder of the results, in Snakemake's notation. Names by which jobs
know files that are no rule's stand with what writes them: `files.unread`, `files.kept_stacks`,
`files.output_folder`.
"""

from collections.abc import Iterable, Mapping

WORK = "work"
LOGS = "logs"

CALIBRATED = f"{WORK}/calibrated/{{frame}}.fits"
CLEANED = f"{WORK}/cleaned/{{frame}}.fits"
COLOURS = f"{WORK}/colours/{{frame}}.fits"
SOURCES = f"{WORK}/sources/{{frame}}.fits"
QUALITY = f"{WORK}/quality/{{frame}}.json"
OF_EACH_FRAME = (CALIBRATED, CLEANED, COLOURS, SOURCES, QUALITY)

MASTERS = {
    "dark": f"{WORK}/masters/darks/{{kind}}.fits",
    "bias": f"{WORK}/masters/bias/{{kind}}.fits",
    "flat": f"{WORK}/masters/flats/{{kind}}.fits",
    "bad_pixels": f"{WORK}/masters/bad_pixels/{{kind}}.fits",
}

PLAN = f"{WORK}/plan.json"
FINGERPRINTS = f"{WORK}/fingerprints.json"
EXPOSURES = f"{WORK}/exposures.json"
ALIGNMENTS = f"{WORK}/alignments/{{group}}.json"
THUMBNAILS = f"{WORK}/stacks/{{group}}/thumbnails.fits"
SKIES = f"{WORK}/stacks/{{group}}/skies.fits"
SEEING = f"{WORK}/stacks/{{group}}/seeing.fits"
BAND = f"{WORK}/stacks/{{group}}/band_{{band}}.fits"
PICTURES = f"{WORK}/pictures"

SELECTION = "<results>/selection.csv"
ALIGNMENT = "<results>/{group}/alignment.json"
LEDGER = "<results>/frames.csv"
INVENTORY = "<results>/inventory.csv"
STACK = "<results>/{group}/stack_{mode}.fits"
PREVIEW = "<results>/{group}/preview.png"
REPORT = "<results>/report.html"
TUNING = "<results>/tune.png"
TUNING_TABLE = "<results>/tune.csv"
REPORT_WITHOUT_STACKS = "<results>/report_without_stacks.html"


def filled(pattern: str, **values: str) -> str:
    """Fill in a pattern; other braces than its own may stand in the values."""
    for key, value in values.items():
        if key == "group" and not value:
            pattern = without_group(pattern)
        pattern = pattern.replace(f"{{{key}}}", value)
    return pattern


def without_group(pattern: str) -> str:
    """Take the place of the group out of a pattern."""
    return pattern.replace("/{group}", "")


def in_results(pattern: str, results: str) -> str:
    """Path of a result in a run's own folder of results."""
    return pattern.replace("<results>", results)


def bands(count: int) -> list[str]:
    """Name the bands in which a stack is made by so many jobs."""
    return [f"{number}_of_{count}" for number in range(1, count + 1)]


def passing_files(frames: Iterable[str]) -> dict[str, str]:
    """List the large files of frames that are removed once others are made of them, with these."""
    return {filled(CALIBRATED, frame=frame): filled(CLEANED, frame=frame) for frame in frames}


def made_files(
    frames: Iterable[str],
    kinds: Mapping[str, Iterable[str]],
    modes: Iterable[str],
    n_bands: int,
    results: str,
    aligned: Iterable[str],
    stacked: Iterable[str],
) -> list[str]:
    """List all files that jobs make, except for those in the output folder.

    Parameters
    ----------
    frames : iterable of str
        Frames of a run.
    kinds : mapping of str to iterable of str
        Kinds of which masters are made, by their noun as in `MASTERS`.
    modes : iterable of str
        Modes of stacking.
    n_bands : int
        How many jobs make a stack.
    results : str
        Folder of the results.
    aligned, stacked : iterable of str
        Groups that share a reference, and groups with stacks. Of named groups, the stacks are not
        listed: no job is bound to make them, for a group may have too few good frames.

    Returns
    -------
    list of str
    """
    paths = [filled(MASTERS[noun], kind=kind) for noun in kinds for kind in kinds[noun]]
    paths += [filled(pattern, frame=frame) for frame in frames for pattern in OF_EACH_FRAME]
    paths += [filled(ALIGNMENT, group=group) for group in aligned]
    for group in stacked:
        paths += [filled(pattern, group=group) for pattern in (THUMBNAILS, PREVIEW, SKIES, SEEING)]
        paths += [filled(BAND, group=group, band=band) for band in bands(n_bands)]
        if not group:
            paths += [filled(STACK, mode=mode, group=group) for mode in modes]
    paths += [INVENTORY, SELECTION, LEDGER, REPORT]
    paths += [TUNING, TUNING_TABLE]
    return [in_results(path, results) for path in paths]
