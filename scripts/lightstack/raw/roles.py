"""What a file is for: light, dark, flat, bias or stack, as headers and folders say it."""

import re
from pathlib import PurePath

from scripts.lightstack.raw.values import Cards, first_number, text

LIGHT, DARK, FLAT, BIAS, STACK = "light", "dark", "flat", "bias", "stack"

PICTURE = "picture"
"""What was made of frames to be looked at, which no header says."""

TYPE_KEYS = (
    "IMAGETYP",  # SBFITSEXT: MaxIm, TheSkyX, NINA, ASIAIR, SGP, APT, INDI, PixInsight; IRAF
    "IMAGETYPE",
    "FRAMETYP",  # SharpCap
    "FRAME",  # INDI, KStars
    "CALFRAME",  # Astro Pixel Processor
    "INTEGRAT",  # Astro Pixel Processor
    "OBSTYPE",  # NOAO, ING, LCO
    "OBS_TYPE",
    "EXPTYPE",
    "IMAGECAT",
    "TYPEIMG",
)

PICTURE_TYPES = {1: LIGHT, 2: BIAS, 3: DARK, 4: FLAT}
"""Values of CCDSoft's and TheSkyX's PICTTYPE."""

COUNT_KEYS = (
    "STACKCNT",  # Siril, Seestar, ASIAIR
    "NCOMBINE",  # IRAF, DeepSkyStacker
    "SNAPSHOT",  # SBFITSEXT
    "NUMFRAME",  # Astro Pixel Processor
    "NSUBS",
    "NSTACKED",
    "NIMAGES",
)

MOST_COMBINED = 1e9
"""Frames in a stack; more is a header's mistake."""

WORDS = {
    LIGHT: "light lights object objects science sci target expose tricolor lrgb brute brutes",
    DARK: "dark darks darkflat darkflats flatdark flatdarks darkcurrent dunkel dunkelbild "
    "dunkelbilder noir noirs oscuro oscuros scuro scuri",
    FLAT: "flat flats skyflat skyflats flatsky domeflat domeflats twilightflat lampflat "
    "flatlamp plu",
    BIAS: "bias biases zero zeros zeroes offset offsets",
    STACK: "stack stacked livestack integration",
}
"""Words for each role, in English and as French, German, Spanish, Italian programs have them."""

_LIGHTS = frozenset(WORDS[LIGHT].split())

STACK_NAME = re.compile(
    r"(?:.*[^a-z])?(?:stack|stacked|livestack|autosave|masterlight|integration)(?:[^a-z].*)?",
    re.DOTALL,
)
"""Names, in small letters, that programs give to what they have stacked: Siril, DeepSkyStacker,
PixInsight, Dwarf."""

MADE_OF = re.compile(
    r"(?:pp|r|bkg|cosme|unband|cropped)_(?P<siril>.+)"
    r"|(?P<pixinsight>.+)_(?:c|cc|d|lps|r)"
    r"|(?P<deepskystacker>.+)\.reg",
    re.DOTALL,
)
"""Names that programs give to what they have made of one exposure: calibrated, registered."""

SET_ASIDE = frozenset("bad failed rejected rejects reject discarded deleted trash unused".split())
"""Words for frames that a person, or a capture program, does not want."""

FILLERS = frozenset(
    "master frame frames field fields image images exposure exposures raw raws sub subs library "
    "gain iso bin binning temp session night cali cal lum lumi luminance red green blue clear sii "
    "oiii nii halpha hbeta".split()
)
"""Words that may stand beside one of a role and change nothing."""


def role_by_header(header: Cards) -> str | None:
    """Tell what a header says that its file is; None if it says nothing that is understood.

    Parameters
    ----------
    header : mapping
        The cards.

    Returns
    -------
    str or None
        "light", "dark", "flat", "bias" or "stack". A flat's dark is a dark, and so is a
        combined one; a combined light is a stack.
    """
    stated = next(
        (role for key in TYPE_KEYS if (role := _role_of_words(text(header, (key,)) or ""))), None
    )
    if stated is None:
        stated = PICTURE_TYPES.get(int(first_number(header, ("PICTTYPE",)) or 0))
    if stated in (LIGHT, None) and (n_combined(header) or 1) > 1:
        return STACK
    return stated


