"""Which dark, bias or flat belongs to which frame, and why another does not.

It fits a frame if all that both state agrees. A value that one of the two lacks is no value that
agrees: it is passed over only where nothing else in the folder says otherwise.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scripts.lightstack.order import natural_order
from scripts.lightstack.raw.exposure import Exposure
from scripts.lightstack.raw.spelling import filter_of

EXPOSURE_TOLERANCE = 0.01
"""Exposures are equal within this share: headers round them."""

EGAIN_TOLERANCE = 0.01
"""As for exposures: drivers compute it anew."""

MOST_LISTED = 3
"""Values that are told one by one; of more the first and the last are."""


@dataclass(frozen=True)
class Quantity:
    """Something in which a dark has to agree with a frame.

    Parameters
    ----------
    name : str
        As it is told.
    value : callable
        Takes it from an `Exposure`; None where the header lacks it.
    unit : str
        As it is told, with a space before it.
    tolerance : float
        Largest difference of two numbers, as a share.
    is_setting : bool
        Whether it stays as it was set, so that one dark cannot suit frames that differ in it.
    essence : callable
        What is compared of texts.
    """

    name: str
    value: Callable[[Exposure], Any]
    unit: str = ""
    tolerance: float = 0.0
    is_setting: bool = True
    essence: Callable[[str], str] = str.lower

    def agrees(self, one: Any, other: Any, temperature_tolerance: float) -> bool:
        """Whether two values, both stated, are the same."""
        if isinstance(one, str):
            return self.essence(one) == self.essence(other)
        if isinstance(one, tuple):
            return bool(one == other)
        margin = self.tolerance * one if self.is_setting else temperature_tolerance
        return bool(abs(one - other) <= margin + 1e-9)


SENSOR = (
    Quantity("shape", lambda frame: frame.shape[::-1], " pixels"),
    Quantity("gain", lambda frame: frame.gain),
    Quantity("offset", lambda frame: frame.offset),
    Quantity("binning", lambda frame: frame.binning),
    Quantity("window", lambda frame: frame.window),
    Quantity("readout mode", lambda frame: frame.readout_mode),
    Quantity("camera", lambda frame: frame.camera),
    Quantity("overscan", lambda frame: frame.overscan),
)

SHAPE = SENSOR[0]

EXPOSURE = Quantity("exposure", lambda frame: frame.exptime, " s", EXPOSURE_TOLERANCE)

TEMPERATURE = Quantity("temperature", lambda frame: frame.temperature, " degC", is_setting=False)

FILTER = Quantity("filter", lambda frame: frame.filter, essence=filter_of)

EGAIN = Quantity("e-/ADU", lambda frame: frame.egain, tolerance=EGAIN_TOLERANCE)
"""Parts gains where no setting does; it follows from the setting and need not be stated."""

CALIBRATION = Quantity("calibration", lambda frame: frame.calibrated or "none")

UNIT = Quantity("unit", lambda frame: frame.unit or "ADU")

ROWS = Quantity(
    "row order",
    lambda frame: "top-down (pictures)" if frame.picture else "unknown (FITS without ROWORDER)",
)
"""A picture's rows run from the top down, those of a FITS file that does not tell perhaps not."""

BY_NAME = {
    quantity.name: quantity
    for quantity in (*SENSOR, EXPOSURE, TEMPERATURE, FILTER, EGAIN, CALIBRATION, UNIT, ROWS)
}


@dataclass(frozen=True)
class Demands:
    """In what the frames that one correction is made of have to agree with those that it is for.

    Parameters
    ----------
    quantities : tuple of Quantity
        They part kinds, and decide whether a kind fits a frame.
    done_by : str
        Letters of the corrections (see `Exposure.calibrated`) after which this one comes too late.
    is_raw : bool
        Whether it has to be as raw as the frame itself.
    """

    quantities: tuple[Quantity, ...]
    done_by: str
    is_raw: bool = True

    def come_too_late(self, frame: Exposure) -> bool:
        """Whether the frame was corrected already, or cannot be any more."""
        return bool(set(self.done_by) & set(frame.calibrated))


DARKS = Demands((SHAPE, EXPOSURE, *SENSOR[1:], TEMPERATURE), "DF")

BIAS = Demands(SENSOR, "BDF")

FLATS = Demands((*SENSOR, FILTER), "F", is_raw=False)


@dataclass(frozen=True)
class Difference:
    """In what a frame, or a dark, differs from the nearest of the others.

    Parameters
    ----------
    quantity : str
        Name of a `Quantity`.
    own : object
        Its value; None if its header lacks it.
    others : tuple
        The others' values; None for those that lack it.
    """

    quantity: str
    own: Any
    others: tuple[Any, ...]


