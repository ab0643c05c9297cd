"""What Slurm tells of its nodes."""

import subprocess

PATIENCE_S = 60
"""A controller that is busy answers late."""


def cpus_of_largest_node(partition: str | None) -> int | None:
    """Count the CPUs of the largest node of a partition.

    Parameters
    ----------
    partition : str or None
        The partition, or several with commas between; without one, the default one.

    Returns
    -------
    int or None
        Nothing if Slurm does not tell.
    """
    command = ["sinfo", "-h", "-N", "-o", "%P %c"]
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    asked = partition.strip("'\"").split(",") if partition else []
    counts = []
    for line in answer.stdout.splitlines():
        name, _, count = line.partition(" ")
        is_asked = name.removesuffix("*") in asked if asked else name.endswith("*")
        if is_asked and count.strip().isdigit():
            counts.append(int(count))
    return max(counts, default=None)
