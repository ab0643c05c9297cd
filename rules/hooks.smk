"""What the main process does before and after its jobs; no other process does any of it."""

import atexit
import contextlib
import os
from pathlib import Path

from scripts.lightstack.files.alignment_file import problem_of
from scripts.lightstack.files.records import read_json
from scripts.lightstack.files.unread import NOTES, noted
from scripts.lightstack.job import JobError
from scripts.lightstack.planning.inside_snakemake import (
    has_begun,
    has_failed,
    is_of_recipe,
    make_again,
    try_once,
    was_stopped,
)
from scripts.lightstack.planning.master_choice import NOUNS
from scripts.lightstack.planning.nights import run_meanwhile
from scripts.lightstack.planning.recovery import (
    files_to_make_again,
    has_lost_stacks,
    is_locked,
    lack_of_space,
    loss_of_records,
    sweep,
    unwritable,
)
from scripts.lightstack.planning.slurm_queue import in_the_way, jobs_at_work
from scripts.lightstack.report.outcome import leftovers, outcome
from scripts.lightstack.telling import complaints, listed

FOLDER = Path.cwd()

# Holds the run once its first job may begin.
READY = set()
OWN = [Path(layout.WORK)]
if own_frames():
    OWN.append(Path(PLAN.settings["output_dir"]))


def groups_to_stack_again():
    """What stands for the stacks of groups that are damaged or gone."""
    return [
        thumbnails
        for group, files in files_of_groups().items()
        if group
        and has_lost_stacks(
            thumbnails := filled(THUMBNAILS, group=group),
            files["alignment"],
            group,
            files["stacks"].values(),
        )
    ]


def plan_repairs():
    """Let files be made again that are damaged, or of which nothing is known; tell which."""
    made = layout.made_files(
        own_frames(),
        PLAN.raw_files,
        PLAN.settings["modes"],
        PLAN.settings["stack_bands"],
        PLAN.settings["results_dir"],
        GROUPS.aligned,
        GROUPS.stacked,
    )
    passing = layout.passing_files(own_frames())
    output = Path(PLAN.settings["output_dir"])
    try:
        if loss := loss_of_records(
            map(
                here, [LEDGER, SELECTION, *of_all_references(ALIGNMENT), *stack_files()]
            )
        ):
            raise WorkflowError(loss)
        # Files that another run has just made may lack their records still.
        again = (
            []
            if is_locked()
            else [
                *files_to_make_again(made, passing, here(SELECTION), output),
                *groups_to_stack_again(),
            ]
        )
    except OSError as error:
        raise WorkflowError(f"{error.filename}: {error.strerror}.") from None
    make_again(again)
    # An output folder that is not there may be new, or was removed by someone.
    broken = [path for path in again if output.is_dir() or path != here(SELECTION)]
    if broken:
        tell(f"unfinished or damaged, and to be made again: {listed(broken, 3)}")


def objections():
    """Say why a run must not begin; nothing if it may."""
    asked = workflow.resource_settings.default_resources or {}
    if workflow.local_exec and any(name.startswith("slurm_") for name in asked):
        yield (
            "A profile for Slurm was given, but all would run on this machine, as "
            "profiles/default takes the place of what stands in a --profile. "
            "Use --workflow-profile slurm."
        )
    yield in_the_way(jobs_at_work(FOLDER))
    yield unwritable([*OWN, *shared_folders()])


def shared_folders():
    """Folders, beside its own, in which every run makes files."""
    return [Path(PLAN.settings["results_dir"]), Path("logs")]


def sweep_leftovers():
    """Remove what killed jobs have left half-written."""
    # It may belong to another run, unless this one has the lock.
    if workflow.execution_settings.lock:
        results = Path(PLAN.settings["results_dir"])
        sweep(OWN, [*shared_folders(), *(results / group for group in GROUPS.stacked)])


def prepare():
    """Make room for the run, write its plan, and tell what it may lack, before its first job."""
    if sentence := next(filter(None, objections()), ""):
        raise WorkflowError(sentence)
    sweep_leftovers()
    PLAN.write(Path(layout.PLAN))
    # Only jobs elsewhere look for it; scripts would need a zygote of another environment.
    if not workflow.local_exec:
        os.environ[RUN] = PLAN.run
    Path(here(REPORT_WITHOUT_STACKS)).unlink(missing_ok=True)
    # Those of superpixels have a quarter of the pixels.
    planes = 3 if PLAN.settings["color"] == "rgb" else 1
    tell(
        lack_of_space(
            PLAN.frame_mb,
            [*OWN, Path(PLAN.settings["results_dir"])],
            len(PLAN.settings["modes"]) * len(GROUPS.stacked) * planes,
            n_copies=2 + HAS_COLOURS if own_frames() else 0,
            in_bands=PLAN.settings["stack_bands"] > 1,
        )
    )
    READY.add(PLAN.run)


