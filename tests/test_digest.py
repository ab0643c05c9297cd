"""A change of code is seen where the code is used, and only there."""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scripts.lightstack import digest, modules
from scripts.lightstack.planning.recipes import RULES
from tests.conftest import ROOT, copy_checkout

SCRIPT = "scripts/detect_sources.py"

Edit = Callable[[str, Callable[[str], str]], dict[str, bool]]


def forget() -> None:
    """Be as a new process is."""
    for function in (digest.code_digest, modules.parsed, modules._known):
        function.cache_clear()


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give the file in which codes are kept."""
    monkeypatch.setattr(modules, "places", lambda: [Path("/dev/null/none"), tmp_path])
    forget()
    yield tmp_path / "codes.json"
    forget()


@pytest.fixture
def changed_by(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Edit:
    """Return which scripts' digests an edit of one file of a copied checkout changes."""
    checkout = tmp_path / "checkout"
    copy_checkout(checkout)
    monkeypatch.setattr(modules, "ROOT", checkout)
    scripts = [f"scripts/{path.name}" for path in (checkout / "scripts").glob("[a-z]*.py")]

    def digests() -> dict[str, str]:
        forget()
        return {script: digest.code_digest(script) for script in scripts}

    def change(name: str, edit: Callable[[str], str]) -> dict[str, bool]:
        before = digests()
        path = checkout / "scripts" / name
        path.write_text(edit(path.read_text()))
        after = digests()
        forget()
        return {Path(script).stem: before[script] != after[script] for script in scripts}

    return change


def test_a_library_change_reaches_exactly_the_scripts_that_import_it(changed_by: Edit) -> None:
    changed = changed_by("lightstack/detection/quality.py", lambda code: code + "\nNEW = 1\n")
    assert {name for name, new in changed.items() if new} == {
        "grade_frame",
        "align_frames",
        "write_report",
        "tune",
    }


def test_a_change_two_imports_away_counts(changed_by: Edit) -> None:
    changed = changed_by("lightstack/raw/image.py", lambda code: code + "\nNEW = 1\n")
    assert changed["grade_frame"]  # through the files that the steps hand to each other


def test_a_reader_of_raw_files_reaches_only_what_reads_them(changed_by: Edit) -> None:
    changed = changed_by("lightstack/raw/pictures.py", lambda code: code + "\nNEW = 1\n")
    assert {name for name, new in changed.items() if new} == {
        "combine_darks",
        "combine_bias",
        "combine_flats",
        "map_bad_pixels",
        "calibrate_frame",
        "clean_colours",
    }


@pytest.mark.parametrize("room", ["stacking", "alignment"])
def test_no_job_of_a_single_frame_knows_of_others(changed_by: Edit, room: str) -> None:
    for path in sorted((ROOT / "scripts" / "lightstack" / room).glob("[a-z]*.py")):
        changed = changed_by(f"lightstack/{room}/{path.name}", lambda code: code + "\nNEW = 1\n")
        assert not any(changed[rule] for rule in RULES if RULES[rule].per in ("frame", "kind"))


def test_comments_docstrings_and_blank_lines_do_not_count(changed_by: Edit) -> None:
    def edit(code: str) -> str:
        code = code.replace('"""', '"""Changed. ', 1).replace("\n\n\n", "\n\n\n# A comment.\n")
        assert ast.parse(code)
        return code

    assert not any(changed_by("lightstack/files/frame_file.py", edit).values())


def test_a_script_counts_for_itself(changed_by: Edit) -> None:
    changed = changed_by("draw_preview.py", lambda code: code.replace("GAP_PX = 8", "GAP_PX = 9"))
    assert {name for name, new in changed.items() if new} == {"draw_preview"}


def test_a_file_is_parsed_once(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = digest.code_digest(SCRIPT)
    assert [path.name for path in kept.parent.iterdir()] == ["codes.json"]
    monkeypatch.delattr(modules, "_parse")
    forget()
    assert digest.code_digest(SCRIPT) == first


DAMAGED = ("", "[]", '{"parser":', '{"parser": "PARSER", "codes": [1]}', "WHOLE[", "OTHERS")


@pytest.mark.parametrize("text", [*DAMAGED, '{"parser": "PARSER", "codes": {"0": 1}}'])
def test_kept_codes_that_are_damaged_or_another_pythons_are_made_again(
    kept: Path, text: str
) -> None:
    first = digest.code_digest(SCRIPT)
    whole = kept.read_text()
    others = whole.replace(modules._parser(), "another Python").replace('["', '["other')
    for word, meant in {"WHOLE": whole, "OTHERS": others, "PARSER": modules._parser()}.items():
        text = text.replace(word, meant)
    kept.write_text(text)
    forget()
    assert digest.code_digest(SCRIPT) == first
    assert kept.read_text() == whole


@pytest.mark.parametrize("name", ["page.html", "page.css", "page.js"])
def test_a_template_is_part_of_the_module_beside_it(changed_by: Edit, name: str) -> None:
    changed = changed_by(f"lightstack/report/{name}", lambda text: text + " ")
    assert {name for name, new in changed.items() if new} == {"write_report"}
