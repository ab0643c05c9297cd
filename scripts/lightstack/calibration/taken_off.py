"""What is taken off a frame: its own dark, else a master, else the bias."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.calibration.scaling import Turned, scale
from scripts.lightstack.calibration.subtraction import (
    Region,
    Rows,
    subtract,
    subtract_if_it_suits,
)
from scripts.lightstack.text import DOUBT, NOTHING_USED

NO_BIAS = "there is no bias to scale it with"


@dataclass(frozen=True)
class Opened:
    """A dark, bias, flat or map of bad pixels.

    Parameters
    ----------
    name : str
        For the ledger.
    pixels : Rows
    noise : float
        Of a pixel; 0 where it is unknown.
    n_combined : int
        How many raw frames it is made of.
    is_turned : bool
        Whether its rows run the other way than the frame's.
    """

    name: str
    pixels: Rows
    noise: float = 0.0
    n_combined: int = 1
    is_turned: bool = False

    @property
    def in_order(self) -> Rows:
        """Its pixels in the frame's order of rows."""
        return Turned(self.pixels) if self.is_turned else self.pixels


@dataclass(frozen=True)
class Scaling:
    """How a dark is scaled: see `scaling.scale`."""

    by_exposure: float
    optimize: bool
    saturation: float


@dataclass(frozen=True)
class TakenOff:
    """What was taken off a frame.

    Parameters
    ----------
    names : dict of str to str
        Of "dark" and "bias", what was used and what speaks against it, for the ledger.
    used : Opened or None
        The dark, else the bias; its noise is that of the scaled dark if it was scaled.
    is_dark : bool
        Whether it is a dark.
    level : float
        Its typical value [ADU].
    factor : float or None
        By which the dark was scaled, if it was.
    """

    names: dict[str, str] = field(default_factory=lambda: {"dark": NOTHING_USED})
    used: Opened | None = None
    is_dark: bool = False
    level: float = 0.0
    factor: float | None = None


def take_off(
    data: NDArray[np.float32],
    region: Region,
    opened: Mapping[str, Opened],
    unstated: Mapping[str, str],
    scaling: Scaling | None,
    *,
    period: int,
    at_any_price: bool,
) -> TakenOff:
    """Subtract the first of own dark, master dark and bias that does no harm, in place.

    Parameters
    ----------
    data : (ny, nx) ndarray of float32
        A region of the frame [ADU].
    region : (slice, slice)
        Its rows and columns.
    opened : mapping of str to Opened
        "own", "dark" and "bias", as far as they are there.
    unstated : mapping of str to str
        What headers leave open, by the same.
    scaling : Scaling or None
        How darks are scaled, if they are.
    period : int
        As in `suspicions.sampling`.
    at_any_price : bool
        Whether a dark is subtracted that makes the frame worse.

    Returns
    -------
    TakenOff
    """
    bias = opened.get("bias")
    of_bias = {} if bias is None else {"bias": _told(bias.name, unstated.get("bias"))}
    refused: list[list[str]] = []
    for noun in ("own", "dark"):
        if noun not in opened:
            continue
        dark, worse, doubts, factor = opened[noun], [], [], None
        if scaling is not None and bias is not None:
            scaled = scale(
                data,
                dark.in_order,
                bias.in_order,
                region,
                by_exposure=scaling.by_exposure,
                optimize=scaling.optimize,
                period=period,
                saturation=scaling.saturation,
            )
            if scaled.worse and scaling.by_exposure == 1:
                # As it is, it suits the frame.
                doubts = [f"not scaled: {reason}" for reason in scaled.worse]
            else:
                worse, doubts, factor = scaled.worse, scaled.doubts, scaled.factor
                noise = math.hypot(factor * dark.noise, (1 - factor) * bias.noise)
                dark = replace(dark, pixels=scaled.pixels, noise=noise, is_turned=False)
        elif scaling is not None and scaling.by_exposure != 1:
            worse = [NO_BIAS]
        done = subtract_if_it_suits(
            data,
            dark.pixels,
            region,
            is_turned=dark.is_turned,
            period=period,
            at_any_price=at_any_price,
            worse=worse,
        )
        if done.is_used:
            not_used = [f"not {name} ({', '.join(why)})" for name, *why in refused]
            told = _told(dark.name, unstated.get(noun), *doubts, *done.doubts, *not_used)
            names = {"dark": told, **(of_bias if factor is not None else {})}
            return TakenOff(names, dark, True, done.level, factor)
        refused.append([dark.name, *done.doubts])
    names = {"dark": _told(NOTHING_USED, *(part for each in refused for part in each)), **of_bias}
    if bias is None:
        return TakenOff(names)
    level = subtract(data, bias.pixels, region, is_turned=bias.is_turned)
    return TakenOff(names, bias, False, level)


def _told(*parts: str | None) -> str:
    return DOUBT.join(filter(None, parts))