@dataclass(frozen=True)
class Match:
    """The master of a frame, or why there is none.

    Parameters
    ----------
    master : str or None
        Its name.
    unstated : tuple of str
        Names of the quantities that one of the two does not state.
    differences : tuple of Difference
        Why none fits.
    """

    master: str | None
    unstated: tuple[str, ...] = ()
    differences: tuple[Difference, ...] = ()


def kinds(
    exposures: Mapping[str, Exposure], temperature_tolerance: float, demands: Demands = DARKS
) -> list[tuple[Exposure, list[str]]]:
    """Sort darks, bias frames or flats into kinds that can be combined.

    Parameters
    ----------
    exposures : mapping of str to Exposure
        How each was taken, by its name.
    temperature_tolerance : float
        Largest difference of temperature within a kind [degrees Celsius].
    demands : Demands, optional
        In what those of a kind agree.

    Returns
    -------
    list of (Exposure, list of str)
        The coldest one's exposure and the names of each kind, always in the same order.
    """
    found: list[tuple[Exposure, list[str]]] = []
    for name in sorted(exposures, key=lambda name: (_order(exposures[name], demands), name)):
        exposure = exposures[name]
        for first, names in found:
            if _is_one_kind(first, exposure, temperature_tolerance, demands):
                names.append(name)
                break
        else:
            found.append((exposure, [name]))
    return found


def match_master(
    frame: Exposure,
    masters: dict[str, Exposure],
    temperature_tolerance: float,
    frames: Sequence[Exposure] = (),
    demands: Demands = DARKS,
) -> Match:
    """Choose the master of a frame.

    Parameters
    ----------
    frame : Exposure
        How the frame was taken.
    masters : dict of str to Exposure
        How the masters were taken, by name.
    temperature_tolerance : float
        Largest difference of temperature [degrees Celsius].
    frames : sequence of Exposure, optional
        One for each combination of settings: a dark that lacks one cannot suit frames that differ
        in it.
    demands : Demands, optional
        In what a master agrees with the frame.

    Returns
    -------
    Match
        Among the masters that contradict the frame in nothing, the one that agrees in most
        values, then the closest in temperature and exposure, then the first name.
    """
    if demands.come_too_late(frame):
        return Match(None)
    candidates = {
        name: master
        for name, master in masters.items()
        if not _differing(frame, master, temperature_tolerance, demands)
    }
    if not candidates:
        others = [*masters.values()]
        return Match(None, differences=differences(frame, others, temperature_tolerance, demands))
    doubtful: list[Difference] = []
    for name in sorted(
        candidates,
        key=lambda name: (_distance(frame, masters[name], demands), natural_order(name)),
    ):
        missing = _missing(frame, masters[name], demands)
        doubtful = [
            Difference(quantity.name, quantity.value(frame), values)
            for quantity in missing
            if (
                values := _doubt(
                    quantity,
                    frame,
                    masters[name],
                    candidates,
                    masters,
                    frames,
                    temperature_tolerance,
                )
            )
        ]
        if not doubtful:
            return Match(name, tuple(quantity.name for quantity in missing))
    return Match(None, differences=tuple(doubtful))


def representatives(frames: Iterable[Exposure], demands: Demands = DARKS) -> list[Exposure]:
    """One frame for each combination of settings."""
    settings = [quantity for quantity in demands.quantities if quantity.is_setting]
    found = {tuple(quantity.value(frame) for quantity in settings): frame for frame in frames}
    return list(found.values())


def is_turned(frame: Exposure, dark: Exposure) -> bool:
    """Whether the rows of a dark run the other way than the frame's."""
    return (
        frame.orientation is not None
        and dark.orientation is not None
        and frame.orientation != dark.orientation
    )


def differences(
    one: Exposure,
    others: Sequence[Exposure],
    temperature_tolerance: float,
    demands: Demands = DARKS,
) -> tuple[Difference, ...]:
    """Tell in what a frame or a dark differs from those of the others that are nearest to it.

    Parameters
    ----------
    one : Exposure
        How it was taken.
    others : sequence of Exposure
        Darks, or frames.
    temperature_tolerance : float
        Largest difference of temperature [degrees Celsius].
    demands : Demands, optional
        In what they have to agree.

    Returns
    -------
    tuple of Difference
        Empty if it differs from one of them in nothing.
    """
    found = [
        tuple(quantity.name for quantity in _differing(one, other, temperature_tolerance, demands))
        for other in others
    ]
    if not found:
        return ()
    fewest = min(found, key=lambda names: (len(names), names))
    nearest = [other for other, names in zip(others, found, strict=True) if names == fewest]
    return tuple(
        Difference(name, BY_NAME[name].value(one), tuple(map(BY_NAME[name].value, nearest)))
        for name in fewest
    )


