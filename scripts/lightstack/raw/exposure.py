"""How a frame was taken, as its header tells."""

import re
from dataclasses import dataclass

from scripts.lightstack.raw import bayer
from scripts.lightstack.raw.image import IMAGES, PLANES
from scripts.lightstack.raw.roles import (
    COUNT_KEYS,
    TYPE_KEYS,
    is_master,
    n_combined,
    role_by_header,
)
from scripts.lightstack.raw.sections import (
    LEFTOVER,
    PROBLEM,
    STATE,
    SUBTRACTED,
    region_of,
    size_of,
)
from scripts.lightstack.raw.values import (
    EXPOSURE_UNITS,
    Cards,
    exposure_time,
    first_number,
    number,
    pair,
    text,
)
from scripts.lightstack.text import is_used

ISO_KEYS = (
    "ISOSPEED",  # INDI, Siril, DeepSkyStacker
    "ISO",
)

GAIN_KEYS = (
    "GAIN",  # the camera's setting in all but NOAO's files, where it is in e-/ADU
    "GAINRAW",  # TheSkyX
    "CAMGAIN",
    "RO_GAIN",  # PRISM
)

EGAIN_KEYS = (
    "EGAIN",  # SBFITSEXT
    "CVF",  # Siril
)

OFFSET_KEYS = (
    "OFFSET",  # NINA, SGP, INDI
    "BLKLEVEL",  # SharpCap
)

READOUT_KEYS = (
    "READOUTM",  # SBFITSEXT, NINA
    "READMODE",  # INDI
    "RDMODE",
    "CONFMODE",  # LCO
    "CCDRDOUT",  # Liverpool Telescope
    "RESMODE",  # SBIG
)

TEMPERATURE_KEYS = (
    "CCD-TEMP",  # SBFITSEXT and nearly all others
    "CCD_TEMP",
    "CCDTEMP",
    "CCDATEMP",  # LCO, Liverpool Telescope
    "DET-TEMP",  # Dwarf
    "DETTEMP",
    "TEMPERAT",  # AstroArt, SBIG
    "CAMTCCD",
    "SET-TEMP",  # SBFITSEXT: where nothing was measured
    "SETTEMP",
    "CCDSTEMP",  # LCO
)

BINNING_KEYS = (
    ("XBINNING", "YBINNING"),  # SBFITSEXT and nearly all others
    ("CCDXBIN", "CCDYBIN"),  # SGP, ING
    ("BINX", "BINY"),  # PRISM, Siril
    ("XBIN", "YBIN"),
    ("BIN1", "BIN2"),  # AudeLA
    ("HBIN", "VBIN"),  # Andor
)

BINNING_TEXT_KEYS = (
    "BINNING",  # Dwarf: '2*2'
    "CCDSUM",  # NOAO: '2 2'
)

FILTER_KEYS = ("FILTER", "FILTERS", "FILTNAME", "FILT-1")

WHEEL_KEYS = ("FILTER1", "FILTER2", "FILTER3")
"""Cards of wheels behind each other, most of which stand at an open place."""

OPEN_PLACES = frozenset("clear open air none empty vacio free".split())

OBJECT_KEYS = ("OBJECT", "OBJNAME", "TARGET", "TARGNAME")

WINDOW_KEYS = (
    ("XORGSUBF", "YORGSUBF"),  # SBFITSEXT, NINA, INDI
    ("XSTART", "YSTART"),
    ("STARTX", "STARTY"),
    ("X1", "Y1"),  # PRISM
)

SECTION_KEYS = ("DETSEC", "CCDSEC")
"""NOAO's cards of the part of the sensor that was read."""

CUT_KEY = "TRIMSEC"
"""The one of the part of an image that is left if it was cut to that."""

CAMERA_KEYS = ("INSTRUME", "CAMERA", "DETECTOR", "DETNAME")

TELESCOPE_KEYS = ("TELESCOP",)

DATE_KEYS = ("DATE-OBS", "DATE_OBS", "DATE-BEG")

TIME_KEYS = ("TIME-OBS", "UT", "UTSTART")

CALIBRATION_KEYS = (
    ("CALSTAT", ""),  # SBFITSEXT, AstroImageJ: some of the letters B, D and F
    ("ZEROCOR", "B"),  # IRAF
    ("DARKCOR", "D"),  # IRAF
    ("FLATCOR", "F"),  # IRAF
)

UNITS = {"ADU": "adu adus dn count counts ct", "electrons": "e electron electrons"}
"""What BUNIT calls the units of pixels, letters alone."""

OWN_CARDS = (("BIAS", "B"), ("DARK", "D"), ("FLAT", "F"))
"""Cards in which this workflow names what it has taken off, beside ``RAWSHA``."""

OVERSCAN_KEYS = ("OVERSCAN", "SUBOSCAN")
"""In which IRAF and ccdproc say in words that they have subtracted the overscan."""

