"""Measure what clipping does to the fluxes of stars when the seeing changes.

Run it from the checkout (half a minute)::

    python -m benchmarks.seeing_table [--trials 40]

It prints the table of `docs/methods.md`: the change of a star's flux in a stack of twelve frames
against their mean [%], for stars of which the peak is 100, 1000 and 10000 times the noise of a
frame at a FWHM of 3 pixels (gain 1.5; mean of the trials).
"""

import argparse
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.stacking.centres import find_centres
from scripts.lightstack.stacking.combining import combine
from scripts.lightstack.stacking.psf_matching import N_PIXELS, Seeing, measure_seeing, starlight

Floats = NDArray[np.float64]

N_FRAMES = 12
GAIN = 1.5  # electrons per unit, which is the noise of a frame
SIZE = 31
MODES = {
    "median": ("median", False),
    "sigma_clip": ("sigma_clip", False),
    "winsorized": ("winsorized", False),
    "noise_clip, seeing unknown": ("noise_clip", False),
    "noise_clip": ("noise_clip", True),
}
"""Modes, and whether they are told the seeing."""


def nights(rng: np.random.Generator) -> dict[str, tuple[Floats, float]]:
    """FWHM of each frame [pixels] and the profile's exponent (Moffat; infinite for a Gaussian)."""
    spread = rng.uniform(2.5, 4, N_FRAMES)
    first = np.arange(N_FRAMES) == 0
    half = np.arange(N_FRAMES) < N_FRAMES / 2
    return {
        "uniform in 2.5 to 4, Gaussian": (spread, np.inf),
        "uniform in 2.5 to 4, Moffat 3": (spread, 3.0),
        "drift from 2.5 to 3.5, Gaussian": (np.linspace(2.5, 3.5, N_FRAMES), np.inf),
        "eleven of 2.8, one of 4.5, Gaussian": (np.where(first, 4.5, 2.8), np.inf),
        "eleven of 3.6, one of 2.5, Moffat 3": (np.where(first, 2.5, 3.6), 3.0),
        "six of 2.6, six of 3.7, Gaussian": (np.where(half, 2.6, 3.7), np.inf),
    }


def draw(fwhm: Floats, beta: float, rng: np.random.Generator) -> Floats:
    """(n, SIZE, SIZE) stars of equal flux, off the middle by part of a pixel."""
    y, x = np.mgrid[:SIZE, :SIZE] - SIZE // 2 - rng.uniform(-0.5, 0.5, (2, 1, 1))
    square = (x**2 + y**2) / (fwhm[:, np.newaxis, np.newaxis] / 2) ** 2
    profile = 0.5**square if np.isinf(beta) else (1 + (2 ** (1 / beta) - 1) * square) ** -beta
    return np.asarray(profile * (3 / fwhm[:, np.newaxis, np.newaxis]) ** 2)


def observe(light: Floats, rng: np.random.Generator) -> NDArray[np.float32]:
    """Add the noise of the background, of one, and that of the light."""
    return (light + rng.normal(size=light.shape) * np.sqrt(1 + light / GAIN)).astype(np.float32)


@lru_cache
def measured(fwhm: tuple[float, ...], beta: float) -> Seeing | None:
    """Seeing as the other stars of the field tell it."""
    rng = np.random.default_rng(1)
    peaks = 10 ** rng.uniform(1, 4.5, 80)
    stars = [peak * draw(np.array(fwhm), beta, rng) for peak in peaks]
    cube = observe(np.concatenate(stars, axis=2), rng)
    noise, gain = np.ones(N_FRAMES), np.full(N_FRAMES, GAIN)
    pixels = starlight(cube, *find_centres(cube), noise, np.inf, N_PIXELS)
    return measure_seeing(pixels, noise, gain, np.inf)[0]


def changes(night: str, peak: float, trials: int, scale: float = 1.0) -> dict[str, float]:
    """Change of the flux by each of `MODES` [%]; all stars are `scale` times as wide."""
    found: dict[str, list[float]] = {name: [] for name in MODES}
    noise, gain = np.ones(N_FRAMES), np.full(N_FRAMES, GAIN)
    for trial in range(trials):
        rng = np.random.default_rng(trial)
        fwhm, beta = nights(rng)[night]
        light = peak * draw(fwhm * scale, beta, rng)
        cube = observe(light, rng)
        seeing = measured(tuple(fwhm * scale), beta)
        for name, (mode, is_told) in MODES.items():
            told = seeing if is_told else None
            images = combine(cube, ["mean", mode], noise=noise, gain=gain, seeing=told).images
            change = (images[mode] - images["mean"]).sum(dtype=float)
            found[name].append(100 * change / light.mean(axis=0).sum())
    return {name: float(np.mean(values)) for name, values in found.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--trials", type=int, default=40)
    trials = parser.parse_args(arguments).trials
    print("| seeing and profile | " + " | ".join(MODES) + " |\n" + "|---" * (1 + len(MODES)) + "|")
    for night in nights(np.random.default_rng(0)):
        found = [changes(night, peak, trials) for peak in (100, 1000, 10000)]
        cells = [" / ".join(f"{row[mode]:.2f}" for row in found) for mode in MODES]
        print(f"| {night} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
