"""Functions that the rules share: they look up what is planned."""

import math

from scripts.lightstack.planning.layout import (
    ALIGNMENT,
    ALIGNMENTS,
    CLEANED,
    CALIBRATED,
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
    filled,
    in_results,
)

LIBRARIES_MB = 200


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


def master_dark(wildcards):
    """The master that is closest to the frame, if it has no dark of its own and one matches."""
    kind = PLAN.kinds.get(wildcards.frame)
    return filled(MASTER, kind=kind) if kind else []


def darks_of_kind(wildcards):
    """The darks that a master is made of."""
    return PLAN.darks[wildcards.kind]


def rows_of_inventory(wildcards, output):
    """What is known of each file; as it takes `output`, Snakemake keeps no record of it."""
    return PLAN.inventory


def frame_names():
    """Names of all frames, in their natural order."""
    return list(PLAN.frames)


def of_all_frames(pattern):
    """One path per frame, in the natural order of the frames."""
    return [filled(pattern, frame=frame) for frame in PLAN.frames]


def stack_files():
    """One stack per mode."""
    return [filled(STACK, mode=mode) for mode in PLAN.settings["modes"]]


def here(pattern):
    """Path of a result of this run."""
    return in_results(pattern, PLAN.settings["results_dir"])


def memory(frames, other=0):
    """Memory of a job that holds so many frames at a time [MB]; more at each attempt.

    The rules' numbers are peaks measured with frames of 12 megapixels, and some room.
    """
    need = LIBRARIES_MB + other + frames * max(PLAN.frame_mb, default=0)
    return lambda wildcards, attempt: attempt * round(need)


def minutes(frames):
    """Time of a job that goes through so many frames, on a slow disk; more at each attempt."""
    need = 2 + frames * max(PLAN.frame_mb, default=0) / 1000
    return lambda wildcards, attempt: attempt * math.ceil(need)
