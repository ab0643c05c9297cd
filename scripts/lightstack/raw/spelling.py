"""Names of filters, targets and the like, however programs spell them."""

import re
import unicodedata


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
