"""Measure what a run on Slurm costs beside one on this machine, and compare their bytes.

Run it from the checkout, on a machine that does nothing else, with a Slurm whose partition is
named and ``make slurm`` done::

    python -m benchmarks.slurm debug [--frames 200] [--shape 400 600]

CPU time of submissions is that of their shells and all that these have started and waited for, as
the shells count it; that of the local run is what the kernel counts for its processes. What a
frame of the night adds to the start of each job is told by nights of few and of many tiny frames,
by turns, the least disturbed time of each.
"""

import argparse
import os
import resource
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

from benchmarks.plan import make_frames
from scripts.lightstack.simulator import make_night

ROOT = Path(__file__).parents[1]

SETTINGS = "{min_star_count: 5, threshold_sigma: 5, minarea: 5, background_box: 32}"

FEW, MANY, ROUNDS = 40, 2000, 6
"""Frames of the nights by which the start of a job is told, and how often it is started."""

ONE = ["--", "work/quality/frame_00003.json"]


def cpu_of_children() -> float:
    """CPU time of all processes that have ended [s]."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def run(folder: Path, *arguments: str) -> float:
    """Run the workflow in a folder; return the CPU time of Snakemake and its children [s]."""
    before = cpu_of_children()
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    command += ["--directory", str(folder), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stdout[-2000:] + done.stderr[-2000:])
    return cpu_of_children() - before


def start_per_frame(place: Path) -> float:
    """Tell what each frame of a night adds to the start of a job for one of them [s]."""
    least = dict.fromkeys((FEW, MANY), float("inf"))
    for count in least:
        folder = place / str(count)
        folder.mkdir()
        make_frames(folder, count)
        run(folder, "--cores", "2", "--until", "combine_darks")
    rules = ["calibrate_frame", "subtract_background", "detect_sources", "grade_frame"]
    as_job = ["--mode", "remote", "--nolock", "--cores", "1", "--dry-run"]
    for _ in range(ROUNDS):
        for count in least:
            taken = run(place / str(count), *as_job, "--allowed-rules", *rules, *ONE)
            least[count] = min(least[count], taken)
    return (least[MANY] - least[FEW]) / (MANY - FEW)


def seconds(shown: str) -> float:
    """Sum of the times that a shell shows as ``1m2.345s`` [s]."""
    parts = [time.rstrip("s").split("m") for time in shown.split()]
    return sum(60 * float(minutes) + float(rest) for minutes, rest in parts)


def products(folder: Path) -> dict[str, bytes]:
    """Contents of the files that a run makes for its user."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for name in ("results", "data_cleaned")
        for path in sorted((folder / name).rglob("*"))
        if path.is_file() and path.name != ".lightstack.json"
    }


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("partition")
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--shape", type=int, nargs=2, default=(400, 600))
    chosen = parser.parse_args()
    profile = yaml.safe_load((ROOT / "profiles" / "slurm" / "profile.yaml").read_text())
    profile["default-resources"] = {"slurm_partition": chosen.partition}
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as name:
        local, folder = Path(name, "local"), Path(name, "slurm")
        site, times = Path(name, "profile.yaml"), Path(name, "times")
        site.write_text(yaml.safe_dump(profile))
        times.mkdir()
        for night in (local, folder):
            make_night(
                night, shape=tuple(chosen.shape), n_lights=chosen.frames, n_stars=200, seed=4
            )
            (night / "config").mkdir(exist_ok=True)
            (night / "config" / "config.yaml").write_text(SETTINGS)
        here = run(local, "--cores", "2")
        file = f"{shlex.quote(str(times))}/$SLURM_JOB_ID"
        note = f"trap 'times > {file}; echo $SLURMD_NODENAME >> {file}' EXIT"
        main_process = run(folder, "--workflow-profile", str(site), "--precommand", note)
        told = [path.read_text().splitlines() for path in times.iterdir()]
        jobs, nodes = [seconds(lines[1]) for lines in told], {lines[2] for lines in told}
        beyond = sum(jobs) - here
        print(f"same bytes: {products(local) == products(folder)}")
        print(f"submissions: {len(jobs)}, on {', '.join(sorted(nodes))}")
        print(f"CPU [s]: {here:.1f} here; {sum(jobs):.1f} in jobs, {main_process:.1f} beside them")
        print(f"beyond a run here: {beyond / chosen.frames:.2f} s per frame,", end=" ")
        print(f"{beyond / len(jobs):.2f} s per submission")
        print(
            f"start of a job: {1000 * start_per_frame(Path(name)):.3f} ms per frame of the night"
        )


if __name__ == "__main__":
    main()
