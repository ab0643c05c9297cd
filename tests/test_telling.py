"""Tests of what is said of many files in a few lines."""

import pytest

from scripts.lightstack.telling import complaints, in_common, listed, without_name, without_numbers


@pytest.mark.parametrize(
    ("name", "sentence", "words"),
    [
        ("light_1", "light_1.fits: the file is empty.", "the file is empty"),
        ("night/light_1", "light_1.fits.gz: no pixels.", "no pixels"),
        ("light_1", "several files are called 'light_1'.", "several files are called '…'"),
        ("a", "a star of 1.5 ADU.", "… star of 0 ADU"),
        ("s", "stars are too few", "stars are too few"),
    ],
)
def test_what_is_a_files_own_is_left_out(name: str, sentence: str, words: str) -> None:
    assert without_numbers(without_name(sentence, name)) == words


def test_files_with_one_fault_are_one_line_with_ten_names() -> None:
    names = [f"dark_{k}.fits" for k in range(12)]
    sentences = [(name, f"{name}: the file is empty.") for name in names]
    sentences.insert(3, ("odd.fits", "odd.fits: cannot be read."))
    many, one = complaints(sentences, ("this dark is", "darks are"), "not used")
    assert (
        many
        == f"12 darks are not used, each for the same reason: the file is empty: {listed(names)}."
    )
    assert many.endswith("dark_8.fits, dark_9.fits and 2 more.")
    assert one == "this dark is not used: odd.fits: cannot be read."


def test_a_name_and_a_number_are_no_same_words() -> None:
    sentences = [("a", "a is 2"), ("b", "3 is 2"), ("c", "4 is 2")]
    told = complaints(sentences, ("this is", "are"), "odd")
    assert told == ["this is odd: a is 2", "2 are odd, each for the same reason: … is 2: b, c."]


def test_numbers_that_all_have_are_told() -> None:
    sentences = [f"it has {rows} x 400 pixels, and no part [1:900,1:500]" for rows in (600, 598.5)]
    assert in_common(sentences) == "it has … x 400 pixels, and no part [1:900,1:500]"
    assert in_common(sentences[:1] * 2) == sentences[0]
