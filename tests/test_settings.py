"""Settings are checked before any job, all mistakes at once."""

import json
import re
from pathlib import Path

import pytest
import yaml

from scripts.lightstack.files.output_folder import MANIFEST
from scripts.lightstack.planning.checks import (
    check_folders,
    check_reference,
    missing_folders,
)
from scripts.lightstack.planning.frames import Frames, find_frames
from scripts.lightstack.planning.settings import (
    SettingsError,
    complete_settings,
    schema,
    unread_settings,
)
from tests.conftest import ROOT


def test_every_setting_has_type_description_and_default() -> None:
    for key, rules in schema()["properties"].items():
        assert {"description", "default"} <= set(rules), key
        assert "type" in rules or "enum" in rules, key
        assert rules["description"].endswith("."), key


def test_configuration_file_states_the_defaults() -> None:
    stated = yaml.safe_load((ROOT / "config" / "config.yaml").read_text())
    assert stated == complete_settings({})


def test_the_table_of_settings_is_that_of_the_schema() -> None:
    table = (ROOT / "config" / "README.md").read_text()
    for key, rules in schema()["properties"].items():
        default = rules["default"]
        shown = ", ".join(default) or "[]" if isinstance(default, list) else default
        if default is None or isinstance(default, bool):
            shown = yaml.safe_dump(default).split()[0]
        assert f"| `{key}` | {shown} | {rules['description']} |\n" in table
    rows = re.findall(r"^\| `\w+` .*\n", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert len(rows) == 10
    assert [row for row in rows if row not in table] == []


def test_given_values_win_over_defaults() -> None:
    settings = complete_settings({"minarea": 5, "input_dir": "./lights/"})
    assert settings["minarea"] == 5
    assert settings["input_dir"] == "lights"
    assert settings["min_star_count"] == 1000


def test_all_mistakes_are_told_in_one_message() -> None:
    mistakes = {
        "minarrea": 5,
        "min_star_count": "many",
        "ellip_max": 2,
        "normalize": "median",
        "modes": ["mean", "mean"],
        "input_dir": "",
    }
    with pytest.raises(SettingsError) as caught:
        complete_settings(mistakes)
    message = str(caught.value)
    assert len(message.splitlines()) == 6
    assert "minarrea: there is no such setting; did you mean minarea?" in message
    assert "min_star_count: 'many' is not an integer." in message
    assert "ellip_max: 2 is above the largest legal value 1." in message
    assert "normalize: 'median' is none of flux, none." in message


@pytest.fixture
def night(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.fits").touch()
    return tmp_path


@pytest.mark.parametrize(
    "folders",
    [
        {"output_dir": "data"},
        {"output_dir": "."},
        {"output_dir": "data/cleaned"},
        {"results_dir": "data"},
        {"output_dir": "darkfield"},
        {"output_dir": "work/cleaned"},
        {"input_dir": "."},
        {"darkfield_dir": "data"},
        {"darkfield_dir": "data/darks"},
        {"output_dir": "results"},
    ],
)
def test_folders_must_not_lie_in_each_other(night: Path, folders: dict[str, str]) -> None:
    settings = complete_settings(folders)
    with pytest.raises(SettingsError, match="must be separate folders"):
        check_folders(settings, find_frames(night / "data"))


@pytest.mark.parametrize("name", ["results", "data_cleaned", "work", "logs"])
def test_a_file_where_a_folder_must_be_is_told(
    night: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(night)
    Path(name).touch()
    with pytest.raises(SettingsError, match=f"^{name} is no folder: move or remove it"):
        check_folders(complete_settings({}), find_frames("data"))


def no_input_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(folder)
    with pytest.raises(SettingsError, match=r"^input_dir: there is no folder data in ") as refused:
        check_folders(complete_settings({}), Frames())
    return str(refused.value)


def test_a_missing_input_folder_is_told_with_the_one_that_is_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert no_input_in(tmp_path, monkeypatch).endswith("--config input_dir=my_night")
    others = ("Flats/e.fits", "bias/f.fits", "results/g.png")
    for name in (".trash/a.fits", "notes/b.txt", "lights/c.NEF", "pictures/d.jpg", *others):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    assert no_input_in(tmp_path, monkeypatch).endswith("--config input_dir=lights")


def test_a_night_of_which_the_input_folder_is_given_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.fits").touch()
    told = no_input_in(tmp_path / "data", monkeypatch)
    assert told.endswith(f"The night is the folder above: --directory {tmp_path}")


@pytest.mark.usefixtures("night")
def test_folders_that_are_named_and_missing_are_told() -> None:
    assert missing_folders(complete_settings({})) == []
    assert missing_folders(complete_settings({"darkfield_dir": "drks", "flat_dir": "data"})) == [
        "darkfield_dir: there is no folder drks, so nothing is taken from it."
    ]


def test_output_folder_of_the_workflow_is_known_by_its_manifest(night: Path) -> None:
    frames = Frames({"a": "data/a.fits"})
    output = night / "data_cleaned"
    output.mkdir()
    (output / "a.fits").touch()
    with pytest.raises(SettingsError, match=r"did not write \(a\.fits\)"):
        check_folders(complete_settings({}), frames)
    (output / MANIFEST).write_text(json.dumps({"a.fits": None}))
    check_folders(complete_settings({}), frames)


def test_the_home_folder_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    settings = complete_settings({"input_dir": "~/night/lights", "output_dir": "~me"})
    assert settings["input_dir"] == "/home/me/night/lights"
    assert complete_settings({"input_dir": "a~/b"})["input_dir"] == "a~/b"


def test_a_reference_that_is_no_frame_is_refused() -> None:
    frames = Frames({"a": "data/a.fits", "b": "data/b.fits"}, {"c": "'data/c.fits': a bad name."})
    for reference in ("first", "best", "a"):
        check_reference(reference, frames)
    with pytest.raises(SettingsError, match=r"no frame 'light_1' \(did you mean light_01"):
        check_reference("light_1", Frames({"light_01": ""}))
    with pytest.raises(SettingsError, match=r"reference: 'data/c.fits': a bad name\. Set it to"):
        check_reference("c", frames)


@pytest.mark.parametrize(
    "name",
    [
        *("config.yaml", "config.yml", "config/config.yml", "config/Config.yaml"),
        *("config/config.yaml.txt", "Config/config.yaml", "settings.yaml"),
    ],
)
def test_settings_that_are_not_read_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("config").mkdir()
    Path("config/config.yaml").touch()
    assert unread_settings(["config/config.yaml"]) == ""
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).touch()
    assert unread_settings(["config/config.yaml", name]) == ""
    told = unread_settings(["config/config.yaml"])
    assert told.startswith(f"{name} is not read: name it config/config.yaml, or add")
