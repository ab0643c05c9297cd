"""Which dark belongs to which frame."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scripts.lightstack.frames import natural_order

if TYPE_CHECKING:
    from astropy.io import fits

EXPOSURE_KEYS = ("EXPTIME", "EXPOSURE")
GAIN_KEYS = ("GAIN", "EGAIN")
TEMPERATURE_KEYS = ("CCD-TEMP", "SET-TEMP")
BINNING_KEYS = (("XBINNING", "YBINNING"), ("BINX", "BINY"))
EXPOSURE_CARDS = (
    *EXPOSURE_KEYS,
    *GAIN_KEYS,
    *TEMPERATURE_KEYS,
    *(key for pair in BINNING_KEYS for key in pair),
)
"""All cards that tell how a frame was taken."""

LONGEST_EXPOSURE_S = 1e6
EXPOSURE_TOLERANCE = 0.01
"""Exposures are equal within this share: headers round them."""


@dataclass(frozen=True)
class Exposure:
    """How a frame was taken, as far as its header tells; None where it does not.

    Parameters
    ----------
    shape : (int, int)
        ``(ny, nx)`` [pixels].
    exptime : float, optional
        Exposure time [s].
    gain : float, optional
        As the camera states it.
    binning : (float, float), optional
        Along x and y.
    temperature : float, optional
        Of the sensor [degrees Celsius].
    """

    shape: tuple[int, int]
    exptime: float | None = None
    gain: float | None = None
    binning: tuple[float, float] | None = None
    temperature: float | None = None


def exposure_of(header: "fits.Header", shape: tuple[int, int]) -> Exposure:
    """Read how a frame was taken; values that make no sense count as missing.

    Parameters
    ----------
    header : astropy.io.fits.Header
        The frame's cards.
    shape : (int, int)
        ``(ny, nx)`` [pixels].

    Returns
    -------
    Exposure
    """
    binnings = [[first_number(header, (key,)) for key in keys] for keys in BINNING_KEYS]
    binning = next(((x, y) for x, y in binnings if x is not None and y is not None), None)
    return Exposure(
        shape,
        exposure_time(header),
        first_number(header, GAIN_KEYS),
        binning,
        first_number(header, TEMPERATURE_KEYS),
    )


def exposure_time(header: "fits.Header") -> float | None:
    """Exposure time of a frame [s]; None if its header states none that makes sense."""
    exptime = first_number(header, EXPOSURE_KEYS)
    return exptime if exptime is not None and 0 <= exptime < LONGEST_EXPOSURE_S else None


def first_number(header: "fits.Header", keys: tuple[str, ...]) -> float | None:
    """Value of the first of these cards that holds a finite number."""
    for key in keys:
        value: Any = header.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool):
            number = float(value)
            if abs(number) < float("inf"):
                return number
    return None


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
