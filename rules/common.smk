"""Functions that the rules share: they look up what is planned."""

import math
import os

from scripts.lightstack.planning.groups import Groups
from scripts.lightstack.planning.inside_snakemake import submit_together
from scripts.lightstack.planning.layout import (
    ALIGNMENT,
    ALIGNMENTS,
    BAND,
    CLEANED,
    CALIBRATED,
    COLOURS,
    INVENTORY,
    LEDGER,
    MASTERS,
    PICTURES,
    PREVIEW,
    QUALITY,
    REPORT,
    REPORT_WITHOUT_STACKS,
    SEEING,
    SELECTION,
    SKIES,
    SOURCES,
    STACK,
    THUMBNAILS,
    TUNING,
    TUNING_TABLE,
    bands,
    filled,
    in_results,
    without_group,
)
from scripts.lightstack.planning.stack_memory import stack_memory
from scripts.lightstack.stacking.modes import needs_measuring

GROUPS = Groups(**PLAN.groups)

HAS_COLOURS = PLAN.settings["color"] != "gray"

# What is stacked of each frame.
STACKED = COLOURS if HAS_COLOURS else CLEANED

LIBRARIES_MB = 200

# What a job with all frames keeps of each beside its pixels: 0.17 MB of headers and levels in a
# stack of 1,400 frames in colour, less elsewhere.
KEPT_MB = 0.2

# In a job of a cluster, Snakemake itself and the process from which scripts are forked.
SUBMISSION_MB = 400 if workflow.resource_settings.nodes is not None else 0

# On a cluster: enough submissions of frames to use many nodes, each of some length, for it costs
# seconds to start one.
FEW_FRAMES, PARTS, LONGEST_MINUTES = 25, 8, 20


def recipe(rule):
    """What a job's result is made of; when that changes, the job is done again."""
    recipes = PLAN.recipes[rule]
    if "" in recipes:
        return recipes[""]
    return lambda wildcards: recipes[wildcards[0]]


def settings_of(rule):
    """The settings on which a rule's result depends."""
    return PLAN.rule_settings[rule]


def raw_frame(wildcards):
    """Path of the raw frame."""
    return PLAN.frames[wildcards.frame]


def content_of_raw_frame(wildcards):
    """SHA-256 of the raw frame."""
    return PLAN.contents[wildcards.frame]


def facts_of_raw_frame(wildcards):
    """What else is known of the raw frame and its dark and decides on the result."""
    return PLAN.facts[wildcards.frame]


def own_dark(wildcards):
    """The dark that has the frame's name, if there is one that fits."""
    return PLAN.own_darks.get(wildcards.frame, [])


def master_of(noun):
    """The master of a noun that is closest to the frame, if the frame needs one."""

    def master(wildcards):
        kind = PLAN.kinds[noun].get(wildcards.frame)
        return filled(MASTERS[noun], kind=kind) if kind else []

    return master


def raw_files(noun):
    """The raw files that a master is made of."""
    return lambda wildcards: PLAN.raw_files[noun][wildcards.kind]


