"""How a frame was taken, as its header tells."""

from dataclasses import dataclass
from typing import Any, Protocol

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


class Cards(Protocol):
    """Values by keyword, as in astropy's headers and in dictionaries."""

    def get(self, key: str, /) -> Any:
        """Return the value of a card; None if there is none."""


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


def exposure_of(header: Cards, shape: tuple[int, int]) -> Exposure:
    """Read how a frame was taken; values that make no sense count as missing.

    Parameters
    ----------
    header : mapping of str to object
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


def exposure_time(header: Cards) -> float | None:
    """Exposure time of a frame [s]; None if its header states none that makes sense."""
    exptime = first_number(header, EXPOSURE_KEYS)
    return exptime if exptime is not None and 0 <= exptime < LONGEST_EXPOSURE_S else None


def first_number(header: Cards, keys: tuple[str, ...]) -> float | None:
    """Value of the first of these cards that holds a finite number."""
    for key in keys:
        value: Any = header.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool):
            number = float(value)
            if abs(number) < float("inf"):
                return number
    return None
