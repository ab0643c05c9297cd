"""What is said of many files, in a few lines."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence

MOST_NAMED = 10
"""Names in a line; of more, only the number is told."""

NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")


def and_more(number: int) -> str:
    """Say that there are so many more than those that are named, if there are."""
    return f" and {number} more" if number > 0 else ""


def counted(number: int, noun: str) -> str:
    """Say how many there are of something whose name has a plural in s."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def listed(names: Sequence[str], most: int = MOST_NAMED) -> str:
    """List the first names and say how many more there are."""
    return ", ".join(names[:most]) + and_more(len(names) - most)


def without_name(sentence: str, name: str) -> str:
    """Take a file's name out of a sentence about it."""
    file = re.escape(name.rpartition("/")[2])
    words = re.sub(rf"^{file}(\.\w+)*: ", "", sentence)
    return re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "…", words).removesuffix(".")


def without_numbers(words: str) -> str:
    """Put zeros for numbers: sentences in the same words may differ in them, not in names."""
    return NUMBER.sub("0", words)


def in_common(sentences: Sequence[str]) -> str:
    """Say once what is said in the same words, with the numbers that all have."""
    numbers = zip(*map(NUMBER.findall, sentences), strict=True)
    told = iter([each[0] if len(set(each)) == 1 else "…" for each in numbers])
    return NUMBER.sub(lambda _: next(told), sentences[0])


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
        shared[without_numbers(without_name(sentence, name))].append((name, sentence))
    return [([name for name, _ in of], _told_of(of)) for of in shared.values()]


def _told_of(sentences: list[tuple[str, str]]) -> str:
    """Say of a file alone its sentence, and of several what is common to theirs."""
    if len(sentences) == 1:
        return sentences[0][1]
    return in_common([without_name(sentence, name) for name, sentence in sentences])


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
        else f"{len(names)} {subject[1]} {complaint}, each for the same reason: {words}: "
        f"{listed(names)}."
        for names, words in gathered(sentences)
    ]
