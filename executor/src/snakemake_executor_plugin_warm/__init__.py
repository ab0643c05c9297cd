"""Snakemake's local executor, with Python scripts forked from a process that is warm already."""

import atexit
import os
import shutil
import sys
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from snakemake_interface_executor_plugins.settings import ExecutorSettingsBase

from snakemake_executor_plugin_warm import internals
from snakemake_executor_plugin_warm.internals import (
    LocalExecutor,
    common_settings,
)
from snakemake_executor_plugin_warm.nursery import ONE_THREAD, Nursery

__all__ = ["Executor", "ExecutorSettings", "common_settings", "expect_jobs"]

PREAMBLE_MODULES = ("snakemake.iocontainers", "snakemake.io", "snakemake.logging")
"""What the lines that Snakemake puts above each script import, and the object that they make."""


@dataclass
class ExecutorSettings(ExecutorSettingsBase):
    """Settings of the executor: ``--warm-…`` on the command line, ``warm-…`` in a profile."""

    preload: list[str] = field(
        default_factory=list,
        metadata={
            "help": "Modules that the process from which scripts are forked imports once, so "
            "that no script has to. They are libraries; modules of the workflow itself are not "
            "found there, and should not be.",
            "nargs": "+",
            "metavar": "MODULE",
        },
    )
    share: bool = field(
        default=False,
        metadata={
            "help": "Fork scripts of any number of threads from one process, whose libraries have "
            "been told of one thread when they were imported. For workflows whose scripts tell "
            "their libraries, or start threads of their own."
        },
    )

    environment: list[str] = field(
        default_factory=list,
        metadata={
            "help": "Variables that the process from which scripts are forked finds in its "
            "environment when it starts, and scripts do not: for what the C library and the "
            "preloaded modules read at that time, such as the tunables of malloc.",
            "nargs": "+",
            "metavar": "NAME=VALUE",
        },
    )

    scripts_per_child: int = field(
        default=1,
        metadata={
            "help": "Run up to this many scripts in the same forked process, one after another, "
            "preferably those that read what the one before has written. For workflows whose "
            "scripts change nothing in the modules that they import which the next one would "
            "notice.",
            "metavar": "NUMBER",
            "type": int,
        },
    )

    def __post_init__(self) -> None:
        """Prepare for the plan, which follows; in a new folder it is sure to have jobs."""
        self.early: Nursery | None = None
        if internals.obstacle() is not None:
            return
        internals.collect_less_garbage()
        internals.open_sources_plainly()
        internals.look_at_functions_once()
        internals.find_flags_quickly()
        internals.give_flags_when_needed()
        internals.share_guards()
        internals.share_what_is_empty()
        internals.store_plain_params_as_they_are()
        _chosen.append(self)
        if internals.is_first_run(sys.argv[1:]):
            self.start_early()

    def start_early(self) -> None:
        """Let the zygote import while Snakemake plans."""
        if self.early is None:
            self.early = self.nursery()
            self.early.start(os.environ | ONE_THREAD, internals.script_output())
            atexit.register(self.early.close, orderly=False)

    def nursery(self) -> Nursery:
        """Return a nursery without a zygote."""
        return Nursery(
            self.modules,
            internals.warn,
            shared=self.share,
            own_variables=self.own_variables,
            scripts_per_child=self.scripts_per_child,
        )

    @property
    def modules(self) -> list[str]:
        """What a zygote imports."""
        return list(dict.fromkeys([*PREAMBLE_MODULES, *self.preload]))

    @property
    def own_variables(self) -> dict[str, str]:
        """What only a zygote finds in its environment."""
        named = [text.partition("=") for text in self.environment]
        return {name: value for name, _, value in named}


_chosen: list[ExecutorSettings] = []


def expect_jobs() -> None:
    """Start the zygote, as a workflow may ask while it is read and knows that there are jobs.

    Else it starts when Snakemake knows, with the plan of all jobs. Where another executor was
    chosen, or no run at all, this does nothing.
    """
    if internals.asks_for_jobs(sys.argv[1:]):
        for settings in _chosen:
            settings.start_early()


class Executor(LocalExecutor):
    """Runs jobs as the local executor does, and Python scripts in forked children."""

    def __post_init__(self) -> None:
        """Prepare for scripts."""
        super().__post_init__()
        self._cancelled = self._scheduler_tuned = False
        self._nursery: Nursery | None = None
        obstacle = internals.obstacle()
        if obstacle is not None:
            self._warn(f"{obstacle} Jobs run as with --executor local.")
            return
        settings = self.executor_settings or ExecutorSettings()
        self._nursery = settings.early or settings.nursery()
        self._diversion = internals.Diversion(self._nursery)
        self._diversion.install()
        if len(self.workflow.dag):  # it imports while Snakemake prepares the jobs
            self._nursery.start(os.environ | ONE_THREAD, internals.script_output())

    def run_single_job(self, job: Any) -> "Future[None]":
        """Start a job that is not a group."""
        if self._nursery is not None and not self._scheduler_tuned:
            self._scheduler_tuned = True
            internals.lift_rate_limit(self.workflow)
            internals.hurry_scheduler(self.workflow)
        if self._nursery is None or not internals.forks_in_shadow(job):
            return super().run_single_job(job)  # type: ignore[no-any-return]
        arguments = internals.without_shadow(self.job_args_and_prepare(job))
        return self.pool.submit(  # type: ignore[no-any-return]
            self.cached_or_run, job, internals.run_wrapper, *arguments
        )

    def cached_or_run(self, job: Any, run_func: Any, *args: Any) -> None:
        """Run a job in the current thread, or take its results from the cache."""
        if self._cancelled:
            raise KeyboardInterrupt
        if self._nursery is None or not job.is_script:
            super().cached_or_run(job, run_func, *args)
            return
        run = internals.ScriptRun(job, job.shadow_dir)
        with self._diversion.expect(run):
            try:
                super().cached_or_run(job, run_func, *args)
            except Exception:
                if not run.lost or self._cancelled:
                    internals.bring_logs_out_of_shadow(job)
                    raise
                self._warn(
                    f"The script of rule {job.rule.name} (job {job.jobid}) was lost with the "
                    "process that it was forked from; it runs again, in a process of its own."
                )
                if job.shadow_dir is not None:
                    shutil.rmtree(job.shadow_dir)
                self.workflow.async_run(job.prepare())
                run.plain, run.directory = True, job.shadow_dir
                super().cached_or_run(job, run_func, *args)

    def shutdown(self) -> None:
        """Wait for the running jobs and end what was started for scripts."""
        super().shutdown()
        if self._nursery is not None:
            self._diversion.remove()
            self._nursery.close(orderly=True)

    def cancel(self) -> None:
        """End the running scripts, wait for the other jobs, and leave nothing behind.

        A thread that was just being started is not waited for: the pool does not know it yet. The
        diversion hence stays, which lets no script of this run begin any more and others pass.
        """
        self._cancelled = True
        if self._nursery is not None:
            self._nursery.end_children()
        super().cancel()
        if self._nursery is not None:
            self._nursery.close(orderly=False)

    def _warn(self, sentence: str) -> None:
        self.logger.warning(sentence)
