"""What recipes are said to be made of is what the rules read."""

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from snakemake.api import SnakemakeApi
from snakemake.settings.types import ConfigSettings, OutputSettings, Quietness, ResourceSettings

from scripts.lightstack.planning.recipes import RULES
from tests.conftest import ROOT

IN_RECIPES = {"sha256", "facts", "frames", "refused", "left_out", "rows", "cache", "pictures"}
IN_RECIPES |= {"groups", "members", "stacks"}
"""Parameters of rules beside settings and recipe: ingredients of the recipe, or the place of a
cache, which has no part in the result."""


@pytest.fixture
def jobs(
    small_night: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> dict[str, list[tuple[Any, set[str]]]]:
    """All jobs of a run by their rules, each with the rules whose results it reads."""
    folder = small_night()
    monkeypatch.chdir(folder)
    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        workflow_api = api.workflow(
            resource_settings=ResourceSettings(cores=1),
            config_settings=ConfigSettings(configfiles=[Path("config/config.yaml")]),
            snakefile=ROOT / "Snakefile",
            workdir=folder,
        )
        workflow_api.dag()
        workflow = workflow_api._workflow
        workflow._prepare_dag(forceall=False, ignore_incomplete=True, lock_warn_only=True)
        workflow._build_dag()
        found = defaultdict(list)
        for job in workflow.dag.jobs:
            read = {other.rule.name for other in workflow.dag.dependencies[job]}
            found[job.rule.name].append((job, read))
    found.pop("all")
    return found


def test_each_rule_has_a_recipe_and_each_recipe_a_rule(
    jobs: dict[str, list[tuple[Any, set[str]]]],
) -> None:
    assert set(jobs) == set(RULES)


def test_recipes_use_the_rules_whose_results_are_inputs(
    jobs: dict[str, list[tuple[Any, set[str]]]],
) -> None:
    for rule, found in jobs.items():
        for _, read in found:
            assert read == set(RULES[rule].uses), rule


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
    counts = {"frame": 5, "kind": 1, "run": 1, "group": 1, "reference": 1}
    for rule, found in jobs.items():
        assert len(found) == counts[RULES[rule].per], rule


def test_each_rule_states_what_it_needs(jobs: dict[str, list[tuple[Any, set[str]]]]) -> None:
    for rule, found in jobs.items():
        for job, _ in found:
            assert job.resources["mem_mb"] >= 200, rule
            assert job.resources["runtime"] >= 1, rule
            assert job.log, rule
            # Snakemake spends milliseconds on a benchmark, too much for each job of each frame.
            assert (job.benchmark is None) == (RULES[rule].per == "frame"), rule
