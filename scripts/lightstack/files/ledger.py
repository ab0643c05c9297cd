"""The ledger's columns, and what it says in a few lines."""

import statistics
from collections import Counter
from pathlib import Path

from scripts.lightstack.files.records import read_csv
from scripts.lightstack.telling import counted
from scripts.lightstack.text import DOUBT, NOTHING_USED, is_used, on_one_line

COLUMNS = (
    "frame",
    "status",
    "reasons",
    "n_sources",
    "n_stars",
    "fwhm_px",
    "ellipticity",
    "saturated_fraction",
    "saturation_found_adu",
    "no_data_fraction",
    "overscan_adu",
    "background_adu",
    "noise_adu",
    "sky_light_adu",
    "dark",
    "dark_factor",
    "bias",
    "flat",
    "bad_pixels",
    "cosmic_ray_pixels",
    "mosaic",
    "exptime_s",
    "date_obs",
    "n_matched",
    "residual_px",
    "shift_x_px",
    "shift_y_px",
    "rotation_deg",
    "scale",
    "flux_scale",
    "transparency",
    "sha256",
    "filter",
    "object",
    "group",
    "same_pixels_as",
)


AS_LITTLE = 1.5
"""Times the share of the light that a noise may be which is of the same scale: at three tenths of
the light, the most that is rejected, noise behind clouds is 1.8 times that."""

UNUSABLE = f"{DOUBT}none of its darks can be used"
"""Stands in the ledger where a master has no image: see `calibration.masters`."""

LESS_NOISE = 6.0
"""Times as much noise as a frame has lets most no more be exposures of its kind: it would take a
sky 36 times as bright for that."""

LEAST_NO_DATA = 0.001
"""Share of a frame's pixels from which on it is told of."""


def summary(ledger: Path, *, stacked: bool = True, in_colour: bool = False) -> list[str]:
    """Tell what became of the frames.

    Parameters
    ----------
    ledger : Path
        CSV file with the columns `COLUMNS`.
    stacked : bool
        Whether the stacks are there; else the frames in them are yet to be stacked.
    in_colour : bool
        Whether they have colours.

    Returns
    -------
    list of str
        Some for what is odd about darks and pixels, and one for all.
    """
    rows = read_csv(ledger)
    lines = (
        _about_darks([row for row in rows if UNUSABLE not in row["dark"]])
        + _about_unusable_darks(rows)
        + _about_other_masters(rows)
        + _about_mosaics(rows, in_colour=in_colour)
        + _about_pixels(rows)
        + _of_little_noise(rows)
        + _of_another_scale(rows)
        + _about_copies(rows)
        + _light_lost(rows)
    )
    counts = {
        status: sum(row["status"] == status for row in rows)
        for status in ("stacked", "rejected", "unaligned", "failed")
    }
    undarkened = sum(not is_used(row["dark"]) and row["status"] == "stacked" for row in rows)
    others = [
        f"{count} {status}" for status, count in counts.items() if status != "stacked" and count
    ]
    if undarkened:
        others.append(f"{undarkened} without a dark")
    state = "stacked" if stacked or not counts["stacked"] else "to be stacked"
    return [*lines, "; ".join([f"{counts['stacked']} of {len(rows)} frames {state}", *others])]


def _about_darks(rows: list[dict[str, str]]) -> list[str]:
    """Tell of darks that may not belong to their frames, and of those that do not."""
    lines = []
    for what, is_meant in (
        ("Darks in doubt", is_used),
        ("Darks that would make frames worse, and are not used", lambda dark: not is_used(dark)),
    ):
        meant = [row for row in rows if DOUBT in row["dark"] and is_meant(row["dark"])]
        if meant:
            dark = on_one_line(meant[0]["dark"].removeprefix(f"{NOTHING_USED}{DOUBT}"))
            name, _, why = dark.partition(DOUBT)
            frame = on_one_line(meant[0]["frame"])
            lines.append(f"{what}: {len(meant)}, such as that of {frame} ({name}): {why}")
    return lines


def _about_unusable_darks(rows: list[dict[str, str]]) -> list[str]:
    """Tell of frames that have no dark, as all that there are for them are none."""
    without = [row for row in rows if UNUSABLE in row["dark"]]
    if not without:
        return []
    why = on_one_line(without[0]["dark"]).partition(DOUBT)[2]
    return [f"Without a dark: {len(without)} of {len(rows)} frames: {why}"]


def _about_other_masters(rows: list[dict[str, str]]) -> list[str]:
    """Tell of bias frames and flats that may not suit their frames, or that are of no use."""
    lines = []
    for noun, plural in (("bias", "Bias frames"), ("flat", "Flats")):
        told = [row for row in rows if DOUBT in row[noun]]
        useless = [row for row in told if not is_used(row[noun])]
        doubted = [row for row in told if row not in useless]
        if doubted:
            name, _, why = on_one_line(doubted[0][noun]).partition(DOUBT)
            frame = on_one_line(doubted[0]["frame"])
            lines.append(
                f"{plural} in doubt: {len(doubted)}, such as that of {frame} ({name}): {why}"
            )
        if useless:
            why = on_one_line(useless[0][noun]).partition(DOUBT)[2]
            lines.append(f"Without a {noun}: {len(useless)} of {len(rows)} frames: {why}")
    return lines


