"""What is said of many files, in a few lines."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence

MOST_NAMED = 10
"""Names in a line; of more, only the number is told."""


def listed(names: Sequence[str], most: int = MOST_NAMED) -> str:
    """List the first names and say how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def shared_words(sentence: str, name: str) -> str:
    """Take out of a sentence about a file what is its own: its name, and numbers."""
    file = re.escape(name.rpartition("/")[2])
    words = re.sub(rf"^{file}(\.\w+)*: ", "", sentence)
    words = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "…", words)
    return re.sub(r"[0-9]+(\.[0-9]+)?", "…", words).removesuffix(".")


def gathered(sentences: Iterable[tuple[str, str]]) -> list[tuple[list[str], str]]:
    """Put together what is said of several files in the same words.

    Parameters
    ----------
    sentences : iterable of (str, str)
        A file's name, and a sentence about it.

    Returns
    -------
    list of (list of str, str)
        Names, and what is said of them: shared words, or of a file alone its sentence.
    """
    shared: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for name, sentence in sentences:
        shared[shared_words(sentence, name)].append((name, sentence))
    return [
        ([name for name, _ in of], words if len(of) > 1 else of[0][1])
        for words, of in shared.items()
    ]


def complaints(
    sentences: Iterable[tuple[str, str]], subject: tuple[str, str], complaint: str
) -> list[str]:
    """Say what is wrong with files, in a line for each cause.

    Parameters
    ----------
    sentences : iterable of (str, str)
        A file's name, and what is wrong with it.
    subject : (str, str)
        How a line begins for one file, and for several, of which the number stands before it.
    complaint : str
        How it goes on.

    Returns
    -------
    list of str
        The lines.
    """
    return [
        f"{subject[0]} {complaint}: {words}"
        if len(names) == 1
        else f"{len(names)} {subject[1]} {complaint}: {words}: {listed(names)}."
        for names, words in gathered(sentences)
    ]
