"""Images whose rows run the other way: turned over, with all cards that speak of rows."""

import re
from typing import TYPE_CHECKING, Any

from scripts.lightstack.raw.exposure import BOTTOM_UP, TOP_DOWN

if TYPE_CHECKING:
    from astropy.io import fits

ALONG_ROWS = re.compile(r"(?:CD|PC)[1-9]_2[A-Z]?|PC00[1-9]002")
"""Cards of a celestial system's matrix that go with the row."""

DISTORTION = re.compile(r"(A|B|AP|BP)_([0-9])_([0-9])")
"""Coefficients of a SIP distortion: of x or y, by the powers of column and row."""


def turn_header(header: "fits.Header", n_rows: int) -> None:
    """Let the cards of an image follow when its rows are put into the other order.

    Parameters
    ----------
    header : astropy.io.fits.Header
        Changed in place: ``ROWORDER``, the pattern of a Bayer mosaic, and the celestial
        coordinates with SIP distortions.
    n_rows : int
        Number of rows.
    """
    order = {TOP_DOWN: BOTTOM_UP, BOTTOM_UP: TOP_DOWN}.get(str(header.get("ROWORDER")).upper())
    if order is not None:
        header["ROWORDER"] = order
    has_matrix = any(ALONG_ROWS.fullmatch(key) for key in header)
    for key in list(header):
        value: Any = header[key]
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if re.fullmatch("CRPIX2[A-Z]?", key):
            header[key] = n_rows + 1 - value
        elif ALONG_ROWS.fullmatch(key) or (key == "CDELT2" and not has_matrix):
            header[key] = -value
        elif match := DISTORTION.fullmatch(key):
            is_odd = (int(match[3]) + match[1].startswith("B")) % 2
            header[key] = -value if is_odd else value
        elif key in ("YBAYROFF", "BAYOFFY"):
            header[key] = (round(value) + n_rows - 1) % 2
    if "BAYERPAT" in header and "YBAYROFF" not in header and n_rows % 2 == 0:
        header["YBAYROFF"] = 1
