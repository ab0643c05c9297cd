"""What the workflow needs of Snakemake's inside, all of it in one place.

Snakemake's language has no word for these: that recipes decide and time stamps do not, that a file
is to be made again, which state a file is of, whether a run has begun. Written for and tested with
the version in ``envs/requirements.txt``.
"""

import atexit
import shlex
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def let_recipes_decide() -> None:
    """Leave the time stamps of files out of account where a rule has a recipe, and their names.

    Snakemake compares times even if ``--rerun-triggers`` leaves ``mtime`` out, gives each output
    the time of its clock, and stops at an input that is newer than its output. ``ancient`` is no
    way out: where a job is planned, Snakemake does not look at the parameters of those after it,
    and leaves them out if its files are ancient. What a result is made of stands in the recipe;
    from which files it came may change, as with the number of jobs that make a stack.
    """
    from snakemake.dag import DAG
    from snakemake.io import _IOFile
    from snakemake.persistence import PersistenceBase

    is_newer, check_and_touch = _IOFile.is_newer, DAG.check_and_touch_output
    input_changed = PersistenceBase._input_changed

    async def is_newer_without_recipe(file: Any, time: float) -> bool:
        return not _has_recipe(file.rule) and await is_newer(file, time)

    async def check_without_times(dag: Any, job: Any, **options: Any) -> None:
        # Without its new time a file is still the one that its script has written: see `handover`.
        timeless = {"no_touch": True, "check_output_mtime": False}
        await check_and_touch(dag, job, **options | (timeless if _has_recipe(job.rule) else {}))

    def input_changed_without_recipe(records: Any, job: Any, file: Any = None) -> bool:
        return not _has_recipe(job.rule) and input_changed(records, job, file)

    PersistenceBase._input_changed = input_changed_without_recipe
    _IOFile.is_newer = is_newer_without_recipe
    DAG.check_and_touch_output = check_without_times


def _has_recipe(rule: Any) -> bool:
    return "recipe" in rule.params.keys()  # noqa: SIM118 - not a dict


def make_interpreter_callable() -> None:
    """Give Python a path that any shell takes as it is: Snakemake does not quote it.

    Else scripts could not run from a checkout whose path has a space or a parenthesis.
    """
    from snakemake.exceptions import WorkflowError

    if _is_plain(sys.executable):
        return
    python = Path(sys.executable)
    folder = tempfile.TemporaryDirectory(prefix="lightstack-")
    atexit.register(folder.cleanup)
    # A link to the whole environment: Python looks for its libraries beside the path it is called.
    home = Path(folder.name, "environment")
    home.symlink_to(python.parents[1])
    sys.executable = str(home / python.parent.name / python.name)
    if not _is_plain(sys.executable):
        raise WorkflowError(
            f"Snakemake cannot run {python}: its path has a space or another special character, "
            f"and so has {folder.name}. Set TMPDIR to a folder without one, or move the checkout."
        )


def _is_plain(path: str) -> bool:
    return shlex.quote(path) == path


def make_again(files: Iterable[str]) -> None:
    """Plan jobs for files that are there but must not be used; nothing on the disk changes."""
    from snakemake.dag import DAG

    check_incomplete = DAG.check_incomplete

    async def check_incomplete_and_more(dag: Any) -> None:
        await check_incomplete(dag)
        dag.forcefiles.update(files)

    DAG.check_incomplete = check_incomplete_and_more


def is_of_recipe(workflow: Any, path: str, recipe: str) -> bool:
    """Whether a file is there and was made by this recipe, as Snakemake's records say."""
    from snakemake.io import IOFile

    workflow.persistence.deactivate_cache()
    parameters = workflow.persistence.params(IOFile(path)) or []
    return Path(path).exists() and repr(recipe) in parameters


def has_begun(workflow: Any) -> bool:
    """Whether this process runs jobs, or found that there are none to run, and may tell of it."""
    return (
        workflow.is_main_process
        and workflow.scheduler is not None
        and not workflow.dryrun
        and not workflow.execution_settings.no_hooks
    )
