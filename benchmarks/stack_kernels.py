"""Time the stacking engine: resampling and combining, in CPU-seconds per 12.3-megapixel frame.

Run it from the checkout, on a machine that does nothing else::

    python -m benchmarks.stack_kernels [--frames 12] [--threads 1] [--repeats 3]

Bands of 500 rows are timed and scaled to 3000 rows. Compilation is not counted.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from scripts.lightstack.alignment.transform import Transform, identity
from scripts.lightstack.resampling.plane import resample
from scripts.lightstack.stacking.combining import SIX, combine
from scripts.lightstack.stacking.modes import MODES

SHAPE = (3000, 4096)
ROWS = (1000, 1500)


def seconds(work: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Least CPU and wall time of some runs [s]; the first, which compiles, is left out."""
    work()
    times = []
    for _ in range(repeats):
        cpu, wall = time.process_time(), time.perf_counter()
        work()
        times.append((time.process_time() - cpu, time.perf_counter() - wall))
    return min(cpu for cpu, _ in times), min(wall for _, wall in times)


def report(name: str, work: Callable[[], object], repeats: int, frames: int) -> None:
    """Print the time that a whole frame takes."""
    cpu, wall = (t * SHAPE[0] / (ROWS[1] - ROWS[0]) / frames for t in seconds(work, repeats))
    print(f"{name:45} {cpu:6.3f} CPU-s  {wall:6.3f} s wall per frame", flush=True)


def transforms() -> dict[str, Transform]:
    """Give transforms of the kinds that nights have."""
    angle = np.radians(0.3)
    cos, sin = np.cos(angle), np.sin(angle)
    matrix = np.array([[cos, sin, 3.3], [-sin, cos, 2.7], [0, 0, 1]])
    cubic = np.random.default_rng(1).uniform(-0.5, 0.5, (2, 10))
    return {
        "identity": identity(SHAPE),
        "similarity": Transform(matrix, SHAPE, SHAPE),
        "polynomial": Transform(matrix, SHAPE, SHAPE, "polynomial", cubic, cubic),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Time everything and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args(arguments)

    rng = np.random.default_rng(0)
    frame = rng.normal(size=SHAPE).astype(np.float32)
    holed = np.where(rng.random(SHAPE) < 1e-3, np.float32(np.nan), frame)
    out = np.empty((ROWS[1] - ROWS[0], SHAPE[1]), np.float32)
    for name, transform in transforms().items():
        for kind, source in (("", frame), (", 0.1 % NaN", holed)):
            report(
                f"resample, {name}{kind}",
                partial(resample, source, 0, transform, ROWS, out=out),
                options.repeats,
                1,
            )
    n = options.frames
    cube = rng.normal(size=(n, ROWS[1] - ROWS[0], SHAPE[1])).astype(np.float32)
    for modes in ((), SIX, *((mode,) for mode in MODES), MODES):
        name = {(): "coverage only", SIX: "the six modes", MODES: "all modes"}.get(modes) or modes[
            0
        ]
        report(
            f"combine {n} frames, {name}",
            partial(combine, cube, modes, noise=np.ones(n), threads=options.threads),
            options.repeats,
            n,
        )


if __name__ == "__main__":
    main()
