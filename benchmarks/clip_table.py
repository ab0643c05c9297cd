"""Measure what clipping costs stars where the seeing changes much, and what it leaves beside them.

Run it from the checkout (four minutes)::

    python -m benchmarks.clip_table [--nights 2]

Twenty frames of the nights of `benchmarks/proper_table.py`. The first number of a cell is the
change of a star's flux against the mean [%, median of the stars]; the others are of cosmic rays
of one pixel and 20 to 3000 times the noise, one within two pixels of each star, and a satellite
trail of 60 times the noise over each tenth row of stars: in how many of the pixels that they
change by more than five times the noise of the mean the stack is still off by that, and by how
much at most [noise of the mean, shot noise included].
"""

import argparse
from collections.abc import Sequence

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from benchmarks.proper_table import (
    APERTURE,
    GRID,
    N_FRAMES,
    SIDE,
    how,
    observe,
    starfield,
    steady,
)
from benchmarks.seeing_table import GAIN
from scripts.lightstack.stacking.combining import combine

Image = NDArray[np.float32]

MODES = ("sigma_clip", "winsorized", "noise_clip")

RANGES = ((2.0, 3.0), (2.0, 5.0), (2.0, 7.0))
"""FWHM of the sharpest and of the widest frame [pixels]."""

BRIGHT = ((2, 3), (3, 4), (4, 5))
"""Decades of the stars' fluxes [noise of a pixel of a frame]."""


def spoiled(cube: Image, xy: NDArray[np.float64], rng: Generator) -> Image:
    """Add cosmic rays and trails."""
    added = np.zeros_like(cube)
    for x, y in xy:
        dx, dy = rng.integers(-2, 3, 2)
        row, column = np.clip([round(y) + dy, round(x) + dx], 0, SIDE - 1)
        added[rng.integers(N_FRAMES), row, column] += 10 ** rng.uniform(1.3, 3.5)
    columns = np.arange(SIDE)
    for k, row in enumerate(range(GRID // 2, SIDE, GRID)):
        slope = rng.uniform(-0.05, 0.05)
        rows = row + slope * (columns - SIDE / 2)
        distance = np.arange(SIDE)[:, np.newaxis] - rows
        added[k % N_FRAMES] += 60 * np.exp(-0.5 * (distance / 1.2) ** 2)
    return np.asarray(cube + added, np.float32)


def one_night(
    span: tuple[float, float], beta: float, seed: int
) -> dict[tuple[str, tuple[int, int]], tuple[list[float], list[float]]]:
    """Find changes of fluxes [%] and what is left of outliers [noise of the mean]."""
    rng = np.random.default_rng(seed)
    night = steady(np.linspace(*span, N_FRAMES), beta)
    light, xy, flux = starfield(night, rng)
    cube = observe(light, night, rng)
    truth = light.mean(axis=0)
    noise = np.sqrt((1 + truth / GAIN) / N_FRAMES)
    dirty = spoiled(cube, xy, rng)
    clean, found = (
        combine(each, ["mean", *MODES], **how(each, night)).images for each in (cube, dirty)
    )
    touched = np.abs(found["mean"] - clean["mean"]) > 5 * noise
    results: dict[tuple[str, tuple[int, int]], tuple[list[float], list[float]]] = {}
    for mode in MODES:
        left = np.abs(found[mode] - clean[mode]) / noise
        for decade in BRIGHT:
            changes, of_outliers = results.setdefault((mode, decade), ([], []))
            for (x, y), each in zip(xy, flux, strict=True):
                if not 10 ** decade[0] <= each < 10 ** decade[1]:
                    continue
                part = tuple(
                    slice(max(round(at) - APERTURE, 0), round(at) + APERTURE + 1) for at in (y, x)
                )
                change = (clean[mode][part] - clean["mean"][part]).sum(dtype=float)
                changes.append(100 * change / truth[part].sum())
                near = tuple(slice(max(round(at) - 3, 0), round(at) + 4) for at in (y, x))
                of_outliers += left[near][touched[near]].tolist()
    return results


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--nights", type=int, default=2)
    n_nights = parser.parse_args(arguments).nights
    print(
        "| seeing | flux of the star |", " | ".join(MODES), "|\n" + "|---" * (2 + len(MODES)) + "|"
    )
    for beta, profile in ((np.inf, "Gaussian"), (3.5, "Moffat 3.5")):
        for span in RANGES:
            nights = [one_night(span, beta, seed) for seed in range(n_nights)]
            for decade in BRIGHT:
                cells = []
                for mode in MODES:
                    changes = np.concatenate([night[mode, decade][0] for night in nights])
                    left = np.concatenate([night[mode, decade][1] for night in nights])
                    number = np.count_nonzero(left > 5)
                    cells.append(
                        f"{np.median(changes):.2f}, {number} of {left.size}, {left.max():.0f}"
                    )
                name = f"{span[0]:g} to {span[1]:g}, {profile}"
                print(
                    f"| {name} | 1e{decade[0]} to 1e{decade[1]} |",
                    " | ".join(cells),
                    "|",
                    flush=True,
                )


if __name__ == "__main__":
    main()
