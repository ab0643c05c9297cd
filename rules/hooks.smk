"""What the main process does before and after its jobs; no other process does any of it."""

import atexit
import contextlib
from pathlib import Path

from scripts.lightstack.files.records import read_json
from scripts.lightstack.files.unread import NOTES, noted
from scripts.lightstack.job import JobError
from scripts.lightstack.planning.inside_snakemake import (
    has_begun,
    is_of_recipe,
    make_again,
)
from scripts.lightstack.planning.recovery import (
    files_to_make_again,
    is_locked,
    lack_of_space,
    loss_of_records,
    sweep,
    unwritable,
)
from scripts.lightstack.report.outcome import outcome

FOLDER = Path.cwd()


def plan_repairs():
    """Let files be made again that are damaged, or of which nothing is known; tell which."""
    made = layout.made_files(
        PLAN.frames, PLAN.darks, PLAN.settings["modes"], PLAN.settings["results_dir"]
    )
    output = Path(PLAN.settings["output_dir"])
    try:
        if loss := loss_of_records(
            map(here, [LEDGER, SELECTION, ALIGNMENT, *stack_files()])
        ):
            raise WorkflowError(loss)
        # Files that another run has just made may lack their records still.
        again = (
            [] if is_locked() else files_to_make_again(made, here(SELECTION), output)
        )
    except OSError as error:
        raise WorkflowError(f"{error.filename}: {error.strerror}.") from None
    make_again(again)
    if again:
        more = f" and {len(again) - 3} more" if len(again) > 3 else ""
        tell(
            f"{', '.join(again[:3])}{more}: damaged, or of an unknown state; to be made again."
        )


def prepare():
    """Make room for the run, write its plan, and tell what it may lack, before its first job."""
    results = Path(PLAN.settings["results_dir"])
    own = [Path(layout.WORK), Path(PLAN.settings["output_dir"])]
    if sentence := unwritable([*own, results, Path("logs")]):
        raise WorkflowError(sentence)
    sweep(own, results)
    PLAN.write(Path(layout.PLAN))
    Path(here(REPORT_WITHOUT_STACKS)).unlink(missing_ok=True)
    for sentence in TOLD.warnings:
        tell(sentence)
    tell(lack_of_space(PLAN.frame_mb, [*own, results], len(PLAN.settings["modes"])))


def tell_of_unread_darks():
    """Tell of darks that jobs could not read: the frames went on without them."""
    for path, unread in noted(NOTES).items():
        if path in TOLD.darks and unread != TOLD.unread.get(path):
            tell(f"this dark was not used: {unread.why} The next run tries again.")


def write_report_without_stacks():
    """Write the report of frames that cannot be stacked, as no job can; tell where it is."""
    # Only the end of a run that failed needs all that draws a report.
    from scripts.write_report import run

    try:
        run(
            {
                frame: {
                    "cleaned": Path(filled(CLEANED, frame=frame)),
                    "sources": Path(filled(SOURCES, frame=frame)),
                }
                for frame in PLAN.frames
            },
            {
                "ledger": Path(here(LEDGER)),
                "inventory": Path(here(INVENTORY)),
                "alignment": Path(here(ALIGNMENT)),
            },
            {},
            Path(PICTURES),
            Path(here(REPORT_WITHOUT_STACKS)),
            settings=PLAN.rule_settings["write_report"],
            facts=PLAN.facts_of_report,
        )
    except (OSError, JobError) as error:
        return f"The report could not be written: {error}"
    return f"Report: {Path(here(REPORT_WITHOUT_STACKS)).resolve()}"


def show_outcome():
    """Tell what is there at the end of a run, whatever became of it."""
    if not has_begun(workflow):
        return
    rules = {
        LEDGER: "list_frames",
        ALIGNMENT: "align_frames",
        PREVIEW: "draw_preview",
        REPORT: "write_report",
        **dict.fromkeys(stack_files(), "stack_frames"),
    }
    # Snakemake has left the folder of the run by then.
    with contextlib.chdir(FOLDER):
        tell_of_unread_darks()
        current = {
            here(pattern)
            for pattern, rule in rules.items()
            if is_of_recipe(workflow, here(pattern), PLAN.recipes[rule][""])
        }
        lines = outcome(
            here(LEDGER),
            here(ALIGNMENT),
            list(map(here, stack_files())),
            here(PREVIEW),
            here(REPORT),
            current=current,
            settings=PLAN.settings,
        )
        if {here(LEDGER), here(ALIGNMENT)} <= current and (
            "problem" in read_json(Path(here(ALIGNMENT)))
        ):
            lines.append(write_report_without_stacks())
    print("", *lines, sep="\n")


if workflow.is_main_process:
    plan_repairs()
    # Snakemake's own hooks are silent where there was nothing to be done.
    atexit.register(show_outcome)


onstart:
    prepare()
