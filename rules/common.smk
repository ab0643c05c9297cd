"""Functions that the rules share."""

import time
from pathlib import Path

from snakemake.exceptions import WorkflowError

from scripts.lightstack.fingerprints import fingerprints
from scripts.lightstack.frames import find_frames
from scripts.lightstack.ledger import summary
from scripts.lightstack.own_darks import frames_for_masters, shared_darks
from scripts.lightstack.recipes import FRAME_CHAIN, Recipes
from scripts.lightstack.records import read_json
from scripts.lightstack.recovery import (
    discard_damage,
    is_locked,
    lack_of_space,
    loss_of_records,
    mark_unrecorded,
)
from scripts.lightstack.rejection import blindness
from scripts.lightstack.settings import SettingsError, check_folders, complete_settings

DARK_SUBTRACTED = "work/dark_subtracted/{frame}.fits"
CLEANED = "work/cleaned/{frame}.fits"
SOURCES = "work/sources/{frame}.fits"
QUALITY = "work/quality/{frame}.json"
MASTERS = "work/darks/masters.fits"

try:
    SETTINGS = complete_settings(config)
    FRAMES = find_frames(SETTINGS["input_dir"])
    DARKS = find_frames(SETTINGS["darkfield_dir"])
    check_folders(SETTINGS, FRAMES)
    CONTENTS = fingerprints(
        [*FRAMES.paths.values(), *DARKS.paths.values()], Path("work/fingerprints.json")
    )
    FOR_MASTERS = frames_for_masters(
        FRAMES, DARKS, CONTENTS, Path("work/own_darks.json")
    )
except (SettingsError, ValueError) as error:
    raise WorkflowError(str(error)) from None
except OSError as error:
    raise WorkflowError(f"{error.filename}: {error.strerror}.") from None

RESULTS = Path(SETTINGS["results_dir"])
OUTPUT = Path(SETTINGS["output_dir"])
STARTED = time.time()
if loss := loss_of_records(RESULTS):
    raise WorkflowError(loss)
RECIPES = Recipes(SETTINGS, FRAMES, DARKS, CONTENTS, FOR_MASTERS)


def recipe(job):
    """What a job's result is made of; when that changes, the job is done again."""
    if job in FRAME_CHAIN:
        return lambda wildcards: RECIPES.of(job, wildcards.frame)
    return RECIPES.of(job)


def raw_frame(wildcards):
    """Path of the raw frame."""
    return FRAMES.paths[wildcards.frame]


def content_of_raw_frame(wildcards):
    """SHA-256 of the raw frame."""
    return CONTENTS[FRAMES.paths[wildcards.frame]]


def same_name_dark(wildcards):
    """The dark that has the frame's name, if there is one."""
    return DARKS.paths.get(wildcards.frame, [])


def masters_for_frame(wildcards):
    """The master darks, for a frame without a fitting dark of its own."""
    return MASTERS if wildcards.frame in FOR_MASTERS else []


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
        MASTERS,
        *(path for pattern in patterns for path in of_all_frames(pattern)),
        *(f"{SETTINGS['results_dir']}/{name}" for name in names),
        *stack_files(),
    ]


if not is_locked():
    discard_damage(Path("work"), RESULTS, OUTPUT)
    mark_unrecorded(made_files())


def show_summary(since=0):
    """Say what became of the frames, by a ledger that is no older than this time."""
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
    for sentence in DARKS.refused.values():
        print(f"Warning: this dark is not used: {sentence}")
    raw = map(Path, FRAMES.paths.values())
    sentence = lack_of_space(
        raw, [Path("work"), OUTPUT, RESULTS], len(SETTINGS["modes"])
    )
    if sentence:
        print(f"Warning: {sentence}")