def told(found: Iterable[tuple[Difference, ...]], others: str) -> list[tuple[int, str]]:
    """Say in words why frames have no dark, or darks no frame.

    Parameters
    ----------
    found : iterable of tuple of Difference
        The differences of each.
    others : str
        What they were compared with: "darks" or "frames".

    Returns
    -------
    list of (int, str)
        How many differ in the same quantities, and their values, such as "exposure 60 to 160 s,
        darks of 80 s".
    """
    groups: dict[tuple[str, ...], list[tuple[Difference, ...]]] = {}
    for each in found:
        groups.setdefault(tuple(part.quantity for part in each), []).append(each)
    texts = []
    for names, members in groups.items():
        parts = []
        for name, column in zip(names, zip(*members, strict=True), strict=True):
            own = _listed(name, [part.own for part in column], "to")
            its = _listed(name, [value for part in column for value in part.others], "and")
            what = f"{others} of {its}" if its else f"{others} that do not state it"
            parts.append(f"{name} {own or 'not stated'}, {what}")
        texts.append((len(members), "; ".join(parts)))
    return texts


def _listed(name: str, values: Iterable[Any], word: str) -> str:
    """Write the different values of a quantity, with its unit; empty if none is stated."""
    stated = sorted({value for value in values if value is not None})
    shown = list(dict.fromkeys(map(_shown, stated)))
    if not shown:
        return ""
    if isinstance(stated[0], str | tuple):
        text = ", ".join(shown[:MOST_LISTED]) + " …" * (len(shown) > MOST_LISTED)
    elif word == "to" or len(shown) > MOST_LISTED:
        text = " to ".join(dict.fromkeys((shown[0], shown[-1])))
    else:
        text = " and ".join(filter(None, (", ".join(shown[:-1]), shown[-1])))
    return text + BY_NAME[name].unit


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return " x ".join(f"{side:g}" for side in value)
    return value if isinstance(value, str) else f"{value:g}"


def _differing(
    one: Exposure, other: Exposure, temperature_tolerance: float, demands: Demands
) -> list[Quantity]:
    """Quantities that both state, and not as the same."""
    quantities = [*demands.quantities]
    if demands.is_raw:
        quantities += [CALIBRATION, UNIT]
    if one.gain is None or other.gain is None:
        quantities.append(EGAIN)
    if one.picture != other.picture and None in (one.orientation, other.orientation):
        quantities.append(ROWS)
    values = [(quantity, quantity.value(one), quantity.value(other)) for quantity in quantities]
    return [
        quantity
        for quantity, own, its in values
        if own is not None
        and its is not None
        and not quantity.agrees(own, its, temperature_tolerance)
    ]


def _missing(frame: Exposure, dark: Exposure, demands: Demands) -> list[Quantity]:
    """Quantities that only one of the two states."""
    return [
        quantity
        for quantity in demands.quantities
        if (quantity.value(frame) is None) != (quantity.value(dark) is None)
    ]


def _doubt(
    quantity: Quantity,
    frame: Exposure,
    dark: Exposure,
    candidates: dict[str, Exposure],
    masters: dict[str, Exposure],
    frames: Sequence[Exposure],
    temperature_tolerance: float,
) -> tuple[Any, ...]:
    """Values that speak against passing over what one of the two lacks; empty if none does.

    What has another shape has nothing to do with either.
    """
    own, its = quantity.value(frame), quantity.value(dark)
    others = [*(candidates if own is None else masters).values()]
    if its is None and quantity.is_setting:
        others += frames
    stated = own if its is None else its
    alike = [other for other in others if other.shape == frame.shape]
    values = [value for other in alike if (value := quantity.value(other)) is not None]
    if all(quantity.agrees(stated, value, temperature_tolerance) for value in values):
        return ()
    return tuple(values) if own is None else (None,)


def _is_one_kind(
    first: Exposure, other: Exposure, temperature_tolerance: float, demands: Demands
) -> bool:
    return (
        not _missing(first, other, demands)
        and not _differing(first, other, temperature_tolerance, demands)
        and first.calibrated == other.calibrated
        and first.orientation == other.orientation
        and first.picture == other.picture
    )


def _order(exposure: Exposure, demands: Demands) -> list[Any]:
    """Sort key: values that are missing come first."""
    values = [quantity.value(exposure) for quantity in demands.quantities]
    return [(value is not None, value) if value is not None else (False,) for value in values]


def _distance(frame: Exposure, master: Exposure, demands: Demands) -> list[float]:
    """How far a master is from a frame: in what it does not state, in temperature, in time."""
    distance: list[float] = [sum(each.value(master) is None for each in demands.quantities)]
    for quantity in (TEMPERATURE, EXPOSURE):
        own, its = quantity.value(frame), quantity.value(master)
        unknown = quantity not in demands.quantities or None in (own, its)
        distance.append(0.0 if unknown else abs(own - its))
    return distance
