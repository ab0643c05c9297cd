"""Accepted frames as the user gets them: the cleaned pixels, with the metrics in the header."""

from pathlib import Path
from typing import Any

from scripts.lightstack.files.atomic import atomic_write

COPIED_AT_ONCE = 1 << 18
"""Bytes that stay in a processor's cache between reading and writing."""

METRICS = {
    "NSOURCES": ("n_sources", "sources found"),
    "NSTARS": ("n_stars", "stars among them"),
    "FWHM": ("fwhm_px", "[pixel] median FWHM of the stars"),
    "ELLIPTIC": ("ellipticity", "median ellipticity (1 - b/a) of the stars"),
    "SATFRAC": ("saturated_fraction", "share of the stars that are saturated"),
}
"""Cards of an accepted frame: the value in its quality record, and the comment."""


def copy_with_metrics(source: Path, target: Path, record: dict[str, Any]) -> None:
    """Copy a frame's pixels and write the metrics into its header."""
    from astropy.io import fits

    with fits.open(source, memmap=False) as hdus:
        header = hdus[0].header
        where = hdus[0].fileinfo()
    for card, (key, comment) in METRICS.items():
        header[card] = (record[key], comment)
    with atomic_write(target) as file, source.open("rb") as pixels:
        file.write(header.tostring().encode("ascii"))
        pixels.seek(where["datLoc"])
        for left in range(where["datSpan"], 0, -COPIED_AT_ONCE):
            file.write(pixels.read(min(left, COPIED_AT_ONCE)))
