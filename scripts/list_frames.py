"""Write the ledger: what became of each frame."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.lightstack.alignment.transform import Transform
from scripts.lightstack.files.ledger import COLUMNS
from scripts.lightstack.files.records import read_json, write_csv
from scripts.lightstack.files.verdicts import read_verdicts
from scripts.lightstack.job import job_log
from scripts.lightstack.order import natural_order
from scripts.lightstack.report.reasons import sentence, sentences

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def run(
    quality: dict[str, Path],
    alignment: Path,
    ledger: Path,
    *,
    refused: dict[str, str],
    left_out: dict[str, str],
) -> None:
    """Write one row per frame offered.

    Parameters
    ----------
    quality : dict of str to Path
        What `grade_frame` wrote, by frame.
    alignment : Path
        What `align_frames` wrote.
    ledger : Path
        CSV file to write; its columns are `lightstack.files.ledger.COLUMNS`.
    refused : dict of str to str
        Frames whose files could not be opened at all, with the sentences that say why.
    left_out : dict of str to str
        Frames that are not used though their files are good, with the reasons.
    """
    found = read_json(alignment)
    records = read_verdicts(quality)
    rows: list[dict[str, Any]] = []
    for name, record in records.items():
        row = {key: record.get(key) for key in COLUMNS}
        row |= {"frame": name, **_outcome(record, found)}
        if name in found["frames"]:
            reference = records[found["reference"]]
            row |= _placement(found["frames"][name], record["shape"], reference["shape"])
        rows.append(row)
    rows += [
        {"frame": name, "status": status, "reasons": reason}
        for status, frames in (("failed", refused), ("rejected", left_out))
        for name, reason in frames.items()
    ]
    rows.sort(key=lambda row: natural_order(row["frame"]))
    write_csv(ledger, COLUMNS, rows)


def _outcome(record: dict[str, Any], alignment: dict[str, Any]) -> dict[str, str]:
    """Status of a frame and its reasons."""
    name = record["frame"]
    if record["verdict"] != "accepted":
        return {"status": record["verdict"], "reasons": sentences(record["reasons"])}
    if name in alignment["unaligned"] or "problem" in alignment:
        reason = alignment["unaligned"].get(name, {"code": "alone"})
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
    }


if "snakemake" in globals():
    with job_log(snakemake):
        run(
            dict(zip(snakemake.params.frames, map(Path, snakemake.input.quality), strict=True)),
            Path(snakemake.input.alignment),
            Path(snakemake.output.ledger),
            refused=snakemake.params.refused,
            left_out=snakemake.params.left_out,
        )
