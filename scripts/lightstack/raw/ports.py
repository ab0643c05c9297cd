"""Prescan and overscan of the European Southern Observatory's cameras, told by counts of pixels.

A readout port's ``HIERARCH ESO DET OUT1 PRSCX`` and ``OVSCX`` are the columns read before and
after its ``NX`` of data, seen from the port, which lies at ``X``; rows likewise (ESO's Data
Interface Control Document). Only images of one port are followed: others have an arrangement of
their own.
"""

from typing import NamedTuple

from scripts.lightstack.raw.values import Cards

PORTS = range(1, 9)

MOST_PIXELS = 100_000
"""Along an axis; more is a header's mistake."""

FEWEST_LINES = 4
"""Fewer columns or rows of a strip show the charge of their neighbours, not a level."""

SCANS = ("PRSCX", "OVSCX", "PRSCY", "OVSCY")

PORT_CARDS = tuple(
    f"ESO DET OUT{port} {name}" for port in PORTS for name in (*SCANS, "NX", "NY", "X", "Y")
)


class Axis(NamedTuple):
    """Pixels along an axis of an image: those exposed, and those read before and after."""

    data: slice
    before: slice
    after: slice


class UnclearPortError(Exception):
    """What the cards say cannot be; the message says why."""


def parts_of_port(
    header: Cards, shape: tuple[int, int]
) -> tuple[tuple[slice, slice], tuple[slice, slice] | None] | None:
    """Find what was exposed and the strip that tells the level, each as rows and columns.

    Parameters
    ----------
    header : mapping
        `PORT_CARDS` among others.
    shape : (int, int)
        ``(ny, nx)`` of the image [pixels].

    Returns
    -------
    data, overscan : pairs of slices
        The latter None if no strip is wide enough. None altogether if nothing was read beside the
        data, or it was cut off before.

    Raises
    ------
    UnclearPortError
        If there are several ports, or their pixels are not as many as the image's.
    """
    ports = [port for port in PORTS if any(_count(header, port, name) for name in SCANS)]
    if not ports:
        return None
    stated = [_count(header, ports[0], name) for name in ("NY", "NX")]
    if stated == list(shape):
        return None
    if len(ports) > 1:
        raise UnclearPortError(
            f"it was read by {len(ports)} ports, whose parts ESO DET OUT{ports[0]} and others tell"
        )
    y, x = (_along(header, ports[0], name, n) for name, n in zip("YX", shape, strict=True))
    strips = (
        (y.data, x.after),
        (y.data, x.before),
        (y.after, x.data),
        (y.before, x.data),
    )
    wide = (
        strip for strip in strips if min(part.stop - part.start for part in strip) >= FEWEST_LINES
    )
    return (y.data, x.data), next(wide, None)


def _along(header: Cards, port: int, name: str, n: int) -> Axis:
    """Find the parts along an axis of so many pixels."""
    before, after = (_count(header, port, f"{scan}{name}") for scan in ("PRSC", "OVSC"))
    exposed, position = (_count(header, port, key) for key in (f"N{name}", name))
    left = n - before - after
    if left < 1 or exposed not in (0, left):
        told = f", ESO DET OUT{port} N{name} {exposed}" if exposed else ""
        raise UnclearPortError(
            f"ESO DET OUT{port} PRSC{name} {before}, OVSC{name} {after}{told} "
            f"do not add up to its {n} pixels"
        )
    if 2 * position > n:  # read from the other end
        return Axis(slice(after, n - before), slice(n - before, n), slice(0, after))
    return Axis(slice(before, n - after), slice(0, before), slice(n - after, n))


def _count(header: Cards, port: int, name: str) -> int:
    """Give a number of pixels; 0 where none is stated."""
    value = header.get(f"ESO DET OUT{port} {name}")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    return int(value) if 0 < value <= MOST_PIXELS and value == int(value) else 0
