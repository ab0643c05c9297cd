"""Give the verdict on one frame."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.lightstack.detection.quality import Limits, grade
from scripts.lightstack.files.frame_file import FAILURE, read_header
from scripts.lightstack.files.records import write_json
from scripts.lightstack.files.table_file import read_table
from scripts.lightstack.job import job_log
from scripts.lightstack.raw.bayer import GREY_OF, PATTERN_DOUBT
from scripts.lightstack.raw.exposure import exposure_of
from scripts.lightstack.raw.values import exposure_time
from scripts.lightstack.reason import Reason
from scripts.lightstack.text import DOUBT, NOTHING_USED, text_of

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def run(sources: Path, quality: Path, *, frame: str, limits: dict[str, Any]) -> None:
    """Write a frame's metrics, verdict and reasons.

    Parameters
    ----------
    sources : Path
        What `detect_sources` wrote.
    quality : Path
        JSON file to write; ``verdict`` is "accepted", "rejected" or "failed".
    frame : str
        The frame's name.
    limits : dict
        The values of `lightstack.detection.quality.Limits`.
    """
    header = read_header(sources)
    record: dict[str, Any] = {"frame": frame, "sha256": header["RAWSHA"]}
    if FAILURE in header:
        record |= {"verdict": "failed", "reasons": [_unusable(header)]}
        write_json(quality, record)
        return
    result = grade(read_table(sources), Limits(**limits))
    date = header.get("DATE-OBS")
    exposure = exposure_of(header, (header["NY"], header["NX"]))
    record |= asdict(result)
    record |= {
        "verdict": "rejected" if result.reasons else "accepted",
        "pixels_sha256": header["PIXSHA"],
        "shape": [header["NY"], header["NX"]],
        "no_data_fraction": header["NODATA"],
        "overscan_adu": header.get("OSCANADU"),
        "saturation_found_adu": header.get("SATFOUND"),
        "dark_factor": header.get("DARKFAC"),
        "bad_pixels": header.get("BADPIX"),
        "cosmic_ray_pixels": header.get("COSMICS"),
        "background_adu": header["BKGADU"],
        "noise_adu": header["NOISEADU"],
        "sky_light_adu": header.get("SKYLIGHT"),
        **{noun: text_of(header.get(noun.upper(), "none")) for noun in ("dark", "bias", "flat")},
        "mosaic": _mosaic(header),
        "exptime_s": exposure_time(header),
        "filter": exposure.filter,
        "gain": exposure.gain,
        "egain": exposure.egain,
        "date_obs": date if isinstance(date, str) else None,
    }
    write_json(quality, record)


def _mosaic(header: Mapping[str, Any]) -> str:
    """Name a frame's pattern, with what its pixels say against it."""
    doubt = header.get(PATTERN_DOUBT)
    pattern = header.get(GREY_OF, NOTHING_USED if doubt else "")
    return DOUBT.join(filter(None, [pattern, doubt]))


def _unusable(header: Mapping[str, Any]) -> Reason:
    return {"code": "unusable", "cause": text_of(header[FAILURE])}


if "snakemake" in globals():
    with job_log(snakemake):
        run(
            Path(snakemake.input.sources),
            Path(snakemake.output.quality),
            frame=snakemake.wildcards.frame,
            limits=snakemake.params.settings,
        )
