"""Find the transform of each accepted frame to the reference."""

import logging
from collections import Counter
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from scripts.lightstack.alignment.judging import judge
from scripts.lightstack.alignment.optics import share_distortion
from scripts.lightstack.alignment.pairs import Pairs
from scripts.lightstack.alignment.reference import Choice, best, first
from scripts.lightstack.alignment.taken import Taken, taken
from scripts.lightstack.digest import VERSIONS, code_digest
from scripts.lightstack.files.quality_records import read_verdicts
from scripts.lightstack.files.records import write_json
from scripts.lightstack.job import job_log

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

CRITERIA = {
    "too_few_stars": "for too few stars (lower min_star_count, threshold_sigma or minarea)",
    "too_wide": "for stars too wide (raise fwhm0 or fwhm_max_ratio)",
    "too_elongated": "for stars too elongated (raise ellip_max)",
    "too_saturated": "for too many saturated stars (raise saturated_max_fraction)",
    "same_pixels": "for the same pixels as another",
    "unusable": "could not be read",
}
"""What to change if no frame is accepted, by the codes of the reasons."""

STRETCHED = 1.05
"""FWHM of bright stars over that of fainter ones in half of the frames: of five real nights it is
1.02 at most, of pictures with the gamma of screens 1.06, and of pictures that were stretched to
show a nebula 1.18."""

log = logging.getLogger(__name__)


def run(
    quality: dict[str, Path],
    sources: dict[str, Path],
    alignment: Path,
    *,
    groups: dict[str, str],
    reference: str,
    normalize: str,
    min_transparency: float,
    cache: Path,
    threads: int,
) -> None:
    """Write the transforms of the accepted frames.

    Parameters
    ----------
    quality, sources : dict of str to Path
        What `grade_frame` and `detect_sources` wrote, by frame.
    alignment : Path
        JSON file to write: ``reference``, the aligned ``frames``, those that are ``rejected``
        though they are aligned, the reason for each of the ``unaligned``; why the first accepted
        frame was ``passed_over``; by how much bright stars are ``wider_when_bright`` if frames are
        stretched pictures, and, where nothing can be stacked, the ``problem``. Of groups,
        too, ``flux_references``, the frame of each to which the others are scaled, and
        ``problems``, the reason for each that cannot be stacked.
    groups : dict of str to str
        Group of each frame, all of which share one reference; empty where they are not grouped.
    reference : str
        "first" accepted frame, "best", or a frame's name; "first" if it is of other groups.
    normalize : str
        "flux" scales frames to the reference by their stars; "none" leaves them.
    min_transparency : float
        A frame that a smaller share of the light reached is rejected.
    cache : Path
        File that keeps the alignments for the next run: only pairs of star lists that it does
        not know are aligned.
    threads : int
        How many processes share the work; the result is the same.
    """
    records = read_verdicts(quality, groups)
    accepted = {
        name: record for name, record in records.items() if record["verdict"] == "accepted"
    }
    record: dict[str, Any] = {
        "reference": None,
        "normalize": normalize,
        "frames": {},
        "rejected": {},
        "unaligned": {},
    }
    if reference not in records and reference != "best":
        reference = "first"
    if accepted and reference not in ("first", "best", *accepted):
        record["problem"] = (
            f"The reference {reference!r} is not among the accepted frames. Set reference to "
            "first, best or the name of an accepted frame (see the ledger)."
        )
    else:
        if accepted:
            found = Pairs(
                accepted,
                sources,
                cache=cache,
                made_by=[code_digest("scripts/align_frames.py"), VERSIONS],
                threads=threads,
            )
            doubled = _doubled(accepted, reference)
            frames = {
                name: taken(each, groups[name])
                for name, each in accepted.items()
                if name not in doubled
            }
            record |= _aligned(frames, found, reference, min_transparency)
            record["unaligned"] |= doubled
            found.keep()
            if normalize == "none":
                for entry in record["frames"].values():
                    entry["flux_scale"] = 1.0
                    entry.pop("flux_lean", None)
            record |= _stretched([accepted[name] for name in record["frames"]])
            _tell(record)
        record |= _problems(groups, records, record)
    write_json(alignment, record)


