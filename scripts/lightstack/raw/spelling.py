"""Names of filters, targets and the like, however programs spell them."""

import re
import unicodedata

LINES = {
    "ha": r"h-?(?:a|alpha|\u03b1)",
    "hb": r"h-?(?:b|beta|\u03b2)",
    "oiii": r"\[?o-?(?:iii|3)\]?",
    "sii": r"\[?s-?(?:ii|2)\]?",
    "nii": r"\[?n-?(?:ii|2)\]?",
    "l": r"l|lum|luminance",
}
"""Filters of which programs have several names, none of which is another filter's: emission lines
and luminance. Red is not here: R is Red to some, and a band of Cousins' to others."""

IN_NAMES = {*LINES, "r", "g", "b", "red", "green", "blue"}
"""Filters that are known as such in a file's name."""

WIDTH = r"(?:-?(?P<width>\d+(?:\.\d+)?)-?nm)?"


def without_spelling(name: str) -> str:
    """Reduce a name to what makes it another name.

    Parameters
    ----------
    name : str
        As it stands in a header.

    Returns
    -------
    str
        The same for ``M 31``, ``m31`` and ``M_31``, and for ``Ha`` and ``HA``. Spaces count
        between digits alone, as in ``Panel 1 1``; all other signs always do: ``H-alpha`` is not
        ``Halpha``.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    spaced = re.sub(r"[\s_]+", " ", folded).strip()
    return re.sub(r"(?<=\d) (?=\d)", "_", spaced).replace(" ", "")


def filter_of(name: str) -> str:
    """Reduce the name of a filter to what makes it another filter.

    Parameters
    ----------
    name : str
        As it stands in a header.

    Returns
    -------
    str
        As of `without_spelling`, and the same for ``Ha``, ``H-alpha`` and ``H_Alpha``, for
        ``OIII`` and ``O3``, for ``L`` and ``Luminance``. A width is part of it: ``Ha 7nm`` is
        ``H-Alpha_7 nm``, but may be another filter than ``Ha``.
    """
    plain = without_spelling(name)
    for line, spelled in LINES.items():
        if match := re.fullmatch(f"(?:{spelled}){WIDTH}", plain):
            return f"{line}{float(match['width']):g}nm" if match["width"] else line
    return plain


def filter_in_name(stem: str) -> str | None:
    """Tell the one filter that a file's name has as a word.

    Parameters
    ----------
    stem : str
        The name without folder and extensions, such as ``M31_Ha_60s_001``.

    Returns
    -------
    str or None
        As of `filter_of`; None if no word, or several, are of a filter.
    """
    found = {filter_of(word) for word in re.split(r"[\W_]+", stem)} & IN_NAMES
    return next(iter(found)) if len(found) == 1 else None
