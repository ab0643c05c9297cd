"""When a frame was exposed, as far as its header tells."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

from scripts.lightstack.raw.values import exposure_time, first_number, is_of_a_clock

if TYPE_CHECKING:
    from astropy.io import fits

TIME_KEYS = (
    *("TIME-OBS", "UT", "UTC", "UT-OBS", "UTC-OBS", "UT-START", "UTSTART"),
    *("UTC-BEG", "UTCSTART", "TIME-BEG", "TIME", "UTIME"),
)
"""Cards with the time of day of a beginning whose date is in DATE-OBS, as ``hh:mm:ss.sss``."""

DAY_KEYS = (("MJD-OBS", "MJD-BEG", "MJD"), ("JD", "JD-OBS", "JD-BEG"))
"""Cards with the beginning as a Modified Julian Date, and as a Julian Date."""

MJD_EPOCH = datetime(1858, 11, 17)  # noqa: DTZ001

JD_OF_MJD_EPOCH = 2400000.5

YEARS = range(1801, 2200)
"""When frames were taken; other years are a header's mistake."""

A_DAY = timedelta(days=1)
"""An evening's date may be that of the place, and not of Greenwich."""


@dataclass(frozen=True)
class Exposed:
    """When a frame was exposed, in the time scale of its header, mostly UTC.

    Parameters
    ----------
    begin, end : datetime
        Both are the begin where the exposure time is unknown.
    """

    begin: datetime
    end: datetime

    @property
    def middle(self) -> datetime:
        """Between begin and end."""
        return self.begin + (self.end - self.begin) / 2


def exposed(header: "fits.Header") -> Exposed | None:
    """Read when a frame was exposed.

    Parameters
    ----------
    header : astropy.io.fits.Header
        The frame's cards. A date without a time of day is completed from other cards.

    Returns
    -------
    Exposed or None
        None if no card tells the time, or the clock was never set.
    """
    begin = _begin(header)
    if begin is None or not is_of_a_clock(begin):
        return None
    end, exptime = _moment(header.get("DATE-END")), exposure_time(header)
    if end is None and exptime is not None:
        with suppress(OverflowError):
            end = begin + timedelta(seconds=exptime)
    return Exposed(begin, end or begin)


def in_header(moment: datetime) -> str:
    """Write a time as FITS has it, to the millisecond."""
    return moment.isoformat(timespec="milliseconds")


def mjd(moment: datetime) -> float:
    """Give the Modified Julian Date of a time [d]."""
    return (moment - MJD_EPOCH) / timedelta(days=1)


def _begin(header: "fits.Header") -> datetime | None:
    told = header.get("DATE-OBS")
    whole = _moment(told)
    if whole is not None:
        return whole
    day = _day(told)
    for key in TIME_KEYS if day else ():
        moment = _moment(f"{day}T{_time_of_day(header.get(key))}")
        if moment is not None:
            return moment
    for keys, epoch in zip(DAY_KEYS, (0.0, JD_OF_MJD_EPOCH), strict=True):
        number = first_number(header, keys)
        if number is not None:
            with suppress(OverflowError):
                # The last digit of a Julian Date is worth 40 microseconds.
                moment = MJD_EPOCH + timedelta(milliseconds=round((number - epoch) * 86_400_000))
                if moment.year in YEARS and (day is None or abs(moment.date() - day) <= A_DAY):
                    return moment
    return None


def _moment(value: object) -> datetime | None:
    """Date and time of a card; None if it has no time of day."""
    try:
        moment = datetime.fromisoformat(str(value).strip())
    except ValueError:
        return None
    if _day(value) is not None:
        return None
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _day(value: object) -> date | None:
    """Date of a card that has no time of day."""
    try:
        return date.fromisoformat(str(value).strip())
    except ValueError:
        return None


def _time_of_day(value: object) -> time | None:
    if not isinstance(value, str) or ":" not in value:
        return None  # a number of hours, of seconds, or of what?
    try:
        return time.fromisoformat(value.strip())
    except ValueError:
        return None
