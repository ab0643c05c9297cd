"""Functions that the rules share."""

import atexit
import contextlib
import math
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

from scripts.lightstack.files.records import read_json
from scripts.lightstack.files.unread import NOTES, as_tried, noted
from scripts.lightstack.job import JobError
from scripts.lightstack.planning.dark_choice import choose_darks
from scripts.lightstack.planning.fingerprints import fingerprints
from scripts.lightstack.planning.frames import find_frames
from scripts.lightstack.planning.inside_snakemake import (
    has_begun,
    is_of_recipe,
    let_recipes_decide,
    make_again,
    make_interpreter_callable,
)
from scripts.lightstack.planning.inventory import Looks, inventory, overview
from scripts.lightstack.planning.layout import (
    ALIGNMENT,
    ALIGNMENTS,
    CLEANED,
    CALIBRATED,
    EXPOSURES,
    FINGERPRINTS,
    INVENTORY,
    LEDGER,
    MASTER,
    PICTURES,
    PREVIEW,
    QUALITY,
    REPORT,
    REPORT_WITHOUT_STACKS,
    SELECTION,
    SOURCES,
    STACK,
    THUMBNAILS,
    WORK,
    filled,
    in_results,
    made_files,
)
from scripts.lightstack.planning.recipes import RULES, Recipes
from scripts.lightstack.planning.recovery import (
    files_to_make_again,
    frame_mb,
    is_locked,
    lack_of_space,
    loss_of_records,
    sweep,
    unwritable,
)
from scripts.lightstack.planning.settings import (
    SettingsError,
    check_folders,
    check_lights,
    check_reference,
    complete_settings,
    unread_settings,
)
from scripts.lightstack.planning.uses import frames_to_turn, sort_files
from scripts.lightstack.report.outcome import outcome

let_recipes_decide()
make_interpreter_callable()


def tell(sentence):
    """Warn the person at the keyboard, once: not in the processes of jobs."""
    if sentence and workflow.is_main_process:
        print(f"Warning: {sentence}", file=sys.stderr)


def say(line):
    """Tell a person who waits how far the plan has come."""
    if workflow.is_main_process and not workflow.output_settings.quiet:
        end = "\r" if sys.stderr.isatty() else "\n"
        print(line, end=end, file=sys.stderr, flush=True)


try:
    tell(unread_settings(workflow.configfiles))
    SETTINGS = complete_settings(config)
    FOUND = {key: find_frames(SETTINGS[key]) for key in ("input_dir", "darkfield_dir")}
    check_folders(SETTINGS, FOUND["input_dir"])
    RAW = fingerprints(
        [path for files in FOUND.values() for path in files.paths.values()],
        Path(FINGERPRINTS),
        threads=workflow.resource_settings.cores or 1,
        say=say,
    )
    CONTENTS = RAW.digests
    LOOKS = Looks(CONTENTS, Path(EXPOSURES))
    KNOWN = {path: LOOKS.exposure(path) for path in CONTENTS}
    USES = sort_files(
        *((SETTINGS[key], FOUND[key].without(RAW.unreadable)) for key in FOUND),
        KNOWN,
        CONTENTS,
    )
    FRAMES, DARKS = USES.frames, USES.darks
    check_lights(SETTINGS, USES)
    check_reference(SETTINGS["reference"], FRAMES)
    CHOICE = choose_darks(
        FRAMES,
        DARKS,
        KNOWN,
        CONTENTS,
        SETTINGS["dark_temperature_tolerance"],
        LOOKS.damage,
    )
    LOOKS.keep()
    ROWS = inventory(USES, KNOWN, CONTENTS, CHOICE)
    FRAME_MB = [frame_mb(Path(path)) for path in FRAMES.paths.values()]
except KeyboardInterrupt:
    raise WorkflowError("Interrupted. What was read of new files is kept.") from None
except (SettingsError, ValueError) as error:
    raise WorkflowError(str(error)) from None
except OSError as error:
    raise WorkflowError(f"{error.filename}: {error.strerror}.") from None

UNREAD = noted(NOTES)
RECIPES = Recipes(
    SETTINGS,
    USES,
    as_tried(CONTENTS, UNREAD),
    CHOICE,
    frames_to_turn(FRAMES, KNOWN),
    ROWS,
)
LIBRARIES_MB = 200
FOLDER = Path.cwd()


def recipe(job):
    """What a job's result is made of; when that changes, the job is done again."""
    per = RULES[job].per
    if per == "run":
        return RECIPES.of(job)
    return lambda wildcards: RECIPES.of(job, wildcards[per])


