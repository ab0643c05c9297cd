"""Functions that the rules share."""

import sys
import time
from pathlib import Path

from snakemake.exceptions import WorkflowError

from scripts.lightstack.files.ledger import summary
from scripts.lightstack.files.records import read_json
from scripts.lightstack.files.unread import NOTES, as_tried, noted
from scripts.lightstack.planning.dark_choice import choose_darks
from scripts.lightstack.planning.fingerprints import fingerprints
from scripts.lightstack.planning.frames import find_frames
from scripts.lightstack.planning.recipes import FRAME_CHAIN, Recipes
from scripts.lightstack.planning.recovery import (
    discard_damage,
    is_locked,
    lack_of_space,
    loss_of_records,
    mark_unrecorded,
)
from scripts.lightstack.planning.settings import (
    SettingsError,
    check_folders,
    complete_settings,
)
from scripts.lightstack.stacking.rejection import blindness

DARK_SUBTRACTED = "work/dark_subtracted/{frame}.fits"
CLEANED = "work/cleaned/{frame}.fits"
SOURCES = "work/sources/{frame}.fits"
QUALITY = "work/quality/{frame}.json"
MASTER = "work/darks/{kind}.fits"


def say(line):
    """Tell a person who waits how far the plan has come."""
    if workflow.is_main_process and not workflow.output_settings.quiet:
        end = "\r" if sys.stderr.isatty() else "\n"
        print(line, end=end, file=sys.stderr, flush=True)


try:
    SETTINGS = complete_settings(config)
    FRAMES = find_frames(SETTINGS["input_dir"])
    DARKS = find_frames(SETTINGS["darkfield_dir"])
    check_folders(SETTINGS, FRAMES)
    RAW = fingerprints(
        [*FRAMES.paths.values(), *DARKS.paths.values()],
        Path("work/fingerprints.json"),
        threads=workflow.resource_settings.cores or 1,
        say=say,
    )
    CONTENTS = RAW.digests
    FRAMES, DARKS = FRAMES.without(RAW.unreadable), DARKS.without(RAW.unreadable)
    CHOICE = choose_darks(
        FRAMES,
        DARKS,
        CONTENTS,
        SETTINGS["dark_temperature_tolerance"],
        Path("work/exposures.json"),
    )
except KeyboardInterrupt:
    raise WorkflowError("Interrupted. What was read of new files is kept.") from None
except (SettingsError, ValueError) as error:
    raise WorkflowError(str(error)) from None
except OSError as error:
    raise WorkflowError(f"{error.filename}: {error.strerror}.") from None

RESULTS = Path(SETTINGS["results_dir"])
OUTPUT = Path(SETTINGS["output_dir"])
STARTED = time.time()
if loss := loss_of_records(RESULTS):
    raise WorkflowError(loss)
UNREAD = noted(NOTES)
RECIPES = Recipes(SETTINGS, FRAMES, as_tried(CONTENTS, UNREAD), CHOICE)


def recipe(job):
    """What a job's result is made of; when that changes, the job is done again."""
    if job in FRAME_CHAIN:
        return lambda wildcards: RECIPES.of(job, wildcards.frame)
    if job == "combine_darks":
        return lambda wildcards: RECIPES.of(job, wildcards.kind)
    return RECIPES.of(job)


def raw_frame(wildcards):
    """Path of the raw frame."""
    return FRAMES.paths[wildcards.frame]


def content_of_raw_frame(wildcards):
    """SHA-256 of the raw frame."""
    return CONTENTS[FRAMES.paths[wildcards.frame]]


def own_dark(wildcards):
    """The dark that has the frame's name, if there is one that fits."""
    return CHOICE.own.get(wildcards.frame, [])


def master_dark(wildcards):
    """The master that is closest to the frame, if it has no dark of its own and one matches."""
    kind = CHOICE.kind.get(wildcards.frame)
    return MASTER.replace("{kind}", kind) if kind else []


def darks_of_kind(wildcards):
    """The darks that a master is made of."""
    return CHOICE.darks[wildcards.kind]


def of_all_frames(pattern):
    """One path per frame, in the natural order of the frames."""
    return [pattern.replace("{frame}", frame) for frame in FRAMES.paths]


def stack_files():
    """One stack per mode."""
    return [
        f"{SETTINGS['results_dir']}/stack_{mode}.fits" for mode in SETTINGS["modes"]
    ]


def made_files():
    """All files that jobs make, except for those in the output folder."""
    patterns = (DARK_SUBTRACTED, CLEANED, SOURCES, QUALITY)
    names = ("selection.csv", "alignment.json", "frames.csv", "preview.png")
    return [
        *(MASTER.replace("{kind}", kind) for kind in CHOICE.darks),
        *(path for pattern in patterns for path in of_all_frames(pattern)),
        *(f"{SETTINGS['results_dir']}/{name}" for name in names),
        *stack_files(),
    ]


if not is_locked():
    discard_damage(Path("work"), RESULTS, OUTPUT)
    mark_unrecorded(made_files())


def tell_of_unread_darks():
    """Tell of darks that jobs could not read: the frames went on without them."""
    for path, unread in noted(NOTES).items():
        if path in DARKS.paths.values() and unread != UNREAD.get(path):
            print(
                f"Warning: this dark was not used: {unread.why} The next run tries again."
            )


def show_summary(since=0):
    """Say what became of the frames, by a ledger that is no older than this time."""
    tell_of_unread_darks()
    ledger, alignment = RESULTS / "frames.csv", RESULTS / "alignment.json"
    if not (
        ledger.is_file() and alignment.is_file() and ledger.stat().st_mtime >= since
    ):
        return
    print("", *summary(ledger), sep="\n")
    found = read_json(alignment)
    if "problem" in found:
        print(found["problem"])
        return
    blind = blindness(len(found["frames"]), SETTINGS["sigma_clip"])
    if blind and "sigma_clip" in SETTINGS["modes"]:
        print(blind)
    if not since:
        print(f"Preview: {(RESULTS / 'preview.png').resolve()}")


def warn():
    """Tell of darks that cannot be used and of a disk that seems too small."""
    for sentence in FRAMES.refused.values():
        print(f"Warning: this frame is left out: {sentence}")
    for sentence in CHOICE.unused:
        print(f"Warning: this dark is not used: {sentence}")
    raw = map(Path, FRAMES.paths.values())
    sentence = lack_of_space(
        raw, [Path("work"), OUTPUT, RESULTS], len(SETTINGS["modes"])
    )
    if sentence:
        print(f"Warning: {sentence}")
