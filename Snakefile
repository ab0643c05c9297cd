"""From raw astronomical frames to stacked images: the map of the workflow."""

from pathlib import Path

from snakemake.utils import min_version

from scripts.lightstack.planning.settings import CONFIGURATION, has_settings

min_version("9.19")

if workflow.is_main_process and has_settings(Path(CONFIGURATION)):

    configfile: CONFIGURATION


include: "rules/plan.smk"


pathvars:
    results=PLAN.settings["results_dir"],


include: "rules/common.smk"
include: "rules/clean.smk"
include: "rules/grade.smk"
include: "rules/stack.smk"
include: "rules/report.smk"
include: "rules/tune.smk"
include: "rules/hooks.smk"


rule all:
    """Stack all frames and tell what became of each."""
    default_target: True
    input:
        stack_files(),
        selection(),
        LEDGER,
        INVENTORY,
        of_all_groups(PREVIEW),
        REPORT,
