"""Measure what each way of rejecting costs on clean frames, and which outliers it finds.

Run it from the checkout (a minute)::

    python -m benchmarks.rejection_table [--pixels 160000]

It prints the table of `docs/methods.md`. For n frames of Gaussian noise of one:

noise
    Standard deviation of the stack over that of the plain mean.
false
    Share of the values that are rejected [%].
recall
    Share of lone outliers of 5, 8 and 15 sigma that are rejected.
"""

import argparse
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.stacking import noise_clip
from scripts.lightstack.stacking.combining import combine
from scripts.lightstack.stacking.rejection import smallest_stack

METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "median": ("median", {}),
    "sigma_clip 2.5": ("sigma_clip", {"sigma_clip": 2.5}),
    "sigma_clip 3": ("sigma_clip", {"sigma_clip": 3.0}),
    "winsorized 3": ("winsorized", {}),
    "noise_clip 4": ("noise_clip", {}),
    "noise_clip 3": ("noise_clip", {}),
}
LIMITED = {"noise_clip 3": patch.object(noise_clip, "LIMIT", 3.0)}
STEP = 8  # pixels between outliers, so that none is another's neighbour


def measure(cube: NDArray[np.float32], mode: str, settings: dict[str, Any]) -> str:
    """Write one cell of the table."""
    n = len(cube)
    clean = combine(cube, ["mean", mode], noise=np.ones(n), threads=2, **settings)
    cost = clean.images[mode].std(dtype=float) / clean.images["mean"].std(dtype=float)
    if mode not in clean.rejected:
        return f"{cost:.3f}"
    false = 100 * clean.rejected[mode].mean(dtype=float) / n
    first_alone = np.where(np.arange(n) == 0, 1e9, 1.0)  # what is kept of it is the average
    recalls = []
    for outlier in (5, 8, 15):
        hit = cube.copy()
        hit[0, ::STEP, ::STEP] += np.float32(outlier)
        found = combine(hit, [mode], noise=np.ones(n), weights=first_alone, **settings)
        kept = np.isclose(found.images[mode], hit[0], atol=1e-3)
        recalls.append(1 - kept[::STEP, ::STEP].mean())
    return f"{cost:.3f}, {false:.2f} %, " + "/".join(f"{recall:.2f}" for recall in recalls)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--pixels", type=int, default=160_000)
    side = int(np.sqrt(parser.parse_args(arguments).pixels))
    sizes = (2, 3, 5, 10, 20, 50)
    print("| mode |", " | ".join(f"n = {n}" for n in sizes), "|")
    print("|---" * (len(sizes) + 1) + "|")
    cubes = [np.random.default_rng(n).normal(size=(n, side, side)).astype("f4") for n in sizes]
    for name, (mode, settings) in METHODS.items():
        with LIMITED.get(name, nullcontext()):
            cells = [measure(cube, mode, settings) for cube in cubes]
        print(f"| {name} |", " | ".join(cells), "|", flush=True)
    for sigma in (2.0, 2.5, 3.0, 4.0, 5.0):
        print(f"sigma_clip {sigma:g} can reject from {smallest_stack(sigma)} frames on")


if __name__ == "__main__":
    main()
