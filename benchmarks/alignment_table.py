"""Measure how well transforms are found, on simulated star lists of which the truth is known.

Run it from the checkout (two minutes)::

    python -m benchmarks.alignment_table [--pairs 40]

It prints the table of `docs/methods.md`: for pairs of lists on 1500 x 1000 pixels, FWHM 3, with a
tenth of the stars missing and a tenth spurious, the error of the transform at the frame's corners
(root mean square over the four) in the median and the worst pair [pixels], and the CPU time; then
the same for nights of twenty frames with 40 stars, every other one turned by 180 degrees, each
aligned by itself and with the distortion that all share.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from scripts.lightstack.alignment.optics import share_distortion
from tests.test_optics import FEW_STARS, outcomes
from tests.test_optics import errors as errors_of_night
from tests.test_registration import SHAPE, Scene, errors

BENT = Scene(122, distortion=0.003, shift=(60, -45))
SCENES: dict[str, Scene] = {
    "110 stars": Scene(122),
    "400 stars": Scene(400),
    "5,000 stars": Scene(5000),
    "reference exposed 10x longer": Scene(122, depth=10**0.5),
    "overlap 40 %": Scene(180, shift=(700, 250)),
    "scale 0.8": Scene(122, scale=0.8),
    "scale 1.25": Scene(122, scale=1.25),
    "turned by 33 degrees": Scene(122, rotation=33),
    "turned by 180 degrees": Scene(122, rotation=180),
    "0.3 % radial distortion": BENT,
    "the same, turned by 90 degrees": replace(BENT, rotation=90),
    "the same, turned by 180 degrees": replace(BENT, rotation=180),
    "the same, 60 stars": replace(BENT, n_stars=66),
    "the same, 400 stars": replace(BENT, n_stars=400),
}

FRAMES = 20
"""Of a night."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--pairs", type=int, default=40)
    n_pairs = parser.parse_args(arguments).pairs
    errors(SCENES["110 stars"], 1)  # compiled
    print("| case | median | worst | CPU-s |\n|---|---|---|---|")
    for name, scene in SCENES.items():
        begin = time.process_time()
        found = errors(scene, n_pairs)
        seconds = (time.process_time() - begin) / n_pairs
        print(
            f"| {name} | {np.median(found):.3f} | {max(found):.3f} | {seconds:.3f} |", flush=True
        )
    nights = [outcomes(FEW_STARS, FRAMES, 100 + seed) for seed in range(n_pairs // 5)]
    for name, of_nights in {
        "each by itself": [errors_of_night(*night) for night in nights],
        "together": [
            errors_of_night(share_distortion(alone, SHAPE), scenes) for alone, scenes in nights
        ],
    }.items():
        every = np.concatenate(of_nights)
        print(f"| nights of 40 stars, {name} | {np.median(every):.3f} | {max(every):.3f} | |")


if __name__ == "__main__":
    main()