def _aligned(
    frames: dict[str, Taken], pairs: Pairs, reference: str, min_transparency: float
) -> dict[str, Any]:
    """Choose the reference, align all frames on it, and judge them."""
    choice = _choose(reference, frames, pairs, min_transparency)
    outcomes = pairs.outcomes(choice.name, list(frames))
    outcomes = share_distortion(outcomes, frames[choice.name].shape)
    record: dict[str, Any] = {"reference": choice.name}
    if choice.passed_over:
        record["passed_over"] = {"frame": next(iter(frames)), "reason": choice.passed_over}
    return record | judge(outcomes, frames, choice.name, min_transparency=min_transparency)


def _doubled(accepted: dict[str, dict[str, Any]], reference: str) -> dict[str, Any]:
    """Tell which frames show their stars twice; if most seem to, it is the stars' own pattern."""
    found = {
        name: record["doubled"]
        for name, record in accepted.items()
        if record["doubled"] and name != reference
    }
    return found if 2 * len(found) < len(accepted) else {}


def _stretched(records: list[dict[str, Any]]) -> dict[str, float]:
    """Tell by how much bright stars are wider than fainter ones, if frames are stretched."""
    ratios = [record["bright_fwhm_ratio"] for record in records]
    known = [ratio for ratio in ratios if ratio is not None]
    if 2 * len(known) < len(ratios) or not known or median(known) < STRETCHED:
        return {}
    return {"wider_when_bright": median(known)}


def _problems(
    groups: dict[str, str], records: dict[str, dict[str, Any]], found: dict[str, Any]
) -> dict[str, Any]:
    """Tell which groups have too few frames."""
    problems = {}
    names = list(dict.fromkeys(groups.values())) or [""]
    for group in names:
        offered = [name for name in records if groups[name] == group]
        aligned = [name for name in offered if name in found["frames"]]
        if len(aligned) < 2:
            problems[group] = _too_few([records[name] for name in offered], aligned, found)
    if names == [""]:
        return {"problem": problems[""]} if problems else {}
    return {"problems": problems}


def _choose(
    reference: str, frames: dict[str, Taken], pairs: Pairs, min_transparency: float
) -> Choice:
    if reference == "first":
        return first(frames, pairs.aligned, min_transparency)
    if reference == "best":
        return best(frames, pairs.aligned, min_transparency)
    return Choice(reference)


def _tell(record: dict[str, Any]) -> None:
    for name, entry in record["frames"].items():
        log.info("%s: %d stars matched, %.3f px", name, entry["n_matched"], entry["residual_px"])
    for name, reason in record["unaligned"].items():
        log.warning("%s: not aligned: %s", name, reason)
    for name, entry in record["rejected"].items():
        log.warning("%s: rejected: %s", name, entry["reason"])


def _none_accepted(records: list[dict[str, Any]]) -> str:
    """Say which criterion rejected how many frames, and what to change."""
    if not records:
        return "None of the files offered could be opened: the ledger says why."
    counts = Counter(reason["code"] for record in records for reason in record["reasons"])
    parts = [f"{counts[code]} {text}" for code, text in CRITERIA.items() if counts[code]]
    n = len(records)
    none = f"None of the {n} frames was" if n > 1 else "The only frame was not"
    return f"{none} accepted: {'; '.join(parts)}."


def _too_few(records: list[dict[str, Any]], aligned: list[str], found: dict[str, Any]) -> str:
    accepted = sum(record["verdict"] == "accepted" for record in records)
    if not accepted:
        return _none_accepted(records)
    if len(records) == 1:
        return "There is only one frame, and a stack takes at least two: add more."
    itself = " (the reference is one of them)" if found["reference"] in aligned else ""
    return (
        f"Fewer than two frames to stack: of {len(records)} that could be opened, {accepted} "
        f"accepted, {len(aligned)} that can be stacked on {found['reference']!r}{itself}. The "
        "ledger gives each frame's reason: accept more frames or set another reference."
    )


if "snakemake" in globals():
    with job_log(snakemake):
        groups = snakemake.params.groups
        run(
            dict(zip(groups, map(Path, snakemake.input.quality), strict=True)),
            dict(zip(groups, map(Path, snakemake.input.sources), strict=True)),
            Path(snakemake.output.alignment),
            groups=groups,
            cache=Path(snakemake.params.cache),
            threads=snakemake.threads,
            **snakemake.params.settings,
        )
