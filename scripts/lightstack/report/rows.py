"""The frames of a report: the ledger's rows as numbers, and how near each is to its limits."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from scripts.lightstack.report.criteria import Criterion, broken, nearest
from scripts.lightstack.telling import gathered

STATUSES = ("stacked", "rejected", "unaligned", "failed")

NUMBERS = (
    "n_sources",
    "n_stars",
    "fwhm_px",
    "ellipticity",
    "saturated_fraction",
    "background_adu",
    "noise_adu",
    "exptime_s",
    "n_matched",
    "residual_px",
    "shift_x_px",
    "shift_y_px",
    "rotation_deg",
    "flux_scale",
    "transparency",
    "dark_factor",
    "overscan_adu",
    "bad_pixels",
    "cosmic_ray_pixels",
    "no_data_fraction",
    "saturation_found_adu",
)


@dataclass(frozen=True)
class Row:
    """What became of one frame.

    Parameters
    ----------
    name, status : str
        As in the ledger.
    reasons : list of str
        Why it is not stacked, a sentence each.
    values : mapping of str to float or None
        Numbers of the ledger by column.
    dark, bias, flat, mosaic, date_obs, sha256, group : str
        As in the ledger.
    margin : float or None
        How far the frame is from the limit that it keeps worst, over the limit; negative if it
        does not keep it, and None where no limit decided on it: it has no image, or is left out
        for another cause.
    """

    name: str
    status: str
    reasons: list[str]
    values: Mapping[str, float | None]
    dark: str
    bias: str
    flat: str
    mosaic: str
    date_obs: str
    sha256: str
    group: str
    margin: float | None

    @property
    def is_stacked(self) -> bool:
        """Whether it is in the stacks."""
        return self.status == "stacked"


def rows_of(ledger: list[dict[str, str]], limits: list[Criterion]) -> list[Row]:
    """Read the ledger's rows.

    Parameters
    ----------
    ledger : list of dict of str to str
        Rows as they stand in the file.
    limits : list of Criterion
        What the frames were judged by.

    Returns
    -------
    list of Row
        In the order of the ledger.
    """
    return [_row(row, limits) for row in ledger]


def _row(row: dict[str, str], limits: list[Criterion]) -> Row:
    values = {column: number(row.get(column, "")) for column in NUMBERS}
    is_rejected = row["status"] == "rejected"
    is_without_limit = is_rejected and not broken(limits, values)
    return Row(
        row["frame"],
        row["status"],
        [reason for reason in row["reasons"].split("; ") if reason],
        values,
        row.get("dark", ""),
        row.get("bias", ""),
        row.get("flat", ""),
        row.get("mosaic", ""),
        row.get("date_obs", ""),
        row.get("sha256", ""),
        row.get("group", ""),
        None if is_without_limit else nearest(limits, values),
    )


def number(text: str) -> float | None:
    """Read a cell of the ledger; None if it is empty or no finite number."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def nearest_misses_first(rows: list[Row]) -> list[Row]:
    """Order frames so that those come first about which one might think again.

    Rejected frames, the nearest to their limits first; then the unaligned and the failed; then the
    stacked, again the nearest to a limit first.
    """
    place = {status: k for k, status in enumerate(("rejected", "unaligned", "failed", "stacked"))}

    def key(row: Row) -> tuple[int, float]:
        margin = math.inf if row.margin is None else abs(row.margin)
        return place.get(row.status, len(place)), margin

    return sorted(rows, key=key)


def causes(rows: list[Row], limits: list[Criterion]) -> list[tuple[str, list[str]]]:
    """Why frames are left out, and which: by criterion, then for other reasons."""
    rejected = [row for row in rows if row.status == "rejected"]
    causes = []
    for limit in limits:
        relation = "at least" if limit.is_least else "at most"
        cause = f"{limit.complaint} ({limit.setting}: {relation} {limit.shown(limit.limit)})"
        values = [(row.name, row.values[limit.column]) for row in rejected]
        causes.append(
            (
                cause,
                [name for name, value in values if value is not None and limit.margin(value) < 0],
            )
        )
    others = ((row.name, "; ".join(row.reasons)) for row in rejected if row.margin is None)
    causes += [(cause, names) for names, cause in gathered(others)]
    causes.append(("not aligned", [row.name for row in rows if row.status == "unaligned"]))
    causes.append(("no usable image", [row.name for row in rows if row.status == "failed"]))
    return [(cause, names) for cause, names in causes if names]
