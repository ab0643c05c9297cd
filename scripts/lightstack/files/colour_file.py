"""The FITS files in which frames with colours go to the stack: pixels, and the light of stars.

The table is read as in `table_file`.
"""

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.files.table_file import stored_type, write_before_table
from scripts.lightstack.job import JobError

if TYPE_CHECKING:
    from astropy.io import fits

COLOURS = "RGB"

BLOCK = 2880
"""What the parts of a FITS file are multiples of [bytes]."""

STAR = np.dtype(
    [
        ("x", "f8"),  # centroid [pixels]
        ("y", "f8"),
        ("light", "f8", (3,)),  # in red, green and blue [ADU]
    ]
)


def colour_card(card: str, colour: str) -> str:
    """Name the card that says of a colour what another one says of a grey image."""
    return card[:7] + colour if colour else card


def write_colours(
    path: Path, pixels: NDArray[np.float32], header: "fits.Header", stars: NDArray[Any]
) -> None:
    """Write a mosaic (ny, nx) or three planes (3, ny, nx) [ADU], and a table of type `STAR`."""
    from astropy.io import fits

    # The cards need the shape alone: this array takes no memory.
    image = fits.PrimaryHDU(np.broadcast_to(np.float32(0), pixels.shape), header).header
    write_before_table(path, image, pixels.astype(">f4"), stars, "STARS")


def read_stars(path: Path) -> NDArray[Any]:
    """Read the table of stars that `write_colours` wrote, in native byte order.

    Raises
    ------
    JobError
        If the file is shorter than its header says; the sentence names it.
    """
    from astropy.io import fits

    try:
        with path.open("rb") as file:
            header = fits.Header.fromfile(file)
            shape = [header[f"NAXIS{axis}"] for axis in range(1, header["NAXIS"] + 1)]
            size = 4 * math.prod(shape)
            file.seek(size + -size % BLOCK, os.SEEK_CUR)
            table_header = fits.Header.fromfile(file)
            table = np.fromfile(file, stored_type(table_header), table_header["NAXIS2"])
        is_whole = len(table) == table_header["NAXIS2"]
    except (EOFError, KeyError, ValueError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        is_whole = False
    if not is_whole:
        raise JobError(f"{path} is damaged or cut short: delete it and run again.")
    return table.astype(STAR)
