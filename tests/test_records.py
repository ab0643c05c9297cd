"""Records come back as they were written, and a spreadsheet runs nothing that stands in them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.lightstack.files.records import read_csv, read_json, write_csv, write_json

FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "'=1", "''@"]


def written(folder: Path, value: object) -> bytes:
    write_csv(folder / "a.csv", ("frame",), [{"frame": value}])
    return (folder / "a.csv").read_bytes().split(b"\n", 1)[1]


@pytest.mark.parametrize("text", FORMULAS)
def test_text_that_looks_like_a_formula_is_quoted(tmp_path: Path, text: str) -> None:
    assert written(tmp_path, text).lstrip(b'"').startswith(b"'")
    assert read_csv(tmp_path / "a.csv") == [{"frame": text}]


@pytest.mark.parametrize("value", [-1.5, -1, 2e-5, None, "it's", "'tis", "a-b", ""])
def test_numbers_and_other_text_stay(tmp_path: Path, value: object) -> None:
    assert written(tmp_path, value).decode().strip('\n"') == ("" if value is None else str(value))


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")), min_size=1))
def test_any_text_comes_back(tmp_path_factory: pytest.TempPathFactory, cells: list[str]) -> None:
    path = tmp_path_factory.mktemp("records") / "a.csv"
    write_csv(path, ("n", "cell"), [{"n": k, "cell": cell} for k, cell in enumerate(cells)])
    assert [row["cell"] for row in read_csv(path)] == cells


def test_names_that_are_no_text_go_through_json(tmp_path: Path) -> None:
    record = {"h\udcffé": "\udc80"}
    write_json(tmp_path / "a.json", record)
    assert read_json(tmp_path / "a.json") == record
