"""Measure what Snakemake itself costs with many frames: the plan, and the run of tiny jobs.

Run it from the checkout, on a machine that does nothing else::

    python -m benchmarks.plan [--frames 2000]

Frames are of 96 x 96 pixels, so that nearly all of the time is the workflow's own. Shown are the
main process's time and memory: of the dry run before, of the run, and of the dry run after it,
which must find nothing to do.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil

from scripts.lightstack.simulator import Light, Night, make_camera, make_sky, write_night

ROOT = Path(__file__).parents[1]

SHAPE = (96, 96)
SETTINGS = "{min_star_count: 5, threshold_sigma: 5, minarea: 5, background_box: 32}"


def make_frames(folder: Path, count: int) -> None:
    """Write a night of tiny frames that can be stacked, and the settings that suit them."""
    rng = np.random.default_rng(1)
    lights = {f"frame_{number:05d}": Light() for number in range(count)}
    write_night(folder, Night(make_sky(rng, SHAPE, 60, 10), make_camera(rng, SHAPE), lights, 2))
    (folder / "config").mkdir()
    (folder / "config" / "config.yaml").write_text(SETTINGS)


def snakemake(folder: Path, *arguments: str) -> tuple[float, float, float]:
    """Run the workflow; return wall and CPU time of the main process [s] and its memory [MB]."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    command += ["--directory", str(folder), "--cores", "2", *arguments]
    start = time.perf_counter()
    with (folder / "output.txt").open("wb") as output:
        run = subprocess.Popen(command, stdout=output, stderr=output)
        watched = _Watch(run.pid)
        run.wait()
    if run.returncode:
        sys.exit((folder / "output.txt").read_text()[-2000:])
    return time.perf_counter() - start, watched.cpu, watched.memory


class _Watch(threading.Thread):
    """Sample a process, its children aside."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.cpu = self.memory = 0.0
        self._process = psutil.Process(pid)
        self.start()

    def run(self) -> None:
        try:
            while True:
                times = self._process.cpu_times()
                self.cpu = times.user + times.system
                self.memory = max(self.memory, self._process.memory_info().rss / 1e6)
                time.sleep(0.05)
        except psutil.Error:
            return


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=2000)
    count = parser.parse_args().frames
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        make_frames(folder, count)
        print(f"{count} frames, {os.cpu_count()} cores")
        for name, arguments, jobs in (
            ("plan of the first run", ["--dry-run"], 0),
            ("the run", [], 4 * count + 6),
            ("plan with nothing changed", ["--dry-run"], 0),
        ):
            wall, cpu, memory = snakemake(folder, *arguments)
            each = f", {1000 * cpu / jobs:.1f} ms a job" if jobs else ""
            print(
                f"{name}: {wall:.1f} s, main process {cpu:.1f} CPU-s{each}, {memory:.0f} MB",
                flush=True,
            )
        if "Nothing to be done" not in (folder / "output.txt").read_text():
            sys.exit("There was something to do, though nothing had changed.")


if __name__ == "__main__":
    main()
