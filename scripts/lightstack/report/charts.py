"""Where the marks of a chart lie: scales and ticks, without a word of how they are drawn.

Places are fractions of a chart's width and height, from its left and upper edge, so that one chart
fits a wide screen and a phone.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

MARGIN = 0.06
"""Share of a scale that is left free beyond the values."""

REACH = 1.5
"""Spans of the stacked frames' values within which other values stretch a scale."""

FARTHEST = 8
"""A limit beyond so many times the values is not drawn: it would press them into a line."""

MINUTES = (1, 2, 5, 10, 15, 30, 60, 120, 180, 240, 360)
"""Steps of a time axis."""

LONGEST = timedelta(hours=24)
"""Longest series that is drawn over time: in longer ones the gaps would be all that is seen."""


@dataclass(frozen=True)
class Axis:
    """A scale from one value to another.

    Parameters
    ----------
    low, high : float
        Values at its ends.
    ticks : list of (float, str)
        Place and label of each tick: 0 at the low end, 1 at the high one.
    title : str, optional
        What is on it.
    """

    low: float
    high: float
    ticks: list[tuple[float, str]]
    title: str = ""

    def place(self, value: float) -> float:
        """Where a value lies: 0 at the low end, 1 at the high one, and never beyond them."""
        return min(max((value - self.low) / (self.high - self.low), 0.0), 1.0)

    def holds(self, value: float) -> bool:
        """Whether a value lies on the scale."""
        return self.low <= value <= self.high


def linear_axis(low: float, high: float, most: int = 5, *, from_zero: bool = False) -> Axis:
    """Make a scale that holds two values, with round ticks.

    Parameters
    ----------
    low, high : float
        The values.
    most : int
        Ticks at most, or one more.
    from_zero : bool
        Whether the scale begins at zero and not somewhat below `low`.

    Returns
    -------
    Axis
    """
    span = (high - low) or abs(high) or 1.0
    low, high = (0.0 if from_zero else low - MARGIN * span), high + MARGIN * span
    # A round step may be 2.5 times as long as asked for: half of the scale could hold no tick.
    step = _round_step((high - low) / max(most, 3))
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    ticks = [
        ((k * step - low) / (high - low), f"{k * step:.{decimals}f}")
        for k in range(first, last + 1)
    ]
    return Axis(low, high, ticks)


def _round_step(least: float) -> float:
    """1, 2 or 5 times a power of ten that is no smaller than a value."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= least * (1 - 1e-9))


def robust_range(
    stacked: Sequence[float], others: Sequence[float], limit: float | None = None
) -> tuple[float, float]:
    """Lowest and highest value that a scale has to hold.

    Parameters
    ----------
    stacked : sequence of float
        Values that it holds in any case; if there are none, those in the middle of the others.
    others : sequence of float
        Values that it holds if they lie near: one frame that failed must not press all others
        into a line.
    limit : float, optional
        Held in any case, too.

    Returns
    -------
    low, high : float
    """
    ordered = sorted(others)
    quarter = len(ordered) // 4
    held = [*(stacked or ordered[quarter : len(ordered) - quarter])]
    held += [] if limit is None else [limit]
    low, high = min(held), max(held)
    reach = REACH * max(high - low, 0.1 * abs(high))
    near = [value for value in others if low - reach <= value <= high + reach]
    return min([low, *near]), max([high, *near])


YEARS = range(1900, 2200)
"""Years that a camera's clock may tell; others are no times."""


