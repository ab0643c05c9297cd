"""Which dark belongs to which frame."""

from typing import Any

from scripts.lightstack.order import natural_order
from scripts.lightstack.raw.exposure import Exposure

EXPOSURE_TOLERANCE = 0.01
"""Exposures are equal within this share: headers round them."""


def kinds(
    exposures: dict[str, Exposure], temperature_tolerance: float
) -> list[tuple[Exposure, list[str]]]:
    """Sort darks into kinds that can be combined.

    Parameters
    ----------
    exposures : dict of str to Exposure
        How each dark was taken, by its name.
    temperature_tolerance : float
        Largest difference of temperature within a kind [degrees Celsius].

    Returns
    -------
    list of (Exposure, list of str)
        The coldest dark's exposure and the names of each kind, always in the same order.
    """
    found: list[tuple[Exposure, list[str]]] = []
    for name in sorted(exposures, key=lambda name: (_order(exposures[name]), name)):
        exposure = exposures[name]
        for first, names in found:
            if _is_one_kind(first, exposure, temperature_tolerance):
                names.append(name)
                break
        else:
            found.append((exposure, [name]))
    return found


def closest_master(
    frame: Exposure, masters: dict[str, Exposure], temperature_tolerance: float
) -> str | None:
    """Choose the master dark of a frame.

    Parameters
    ----------
    frame : Exposure
        How the frame was taken.
    masters : dict of str to Exposure
        How the masters were taken, by name.
    temperature_tolerance : float
        Largest difference of temperature [degrees Celsius].

    Returns
    -------
    str or None
        Among the masters that contradict the frame in nothing, the one that agrees in most
        values, then the closest in temperature and exposure, then the first name.
    """
    candidates = [
        (_distance(frame, master), natural_order(name), name)
        for name, master in masters.items()
        if _matches(frame, master, temperature_tolerance)
    ]
    return min(candidates)[-1] if candidates else None


def _matches(frame: Exposure, dark: Exposure, temperature_tolerance: float) -> bool:
    return (
        frame.shape == dark.shape
        and _agree(frame.exptime, dark.exptime, EXPOSURE_TOLERANCE * (frame.exptime or 0))
        and _agree(frame.gain, dark.gain, 0)
        and (frame.binning is None or dark.binning is None or frame.binning == dark.binning)
        and _agree(frame.temperature, dark.temperature, temperature_tolerance)
    )


def _agree(one: float | None, other: float | None, tolerance: float) -> bool:
    """Whether two values differ by no more than the tolerance; a missing one is no mismatch."""
    return one is None or other is None or abs(one - other) <= tolerance + 1e-9


def _is_one_kind(first: Exposure, other: Exposure, temperature_tolerance: float) -> bool:
    same_keys = all(
        (getattr(first, key) is None) == (getattr(other, key) is None)
        for key in ("exptime", "gain", "binning", "temperature")
    )
    return same_keys and _matches(first, other, temperature_tolerance)


def _order(exposure: Exposure) -> tuple[Any, ...]:
    values = (exposure.exptime, exposure.gain, exposure.binning, exposure.temperature)
    return (
        exposure.shape,
        *((value is not None, value or 0) for value in values[:2]),
        (exposure.binning is not None, exposure.binning or (0, 0)),
        (exposure.temperature is not None, exposure.temperature or 0),
    )


def _distance(frame: Exposure, master: Exposure) -> tuple[int, float, float]:
    def difference(key: str) -> float:
        one, other = getattr(frame, key), getattr(master, key)
        return 0.0 if one is None or other is None else abs(one - other)

    unknown = sum(
        getattr(master, key) is None for key in ("exptime", "gain", "binning", "temperature")
    )
    return unknown, difference("temperature"), difference("exptime")
