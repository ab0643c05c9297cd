"""Measure how soon a frame that arrives is in the stack, while `make watch` waits for it.

Run it from the checkout, on a machine that does nothing else::

    python -m benchmarks.watching [--frames 100]

Frames are of 1.5 megapixels. Shown are the times from the arrival of one more frame until the
stacks, and the report, have it; and the CPU time of all processes.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from astropy.io import fits

from scripts.lightstack.simulator import make_night

ROOT = Path(__file__).parents[1]

SHAPE = (1024, 1536)
SETTINGS = "{min_star_count: 200, threshold_sigma: 5, minarea: 5}"


def until(condition: Callable[[], bool], watch: subprocess.Popen[bytes]) -> None:
    """Wait."""
    while not condition():
        if watch.poll() is not None:
            sys.exit("The watch has ended.")
        time.sleep(0.05)


def cpu_seconds(watch: psutil.Process) -> float:
    """CPU time of a process, and of those that it started and that have ended [s]."""
    return sum(watch.cpu_times()[:4])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=100)
    count = parser.parse_args().frames
    with tempfile.TemporaryDirectory() as place:
        night, told = Path(place, "night"), Path(place, "output.txt")
        make_night(night, shape=SHAPE, n_lights=count + 1, n_stars=600, seed=4)
        (night / "config").mkdir()
        (night / "config" / "config.yaml").write_text(SETTINGS)
        later = next(iter(sorted((night / "data").iterdir(), reverse=True)))
        later = later.rename(Path(place, later.name))
        stack, report = night / "results" / "stack_mean.fits", night / "results" / "report.html"
        command = [sys.executable, "-m", "scripts.lightstack.planning.watching", str(night)]
        with told.open("wb") as output:
            watch = subprocess.Popen(
                [*command, "--cores", "2"], cwd=ROOT, stdout=output, stderr=output
            )
        process = psutil.Process(watch.pid)

        def waits() -> bool:
            return told.read_text().endswith("Ctrl-C ends it.\n")

        until(waits, watch)
        before, had = stack.stat().st_mtime_ns, fits.getval(stack, "NCOMBINE")
        cpu = cpu_seconds(process)
        start = time.perf_counter()
        later.rename(night / "data" / later.name)
        until(lambda: stack.exists() and stack.stat().st_mtime_ns != before, watch)
        stacked = time.perf_counter() - start
        until(lambda: not waits(), watch)
        until(waits, watch)
        done = time.perf_counter() - start
        print(
            f"One more among {count}: in the stack after {stacked:.1f} s, all done after "
            f"{done:.1f} s, {cpu_seconds(process) - cpu:.1f} CPU-s"
        )
        watch.terminate()
        watch.wait()
        if fits.getval(stack, "NCOMBINE") != had + 1 or later.stem not in report.read_text():
            sys.exit("The frame was not stacked.")


if __name__ == "__main__":
    main()