def is_in_vain(job):
    """Whether a job that failed would fail again: its group has too few frames for a stack."""
    if job.rule.name not in ("stack_frames", "join_bands"):
        return False
    alignment = Path(job.input.alignment)
    found = read_json(alignment) if alignment.exists() else {}
    return problem_of(found, group_of(job.wildcards)) is not None


def tell_of_unread_files():
    """Tell of files that jobs could not read: the frames went on without them."""
    new = {
        path: unread.why
        for path, unread in noted(NOTES).items()
        if unread != TOLD.unread.get(path)
    }
    for noun, (one, several) in NOUNS.items():
        sentences = [
            (Path(path).name, why)
            for path, why in new.items()
            if TOLD.nouns.get(path) == noun
        ]
        for line in complaints(
            sentences, (f"this {one} was", f"{several} were"), "not used"
        ):
            tell(f"{line} The next run tries again.")


def write_report_without_stacks():
    """Write the report of frames that cannot be stacked, as no job can; tell where it is."""
    # Only the end of a run that failed needs all that draws a report.
    from scripts.write_report import files_of, run

    try:
        run(
            {
                frame: {
                    "cleaned": Path(of_frame(CLEANED, frame)),
                    "sources": Path(of_frame(SOURCES, frame)),
                }
                for frame in PLAN.frames
            },
            {
                "ledger": Path(here(LEDGER)),
                "inventory": Path(here(INVENTORY)),
            },
            files_of(files_of_groups()),
            Path(PICTURES),
            Path(here(REPORT_WITHOUT_STACKS)),
            settings=PLAN.rule_settings["write_report"],
            facts=PLAN.facts_of_report,
            needs_stacks=False,
        )
    except (OSError, JobError) as error:
        return f"The report could not be written: {error}"
    return f"Report: {Path(here(REPORT_WITHOUT_STACKS)).resolve()}"


def current_results(groups):
    """Those of the results that are there and of the run's frames, settings and code."""
    made = {here(LEDGER): ("list_frames", ""), here(REPORT): ("write_report", "")}
    stacks = set()
    for group, files in groups.items():
        made[files["alignment"]] = ("align_frames", GROUPS.shared[group])
        made[files["preview"]] = ("draw_preview", group)
        paths = files["stacks"].values()
        if not group:
            made |= dict.fromkeys(paths, ("stack_frames", group))
        elif is_current(filled(THUMBNAILS, group=group), "stack_frames", group):
            stacks |= {path for path in paths if Path(path).exists()}
    return stacks | {path for path, job in made.items() if is_current(path, *job)}


def is_current(path, rule, name):
    """Whether a result is there and of the run's frames, settings and code."""
    return is_of_recipe(workflow, path, PLAN.recipes[rule][name])


def show_tuning():
    """Tell at the end of a run that was asked to tune which settings are suggested."""
    # No other run needs what finds stars, and the compiler with it.
    from scripts.lightstack.report.tuning import tuning

    with contextlib.chdir(FOLDER):
        picture = here(TUNING)
        if is_current(picture, "tune", ""):
            print("", *tuning(here(TUNING_TABLE), picture, PLAN.settings), sep="\n")


def show_outcome():
    """Tell what is there at the end of a run, whatever became of it."""
    if not has_begun(workflow):
        return
    if {job.rule.name for job in workflow.dag.targetjobs} == {"tune"}:
        show_tuning()
        return
    groups = files_of_groups()
    # Snakemake has left the folder of the run by then.
    with contextlib.chdir(FOLDER):
        tell_of_unread_files()
        tell(run_meanwhile(TOLD.nights))
        current = current_results(groups)
        lines = outcome(
            here(LEDGER),
            groups,
            here(REPORT),
            current=current,
            settings=PLAN.settings,
            is_told=has_failed(workflow, "stack_frames", "join_bands"),
        )
        if here(LEDGER) in current and all(
            files["alignment"] in current
            and problem_of(read_json(Path(files["alignment"])), group)
            for group, files in groups.items()
        ):
            lines.append(write_report_without_stacks())
        results = Path(PLAN.settings["results_dir"])
        tell(leftovers(results, groups, GROUPS.aligned))
    if READY and was_stopped(workflow):
        lines.append("The same command goes on where this run has been stopped.")
    print("", *lines, sep="\n")


if workflow.is_main_process:
    tell(in_the_way(jobs_at_work(FOLDER)))
    plan_repairs()
    try_once(is_in_vain)
    # Snakemake's own hooks are silent where there was nothing to be done.
    atexit.register(show_outcome)


onstart:
    prepare()


# Of jobs that were killed and done again; after a failure, jobs elsewhere may be at work still.
onsuccess:
    sweep_leftovers()