def _about_mosaics(rows: list[dict[str, str]], *, in_colour: bool) -> list[str]:
    """Tell of frames whose colours may be others than their headers say."""
    lines = []
    doubted = [row for row in rows if DOUBT in row["mosaic"]]
    unnamed = [row for row in doubted if not is_used(row["mosaic"])]
    misnamed = [row for row in doubted if row not in unnamed]
    if misnamed and in_colour:
        pattern, frame, why = _first_doubt(misnamed)
        lines.append(
            f"Colours in doubt, for pixels speak against the pattern: {len(misnamed)} of "
            f"{len(rows)} frames, such as {frame} ({pattern}): {why}. See to BAYERPAT, XBAYROFF, "
            "YBAYROFF and ROWORDER in the headers; with `color: gray` the pattern does not count."
        )
    if unnamed:
        _, frame, why = _first_doubt(unnamed)
        lines.append(
            f"Mosaics of a colour camera, it seems, that no header calls so: {len(unnamed)} of "
            f"{len(rows)} frames, such as {frame}: {why}. Stacked as if they were grey, they have "
            "stars of wrong light. Write the camera's pattern into the headers of lights, darks "
            "and flats, such as BAYERPAT = 'RGGB'."
        )
    return lines


def _first_doubt(rows: list[dict[str, str]]) -> tuple[str, str, str]:
    """Tell the pattern of the first of these frames, its name, and what speaks against that."""
    pattern, _, why = on_one_line(rows[0]["mosaic"]).partition(DOUBT)
    return pattern, on_one_line(rows[0]["frame"]), why


def _about_pixels(rows: list[dict[str, str]]) -> list[str]:
    """Tell what was found in the frames' pixels."""
    lines = []
    tops = Counter(top for row in rows if (top := row["saturation_found_adu"]))
    for top, count in sorted(tops.items(), key=lambda item: float(item[0])):
        lines.append(
            f"Saturated at {float(top):g} ADU, where pixels pile up, below saturation_limit: "
            f"{count} of {len(rows)} frames"
        )
    shares = [float(row["no_data_fraction"] or 0) for row in rows]
    partial = [share for share in shares if share >= LEAST_NO_DATA]
    if partial:
        lines.append(
            f"Frames with pixels that are no data: {len(partial)}, up to {max(partial):.1%} of one"
        )
    return lines


def _of_little_noise(rows: list[dict[str, str]]) -> list[str]:
    """Tell of frames with less noise than an exposure like the others can have."""
    noise = {
        row["frame"]: float(row["noise_adu"]) * float(row["flux_scale"])
        for row in rows
        if row["status"] == "stacked" and row["noise_adu"] and row["flux_scale"]
    }
    usual = statistics.median(noise.values()) if noise else 0.0
    odd = [frame for frame, own in noise.items() if own * LESS_NOISE < usual]
    if not odd:
        return []
    sentence = (
        f"Far less noise than the others: {len(odd)} of {len(noise)} frames, such as "
        f"{on_one_line(odd[0])} ({noise[odd[0]]:.2g} ADU, most have {usual:.2g}). A stack, or "
        "what a program has smoothed or left in few steps, outweighs the exposures: take it out "
        "of the folder, or set weights to none."
    )
    return [sentence]


def _of_another_scale(rows: list[dict[str, str]]) -> list[str]:
    """Tell of frames that are rejected for too little light and have as much less noise.

    Behind clouds the noise falls with the root of the light at most.
    """
    usual = _usual_noise(rows)
    found = [
        row
        for row in rows
        if row["status"] == "rejected" and row["transparency"] and row["noise_adu"] and usual
        if float(row["noise_adu"]) < AS_LITTLE * float(row["transparency"]) * usual
    ]
    if not found:
        return []
    share = float(found[0]["transparency"])
    sentence = (
        f"Numbers of another scale, it seems: {len(found)} of {len(rows)} frames, such as "
        f"{on_one_line(found[0]['frame'])}, have {share:.2g} of the light of the others and of "
        "their noise, which no clouds do. They are of fewer bits or in another unit: stack them "
        f"apart, or with the others by min_transparency={share / 2:.1g}."
    )
    return [sentence]


def _usual_noise(rows: list[dict[str, str]]) -> float:
    noise = [
        float(row["noise_adu"]) for row in rows if row["status"] == "stacked" and row["noise_adu"]
    ]
    return statistics.median(noise) if noise else 0.0


def _about_copies(rows: list[dict[str, str]]) -> list[str]:
    """Tell of frames that are in the stacks of several groups under different names."""
    twice = [row for row in rows if row.get("same_pixels_as")]
    if not twice:
        return []
    one, other = on_one_line(twice[0]["frame"]), on_one_line(twice[0]["same_pixels_as"])
    sentence = (
        f"The same pixels in the stacks of several groups: {counted(len(twice), 'frame')}, such "
        f"as {one} and {other}"
    )
    return [sentence]


def _light_lost(rows: list[dict[str, str]]) -> list[str]:
    """Tell of structure wider than stars that went with the sky, in most of the frames."""
    of_stacked = [float(row["sky_light_adu"] or 0) for row in rows if row["status"] == "stacked"]
    lost = sorted(light for light in of_stacked if light > 0)
    if 2 * len(lost) <= len(of_stacked):
        return []
    sentence = (
        f"Structure wider than stars went with the sky in {len(lost)} of {len(of_stacked)} "
        f"frames, {lost[len(lost) // 2]:.3g} ADU of it: a nebula, a galaxy, or what a flat would "
        "take. `background: match` keeps it."
    )
    return [sentence]
