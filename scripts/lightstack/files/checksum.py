"""CHECKSUM and DATASUM of FITS files, by which a reader finds out that a file is damaged.

As in the FITS standard 4.0, section 4.4.2.7 and appendix J. Astropy's own cards hold the time of
writing, and it needs all of an image at once.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from astropy.io import fits

EXCLUDED = {*range(0x3A, 0x41), *range(0x5B, 0x61)}
"""ASCII between digits and letters, which a checksum's text does not have."""

NO_SUM = "0" * 16
"""Stands for a checksum while it is computed."""


def sum_of_words(words: NDArray[np.unsignedinteger[Any]], before: int = 0) -> int:
    """Add 32-bit words to a sum in ones' complement.

    Parameters
    ----------
    words : ndarray of uint32
    before : int
        The sum of those before.

    Returns
    -------
    int
    """
    total = before + int(words.sum(dtype=np.uint64))
    while total >> 32:
        total = (total & 0xFFFFFFFF) + (total >> 32)
    return total


def sum_of_bytes(data: bytes | memoryview) -> int:
    """Sum of big-endian words, the last filled up with zeros."""
    whole = len(data) // 4 * 4
    rest = bytes(data[whole:]).ljust(4, b"\0")
    return sum_of_words(
        np.frombuffer(rest, ">u4"), sum_of_words(np.frombuffer(data[:whole], ">u4"))
    )


def add_checksums(header: "fits.Header", datasum: int) -> None:
    """Write DATASUM and CHECKSUM, as the last change of a header.

    Parameters
    ----------
    header : astropy.io.fits.Header
    datasum : int
        Sum of the data that follow it.
    """
    header["DATASUM"] = (str(datasum).rjust(10, "0"), "sum of the data")
    header["CHECKSUM"] = (NO_SUM, "makes the sum of all be -0")
    total = sum_of_words(np.array([sum_of_bytes(header.tostring().encode("ascii")), datasum]))
    header["CHECKSUM"] = _as_text(total ^ 0xFFFFFFFF)


def _as_text(value: int) -> str:
    """16 letters and digits which, as words, add up to a value beside that of `NO_SUM`."""
    columns = []
    for byte in value.to_bytes(4, "big"):
        quarters = [byte // 4 + 0x30 + (byte % 4 if k == 0 else 0) for k in range(4)]
        while EXCLUDED & set(quarters):
            for first in (0, 2):
                if EXCLUDED & set(quarters[first : first + 2]):
                    quarters[first] += 1
                    quarters[first + 1] -= 1
        columns.append(quarters)
    text = "".join(chr(columns[byte][quarter]) for quarter in range(4) for byte in range(4))
    return text[-1] + text[:-1]
