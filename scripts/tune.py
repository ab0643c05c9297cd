"""Show what detection finds at other settings, to choose them by."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.detection.tuning import (
    REGION_PX,
    ROOM,
    Trial,
    settings_to_try,
    suggestion,
    try_settings,
)
from scripts.lightstack.files.atomic import atomic_write
from scripts.lightstack.files.frame_file import FAILURE, read_frame, read_header
from scripts.lightstack.files.records import write_csv
from scripts.lightstack.forks import map_in_forks
from scripts.lightstack.job import JobError, job_log
from scripts.lightstack.raw.image import central_region
from scripts.lightstack.report.tuning import COLUMNS, advice_of
from scripts.lightstack.report.tuning_picture import draw_tuning

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


class Region(NamedTuple):
    """The middle of a frame.

    Parameters
    ----------
    frame : str
        The frame's name.
    data, saturated : (ny, nx) ndarray
        Pixels without their background [ADU], and which of them are saturated.
    noise : float
        Standard deviation of the background [ADU].
    share : float
        Pixels of the region over those of the frame.
    is_top_down : bool
        Whether the first row is at the top.
    """

    frame: str
    data: NDArray[np.float32]
    saturated: NDArray[np.bool_]
    noise: float
    share: float
    is_top_down: bool


def run(
    cleaned: dict[str, Path],
    picture: Path,
    table: Path,
    *,
    settings: dict[str, Any],
    threads: int,
) -> None:
    """Try settings on the middle of a frame; draw and list what they find.

    Parameters
    ----------
    cleaned : dict of str to Path
        What `subtract_background` wrote of a few frames; that with the most stars is looked at.
    picture, table : Path
        PNG and CSV file to write.
    settings : dict
        Those of detection, ``outlier_mad_thresh`` and ``min_star_count``.
    threads : int
        Processes to use; they change nothing but the time.

    Raises
    ------
    JobError
        If no frame has an image.
    """
    options = {key: settings[key] for key in ("smoothing_sigma", "outlier_mad_thresh")}
    thresholds, areas = settings_to_try(settings["threshold_sigma"], settings["minarea"])
    region = _best(cleaned, thresholds, areas, options)
    pairs = [(threshold, area) for threshold in thresholds for area in areas]

    def numbers(pair: tuple[float, int]) -> list[float]:
        return [*_try(region, pair, options)]

    found = map_in_forks(numbers, pairs, threads)
    trials = [
        Trial(threshold, area, *values)
        for (threshold, area), values in zip(pairs, found, strict=True)
    ]
    own = (settings["threshold_sigma"], settings["minarea"])
    set_now = trials[pairs.index(own)]
    chosen = suggestion(trials, set_now, settings["min_star_count"])
    drawn = chosen or set_now
    sources, kept, _ = try_settings(
        region.data,
        region.saturated,
        region.noise,
        threshold_sigma=drawn.threshold_sigma,
        minarea=drawn.minarea,
        **options,
    )
    ny, nx = region.data.shape
    image = draw_tuning(
        region.data,
        sources,
        kept,
        trials,
        title=f"{region.frame}: {nx} x {ny} pixels in the middle, {region.share:.0%} of the frame",
        drawn=drawn,
        set_now=set_now,
        chosen=chosen,
        lines=advice_of(set_now, chosen, settings["min_star_count"]),
        n_wished=ROOM * settings["min_star_count"],
        first_row_on_top=region.is_top_down,
    )
    with atomic_write(picture) as file:
        image.save(file, "PNG", optimize=True)
    rows = [
        {"frame": region.frame, "suggested": "yes" if trial == chosen else "", **asdict(trial)}
        for trial in trials
    ]
    write_csv(table, COLUMNS, rows)


def _best(
    cleaned: dict[str, Path],
    thresholds: Sequence[float],
    areas: Sequence[int],
    options: dict[str, float],
) -> Region:
    """Pick the frame with the most stars at settings between those that are tried."""
    usual = (thresholds[len(thresholds) // 2], areas[len(areas) // 2])
    regions = [
        _region(frame, path) for frame, path in cleaned.items() if FAILURE not in read_header(path)
    ]
    if not regions:
        raise JobError(
            f"None of {', '.join(cleaned)} has an image that detection can be tuned by: remove "
            "these frames, or see their logs in logs/calibrate_frame/."
        )
    return max(regions, key=lambda region: _try(region, usual, options)[0])


def _region(frame: str, path: Path) -> Region:
    whole = read_frame(path)
    square = central_region(whole.data.shape, REGION_PX)
    data, saturated = whole.data[square].copy(), whole.saturated[square].copy()
    return Region(
        frame,
        data,
        saturated,
        whole.header["NOISEADU"],
        data.size / whole.data.size,
        whole.header.get("ROWORDER") == "TOP-DOWN",
    )


def _try(
    region: Region, pair: tuple[float, int], options: dict[str, float]
) -> tuple[float, float, float, float]:
    """Count what is found at a threshold and an area: the numbers of a `Trial`."""
    sources, kept, n_false = try_settings(
        region.data,
        region.saturated,
        region.noise,
        threshold_sigma=pair[0],
        minarea=pair[1],
        **options,
    )
    stars = sources[kept]
    medians = [
        float(np.median(stars[name])) if len(stars) else math.nan
        for name in ("fwhm", "ellipticity")
    ]
    return len(stars) / region.share, n_false / region.share, medians[0], medians[1]


if "snakemake" in globals():
    with job_log(snakemake):
        run(
            dict(zip(snakemake.params.frames, map(Path, snakemake.input.cleaned), strict=True)),
            Path(snakemake.output.picture),
            Path(snakemake.output.table),
            settings=snakemake.params.settings,
            threads=snakemake.threads,
        )
