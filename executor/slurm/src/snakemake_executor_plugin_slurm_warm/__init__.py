"""Snakemake's Slurm executor, with one Snakemake per submission, in which scripts are forked."""

import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from snakemake_executor_plugin_slurm import Executor as SlurmExecutor
from snakemake_executor_plugin_slurm import ExecutorSettings as SlurmSettings
from snakemake_executor_plugin_slurm import common_settings

from snakemake_executor_plugin_slurm_warm.nodes import cpus_of_largest_node

__all__ = ["Executor", "ExecutorSettings", "common_settings"]

PROFILE = "profiles/default/profile.yaml"
"""Beside the Snakefile: says how scripts are run on one machine, which is what a job does."""


def _preset(name: str, value: object) -> Any:
    """Give a setting of the Slurm executor another default."""
    return field(default=value, metadata=SlurmSettings.__dataclass_fields__[name].metadata)


@dataclass
class ExecutorSettings(SlurmSettings):
    """The settings of the Slurm executor: ``--slurm-warm-…`` on the command line."""

    init_seconds_before_status_checks: int = _preset("init_seconds_before_status_checks", 20)
    status_command: str = _preset("status_command", "squeue")


class Executor(SlurmExecutor):
    """Submits jobs and groups, each as one Snakemake that runs all of it on its node."""

    def __post_init__(self, test_mode: bool = False) -> None:
        """Look at the cluster before anything is submitted."""
        workflow = self.workflow
        # Jobs are known by the folder of their run, wherever Snakemake was called.
        workflow._workdir_init = str(Path.cwd())
        # The other way, names of files would pass through two shells, and are limited in length.
        workflow.executor_settings.pass_command_as_script = True
        partition = workflow.resource_settings._parsed_default_resources.get("slurm_partition")
        given = workflow.resource_settings.cores
        largest = cpus_of_largest_node(partition.raw if partition else None)
        if largest is not None and (given is None or given > largest):
            workflow.global_resources["_cores"] = largest
        super().__post_init__(test_mode)

    def additional_general_args(self) -> str:
        """Arguments of the Snakemake inside a job: it is what runs on one machine."""
        path = Path(self.workflow.main_snakefile).parent / PROFILE
        profile: dict[str, Any] = {}
        if path.is_file():
            profile = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        chosen: dict[str, Any] = {"executor": "warm"}
        chosen |= {key: value for key, value in profile.items() if key.startswith("warm-")}
        chosen["directory"] = Path.cwd()
        return shlex.join(word for item in chosen.items() for word in _argument(*item))

    def get_job_args(self, job: Any) -> str:
        """Arguments that say which files are to be made, from which, and with how many CPUs."""
        members = list(job.jobs) if job.is_group() else [job]
        # Temporary files that are needed elsewhere, such as bands of a stack, are asked for too.
        unneeded = list(self.workflow.dag.get_unneeded_temp_files(job))
        made = [str(file) for member in members for file in member.output if file not in unneeded]
        waited = Path(self.tmpdir, f"{job.jobid}.files")
        needed = [self.tmpdir, *map(str, job.get_wait_for_files())]
        waited.write_text("\n".join(needed) + "\n", encoding="utf-8")
        options = {
            "allowed-rules": list(job.rules),
            "cores": job.threads,
            "attempt": job.attempt,
            "unneeded-temp-files": unneeded,
            "wait-for-files-file": waited,
        }
        words = [*made, *(word for item in options.items() for word in _argument(*item))]
        return shlex.join(words)


def _argument(key: str, value: object) -> list[str]:
    """Words of a command line for an option; none for an option without a value."""
    if value is False or value is None or value == []:
        return []
    values = value if isinstance(value, Iterable) and not isinstance(value, str) else [value]
    return [f"--{key}", *(str(part) for part in values if part is not True)]