EXPOSURE_CARDS = tuple(
    dict.fromkeys(
        (
            *EXPOSURE_UNITS,
            *(ISO_KEYS + GAIN_KEYS + EGAIN_KEYS + OFFSET_KEYS + READOUT_KEYS + TEMPERATURE_KEYS),
            *(
                key
                for pairs in (BINNING_KEYS, bayer.OFFSET_KEYS, WINDOW_KEYS)
                for key in sum(pairs, ())
            ),
            *(BINNING_TEXT_KEYS + FILTER_KEYS + WHEEL_KEYS + OBJECT_KEYS + bayer.PATTERN_KEYS),
            *(*SECTION_KEYS, CUT_KEY, *CAMERA_KEYS, *TELESCOPE_KEYS, *DATE_KEYS, *TIME_KEYS),
            *(key for key, _ in CALIBRATION_KEYS),
            *(TYPE_KEYS + COUNT_KEYS + OVERSCAN_KEYS),
            "PICTTYPE",
            "ROWORDER",
            "BUNIT",
            "RAWSHA",
            *(key for key, _ in OWN_CARDS),
        )
    )
)
"""All cards that tell how a frame was taken."""

COLDEST_C, HOTTEST_C = -150.0, 100.0
"""Sensors are warmer and colder than this [degrees Celsius]; what is hotter is in kelvins."""

LARGEST_BINNING = 64

TOP_DOWN, BOTTOM_UP = "TOP-DOWN", "BOTTOM-UP"


@dataclass(frozen=True)
class Exposure:
    """How a frame was taken, as far as its header tells; None where it does not.

    Parameters
    ----------
    shape : (int, int)
        ``(ny, nx)`` [pixels].
    exptime : float, optional
        Exposure time [s].
    gain : float, optional
        The camera's setting, or its ISO speed.
    binning : (float, float), optional
        Along x and y.
    temperature : float, optional
        Of the sensor [degrees Celsius].
    egain : float, optional
        [electrons per ADU].
    offset : float, optional
        The camera's setting.
    readout_mode : str, optional
        As the camera names it.
    window : (float, float), optional
        First column and row of the sensor that were read, counted from 0 [binned pixels].
    camera, telescope, filter, object : str, optional
        Their names.
    bayer : str, optional
        Colours of the mosaic's first 2 x 2 pixels in rows, such as RGGB, offsets of the pattern
        taken into account.
    orientation : str, optional
        "TOP-DOWN" if the first row is the top of the picture, or "BOTTOM-UP".
    date : str, optional
        When the exposure began.
    role : str, optional
        What the header says that the frame is: see `raw.roles`.
    calibrated : str
        What was taken off already: B for bias, D for dark, F for flat.
    unit : str or None
        Of the pixels, as `UNITS` calls it.
    is_master : bool
        Whether the header calls the file a master.
    n_combined : int, optional
        Number of exposures that were combined.
    picture : bool
        Whether the file is a picture, not FITS.
    pixel_type : str
        Of the file's numbers, such as uint16; empty if it is not known.
    n_images : int
        How many images the file holds, as far as that was looked at.
    n_planes : int
        3 if pixels have three colours each, else 1.
    raw_sha256 : str, optional
        Of the file that this workflow has made this one of.
    overscan : str, optional
        "subtracted" if the overscan is, or was, and "not subtracted" if what the header says of it
        is not clear.
    overscan_problem : str
        What is not clear of the sections in its header.
    leftover : str
        The section of data in its header, if that is larger than the image.
    """

    shape: tuple[int, int]
    exptime: float | None = None
    gain: float | None = None
    binning: tuple[float, float] | None = None
    temperature: float | None = None
    egain: float | None = None
    offset: float | None = None
    readout_mode: str | None = None
    window: tuple[float, float] | None = None
    camera: str | None = None
    telescope: str | None = None
    filter: str | None = None
    object: str | None = None
    bayer: str | None = None
    orientation: str | None = None
    date: str | None = None
    role: str | None = None
    calibrated: str = ""
    unit: str | None = None
    is_master: bool = False
    n_combined: int | None = None
    picture: bool = False
    pixel_type: str = ""
    n_images: int = 1
    n_planes: int = 1
    raw_sha256: str | None = None
    overscan: str | None = None
    overscan_problem: str = ""
    leftover: str = ""