def threads_of_masters():
    """Threads of a job that makes a master: several of them run side by side."""
    n_masters = sum(map(len, PLAN.raw_files.values()))
    return max(1, min(workflow.resource_settings.cores or 8, 8) // max(1, n_masters))


def dark_of_map(wildcards):
    """The master dark of which a map of bad pixels is made, if it is made of one."""
    return PLAN.darks_of_maps.get(wildcards.kind, [])


def pedestal_of_flats(wildcards):
    """The master of what is taken off the flats of a kind, if there is one."""
    return PLAN.pedestals.get(wildcards.kind, [])


def facts_of_flats(wildcards):
    """What else is known of a kind of flats and decides on their master."""
    return PLAN.facts_of_flats[wildcards.kind]


def rows_of_inventory(wildcards, output):
    """What is known of each file; as it takes `output`, Snakemake keeps no record of it."""
    return PLAN.inventory


def frame_names():
    """Names of all frames, in their natural order."""
    return list(PLAN.frames)


def own_frames():
    """Names of the frames on which this run works itself."""
    return [frame for frame in PLAN.frames if frame not in PLAN.joined]


def of_frame(pattern, frame):
    """Path of what a rule makes of a frame, in this run or in that of its night."""
    folder, name = PLAN.joined.get(frame, ("", frame))
    return os.path.join(folder, filled(pattern, frame=name))


def of_frames(pattern, frames):
    """One path per frame."""
    return [of_frame(pattern, frame) for frame in frames]


def selection():
    """What tells that the accepted frames are in the output folder, where they belong there."""
    return SELECTION if own_frames() else []


def frames_to_tune_by():
    """Up to three frames from all parts of the night."""
    names = frame_names()
    places = [len(names) * part // 6 for part in (1, 3, 5)]
    return list(dict.fromkeys(names[place] for place in places if place < len(names)))


def of_all_frames(pattern):
    """One path per frame, in the natural order of the frames, for the jobs that ask for them."""
    return lambda wildcards: of_frames(pattern, PLAN.frames)


def of_group(pattern):
    """What a rule makes of each group, or of all frames if they are not grouped."""
    return pattern if GROUPS.keys else without_group(pattern)


def of_reference(pattern):
    """What a rule makes for each reference, or for all frames if they share one."""
    return pattern if any(GROUPS.aligned) else without_group(pattern)


def group_of(wildcards):
    """Name of a job's group; empty if frames are not grouped."""
    return wildcards.get("group", "")


def reference_of(wildcards):
    """Name of the groups with which a job's group shares its reference."""
    return GROUPS.shared[group_of(wildcards)]


def of_all_groups(pattern):
    """One path per group that is stacked."""
    return [filled(pattern, group=group) for group in GROUPS.stacked]


def of_all_references(pattern):
    """One path per reference."""
    return [filled(pattern, group=common) for common in GROUPS.aligned]


def groups_of_frames_sharing(wildcards):
    """Group of each frame that a job aligns."""
    return GROUPS.sharing[group_of(wildcards)]


def of_frames_sharing(pattern):
    """One path per frame that a job aligns."""
    return lambda wildcards: of_frames(pattern, groups_of_frames_sharing(wildcards))


def alignments_kept(wildcards):
    """Where alignments are kept for the next run."""
    return filled(ALIGNMENTS, group=group_of(wildcards))


def alignment_of_group(wildcards):
    """How the frames of a job's group lie on their reference."""
    return filled(ALIGNMENT, group=reference_of(wildcards))


def frames_on_grid(wildcards):
    """Frames of a job's group, and those that share its reference: one of them is it."""
    return list(GROUPS.sharing[reference_of(wildcards)])


def of_frames_on_grid(pattern):
    """One path per frame that shares the reference of a job's group."""
    return lambda wildcards: of_frames(pattern, frames_on_grid(wildcards))


def members_of_group(wildcards):
    """Frames of a job's group."""
    return GROUPS.members[group_of(wildcards)]


def frames_offered(wildcards):
    """How many frames of a job's group are in the ledger."""
    return PLAN.offered[group_of(wildcards)]


def stacks_of_group(wildcards):
    """Path of the stack of each mode of a job's group."""
    return stacks_of(group_of(wildcards))


def labels_of_group(result):
    """What a result is called in Snakemake's own report."""
    return {"result": result} | ({"group": "{group}"} if GROUPS.keys else {})


def stacks_of(group):
    """Path of the stack of each mode."""
    return {
        mode: filled(here(STACK), mode=mode, group=group)
        for mode in PLAN.settings["modes"]
    }


def stack_files():
    """The stacks that jobs are bound to make: a group may have too few good frames for any."""
    return [] if GROUPS.keys else [*stacks_of("").values()]


def files_of_groups():
    """Where the products of each group lie."""
    return {
        group: {
            "alignment": filled(here(ALIGNMENT), group=GROUPS.shared[group]),
            "preview": filled(here(PREVIEW), group=group),
            "stacks": stacks_of(group),
        }
        for group in GROUPS.stacked
    }


def bands_of_group(wildcards):
    """The bands of a group's stack that several jobs make."""
    names = bands(PLAN.settings["stack_bands"])
    return [filled(BAND, group=group_of(wildcards), band=band) for band in names]


def skies_if_matched():
    """What is left of the frames' skies, which all bands of a stack have to know."""
    return of_group(SKIES) if PLAN.settings["background"] == "match" else []


def seeing_if_needed():
    """What else all bands of a stack have to know, if something is to be measured."""
    modes, uncertainty = PLAN.settings["modes"], PLAN.settings["uncertainty"]
    return of_group(SEEING) if needs_measuring(modes, uncertainty=uncertainty) else []


def number_of_band(wildcards):
    """Which band of a stack, and of how many."""
    return [int(number) for number in wildcards.band.split("_of_")]


def here(pattern):
    """Path of a result of this run."""
    return in_results(pattern, PLAN.settings["results_dir"])


def memory(frames, other=0, *, goes_through_all=False):
    """Memory of a job that holds so many frames at a time [MB]; more at each attempt.

    The rules' numbers are peaks measured with frames of 12 megapixels, and some room.
    """
    need = LIBRARIES_MB + SUBMISSION_MB + other
    need += frames * max(PLAN.frame_mb, default=0)
    need += goes_through_all * KEPT_MB * len(PLAN.frames)
    return lambda wildcards, attempt: attempt * round(need)


def stack_memory_mb():
    """Memory of a stack for its pixels [MB]: what is set, or what its frames need."""
    color, uncertainty = PLAN.settings["color"], PLAN.settings["uncertainty"]
    return PLAN.settings["stack_memory_mb"] or stack_memory(
        PLAN.frame_mb, color, uncertainty=uncertainty
    )


def minutes(frames):
    """Time of a job that goes through so many frames, on a slow disk; more at each attempt."""
    need = 2 + frames * max(PLAN.frame_mb, default=0) / 1000
    return lambda wildcards, attempt: attempt * math.ceil(need)


def minutes_of_frames(number):
    """Time of all steps of so many frames, one after another, on a slow disk."""
    return number * (0.02 + 8 * max(PLAN.frame_mb, default=0) / 1000)


def parts_of_frames(number):
    """Number of submissions to a cluster for so many frames."""
    spread = min(PARTS, math.ceil(number / FEW_FRAMES))
    return max(spread, math.ceil(minutes_of_frames(number) / LONGEST_MINUTES))


submit_together("frames", parts_of_frames, minutes_of_frames)
