"""What the workflow needs of Snakemake's inside, all of it in one place.

Snakemake's language has no word for these: that recipes decide and time stamps do not, that a file
is to be made again, which state a file is of, whether a run has begun, which jobs are not tried
again, how many frames are submitted to a cluster at once. Written for and tested with the version
in ``envs/requirements.txt``.
"""

import atexit
import shlex
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable
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


def end_quietly_at_ctrl_c() -> None:
    """Have Ctrl-C before the first job end Snakemake with a word, and not with a traceback."""
    shown = sys.excepthook

    def show(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.stderr.write("Interrupted.\n")
        else:
            shown(kind, error, trace)

    sys.excepthook = show


def expect_jobs() -> None:
    """Let the executor that runs scripts prepare for them while Snakemake goes on planning."""
    # It need not be installed, or may be of an older checkout.
    executor = sys.modules.get("snakemake_executor_plugin_warm")
    getattr(executor, "expect_jobs", lambda: None)()


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


def has_failed(workflow: Any, *rules: str) -> bool:
    """Whether a job of one of these rules has failed in this process's run."""
    failed = workflow.scheduler.failed if workflow.scheduler is not None else ()
    return any(rule in rules for job in failed for rule in job.rules)


def was_stopped(workflow: Any) -> bool:
    """Whether this process's run has ended before its jobs, as by Ctrl-C, and none has failed."""
    return not workflow.scheduler.failed and any(True for _ in workflow.dag.needrun_jobs())


def try_once(is_in_vain: Callable[[Any], bool]) -> None:
    """Do not try failed jobs again for which that is in vain, as ``--retries`` would have it."""
    from snakemake.jobs import Job

    allowed = Job.restart_times.fget
    Job.restart_times = property(lambda job: 0 if is_in_vain(job) else allowed(job))


def submit_together(
    group: str, parts: Callable[[int], int], minutes: Callable[[int], float]
) -> None:
    """Submit the steps of many frames at once to a cluster, and all else of one group together.

    Snakemake would have one submission for each frame, or a fixed number of frames; it compares
    each job of a group with all others, and adds up the times of jobs that run side by side.

    Parameters
    ----------
    group : str
        Name of the group that the steps of a frame are in; the frame is their first wildcard.
    parts : function of int
        Tells into how many submissions so many frames are to be parted.
    minutes : function of int
        Tells how long so many frames take, one after another.
    """
    from snakemake.dag import DAG
    from snakemake.iocontainers import ResourceList
    from snakemake.jobs import GroupJob

    of_users = DAG.update_groups

    class FramesJob(GroupJob):
        """The steps of some frames."""

        _resources: dict[str, Any] | None

        @property
        def resources(self) -> Any:
            if self._resources is None:
                self._resources = _resources_of_frames(self, minutes)
            return ResourceList(fromdict=self._resources)

    def update_groups(dag: Any) -> None:
        if not dag.workflow.group_settings.overwrite_groups and dag.workflow.dryrun:
            # Nothing is submitted, and whenever a frame is told its group would look at all.
            for each in (*dag.rules, *dag.jobs):
                each.group = None
        if dag.workflow.group_settings.overwrite_groups or dag.workflow.local_exec:
            of_users(dag)
            return
        members = defaultdict(list)
        for job in dag.needrun_jobs():
            if job.group is not None:
                members[job.group].append(job)
        found: dict[Any, Any] = {}
        for name, jobs in members.items():
            kind, shares = GroupJob, [jobs]
            if name == group:
                kind, shares = FramesJob, _shares_of_frames(jobs, parts)
            for share in shares:
                job = kind(name, frozenset(share), dag.workflow.global_resources)
                job.finalize()
                found |= dict.fromkeys(share, job)
        dag._group = found

    DAG.update_groups = update_groups


def _resources_of_frames(together: Any, minutes: Callable[[int], float]) -> dict[str, Any]:
    """Tell what the steps of some frames need, done side by side on the cores that there are."""
    # The jobs of a rule ask for the same, so one of each tells.
    each = {job.rule: job for job in together.jobs}.values()
    asked = [dict(job.resources.items()) for job in each]
    found = dict(asked[0])
    for name in {name for one in asked for name in one}:
        values = [one[name] for one in asked if isinstance(one.get(name), int)]
        found[name] = max(values) if values else found.get(name)
    cores = together.global_resources["_cores"].value or 1
    n_frames = len(together.jobs) // len(asked)
    found["_cores"] = min(n_frames, cores)
    found["mem_mb"] *= found["_cores"]
    found["runtime"] = round(found["runtime"] + together.attempt * minutes(n_frames))
    return found | {"_nodes": 1, "mem": f"{found['mem_mb']} MB"}


def _shares_of_frames(jobs: list[Any], parts: Callable[[int], int]) -> list[list[Any]]:
    """Part the steps of frames into submissions, each with all steps of its frames."""
    frames = defaultdict(list)
    for job in jobs:
        frames[job.wildcards[0]].append(job)
    steps = list(frames.values())
    size = -(-len(steps) // parts(len(steps)))
    return [
        [job for frame in steps[first : first + size] for job in frame]
        for first in range(0, len(steps), size)
    ]
