"""The ledger's columns, and what it says in a few lines."""

from pathlib import Path

from scripts.lightstack.files.records import read_csv
from scripts.lightstack.text import DOUBT, on_one_line

COLUMNS = (
    "frame",
    "status",
    "reasons",
    "n_sources",
    "n_stars",
    "fwhm_px",
    "ellipticity",
    "saturated_fraction",
    "background_adu",
    "noise_adu",
    "dark",
    "exptime_s",
    "date_obs",
    "n_matched",
    "residual_px",
    "shift_x_px",
    "shift_y_px",
    "rotation_deg",
    "scale",
    "flux_scale",
    "sha256",
)


def summary(ledger: Path, *, stacked: bool = True) -> list[str]:
    """Tell what became of the frames.

    Parameters
    ----------
    ledger : Path
        CSV file with the columns `COLUMNS`.
    stacked : bool
        Whether the stacks are there; else the frames in them are yet to be stacked.

    Returns
    -------
    list of str
        A line per frame that is not in the stacks, one if darks are in doubt, and one for all.
    """
    rows = read_csv(ledger)
    lines = [
        f"{on_one_line(row['frame'])}: {row['status']}: {row['reasons']}"
        for row in rows
        if row["status"] != "stacked"
    ]
    doubted = [row for row in rows if DOUBT in row["dark"]]
    if doubted:
        dark, _, doubt = on_one_line(doubted[0]["dark"]).partition(DOUBT)
        lines.append(
            f"Darks in doubt: {len(doubted)}, such as that of {on_one_line(doubted[0]['frame'])} "
            f"({dark}): {doubt}"
        )
    counts = {
        status: sum(row["status"] == status for row in rows)
        for status in ("stacked", "rejected", "unaligned", "failed")
    }
    undarkened = sum(row["dark"] == "none" and row["status"] == "stacked" for row in rows)
    others = [
        f"{count} {status}" for status, count in counts.items() if status != "stacked" and count
    ]
    if undarkened:
        others.append(f"{undarkened} without a dark")
    state = "stacked" if stacked else "to be stacked"
    return [*lines, "; ".join([f"{counts['stacked']} of {len(rows)} frames {state}", *others])]
