"""Times in headers that speak against each other are told, and those of good nights are not."""

from dataclasses import replace

from astropy.io import fits

from scripts.lightstack.planning.clocks import doubts
from scripts.lightstack.raw.exposure import Exposure
from scripts.lightstack.stacking.times import exposed

LIGHT = Exposure((10, 20), exptime=60.0, camera="ASI533", date="2026-03-01T21:00:00")


def night(exptime: float, step: int, n: int = 8) -> dict[str, Exposure]:
    """Lights that begin so many seconds after one another."""
    seconds = [step * k for k in range(n)]
    dates = [f"2026-03-01T{s // 3600:02d}:{s // 60 % 60:02d}:{s % 60:02d}.5" for s in seconds]
    return {f"L_{k}": replace(LIGHT, exptime=exptime, date=date) for k, date in enumerate(dates)}


def test_nights_as_they_are_give_no_doubt() -> None:
    assert not doubts(night(60.0, 62))
    # Two telescopes at once, of the same name or not, and filters of one exposure.
    other = {f"{name}b": replace(light, telescope="B") for name, light in night(60.0, 62).items()}
    assert not doubts(night(60.0, 62) | other)
    third = {f"{name}c": light for name, light in night(60.0, 61, n=30).items()}
    assert not doubts(night(60.0, 62, n=30) | third)
    filters = {f"{name}f": replace(light, filter="OIII") for name, light in other.items()}
    assert not doubts(night(60.0, 62) | other | filters)
    # Videos, days without a time, no clock at all, and dates that are none.
    assert not doubts({f"{k}": replace(LIGHT, exptime=0.01) for k in range(3)})
    for date in ("2026-03-01", "21:00", "soon", None):
        assert not doubts({f"{k}": replace(LIGHT, date=date) for k in range(3)})
    assert not doubts({f"{k}": LIGHT for k in range(9)})
    assert not doubts({f"{k}": replace(LIGHT, exptime=None) for k in range(3)})


def test_exposures_that_are_there_twice_are_told() -> None:
    lights = night(60.0, 62)
    float_copies = {f"c/{name}": lights[name] for name in ("L_1", "L_2")}
    (line,) = doubts(lights | float_copies)
    assert line.startswith("4 lights began at the same time as another of the same camera, ")
    assert "such as L_1 and c/L_1. If" in line


def test_milliseconds_in_place_of_seconds_are_told() -> None:
    good = night(60.0, 130)
    wrong = {f"{name}w": light for name, light in night(60_000.0, 125).items()}
    (line,) = doubts(good | wrong)
    assert line.startswith("8 lights have exposures of 60000 s by their headers, and began 125 s ")
    assert line.endswith("correct them if it is 60 s.")
    # Long exposures of several instruments of one name.
    assert not doubts(night(1800.0, 200))


def test_a_clock_that_was_never_set_is_told_and_dates_no_stack() -> None:
    unset = {"L_9": replace(LIGHT, date="1970-01-01T00:03:00")}
    (line,) = doubts(night(60.0, 62) | unset)
    assert line.startswith("1 light has a time of a clock that was not set, such as L_9 (1970-01")
    assert exposed(fits.Header([("DATE-OBS", "2000-01-01T00:03:00")])) is None
    assert exposed(fits.Header([("DATE-OBS", "2000-01-02T00:03:00")])) is not None
