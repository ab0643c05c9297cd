"""A band of a stack's rows, on its way from the job that makes it to the one that joins them.

A FITS table with a row for each row of the image: so all images grow together, a few rows at a
time, and are read in the same way.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.files.table_file import stored_type
from scripts.lightstack.job import JobError

if TYPE_CHECKING:
    from astropy.io import fits

BLOCK = 2880
"""A FITS file consists of blocks of so many bytes."""

CHUNK_BYTES = 8e6
"""Read at a time; tuned with `benchmarks.bands`."""

Images = dict[str, NDArray[Any]]


def write_band(file: IO[bytes], n_rows: int, parts: Iterable[Images]) -> None:
    """Write a band.

    Parameters
    ----------
    file : binary file
        Open for writing, and empty.
    n_rows : int
        Of the band.
    parts : iterable of dict of str to (k, nx) ndarray
        The band's images by their names, a few rows at a time; none, if there are no rows.
    """
    from astropy.io import fits

    _write_header(file, fits.PrimaryHDU().header)
    stored, size = None, 0
    for images in parts:
        if stored is None:
            fields = [(name, _stored(rows), rows.shape[1:]) for name, rows in images.items()]
            stored = np.dtype(fields)
            header = fits.BinTableHDU(np.empty(0, stored), name="BAND").header
            header["NAXIS2"] = n_rows
            _write_header(file, header)
        table = np.empty(len(next(iter(images.values()))), stored)
        for name, rows in images.items():
            table[name] = rows
        file.write(table.data)
        size += table.nbytes
    file.write(bytes(-size % BLOCK))


def _stored(rows: NDArray[Any]) -> np.dtype[Any]:
    return rows.dtype.newbyteorder(">")


def _write_header(file: IO[bytes], header: "fits.Header") -> None:
    file.write(header.tostring().encode("ascii"))


def read_band(path: Path) -> Iterator[Images]:
    """Read what `write_band` wrote, a few rows at a time.

    Yields
    ------
    dict of str to (k, nx) ndarray
        In native byte order.

    Raises
    ------
    JobError
        If the file is shorter than its header says; the sentence names it.
    """
    from astropy.io import fits

    with path.open("rb") as file:
        fits.Header.fromfile(file)
        if not file.peek(1):
            return
        header = fits.Header.fromfile(file)
        stored, left = stored_type(header), header["NAXIS2"]
        while left:
            count = min(left, max(1, int(CHUNK_BYTES / stored.itemsize)))
            rows = np.fromfile(file, stored, count)
            if len(rows) < count:
                raise JobError(f"{path} is damaged or cut short: delete it and run again.")
            yield {
                name: rows[name].astype(rows.dtype[name].base.newbyteorder("="))
                for name in stored.names or ()
            }
            left -= count
