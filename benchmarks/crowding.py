"""Detect sources where there are many, to see how far good frames stay from the bounds of work.

Run it from the checkout (a minute)::

    python -m benchmarks.crowding

For simulated frames of 1.5 megapixels at ``threshold_sigma`` 5 and ``minarea`` 5 it prints CPU
seconds, the share of pixels above the threshold, pixels of the frame per object, and the number
of pieces that SEP must be allowed for one object; or the sentence with which a frame is refused.
"""

import time
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.detection import extraction
from scripts.lightstack.detection.sources import detect
from scripts.lightstack.raw.image import UnusableFrameError
from scripts.subtract_background import subtract_background

SHAPE = (1000, 1500)
NOISE = 10.0
rows, columns = np.indices(SHAPE)

Image = NDArray[np.float64]


def stars(xy: Image, least: float = 1000.0, seed: int = 1) -> Image:
    """Sky with stars at positions (n, 2), few of which are bright."""
    rng = np.random.default_rng(seed)
    image = rng.normal(1000, NOISE, SHAPE)
    flux = np.minimum(least * (rng.pareto(0.8, len(xy)) + 1), 1e6)
    for (x, y), light in zip(xy, flux, strict=True):
        near = np.s_[max(int(y) - 10, 0) : int(y) + 11, max(int(x) - 10, 0) : int(x) + 11]
        r2 = (columns[near] - x) ** 2 + (rows[near] - y) ** 2
        image[near] += light * np.exp(-r2 / 3.2) / 10
    return image


def field(n: int) -> Image:
    """Sky with stars all over."""
    return stars(np.random.default_rng(2).uniform(0, SHAPE[::-1], (n, 2)))


def cluster(n: int) -> Image:
    """Sky with a globular cluster."""
    rng = np.random.default_rng(2)
    radius, angle = 20 * rng.pareto(1.5, n), rng.uniform(0, 2 * np.pi, n)
    xy = np.column_stack([750 + radius * np.cos(angle), 500 + radius * np.sin(angle)])
    return stars(xy[(xy >= 0).all(axis=1) & (xy < SHAPE[::-1]).all(axis=1)])


def nebula(light: float) -> Image:
    """Sky with stars and a nebula all over."""
    waves = 1 + 0.3 * np.sin(columns / 17) * np.sin(rows / 23)
    glow = light * waves * np.exp(-((columns - 700) ** 2 + (rows - 500) ** 2) / 2 / 250**2)
    return field(3000) + glow + np.random.default_rng(3).normal(0, 1, SHAPE) * np.sqrt(glow)


def lattice() -> Image:
    """Sky with interference."""
    dots = (np.cos(2 * np.pi * columns / 5) + 1) * (np.cos(2 * np.pi * rows / 5) + 1)
    return np.asarray(stars(np.empty((0, 2))) + (columns < 0.45 * SHAPE[1]) * (500 + 3000 * dots))


def salt(share: float) -> Image:
    """Sky with hot pixels."""
    return stars(np.empty((0, 2))) + 5000 * (np.random.default_rng(2).random(SHAPE) < share)


def frames() -> Iterator[tuple[str, Image, int]]:
    """Give names, frames and cells of the sky [pixels]."""
    for n in (5000, 20_000, 100_000):
        yield f"field of {n:,} stars", field(n), 64
    yield "globular cluster of 20,000", cluster(20_000), 64
    for light in (100, 600, 3000):
        for box in (64, 512):
            yield f"nebula of {light} ADU, cells {box}", nebula(light), box
    yield "hot pixels, 3 %", salt(0.03), 64
    yield "hot pixels, 10 %", salt(0.1), 64
    yield "interference", lattice(), 64


def pieces_needed(find: Callable[[], object]) -> int:
    """Find the least power of two of `extraction.MAX_PIECES` that serves."""
    allowed = extraction.MAX_PIECES
    try:
        extraction.MAX_PIECES = 64
        while True:
            try:
                find()
            except UnusableFrameError:
                extraction.MAX_PIECES *= 2
            else:
                return extraction.MAX_PIECES
    finally:
        extraction.MAX_PIECES = allowed


def main() -> None:
    """Print a line for each frame."""
    for name, image, box in frames():
        data = image.astype(np.float32)
        noise = subtract_background(data, box).noise

        def find(data: NDArray[np.float32] = data, noise: float = noise) -> NDArray[np.float64]:
            return detect(data, noise, threshold_sigma=5, minarea=5, smoothing_sigma=1)

        begin = time.process_time()
        try:
            n = len(find())
        except UnusableFrameError as error:
            print(f"{name:32s} {time.process_time() - begin:6.2f} s: {error}")
            continue
        seconds = time.process_time() - begin
        print(
            f"{name:32s} {seconds:6.2f} s, {np.mean(data > 5 * noise):4.0%} above, "
            f"{n:6d} objects, one on {data.size / n:5.0f} pixels, pieces {pieces_needed(find):6d}"
        )


if __name__ == "__main__":
    main()