def time_of(date_obs: str) -> datetime | None:
    """Time in a DATE-OBS card; None if it has none."""
    try:
        time = datetime.fromisoformat(date_obs.strip())
    except ValueError:
        return None
    if "T" not in date_obs or time.year not in YEARS:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def frame_axis(dates: Sequence[str | None]) -> tuple[Axis, list[float]]:
    """Make the axis along a series of frames.

    Parameters
    ----------
    dates : sequence of str or None
        DATE-OBS of each frame, or an empty string; None for a frame that has no image.

    Returns
    -------
    axis : Axis
        Over time if all frames that have an image tell it and it is one night's, else over the
        frames' order.
    places : list of float
        Of each frame on the axis.
    """
    times = [None if date is None else time_of(date) for date in dates]
    known = [time for time in times if time is not None]
    if known and len(known) == sum(date is not None for date in dates):
        first, last = min(known), max(known)
        if timedelta(0) < last - first <= LONGEST:
            axis = _time_axis(first, last)
            return axis, [axis.place(((time or first) - first).total_seconds()) for time in times]
    order = linear_axis(1, max(len(dates), 2), 6)
    ticks = [
        tick for tick in order.ticks if tick[1].isdecimal() and 1 <= int(tick[1]) <= len(dates)
    ]
    axis = Axis(order.low, order.high, ticks, "frame, in the order of the names")
    return axis, [axis.place(number) for number in range(1, len(dates) + 1)]


def _time_axis(first: datetime, last: datetime) -> Axis:
    """Scale in seconds after the first frame, with ticks at round times of the day."""
    span = (last - first).total_seconds()
    low, high = -0.02 * span, 1.02 * span
    step = 60 * next((step for step in MINUTES if span / (60 * step) <= 7), MINUTES[-1])
    midnight = first.replace(hour=0, minute=0, second=0, microsecond=0)
    offset = (first - midnight).total_seconds()
    ticks = [
        (
            (k * step - offset - low) / (high - low),
            f"{midnight + timedelta(seconds=k * step):%H:%M}",
        )
        for k in range(math.ceil((offset + low) / step), math.floor((offset + high) / step) + 1)
    ]
    return Axis(low, high, ticks, f"time of DATE-OBS, from {first:%Y-%m-%d}")


@dataclass(frozen=True)
class Chart:
    """Values of all frames, one after the other.

    Parameters
    ----------
    column : str
        Of the ledger.
    title, unit : str
        What is drawn.
    axis : Axis
        Of the values.
    places : list of float or None
        Place of each frame's value on `axis`; None if it has none.
    limits : list of (float, str)
        Place and words of each limit.
    forbidden : (float, float) or None
        Places between which frames are rejected.
    beyond : int
        Values outside the scale, which are drawn at its edge.
    """

    column: str
    title: str
    unit: str
    axis: Axis
    places: list[float | None]
    limits: list[tuple[float, str]]
    forbidden: tuple[float, float] | None
    beyond: int


def chart(
    column: str,
    title: str,
    unit: str,
    values: list[float | None],
    is_stacked: list[bool],
    limit: tuple[float, bool, str] | None = None,
    *,
    from_zero: bool = False,
) -> Chart | None:
    """Place the values of all frames.

    Parameters
    ----------
    column, title, unit : str
        As in `Chart`.
    values : list of float or None
        Of each frame.
    is_stacked : list of bool
        Whether the scale has to hold a frame's value in any case.
    limit : (float, bool, str), optional
        A limit, whether it is the least legal value, and what it is called.
    from_zero : bool
        Whether the scale begins at zero.

    Returns
    -------
    Chart or None
        None if no frame has a value.
    """
    known = [value for value in values if value is not None]
    if not known:
        return None
    pairs = list(zip(values, is_stacked, strict=True))
    stacked = [value for value, held in pairs if held and value is not None]
    others = [value for value, held in pairs if not held and value is not None]
    is_drawn = limit is not None and (limit[1] or limit[0] <= FARTHEST * max(stacked or others))
    low, high = robust_range(stacked, others, limit[0] if limit and is_drawn else None)
    limits, forbidden = [], None
    axis = linear_axis(low, high, from_zero=from_zero and low >= 0)
    if limit is not None and is_drawn:
        value, is_least, name = limit
        limits = [(axis.place(value), name)]
        forbidden = (0.0, axis.place(value)) if is_least else (axis.place(value), 1.0)
    return Chart(
        column,
        title,
        unit,
        axis,
        [None if value is None else axis.place(value) for value in values],
        limits,
        forbidden,
        sum(not axis.holds(value) for value in known),
    )
