"""The plan of a run: what the main process writes, jobs read, and no other plan."""

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from scripts.lightstack.planning.inside_snakemake import expect_jobs
from scripts.lightstack.planning.making import make_plan
from scripts.lightstack.planning.plan import NoPlanError, Plan
from tests.conftest import Run, planned_jobs, snakemake


@pytest.fixture
def night(small_night: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a night with a name that is no text."""
    folder = small_night()
    (folder / "data" / os.fsdecode(b"\xff.fits")).touch()
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("settings", [{}, {"group_by": ["EXPTIME"], "bad_pixels": "all"}])
def test_a_plan_is_read_as_it_was_written(night: Path, settings: dict[str, object]) -> None:
    plan, _ = make_plan({"threshold_sigma": 5, **settings})
    assert any(name.endswith("\udcff") for name in plan.refused)
    plan.write(night / "plan.json")
    assert Plan.read(night / "plan.json", plan.run) == plan
    assert Plan.read(night / "plan.json", None) == plan


@pytest.mark.usefixtures("night")
def test_each_run_has_a_plan_of_its_own(tmp_path: Path) -> None:
    (plan, _), (other, _) = make_plan({}), make_plan({})
    assert plan.run != other.run
    assert replace(plan, run=other.run) == other
    plan.write(tmp_path / "plan.json")
    with pytest.raises(NoPlanError, match="the plan of another run"):
        Plan.read(tmp_path / "plan.json", other.run)


def test_a_plan_has_news_for_the_next_run_where_results_differ(night: Path) -> None:
    path = night / "plan.json"
    (plan, _), (same, _), (other, _) = (make_plan({"fwhm0": each}) for each in (3, 3, 4))
    assert plan.has_news(path)
    plan.write(path)
    assert not same.has_news(path)
    assert other.has_news(path)
    path.write_text("{}")
    assert same.has_news(path)


def test_an_executor_is_told_of_jobs_if_it_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[bool] = []
    listening = SimpleNamespace(expect_jobs=lambda: told.append(True))
    # That of another checkout may not, and none need be installed.
    for executor in (SimpleNamespace(), None, listening):
        monkeypatch.setitem(sys.modules, "snakemake_executor_plugin_warm", executor)
        expect_jobs()
    assert told == [True]


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b"{}", b'{"run": "1", "odd": 2}'])
def test_a_plan_that_is_none_is_told(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "plan.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(NoPlanError, match="the plan of the run cannot be read"):
        Plan.read(path, None)


def test_jobs_elsewhere_follow_no_other_plan_than_that_of_their_run(
    small_night: Callable[..., Path],
) -> None:
    folder = small_night()

    def job(**env: str) -> str:
        return snakemake(folder, "--mode", "remote", "--dry-run", env=env).output

    assert "the plan of the run cannot be read" in job()
    # Without hooks nothing writes a plan; on this machine, no job needs it.
    run = snakemake(folder, "--no-hooks")
    assert run.returncode == 0, run.output
    assert "the plan of the run cannot be read" in job()
    assert planned_jobs(snakemake(folder, "--dry-run")) == {}

    before = run.results
    again = snakemake(folder, "--forceall")
    assert again.returncode == 0, again.output
    assert Run(folder, 0, "").results == before
    assert "plan of" not in job(LIGHTSTACK_RUN=Plan.read(folder / "work" / "plan.json", None).run)
    assert "is the plan of another run" in job(LIGHTSTACK_RUN="0123456789abcdef")
