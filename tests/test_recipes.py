"""What recipes are said to be made of is what the rules read."""

import re
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from astropy.io import fits
from snakemake.api import SnakemakeApi
from snakemake.settings.types import (
    ConfigSettings,
    DAGSettings,
    OutputSettings,
    Quietness,
    ResourceSettings,
)

from scripts.lightstack.planning import recipes
from scripts.lightstack.planning.recipes import RULES, rules_of
from scripts.lightstack.planning.settings import complete_settings
from tests.conftest import ROOT

IN_RECIPES = {"sha256", "facts", "frames", "refused", "left_out", "rows", "cache", "pictures"}
IN_RECIPES |= {"groups", "members", "offered", "stacks"}
"""Parameters of rules beside settings and recipe: ingredients of the recipe, or the place of a
cache, which has no part in the result."""


def add_what_calibrates(folder: Path) -> None:
    """Let masters of all kinds be used: flats and frames with and without darks."""
    lights = sorted((folder / "data").iterdir())
    for light in lights:
        fits.setval(light, "BAYERPAT", value="RGGB")
        fits.setval(light, "FILTER", value="R" if light == lights[-1] else "L")
    fits.setval(lights[-1], "EXPTIME", value=300.0)
    for path, kind, exptime, name in (
        ("darkfield/of_flats.fits", "Dark", 2.0, None),
        ("flats/l.fits", "Flat", 2.0, "L"),
        ("flats/r.fits", "Flat", 3.0, "R"),
        ("bias/b.fits", "Bias", 0.0, None),
    ):
        (folder / path).parent.mkdir(exist_ok=True)
        with fits.open(lights[0]) as hdus:
            hdus[0].data[0, 0] += len(path)
            hdus[0].header.update(IMAGETYP=kind, EXPTIME=exptime, FILTER=name)
            hdus.writeto(folder / path)


@pytest.fixture
def jobs(
    small_night: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> dict[str, list[tuple[Any, set[str]]]]:
    """All jobs of a run by their rules, each with the rules whose results it reads."""
    folder = small_night(bad_pixels="all", **getattr(request, "param", {}))
    add_what_calibrates(folder)
    monkeypatch.chdir(folder)
    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        workflow_api = api.workflow(
            resource_settings=ResourceSettings(cores=1),
            config_settings=ConfigSettings(configfiles=[Path("config/config.yaml")]),
            snakefile=ROOT / "Snakefile",
            workdir=folder,
        )
        workflow_api.dag(DAGSettings(targets=frozenset({"all", "tune"})))
        workflow = workflow_api._workflow
        workflow._prepare_dag(forceall=False, ignore_incomplete=True, lock_warn_only=True)
        workflow._build_dag()
        found = defaultdict(list)
        for job in workflow.dag.jobs:
            read = {other.rule.name for other in workflow.dag.dependencies[job]}
            found[job.rule.name].append((job, read))
    found.pop("all")
    return found


IN_GREY_AND_IN_COLOUR = pytest.mark.parametrize(
    "jobs", [{"color": "gray"}, {"color": "rgb"}], indirect=True
)


@IN_GREY_AND_IN_COLOUR
def test_each_rule_has_a_recipe_and_each_recipe_a_rule(
    jobs: dict[str, list[tuple[Any, set[str]]]], request: pytest.FixtureRequest
) -> None:
    color = request.node.callspec.params["jobs"]["color"]
    assert set(jobs) == set(rules_of({"color": color}))


@IN_GREY_AND_IN_COLOUR
def test_recipes_use_the_rules_whose_results_are_inputs(
    jobs: dict[str, list[tuple[Any, set[str]]]], request: pytest.FixtureRequest
) -> None:
    rules = rules_of({"color": request.node.callspec.params["jobs"]["color"]})
    for rule, found in jobs.items():
        assert set().union(*(read for _, read in found)) == set(rules[rule].uses), rule


def test_recipes_have_the_settings_and_values_that_are_parameters(
    jobs: dict[str, list[tuple[Any, set[str]]]],
) -> None:
    for rule, found in jobs.items():
        for job, _ in found:
            named = set(job.params.keys())
            assert "recipe" in named, rule
            assert set(job.params.get("settings", {})) == set(RULES[rule].settings), rule
            assert named - {"recipe", "settings"} <= IN_RECIPES, rule


def test_there_is_a_job_for_each_frame_where_a_recipe_says_so(
    jobs: dict[str, list[tuple[Any, set[str]]]],
) -> None:
    counts = {"frame": 5, "run": 1, "group": 1, "reference": 1}
    of_kinds = {"combine_darks": 2, "combine_bias": 1, "combine_flats": 2, "map_bad_pixels": 1}
    for rule, found in jobs.items():
        assert len(found) == of_kinds.get(rule, counts.get(RULES[rule].per)), rule


def test_the_page_on_reruns_names_tests_that_exist() -> None:
    files = list((ROOT / "tests").glob("test_*.py"))
    known = {path.name for path in files}
    known |= {
        name for path in files for name in re.findall(r"^def (test_\w+)", path.read_text(), re.M)
    }
    named = re.findall(r"``(test_[\w.]+)``", recipes.__doc__ or "")
    assert len(named) > 5
    assert set(named) <= known


def test_of_each_setting_it_is_told_what_runs_again() -> None:
    told, _, _ = (ROOT / "docs" / "reruns.md").read_text().partition("\n## ")
    assert [name for name in complete_settings({}) if f"`{name}`" not in told] == []


@IN_GREY_AND_IN_COLOUR
def test_each_rule_states_what_it_needs_and_is_measured(
    jobs: dict[str, list[tuple[Any, set[str]]]],
) -> None:
    for rule, found in jobs.items():
        for job, _ in found:
            assert job.resources["mem_mb"] >= 200, rule
            assert job.resources["runtime"] >= 1, rule
            (log,) = job.log
            assert job.benchmark == f"{log.removesuffix('.log')}.tsv", rule


@pytest.mark.parametrize("jobs", [{"stack_bands": 3, "modes": ["noise_clip"]}], indirect=True)
def test_jobs_that_make_a_stack_together_have_its_recipe(
    jobs: dict[str, list[tuple[Any, set[str]]]],
) -> None:
    together = set(jobs) - set(RULES)
    assert together == {"measure_frames", "stack_band", "join_bands"}
    recipes = {job.params.recipe for rule in together for job, _ in jobs[rule]}
    assert len(recipes) == 1
    sources = {"align_frames", "subtract_background"}
    for rule in together:
        for job, read in jobs[rule]:
            assert read <= sources | together, rule
            assert job.resources["mem_mb"] >= 200, rule
            assert job.resources["runtime"] >= 1, rule
            assert job.benchmark == f"{job.log[0].removesuffix('.log')}.tsv", rule
            assert set(job.params.get("settings", RULES["stack_frames"].settings)) == set(
                RULES["stack_frames"].settings
            )