def raw_frame(wildcards):
    """Path of the raw frame."""
    return FRAMES.paths[wildcards.frame]


def content_of_raw_frame(wildcards):
    """SHA-256 of the raw frame."""
    return CONTENTS[FRAMES.paths[wildcards.frame]]


def facts_of_raw_frame(wildcards):
    """What else is known of the raw frame and its dark and decides on the result."""
    return RECIPES.facts_of(wildcards.frame)


def own_dark(wildcards):
    """The dark that has the frame's name, if there is one that fits."""
    return CHOICE.own.get(wildcards.frame, [])


def master_dark(wildcards):
    """The master that is closest to the frame, if it has no dark of its own and one matches."""
    kind = CHOICE.kind.get(wildcards.frame)
    return filled(MASTER, kind=kind) if kind else []


def darks_of_kind(wildcards):
    """The darks that a master is made of."""
    return CHOICE.darks[wildcards.kind]


def rows_of_inventory(wildcards, output):
    """What is known of each file; as it takes `output`, Snakemake keeps no record of it."""
    return ROWS


def of_all_frames(pattern):
    """One path per frame, in the natural order of the frames."""
    return [filled(pattern, frame=frame) for frame in FRAMES.paths]


def stack_files():
    """One stack per mode."""
    return [filled(STACK, mode=mode) for mode in SETTINGS["modes"]]


def here(pattern):
    """Path of a result of this run."""
    return in_results(pattern, SETTINGS["results_dir"])


def memory(frames, other=0):
    """Memory of a job that holds so many frames at a time [MB]; more at each attempt.

    The rules' numbers are peaks measured with frames of 12 megapixels, and some room.
    """
    need = LIBRARIES_MB + other + frames * max(FRAME_MB, default=0)
    return lambda wildcards, attempt: attempt * round(need)


def minutes(frames):
    """Time of a job that goes through so many frames, on a slow disk; more at each attempt."""
    need = 2 + frames * max(FRAME_MB, default=0) / 1000
    return lambda wildcards, attempt: attempt * math.ceil(need)


def plan_repairs():
    """Let files be made again that are damaged, or of which nothing is known; tell which."""
    made = made_files(
        FRAMES.paths, CHOICE.darks, SETTINGS["modes"], SETTINGS["results_dir"]
    )
    output = Path(SETTINGS["output_dir"])
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
    """Make room for the run, and tell what it may lack, before its first job."""
    results = Path(SETTINGS["results_dir"])
    own = [Path(WORK), Path(SETTINGS["output_dir"])]
    if sentence := unwritable([*own, results, Path("logs")]):
        raise WorkflowError(sentence)
    sweep(own, results)
    Path(here(REPORT_WITHOUT_STACKS)).unlink(missing_ok=True)
    for sentence in FRAMES.refused.values():
        tell(f"this frame is left out: {sentence}")
    for sentence in CHOICE.unused:
        tell(f"this dark is not used: {sentence}")
    tell(lack_of_space(FRAME_MB, [*own, results], len(SETTINGS["modes"])))


def tell_of_unread_darks():
    """Tell of darks that jobs could not read: the frames went on without them."""
    for path, unread in noted(NOTES).items():
        if path in DARKS.paths.values() and unread != UNREAD.get(path):
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
                for frame in FRAMES.paths
            },
            {
                "ledger": Path(here(LEDGER)),
                "inventory": Path(here(INVENTORY)),
                "alignment": Path(here(ALIGNMENT)),
            },
            {},
            Path(PICTURES),
            Path(here(REPORT_WITHOUT_STACKS)),
            settings=RECIPES.settings_of("write_report"),
            facts=RECIPES.facts_of_report,
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
            if is_of_recipe(workflow, here(pattern), RECIPES.of(rule))
        }
        lines = outcome(
            here(LEDGER),
            here(ALIGNMENT),
            list(map(here, stack_files())),
            here(PREVIEW),
            here(REPORT),
            current=current,
            settings=SETTINGS,
        )
        if {here(LEDGER), here(ALIGNMENT)} <= current and (
            "problem" in read_json(Path(here(ALIGNMENT)))
        ):
            lines.append(write_report_without_stacks())
    print("", *lines, sep="\n")


if workflow.is_main_process:
    print(*overview(USES, KNOWN, CHOICE), sep="\n", file=sys.stderr)
    plan_repairs()
    # Snakemake's own hooks are silent where there was nothing to be done.
    atexit.register(show_outcome)
