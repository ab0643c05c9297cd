"""Images of half the size: all cards of pixels follow."""

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from astropy.io import fits

PER_PIXEL = re.compile(
    r"CD[1-9]_[12][A-Z]?|CDELT[12][A-Z]?|[XY]BINNING|BIN[XY]|[XY]PIXSZ|PIXSIZE[12]|PIXSCALE"
    r"|SECPIX[12]?"
)
"""Cards of the size of a pixel."""

WITHOUT_CDELT = re.compile(r"PC[1-9]_[12][A-Z]?|PC00[1-9]00[12]")
"""Cards that have it where no ``CDELT`` is."""

DISTORTION = re.compile(r"[AB]P?_([0-9])_([0-9])")
"""Coefficients of a SIP distortion, by the powers of column and row."""


def halve_header(header: "fits.Header") -> None:
    """Let the cards of an image follow when 2 x 2 pixels become one, in place.

    Parameters
    ----------
    header : astropy.io.fits.Header
        Celestial coordinates with SIP distortions, size of the pixels and binning.
    """
    has_steps = "CDELT1" in header or "CDELT2" in header
    for key in list(header):
        value: Any = header[key]
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if re.fullmatch("CRPIX[12][A-Z]?", key):
            header[key] = (value + 0.5) / 2
        elif PER_PIXEL.fullmatch(key) or (WITHOUT_CDELT.fullmatch(key) and not has_steps):
            header[key] = 2 * value
        elif match := DISTORTION.fullmatch(key):
            header[key] = value * 2.0 ** (int(match[1]) + int(match[2]) - 1)
        elif re.fullmatch("[AB]P?_DMAX", key):
            header[key] = value / 2
