"""The plan of the run: made by the main process, read by the Snakemakes of jobs."""

import os
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

from scripts.lightstack.planning import layout
from scripts.lightstack.planning.inside_snakemake import (
    end_quietly_at_ctrl_c,
    expect_jobs,
    let_recipes_decide,
    make_interpreter_callable,
)
from scripts.lightstack.planning.plan import NoPlanError, Plan

RUN = "LIGHTSTACK_RUN"

end_quietly_at_ctrl_c()
let_recipes_decide()
make_interpreter_callable()


def tell(sentence):
    """Warn the person at the keyboard."""
    if sentence:
        print(f"Warning: {sentence}", file=sys.stderr)


# It tells a terminal to empty the line on which the cursor is.
EMPTY_LINE = "\r\x1b[K"


def say(line):
    """Tell a person who waits how far the plan has come, on one line of a terminal."""
    if not workflow.output_settings.quiet:
        start, end = (EMPTY_LINE, "") if sys.stderr.isatty() else ("", "\n")
        print(start + line, end=end, file=sys.stderr, flush=True)


def planned():
    """Make the plan, and tell what there is."""
    # Only the main process needs all that makes a plan.
    from scripts.lightstack.planning.making import make_plan
    from scripts.lightstack.planning.settings import SettingsError, unread_settings

    try:
        tell(unread_settings(workflow.configfiles))
        plan, told = make_plan(
            config, threads=workflow.resource_settings.cores or 1, say=say
        )
    except KeyboardInterrupt:
        raise WorkflowError(
            "Interrupted. What was read of new files is kept."
        ) from None
    except (SettingsError, ValueError) as error:
        raise WorkflowError(str(error)) from None
    except OSError as error:
        raise WorkflowError(f"{error.filename}: {error.strerror}.") from None
    finally:
        if sys.stderr.isatty():
            print(EMPTY_LINE, end="", file=sys.stderr)
    print(*told.overview, sep="\n", file=sys.stderr)
    for sentence in told.warnings:
        tell(sentence)
    return plan, told


def read_plan():
    """Read what the main process has planned."""
    try:
        return Plan.read(Path(layout.PLAN), os.environ.get(RUN))
    except NoPlanError as error:
        raise WorkflowError(str(error)) from None


PLAN, TOLD = planned() if workflow.is_main_process else (read_plan(), None)

if workflow.is_main_process and PLAN.has_news(Path(layout.PLAN)):
    expect_jobs()
