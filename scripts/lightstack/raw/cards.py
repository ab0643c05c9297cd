"""Which cards of a raw header are passed on."""

import contextlib
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from astropy.io import fits


_LAYOUT_CARDS = frozenset(
    "SIMPLE XTENSION BITPIX NAXIS EXTEND PCOUNT GCOUNT BSCALE BZERO BLANK CHECKSUM DATASUM "
    "GROUPS EXTNAME EXTVER EXTLEVEL INHERIT TFIELDS THEAP END COMMENT HISTORY CONTINUE ZIMAGE "
    "ZSIMPLE ZEXTEND ZTENSION ZBITPIX ZNAXIS ZCMPTYPE ZQUANTIZ ZDITHER0 ZSCALE ZZERO ZBLANK "
    "ZPCOUNT ZGCOUNT ZHECKSUM ZDATASUM".split()
)

_NUMBERED_LAYOUT_CARDS = frozenset(
    "NAXIS TTYPE TFORM TUNIT TNULL TSCAL TZERO TDISP TDIM ZNAXIS ZTILE ZNAME ZVAL".split()
)
"""Cards that describe the file's layout if a number follows."""

_OWN_CARDS = frozenset(
    "FAILURE RAWSHA ADUSCALE ADUSTEP DARK BIAS FLAT BADPIX COSMICS MASTER NODATA SATFOUND "
    "BKGADU NOISEADU NOISEMAP SKYMODEL SKYSTEP SKYLIGHT NSOURCES NSTARS FWHM ELLIPTIC SATFRAC "
    "NCOMBINE TOTEXP WEIGHTS STACKMOD CLIPSIG PIXSHA OSCANADU DARKFAC OVERSTAT OVERWHY "
    "OVERLEFT GREYOF GREYWHY".split()
)
"""Cards by which the steps tell each other something: a camera's must not be taken for theirs."""


def _describes_layout(keyword: str) -> bool:
    stem = keyword.rstrip("0123456789")
    return keyword in _LAYOUT_CARDS or (stem != keyword and stem in _NUMBERED_LAYOUT_CARDS)


def is_impossible_date(keyword: str, value: object) -> bool:
    """Whether a card has a date at which no frame was taken: one would spoil a stack's."""
    if keyword in ("DATE-OBS", "DATE-END"):
        with contextlib.suppress(ValueError):
            return not 1800 < datetime.fromisoformat(str(value)).year < 2200
    return False


def pixel_type(stored: str, zero: float) -> str:
    """Type of a FITS file's numbers: FITS has no unsigned ones but by an offset."""
    bits = stored.removeprefix("int")
    return f"uint{bits}" if bits.isdecimal() and zero == 2.0 ** (int(bits) - 1) else stored


def clean_header(
    header: "fits.Header", primary: "fits.Header", keys: tuple[str, ...] | None
) -> "fits.Header":
    """Return the cards that can be read and written again, the primary HDU's where it has more."""
    from astropy.io import fits

    clean = fits.Header()
    for card in [*header.cards, *primary.cards]:
        try:
            if keys is not None and card.keyword not in keys:
                continue
            keyword, value, comment = card.keyword, card.value, card.comment
            if keyword in clean or not keyword or is_impossible_date(keyword, value):
                continue
            if _describes_layout(keyword) or (keys is None and keyword in _OWN_CARDS):
                continue
            fresh = fits.Card(keyword, value, comment)
            fresh.verify("exception")
            str(fresh)
        except (ValueError, TypeError, KeyError, fits.VerifyError):
            continue
        if not isinstance(value, fits.card.Undefined):
            clean.append(fresh)
    return clean
