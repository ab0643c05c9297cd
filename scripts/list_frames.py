"""Write the ledger: what became of each frame."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.lightstack.alignment.transform import Transform
from scripts.lightstack.files.alignment_file import problem_of
from scripts.lightstack.files.ledger import COLUMNS
from scripts.lightstack.files.quality_records import read_verdicts
from scripts.lightstack.files.records import read_json, write_csv
from scripts.lightstack.job import job_log
from scripts.lightstack.order import natural_order
from scripts.lightstack.report.reasons import sentence, sentences

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def run(
    quality: dict[str, Path],
    alignments: list[Path],
    ledger: Path,
    *,
    facts: dict[str, dict[str, str]],
    refused: dict[str, str],
    left_out: dict[str, str],
) -> None:
    """Write one row per frame offered.

    Parameters
    ----------
    quality : dict of str to Path
        What `grade_frame` wrote, by frame.
    alignments : list of Path
        What `align_frames` wrote, for each reference.
    ledger : Path
        CSV file to write; its columns are `lightstack.files.ledger.COLUMNS`.
    facts : dict of str to dict
        By frame, what is known of it from its header: ``filter`` and ``object``; and its
        ``group``, where frames are grouped.
    refused : dict of str to str
        Frames whose files could not be opened at all, with the sentences that say why.
    left_out : dict of str to str
        Frames that are not used though their files are good, with the reasons.
    """
    groups = {name: known.get("group", "") for name, known in facts.items()}
    records = read_verdicts(quality, groups)
    found_of = _by_frame(map(read_json, alignments))
    rows: list[dict[str, Any]] = []
    for name, record in records.items():
        found = found_of.get(name, {})
        row = {key: record.get(key) for key in COLUMNS}
        row |= {"frame": name, **_outcome(record, found, groups[name])}
        if entry := {**found.get("frames", {}), **found.get("rejected", {})}.get(name):
            reference = records[found["reference"]]
            row |= _placement(entry, record["shape"], reference["shape"])
        rows.append(row)
    rows += [
        {"frame": name, "status": status, "reasons": reason}
        for status, frames in (("failed", refused), ("rejected", left_out))
        for name, reason in frames.items()
    ]
    rows = [{**row, **facts.get(row["frame"], {})} for row in rows]
    rows.sort(key=lambda row: natural_order(row["frame"]))
    write_csv(ledger, COLUMNS, rows)


def _by_frame(alignments: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Alignment in which each frame has a part."""
    return {
        name: found
        for found in alignments
        for name in (*found["frames"], *found["rejected"], *found["unaligned"])
    }


def _outcome(record: dict[str, Any], alignment: dict[str, Any], group: str) -> dict[str, str]:
    """Status of a frame and its reasons."""
    name = record["frame"]
    if record["verdict"] != "accepted":
        return {"status": record["verdict"], "reasons": sentences(record["reasons"])}
    if name in alignment.get("rejected", {}):
        return {"status": "rejected", "reasons": sentence(alignment["rejected"][name]["reason"])}
    # Where nothing can be aligned, no alignment names the frame.
    if name not in alignment.get("frames", {}) or problem_of(alignment, group):
        reason = alignment.get("unaligned", {}).get(name, {"code": "alone"})
        return {"status": "unaligned", "reasons": sentence(reason)}
    return {"status": "stacked", "reasons": ""}


def _placement(
    entry: dict[str, Any], shape: list[int], reference_shape: list[int]
) -> dict[str, Any]:
    """Columns that describe where a frame lies on the reference."""
    transform = Transform.from_json(
        entry, (shape[0], shape[1]), (reference_shape[0], reference_shape[1])
    )
    shift_x, shift_y = transform.shift
    return {
        "n_matched": entry["n_matched"],
        "residual_px": entry["residual_px"],
        "shift_x_px": shift_x,
        "shift_y_px": shift_y,
        "rotation_deg": transform.rotation_deg,
        "scale": transform.scale,
        "flux_scale": entry["flux_scale"],
        "transparency": entry["transparency"],
    }


if "snakemake" in globals():
    with job_log(snakemake):
        run(
            dict(zip(snakemake.params.frames, map(Path, snakemake.input.quality), strict=True)),
            [Path(path) for path in snakemake.input.alignments],
            Path(snakemake.output.ledger),
            facts=snakemake.params.facts,
            refused=snakemake.params.refused,
            left_out=snakemake.params.left_out,
        )
