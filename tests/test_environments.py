"""One set of versions, wherever it is written down."""

import re
from pathlib import Path

import pytest
import yaml

from scripts.lightstack import modules
from tests.conftest import ROOT

PIN = re.compile(r"^([\w.-]+)==([\w.]+)", re.MULTILINE)
MODULE_OF = {"pillow": "PIL"}


def pins(name: str) -> dict[str, str]:
    """Version of each package in a list of pins."""
    return dict(PIN.findall((ROOT / "envs" / name).read_text()))


@pytest.fixture
def environment() -> dict[str, str]:
    """Return the versions of the environment that Snakemake makes for jobs."""
    (pip,) = (
        part["pip"]
        for part in yaml.safe_load((ROOT / "envs" / "lightstack.yaml").read_text())["dependencies"]
        if isinstance(part, dict)
    )
    # Snakemake copies this file alone: it can name no other.
    assert all(PIN.fullmatch(line) for line in pip)
    return dict(PIN.findall("\n".join(pip)))


def test_jobs_have_the_versions_of_the_run(environment: dict[str, str]) -> None:
    pinned = pins("requirements.txt")
    assert environment == {name: pinned[name] for name in environment}


def test_jobs_have_all_that_their_scripts_import(environment: dict[str, str]) -> None:
    scripts = [path for path in (ROOT / "scripts").glob("*.py") if path.name != "__init__.py"]
    code = "\n".join({file.read_text() for path in scripts for file in modules.reached(path)})
    imported = set(re.findall(r"^ *(?:from|import) (\w+)", code, re.MULTILINE))
    assert {"numpy", "jinja2", "numba"} <= imported
    known = {MODULE_OF.get(name, name) for name in pins("requirements.txt")}
    used = imported & known - {"snakemake"}
    assert used <= {MODULE_OF.get(name, name) for name in environment}


def test_the_readme_names_what_results_are_made_with(environment: dict[str, str]) -> None:
    _, _, told = (ROOT / "README.md").read_text().partition("## Licence and acknowledgements\n")
    words = told.lower()
    assert [name for name in environment if name not in words] == []


def test_what_developers_add_agrees_with_what_a_run_has() -> None:
    run, develop = pins("requirements.txt"), pins("develop.txt")
    assert {name: version for name, version in develop.items() if name in run} == {
        name: run[name] for name in develop if name in run
    }


def test_no_list_names_where_packages_come_from() -> None:
    for path in Path(ROOT / "envs").iterdir():
        assert "://" not in path.read_text(), path