def exposure_of(
    header: Cards, shape: tuple[int, int], *, picture: bool = False, pixel_type: str = ""
) -> Exposure:
    """Read how a frame was taken; values that make no sense count as missing.

    Parameters
    ----------
    header : mapping
        The frame's cards: keyword to value.
    shape : (int, int)
        ``(ny, nx)`` [pixels].
    picture : bool
        Whether the file is a picture, whose rows always run from the top down.
    pixel_type : str
        Of the file's numbers.

    Returns
    -------
    Exposure
    """
    return Exposure(
        shape,
        exptime=exposure_time(header),
        gain=_gain(header),
        binning=binning_of(header),
        temperature=_temperature(header),
        egain=_positive(header, EGAIN_KEYS),
        offset=_not_negative(header, OFFSET_KEYS),
        readout_mode=text(header, READOUT_KEYS),
        window=_window(header, shape),
        camera=text(header, CAMERA_KEYS),
        telescope=text(header, TELESCOPE_KEYS),
        filter=_filter(header),
        object=text(header, OBJECT_KEYS),
        bayer=bayer.bayer_pattern(header),
        orientation=TOP_DOWN if picture else _orientation(header),
        date=_date(header),
        role=role_by_header(header),
        calibrated=_calibrated(header),
        unit=_unit(header),
        is_master=is_master(header),
        n_combined=n_combined(header),
        picture=picture,
        pixel_type=pixel_type,
        n_images=int(first_number(header, (IMAGES,)) or 1),
        n_planes=int(first_number(header, (PLANES,)) or 1),
        raw_sha256=_raw_sha256(header),
        overscan=_overscan(header),
        overscan_problem=text(header, (PROBLEM,)) or "",
        leftover=text(header, (LEFTOVER,)) or "",
    )


def _gain(header: Cards) -> float | None:
    """ISO speed or gain; programs write -1 or ISO 0 where there is none."""
    iso = _positive(header, ISO_KEYS)
    return _not_negative(header, GAIN_KEYS) if iso is None else iso


def _positive(header: Cards, keys: tuple[str, ...]) -> float | None:
    value = first_number(header, keys)
    return value if value is not None and value > 0 else None


def _not_negative(header: Cards, keys: tuple[str, ...]) -> float | None:
    value = first_number(header, keys)
    return value if value is not None and value >= 0 else None


def _temperature(header: Cards) -> float | None:
    for key in TEMPERATURE_KEYS:
        found = number(header.get(key))
        if found is None:
            continue
        value, unit = found
        if unit in ("f", "degf", "fahrenheit"):
            value = (value - 32) / 1.8
        elif unit in ("k", "kelvin") or value > HOTTEST_C:
            value -= 273.15
        if COLDEST_C < value < HOTTEST_C:
            return round(value, 6)
    return None


def binning_of(header: Cards) -> tuple[float, float] | None:
    """Read how many pixels of the camera, along x and y, a pixel is made of."""
    pairs = [_both(header, keys) for keys in BINNING_KEYS]
    pairs += [pair(header, key) for key in BINNING_TEXT_KEYS]
    sensible = (
        found for found in pairs if found and all(1 <= side <= LARGEST_BINNING for side in found)
    )
    return next(sensible, None)


def _both(header: Cards, keys: tuple[str, str]) -> tuple[float, float] | None:
    x, y = (first_number(header, (key,)) for key in keys)
    return None if x is None or y is None else (x, y)


def _window(header: Cards, shape: tuple[int, int]) -> tuple[float, float] | None:
    starts = [_both(header, keys) for keys in WINDOW_KEYS]
    regions = [region_of(header.get(key)) for key in (*SECTION_KEYS, CUT_KEY)]
    if regions[-1] and size_of(regions[-1]) != shape:
        del regions[-1]
    starts += [(float(part[1].start), float(part[0].start)) for part in regions if part]
    return next((start for start in starts if start and min(start) >= 0), None)


def _filter(header: Cards) -> str | None:
    named = text(header, FILTER_KEYS)
    if named is not None:
        return named
    places = [name for key in WHEEL_KEYS if (name := text(header, (key,)))]
    filters = [name for name in places if name.lower() not in OPEN_PLACES]
    return "+".join(filters) or next(iter(places), None)


def _overscan(header: Cards) -> str | None:
    done = any(re.search("overscan|section", text(header, (key,)) or "") for key in OVERSCAN_KEYS)
    return text(header, (STATE,)) or (SUBTRACTED if done else None)


def _orientation(header: Cards) -> str | None:
    stated = re.sub("[^a-z]", "", (text(header, ("ROWORDER",)) or "").lower())
    return {"topdown": TOP_DOWN, "bottomup": BOTTOM_UP}.get(stated)


def _date(header: Cards) -> str | None:
    date, time = text(header, DATE_KEYS), text(header, TIME_KEYS)
    is_day = date is not None and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", date)
    return f"{date}T{time}" if is_day and time and ":" in time else date


def _unit(header: Cards) -> str | None:
    stated = re.sub("[^a-z]", "", (text(header, ("BUNIT",)) or "").lower())
    return next((unit for unit, words in UNITS.items() if stated in words.split()), None)


def _raw_sha256(header: Cards) -> str | None:
    stated = text(header, ("RAWSHA",)) or ""
    return stated if re.fullmatch("[0-9a-f]{64}", stated) else None


def _calibrated(header: Cards) -> str:
    """Letters of the corrections that a header says were made, of B, D and F in this order."""
    letters = ""
    for key, letter in CALIBRATION_KEYS:
        stated = text(header, (key,)) or ""
        letters += letter if stated and letter else stated.upper()
    if _raw_sha256(header):
        used = {letter: text(header, (key,)) for key, letter in OWN_CARDS}
        letters += "".join(letter for letter, name in used.items() if name and is_used(name))
    return "".join(letter for letter in "BDF" if letter in letters)
