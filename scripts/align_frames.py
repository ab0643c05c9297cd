"""Find the transform of each accepted frame to the reference."""

import hashlib
import json
import logging
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.lightstack.alignment.registration import Alignment, UnalignedError, align
from scripts.lightstack.alignment.stars import Stars
from scripts.lightstack.alignment.transform import identity
from scripts.lightstack.detection.quality import stars
from scripts.lightstack.digest import VERSIONS, code_digest
from scripts.lightstack.files.cache_file import read_cache, write_cache
from scripts.lightstack.files.quality_records import read_verdicts
from scripts.lightstack.files.records import write_json
from scripts.lightstack.files.table_file import read_table
from scripts.lightstack.forks import map_in_forks
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

log = logging.getLogger(__name__)


def run(
    quality: dict[str, Path],
    sources: dict[str, Path],
    alignment: Path,
    *,
    groups: dict[str, str],
    reference: str,
    normalize: str,
    cache: Path,
    threads: int,
) -> None:
    """Write the transforms of the accepted frames.

    Parameters
    ----------
    quality, sources : dict of str to Path
        What `grade_frame` and `detect_sources` wrote, by frame.
    alignment : Path
        JSON file to write: ``reference``, the aligned ``frames``, the reason for each of the
        ``unaligned``, and, where nothing can be stacked, the ``problem``. Of groups, too,
        ``flux_references``, the frame of each to which the others are scaled, and ``problems``,
        the reason for each that cannot be stacked.
    groups : dict of str to str
        Group of each frame, all of which share one reference; empty where they are not grouped.
    reference : str
        "first" accepted frame, "best", or a frame's name; "first" if it is of other groups.
    normalize : str
        "flux" scales frames to the reference by their stars; "none" leaves them.
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
            name = _choose_reference(reference, accepted)
            found = _align_all(name, accepted, sources, normalize, cache, threads)
            record |= {"reference": name, **found}
        record |= _of_groups(groups, records, record)
    write_json(alignment, record)


def _of_groups(
    groups: dict[str, str], records: dict[str, dict[str, Any]], found: dict[str, Any]
) -> dict[str, Any]:
    """Scale the frames of each group to one of them, and tell which groups have too few."""
    frames, scaled, problems = dict(found["frames"]), {}, {}
    names = list(dict.fromkeys(groups.values())) or [""]
    for group in names:
        offered = [name for name in records if groups[name] == group]
        aligned = [name for name in offered if name in frames]
        if len(aligned) < 2:
            problems[group] = _too_few([records[name] for name in offered], aligned, found)
        elif found["reference"] not in aligned:
            # Stars have other colours than the reference's filter shows: a scale of its own.
            aligned.sort(key=lambda name: frames[name]["flux_scale"])
            scaled[group] = aligned[(len(aligned) - 1) // 2]
            unit = frames[scaled[group]]["flux_scale"]
            for name in aligned:
                scale = frames[name]["flux_scale"] / unit
                frames[name] = {**frames[name], "flux_scale": scale}
    if names == [""]:
        return {"problem": problems[""]} if problems else {}
    return {"frames": frames, "flux_references": scaled, "problems": problems}


def _choose_reference(reference: str, records: dict[str, dict[str, Any]]) -> str:
    """Name of the reference; the best frame has most stars for the area of one."""
    if reference == "first":
        return next(iter(records))
    if reference == "best":
        return max(
            records, key=lambda name: records[name]["n_stars"] / records[name]["fwhm_px"] ** 2
        )
    return reference


def _align_all(
    reference: str,
    records: dict[str, dict[str, Any]],
    sources: dict[str, Path],
    normalize: str,
    cache: Path,
    threads: int,
) -> dict[str, Any]:
    """Align every frame on the reference: the entries ``frames`` and ``unaligned``."""
    target = _stars(records[reference], sources[reference])

    def outcome(name: str) -> dict[str, Any]:
        try:
            return _entry(align(_stars(records[name], sources[name]), target))
        except UnalignedError as error:
            return {"reason": error.reason}

    code = _digest(code_digest("scripts/align_frames.py"), VERSIONS)
    lists = {name: _digest_of_stars(records[name], sources[name]) for name in records}
    keys = {name: _digest(code, lists[name], lists[reference]) for name in records}
    del keys[reference]
    known = read_cache(cache)
    left = [name for name in keys if keys[name] not in known]
    outcomes = dict(zip(left, map_in_forks(outcome, left, threads), strict=True))
    outcomes |= {name: known[key] for name, key in keys.items() if key in known}
    if left or len(outcomes) < len(known):
        write_cache(cache, {key: outcomes[name] for name, key in keys.items()})
    log.info("%d of %d alignments are known.", len(keys) - len(left), len(keys))
    outcomes[reference] = _entry(Alignment(identity(target.shape), len(target), 0.0, 1.0))
    frames, unaligned = {}, {}
    for name in records:
        found = outcomes[name]
        if "reason" in found:
            unaligned[name] = found["reason"]
            log.warning("%s: not aligned: %s", name, found["reason"])
            continue
        frames[name] = found if normalize == "flux" else {**found, "flux_scale": 1.0}
        log.info("%s: %d stars matched, %.3f px", name, found["n_matched"], found["residual_px"])
    return {"frames": frames, "unaligned": unaligned}


def _entry(found: Alignment) -> dict[str, Any]:
    return {
        **found.transform.to_json(),
        "n_matched": found.n_matched,
        "residual_px": found.residual_px,
        "flux_scale": found.flux_scale,
    }


def _stars(record: dict[str, Any], sources: Path) -> Stars:
    """Positions, fluxes and widths of a frame's stars."""
    import numpy as np

    table = stars(read_table(sources), record["star_fwhm_px"])
    ny, nx = record["shape"]
    xy = np.column_stack([table["x"], table["y"]])
    flux, fwhm = (table[name].astype(float) for name in ("flux", "fwhm"))
    return Stars(xy, flux, fwhm, (ny, nx), table["saturated"].astype(bool))


def _digest_of_stars(record: dict[str, Any], sources: Path) -> str:
    """Digest of all that `_stars` makes a list of."""
    content = hashlib.sha256(sources.read_bytes()).hexdigest()
    return _digest(record["star_fwhm_px"], record["shape"], content)


def _digest(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _none_accepted(records: list[dict[str, Any]]) -> str:
    """Say which criterion rejected how many frames, and what to change."""
    if not records:
        return "None of the files offered could be opened: the ledger says why."
    counts = Counter(reason["code"] for record in records for reason in record["reasons"])
    parts = [f"{counts[code]} {text}" for code, text in CRITERIA.items() if counts[code]]
    return f"None of the {len(records)} frames was accepted: {'; '.join(parts)}."


def _too_few(records: list[dict[str, Any]], aligned: list[str], found: dict[str, Any]) -> str:
    accepted = sum(record["verdict"] == "accepted" for record in records)
    if not accepted:
        return _none_accepted(records)
    itself = " (the reference is one of them)" if found["reference"] in aligned else ""
    return (
        f"Fewer than two frames to stack: of {len(records)} offered, {accepted} accepted, "
        f"{len(aligned)} aligned on {found['reference']!r}{itself}. The ledger gives each frame's "
        "reason: accept more frames or set another reference."
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
