"""Jobs of earlier runs that Slurm still has for a folder, and that write the files of the next."""

import getpass
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

LOGS = Path(".snakemake", "slurm_logs")
"""Is there once a run of the folder has submitted a job to Slurm."""

PATIENCE_S = 60
"""A controller that is busy answers late."""


def jobs_at_work(folder: Path) -> list[str]:
    """List the jobs of Snakemake that wait or run in a folder.

    Parameters
    ----------
    folder : Path
        The folder of the run.

    Returns
    -------
    list of str
        Their numbers; none where there is no Slurm, or it does not answer.
    """
    if shutil.which("squeue") is None or not (folder / LOGS).is_dir():
        return []
    command = ["squeue", "-h", "-u", getpass.getuser(), "-o", "%i|%k|%Z"]
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return []
    own, here = os.environ.get("SLURM_JOB_ID"), os.path.realpath(folder)
    found = [line.split("|", 2) for line in answer.stdout.splitlines()]
    return [
        words[0]
        for words in found
        # The comment is the executor's: Snakemake itself may run in a job of the same folder.
        if len(words) == 3 and words[0] != own and words[1].startswith("rule_")
        if os.path.realpath(words[2]) == here
    ]


def in_the_way(jobs: Sequence[str]) -> str:
    """Say what to do about jobs of another run; nothing if there are none."""
    if not jobs:
        return ""
    named = " ".join(jobs[:10]) + (" …" if len(jobs) > 10 else "")
    return (
        f"Slurm has jobs of another run of this folder ({named}), which write the files that this "
        "one would. If that run goes on, wait for its end. If it was killed, cancel its jobs "
        f"(scancel {named}), unlock the folder (the same command with --unlock) and run again."
    )