def is_master(header: Cards) -> bool:
    """Whether a header calls its file a master, as PixInsight and MaxIm do."""
    return any("master" in (text(header, (key,)) or "").lower() for key in TYPE_KEYS)


def n_combined(header: Cards) -> int | None:
    """Count the exposures that were combined in a file; None if its header does not say."""
    counts = [first_number(header, (key,)) for key in COUNT_KEYS]
    return max(
        (int(count) for count in counts if count and 1 <= count < MOST_COMBINED), default=None
    )


def role_by_folder(path: PurePath) -> str | None:
    """Tell what the folders say in which a file lies, the nearest first.

    Parameters
    ----------
    path : PurePath
        The file, from the folder on that was given.

    Returns
    -------
    str or None
        As in `role_by_header`. ``DARK_300s_-10C`` and ``Master Darks`` are darks, and a
        ``Dark Nebula`` is none.
    """
    folders = (_role_of_words(folder) for folder in reversed(path.parts[:-1]))
    return next((role for role in folders if role not in (None, STACK)), None)


def role_by_name(path: PurePath) -> str | None:
    """Tell what the name of a file says that it calibrates; None if it says nothing of that.

    Parameters
    ----------
    path : PurePath
        The file. ``Dark_60s_001.CR2`` is a dark. A name says of no file that it is a light: darks
        have the names of lights that they are for.

    Returns
    -------
    str or None
        "dark", "flat" or "bias".
    """
    role = _role_of_words(path.stem)
    return role if role in (DARK, FLAT, BIAS) else None


def is_set_aside(path: PurePath) -> bool:
    """Whether a name or a folder says that a frame is not wanted.

    Parameters
    ----------
    path : PurePath
        The file, from the folder on that was given: in a folder ``rejected`` or ``Bad Lights``, or
        called ``BAD_light_1.fits``.

    Returns
    -------
    bool
    """
    folders = (set(_words(folder)) - FILLERS - _LIGHTS for folder in path.parts[:-1])
    first, _, rest = path.stem.partition("_")
    return any(len(left) == 1 and left <= SET_ASIDE for left in folders) or bool(
        rest and first.lower() in SET_ASIDE
    )


def is_named_as_stack(path: PurePath) -> bool:
    """Whether a file has a name that programs give to stacks, such as ``r_light_stacked.fit``."""
    return STACK_NAME.fullmatch(path.stem.lower()) is not None


def made_of(stem: str) -> list[str]:
    """Tell of which files one may be made by its name, without extensions, the rawest last.

    Parameters
    ----------
    stem : str
        The name without folder and extensions, such as ``r_pp_light_00001``.

    Returns
    -------
    list of str
        Names of the same kind, such as ``pp_light_00001`` and ``light_00001``; none of a file as
        cameras write it.
    """
    found = []
    while match := MADE_OF.fullmatch(stem):
        stem = next(filter(None, match.groups()))
        found.append(stem)
    return found


def parts_of(stem: str) -> list[str]:
    """List what is left of a name without words at its ends, the longest first.

    Parameters
    ----------
    stem : str
        The name without folder and extensions, such as ``cal_light_1``.

    Returns
    -------
    list of str
        ``cal_light_1`` itself, ``cal_light``, ``light_1`` and so on.
    """
    words = re.split(r"([-_ .]+)", stem)
    ends = range(len(words), 0, -2)
    parts = {"".join(words[start:end]) for end in ends for start in range(0, end, 2)}
    return sorted(parts - {""}, key=lambda part: (-len(part), part))


def _role_of_words(name: str) -> str | None:
    """Role of a name that holds a word for one and no other word that matters."""
    words = [word.removeprefix("master") for word in _words(name)]
    fillers = FILLERS | {"offset"} if "gain" in words else FILLERS
    left = "".join(word for word in words if word not in fillers)
    role = next((role for role, known in WORDS.items() if left in known.split()), None)
    return STACK if role == LIGHT and "master" in name.lower() else role


def _words(name: str) -> list[str]:
    """Words of a name, in small letters; short ones, such as a filter's, do not count."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
    return re.findall(r"[^\W\d_]{3,}", spaced)
