"""Measure the four steps of a frame, from raw to verdict.

Run it from the checkout (a minute)::

    python -m benchmarks.frame_steps [--frames 12]

For frames of 1.5 and 12 megapixels it prints the CPU time of each step's `run` [s, median of the
frames]. Each call has a process of its own, forked with the modules and the environment of the
default profile: that it gets its memory is part of a step, the import of modules is not.
"""

import argparse
import gc
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from multiprocessing import Pipe
from pathlib import Path

import numpy as np
import yaml
from snakemake_executor_plugin_warm.zygote import preload

from benchmarks.siril import CASES, SETTINGS, Case, make_night
from scripts import (
    calibrate_frame,
    combine_darks,
    detect_sources,
    grade_frame,
    subtract_background,
)
from scripts.lightstack.planning.calibration_choice import Calibration
from scripts.lightstack.planning.recipes import RULES
from scripts.lightstack.planning.settings import complete_settings

PROFILE = Path(__file__).parents[1] / "profiles" / "default" / "profile.yaml"


def steps(night: Path, raw: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    """Give the calls that take a frame from raw to verdict."""
    chosen = complete_settings(yaml.safe_load(SETTINGS))
    settings = {name: {key: chosen[key] for key in rule.settings} for name, rule in RULES.items()}
    dark, clean, sources, quality = (night / f"{raw.stem}.{step}" for step in range(4))
    master = night / "master.fits"
    yield (
        "calibrate_frame",
        lambda: calibrate_frame.run(
            raw,
            dark,
            sha256="",
            masters={"dark": master},
            **Calibration().facts(""),
            **settings["calibrate_frame"],
        ),
    )
    yield (
        "subtract_background",
        lambda: subtract_background.run(dark, clean, **settings["subtract_background"]),
    )
    yield (
        "detect_sources",
        lambda: detect_sources.run(clean, sources, **settings["detect_sources"]),
    )
    yield (
        "grade_frame",
        lambda: grade_frame.run(sources, quality, frame=raw.stem, limits=settings["grade_frame"]),
    )


def cpu_time(call: Callable[[], None]) -> float:
    """CPU time of a call in a process of its own [s]."""
    receiver, sender = Pipe(duplex=False)
    pid = os.fork()
    if pid == 0:
        begin = time.process_time()
        call()
        sender.send(time.process_time() - begin)
        os._exit(0)
    seconds = float(receiver.recv())
    os.waitpid(pid, 0)
    return seconds


def resemble_zygote() -> None:
    """Begin anew in the default profile's environment, and import its modules."""
    profile = yaml.safe_load(PROFILE.read_text())
    wanted = dict(text.split("=", 1) for text in profile["warm-environment"])
    if not wanted.items() <= os.environ.items():
        os.execve(sys.executable, sys.orig_argv, os.environ | wanted)  # noqa: S606 - itself
    preload(profile["warm-preload"])
    gc.freeze()


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the times."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--frames", type=int, default=12)
    n_frames = parser.parse_args(arguments).frames
    resemble_zygote()
    for name in ("1.5mp", "12mp"):
        with tempfile.TemporaryDirectory() as folder:
            seconds = measure(Path(folder), replace(CASES[name], n_lights=n_frames))
        medians = {step: float(np.median(values)) for step, values in seconds.items()}
        print(f"{name}: {sum(medians.values()):.3f} CPU-s per frame")
        for step, median in medians.items():
            print(f"    {step:20s} {median:.3f}")


def measure(night: Path, case: Case) -> dict[str, list[float]]:
    """CPU times of all frames by step [s]; this process itself stays as small as a zygote."""
    cpu_time(lambda: make_night(night, case))
    darks = sorted((night / "darkfield").iterdir())
    cpu_time(lambda: combine_darks.run(darks, night / "master.fits"))
    seconds: dict[str, list[float]] = {}
    for raw in sorted((night / "data").iterdir()):
        for step, call in steps(night, raw):
            seconds.setdefault(step, []).append(cpu_time(call))
    return seconds


if __name__ == "__main__":
    main()
