"""Measure the photometry of stacks of frames whose light leans: thin clouds, low altitude.

Run it from the checkout (three minutes)::

    python -m benchmarks.photometry_table [--frames 12] [--nights 3]

It prints the table of `docs/methods.md`: by how much the light of a mean of frames is uneven (root
mean square over its grid) when each frame is scaled by one factor, and by one that leans. The
first frame is the reference; its own light is even.
"""

import argparse
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.alignment.light import LightScale
from scripts.lightstack.alignment.registration import align
from scripts.lightstack.alignment.stars import Stars
from scripts.lightstack.detection.sources import detect, measure
from scripts.lightstack.simulator import Camera, Light, Sky, make_sky, render_light
from scripts.lightstack.sky.surface import Surface
from scripts.subtract_background import subtract_background

Image = NDArray[np.float32]

SHAPE = (1024, 1536)


def stars_of(data: Image) -> Stars:
    """Find the stars of a frame, as the workflow does."""
    noise = subtract_background(data, 64).noise
    found = detect(data, noise, threshold_sigma=5, minarea=5, smoothing_sigma=1)
    table = measure(data, np.zeros(SHAPE, bool), found, noise)
    xy = np.column_stack([table["x"], table["y"]])
    return Stars(xy, table["flux"].astype(float), table["fwhm"].astype(float), SHAPE)


def surface(middle: float, x: float, y: float) -> Image:
    """Make a plane that grows by so much to the last column and the last row."""
    return Surface(SHAPE, np.array([middle, x, y])).rows(0, SHAPE[0])


def light_of_frames(
    sky: Sky, steepest: float, count: int, seed: int
) -> tuple[list[Image], list[LightScale]]:
    """Expose frames with leaning light: what of it reaches each pixel, and the scale found."""
    rng = np.random.default_rng(seed)
    shares, scales = [], []
    first: Stars | None = None
    for number in range(count):
        x, y = rng.uniform(-steepest, steepest, 2) if number else (0.0, 0.0)
        dither = rng.uniform(-12, 12, 2) if number else (0.0, 0.0)
        share = surface(1.0, x, y)
        camera = Camera(SHAPE, np.zeros(SHAPE, np.float32), share)
        light = Light(shift=(dither[0], dither[1]), transparency=rng.uniform(0.7, 1))
        stars = stars_of(render_light(rng, sky, camera, light).astype(np.float32))
        first = first or stars
        shares.append(share * np.float32(light.transparency))
        scales.append(align(stars, first).light)
    return shares, scales


def unevenness(shares: list[Image], scales: list[LightScale], *, leaning: bool) -> float:
    """Tell how uneven the mean's light is: root mean square, relative."""
    total = np.zeros(SHAPE, np.float32)
    for share, scale in zip(shares, scales, strict=True):
        half = surface(0.0, *scale.lean) / 2 if leaning else np.float32(0)
        total += share * np.float32(scale.factor) * (1 + half) / (1 - half)
    return float(total.std() / total.mean())


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--nights", type=int, default=3)
    chosen = parser.parse_args(arguments)
    print("| stars | lean | one factor | leaning | frames that lean |\n|---|---|---|---|---|")
    for n_stars in (100, 300, 900, 3000):
        for steepest in (0.0, 0.03, 0.1):
            found: dict[bool, list[float]] = {False: [], True: []}
            leans = 0
            for seed in range(chosen.nights):
                sky = make_sky(np.random.default_rng(seed), SHAPE, n_stars)
                shares, scales = light_of_frames(sky, steepest, chosen.frames, seed)
                leans += sum(any(scale.lean) for scale in scales)
                for leaning, each in found.items():
                    each.append(unevenness(shares, scales, leaning=leaning))
            cells = [
                f"{100 * math.sqrt(np.mean(np.square(each))):.2f} %" for each in found.values()
            ]
            share = f"{leans} of {chosen.frames * chosen.nights}"
            print(f"| {n_stars} | ±{steepest:.0%} |", " | ".join((*cells, share)), "|", flush=True)


if __name__ == "__main__":
    main()
