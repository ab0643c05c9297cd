"""What is in the folders of a run: every file, how it was taken and what becomes of it."""

from collections.abc import Mapping
from typing import Any

from scripts.lightstack.order import natural_order
from scripts.lightstack.planning.calibration_choice import Calibration
from scripts.lightstack.planning.groups import Groups
from scripts.lightstack.planning.uses import Known, Uses
from scripts.lightstack.raw.exposure import Exposure
from scripts.lightstack.raw.roles import LIGHT


def inventory(
    uses: Uses,
    known: Known,
    contents: Mapping[str, str],
    calibration: Calibration,
    groups: Groups,
) -> list[dict[str, Any]]:
    """List all files, a row each.

    Parameters
    ----------
    uses : Uses
        What each file is used as.
    known : mapping
        How each file was taken.
    contents : mapping of str to str
        Fingerprints of the files.
    calibration : Calibration
        What the frames are calibrated with.
    groups : Groups
        Which frames are stacked together.

    Returns
    -------
    list of dict
        With the columns of `list_inventory` as keys, in the order of the files.
    """
    lights = {path: name for name, path in uses.frames.paths.items()}
    used = {
        path: noun for noun, choice in calibration.masters.items() for path in sorted(choice.used)
    }
    idle = {
        path: why for choice in calibration.masters.values() for path, why in choice.idle.items()
    }
    rows = []
    for path in sorted({*known, *uses.left_out}, key=natural_order):
        seen = known.get(path)
        used_as, why = "", idle.get(path, "no frame needs it")
        if path in uses.left_out:
            why = uses.why(path)
        elif isinstance(seen, str):
            why = seen
        elif path in lights:
            frame = lights[path]
            used_as, why = LIGHT, calibration.without(frame) or calibration.unstated(frame)
        elif path in used:
            used_as, why = used[path], ""
        rows.append(
            {
                "file": path,
                "role": uses.roles.get(path, "unknown"),
                "used_as": used_as,
                "why": why,
                "group": groups.of_frame.get(lights.get(path, "")),
                **_described(seen),
                "sha256": contents.get(path),
            }
        )
    rows += [
        {"file": name, "role": "unknown", "why": why}
        for files in (uses.frames, uses.darks, uses.bias, uses.flats)
        for name, why in files.refused.items()
    ]
    return rows


def _described(exposure: Exposure | str | None) -> dict[str, Any]:
    """Columns that tell how a file was taken."""
    if not isinstance(exposure, Exposure):
        return {}
    return {
        "shape": _pair(exposure.shape[::-1]),
        "type": exposure.pixel_type,
        "exptime_s": exposure.exptime,
        "gain": exposure.gain,
        "egain": exposure.egain,
        "offset": exposure.offset,
        "readout_mode": exposure.readout_mode,
        "binning": _pair(exposure.binning),
        "temperature_c": exposure.temperature,
        "filter": exposure.filter,
        "object": exposure.object,
        "bayer_pattern": exposure.bayer,
        "orientation": exposure.orientation,
        "window": _pair(exposure.window),
        "camera": exposure.camera,
        "telescope": exposure.telescope,
        "date_obs": exposure.date,
    }


def _pair(values: tuple[float, ...] | None) -> str | None:
    return None if values is None else " x ".join(f"{value:g}" for value in values)


def ledger_facts(uses: Uses, known: Known, groups: Groups) -> dict[str, dict[str, str]]:
    """Tell what the ledger says of frames, used or not, from their headers.

    Parameters
    ----------
    uses : Uses
        What each file is used as.
    known : mapping
        How each file was taken.
    groups : Groups
        Which frames are stacked together.

    Returns
    -------
    dict of str to dict of str to str
        By frame, of ``filter``, ``object`` and ``group`` what there is.
    """
    facts = {}
    for frame, path in {**uses.offered, **uses.frames.paths}.items():
        seen = known.get(path)
        stated = {"group": groups.of_frame.get(frame)}
        if isinstance(seen, Exposure):
            stated |= {"filter": seen.filter, "object": seen.object}
        facts[frame] = {column: text for column, text in stated.items() if text}
    return facts
