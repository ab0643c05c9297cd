"""Mistakes in the configuration are told in one message, before any job."""

from pathlib import Path

import pytest

from tests.conftest import Run, snakemake


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a folder with a frame and an empty configuration folder."""
    (tmp_path / "config").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.fits").write_bytes(b"x")
    return tmp_path


def told(folder: Path, *arguments: str) -> list[str]:
    """Lines that a dry run ends with; it must fail, in few words and without a traceback."""
    run = snakemake(folder, "--dry-run", *arguments)
    assert run.returncode == 1, run.output
    assert not (folder / "work").exists()
    return message(run)


def message(run: Run) -> list[str]:
    assert "Traceback" not in run.output
    assert "Building DAG" not in run.output
    lines = [line for line in run.output.splitlines() if line.strip()]
    assert len(lines) < 22, run.output
    assert max(map(len, lines)) < 300
    return lines


def configured(folder: Path, text: str | bytes) -> list[str]:
    content = text.encode() if isinstance(text, str) else text
    (folder / "config" / "config.yaml").write_bytes(content)
    return told(folder)


def test_all_mistakes_of_all_kinds_are_one_message(folder: Path) -> None:
    lines = configured(
        folder,
        """\
minarrea: 5
something else: 1
7: 8
minarea: 2.5
min_star_count: .nan
threshold_sigma: .nan
fwhm0: .inf
ellip_max: 1e-1
sigma_clip: "3"
saturated_max_fraction: 5%
fwhm_max_ratio: 2,5
background_box: "64"
normalize: flocks
modes: mean
reference: 5
input_dir: [a, b]
results_dir: "re{s}ults"
output_dir: ""
debug_region: -1
weights:
""",
    )
    for sentence in (
        "minarrea: there is no such setting; did you mean minarea?",
        "something else: there is no such setting",
        "7: there is no such setting",
        "minarea: 2.5 is not an integer.",
        "min_star_count: nan is not an integer.",
        "threshold_sigma: not a number.",
        "fwhm0: inf is above the largest legal value 100.",
        "ellip_max: '1e-1' is not a number, but text to YAML: write it as 0.1.",
        "sigma_clip: '3' is not a number, but text to YAML: write it as 3.",
        "saturated_max_fraction: '5%' is not a number, but text to YAML: write it as 0.05.",
        "fwhm_max_ratio: '2,5' is not a number, but text to YAML: write it as 2.5.",
        "background_box: '64' is not an integer, but text to YAML: write it as 64.",
        "normalize: 'flocks' is none of flux, none.",
        "modes: 'mean' is not a list: write it as [mean].",
        "reference: 5 is not text: write it in quotes.",
        "input_dir: ['a', 'b'] is not text.",
        "results_dir: 're{s}ults' has one of { } < > or a control character.",
        "output_dir: '' should be non-empty.",
        "debug_region: -1 is below the smallest legal value 0.",
        "weights: None is none of none, noise.",
    ):
        assert sum(line.startswith(sentence) for line in lines) == 1, (sentence, lines)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "- minarea: 5\n- fwhm0: 3\n",
            "expected lines such as 'min_star_count: 200', found a list.",
        ),
        ("minarea = 5\n", "expected lines such as 'min_star_count: 200', found 'minarea = 5'."),
        ("minarea: 5\nfwhm0: [3\nellip_max: 1\n", "line 3: not valid YAML: "),
        ("minarea: 5\nfwhm0 3\nellip_max: 1\n", "line 2: no setting: write it as in "),
        ("minarea = 5\nfwhm0: 3\n", "line 1: no setting: write it as in "),
        ("minarea:5\nfwhm0: 3\n", "line 1: no setting: write it as in "),
        ("minarea: 5\n\tfwhm0: 3\n", "line 2: not valid YAML: "),
        ("minarea: 5\nfwhm0: 3\nminarea: 6\n", "line 3: not valid YAML: minarea is set twice."),
        ("fwhm0: !!python/object:os.system 3\n", "line 1: not valid YAML: could not determine"),
        (b"fwhm0: 3 # \xff\xfe\n", "not a text in UTF-8."),
        (b"fwhm0: \0\n", "not valid YAML: "),
        ("fwhm0: " + "[" * 5000, "not valid YAML: "),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_the_line(
    folder: Path, text: str | bytes, sentence: str
) -> None:
    lines = configured(folder, text)
    assert any(line.startswith("config/config.yaml") and sentence in line for line in lines), lines


def test_a_configuration_that_is_no_file_is_told(folder: Path) -> None:
    (folder / "config" / "config.yaml").mkdir()
    assert "config/config.yaml: Is a directory." in told(folder)
    (folder / "config" / "config.yaml").rmdir()
    (folder / "config" / "config.yaml").symlink_to("gone.yaml")
    assert "config/config.yaml: No such file or directory." in told(folder)


@pytest.mark.parametrize("text", ["", "# minarea: 5\n", "---\n", "{}\n"])
def test_a_file_without_settings_means_the_defaults(folder: Path, text: str) -> None:
    (folder / "config" / "config.yaml").write_text(text)
    run = snakemake(folder, "--dry-run")
    assert run.returncode == 0, run.output
    assert "calibrate_frame" in run.output


def test_values_on_the_command_line_are_checked_alike(folder: Path) -> None:
    lines = told(folder, "--config", "minarrea=5", "minarea=many", "fwhm0=-1", "min_star_count=")
    for sentence in (
        "minarrea: there is no such setting; did you mean minarea?",
        "minarea: 'many' is not an integer.",
        "fwhm0: -1 must be above 0.",
        "min_star_count: None is not an integer.",
    ):
        assert sentence in lines


def test_a_file_given_on_the_command_line_is_refused_without_a_traceback(folder: Path) -> None:
    (folder / "list.yaml").write_text("- 1\n")
    lines = told(folder, "--configfile", "list.yaml")
    assert any("keys at top level" in line for line in lines)
    (folder / "bad.yaml").write_text("minarea: [5\n")
    lines = told(folder, "--configfile", "bad.yaml")
    assert any("not valid JSON or YAML" in line for line in lines)


def test_whole_numbers_may_be_written_with_a_point(folder: Path) -> None:
    (folder / "config" / "config.yaml").write_text("minarea: 5.0\nbackground_box: 32.0\n")
    assert snakemake(folder, "--dry-run").returncode == 0


@pytest.mark.parametrize("key", ["input_dir", "darkfield_dir", "output_dir", "results_dir"])
@pytest.mark.parametrize("name", ["a{b}", "a<b>", "a\0b", "a\nb"])
def test_folders_that_snakemake_cannot_handle_are_refused(key: str, name: str) -> None:
    from scripts.lightstack.planning.settings import SettingsError, complete_settings

    with pytest.raises(SettingsError, match=f"^{key}: .* has one of"):
        complete_settings({key: name})
