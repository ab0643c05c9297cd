"""Measure what weights and the rejection of clouds are worth where the transparency changes.

Run it from the checkout (half a minute)::

    python -m benchmarks.weights_table [--nights 20]

It prints the table of `docs/methods.md`: depth (signal over noise of a faint star before the sky)
of a stack, over what is possible: the square root of the sum of the squared transparencies, for
frames of one sky. Frames are scaled to a clear one, as with ``normalize: flux``. "plain" takes all
frames alike, "noise" weights them; "0.3" leaves out those below that transparency.
"""

import argparse
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from scripts.lightstack.stacking.combining import combine

Floats = NDArray[np.float64]

SIDE = 100


class Way(NamedTuple):
    """How a stack is made: by a mode, with weights or not, of frames of some transparency."""

    mode: str
    weighted: bool
    least: float


WAYS = {
    "mean, plain": Way("mean", weighted=False, least=0),
    "mean, plain, 0.3": Way("mean", weighted=False, least=0.3),
    "mean, noise": Way("mean", weighted=True, least=0),
    "mean, noise, 0.1": Way("mean", weighted=True, least=0.1),
    "**mean, noise, 0.3**": Way("mean", weighted=True, least=0.3),
    "mean, noise, 0.5": Way("mean", weighted=True, least=0.5),
    "sigma_clip, plain": Way("sigma_clip", weighted=False, least=0),
    "sigma_clip, noise": Way("sigma_clip", weighted=True, least=0),
    "**sigma_clip, noise, 0.3**": Way("sigma_clip", weighted=True, least=0.3),
    "median": Way("median", weighted=False, least=0),
    "**median, 0.3**": Way("median", weighted=False, least=0.3),
    "median, 0.5": Way("median", weighted=False, least=0.5),
}


def clouds(rng: Generator) -> Floats:
    """Let clouds pass before a quarter of twenty frames."""
    return np.append(np.ones(15), rng.uniform(0.02, 0.6, 5))


NIGHTS: dict[str, Callable[[Generator], Floats]] = {
    "clear (0.95 to 1)": lambda rng: rng.uniform(0.95, 1, 20),
    "haze (0.5 to 1)": lambda rng: rng.uniform(0.5, 1, 20),
    "0.2 to 1": lambda rng: rng.uniform(0.2, 1, 20),
    "clouds in 5 of 20": clouds,
    "0.1 in one of 9": lambda _: np.append(np.ones(8), 0.1),
}


def depth(light: Floats, way: Way, rng: Generator) -> float:
    """Depth of a stack over the possible one, from the noise of a sky without stars."""
    noise = 1 / light
    used = light >= way.least
    cube = rng.normal(0, noise[:, np.newaxis, np.newaxis], (len(light), SIDE, SIDE))
    weights = noise[used] ** -2 if way.weighted else None
    stack = combine(cube[used].astype(np.float32), [way.mode], weights=weights)
    return float(1 / stack.images[way.mode].std(dtype=float) / np.sqrt(np.sum(light**2)))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--nights", type=int, default=20)
    n_nights = parser.parse_args(arguments).nights
    print("| stack |", " | ".join(NIGHTS), "|")
    print("|---" * (len(NIGHTS) + 1) + "|")
    for name, way in WAYS.items():
        cells = []
        for night in NIGHTS.values():
            rngs = [np.random.default_rng(seed) for seed in range(n_nights)]
            cells.append(np.mean([depth(night(rng), way, rng) for rng in rngs]))
        print(f"| {name} |", " | ".join(f"{cell:.3f}" for cell in cells), "|", flush=True)


if __name__ == "__main__":
    main()
