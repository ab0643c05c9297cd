"""Measure what the mode "proper" gains where the seeing, the light and the noise change.

Run it from the checkout (two minutes)::

    python -m benchmarks.proper_table [--nights 3]

It prints the table of `docs/methods.md`. Depth is the signal over the noise of a faint star under
the filter that is best for the stack it is in, over that in the weighted mean. The signal is that
of the frames' profiles, with which stars of known flux are stacked without noise; the noise is
that of the sky. The flux of bright stars is compared with the truth, in an aperture of 31 pixels,
as is that of other modes.
"""

import argparse
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from benchmarks.seeing_table import GAIN
from scripts.lightstack.stacking.centres import find_centres
from scripts.lightstack.stacking.combining import combine
from scripts.lightstack.stacking.proper_kernels import kernels_of
from scripts.lightstack.stacking.psf_matching import N_PIXELS, measure_seeing, starlight

Floats = NDArray[np.float64]

N_FRAMES, SIDE, GRID = 20, 480, 48
"""Frames of a night, their side, and the distance of their stars [pixels]."""

APERTURE = 15
"""Half of the side of the aperture [pixels]."""

MODES = ("mean", "median", "sigma_clip", "noise_clip", "proper")


class Sky(NamedTuple):
    """What frames of a night are like: FWHM [pixels], profile, light, and noise of each."""

    fwhm: Floats
    beta: float
    light: Floats
    noise: Floats


def steady(fwhm: Floats, beta: float = np.inf) -> Sky:
    """Let nothing but the seeing change."""
    return Sky(fwhm, beta, np.ones(N_FRAMES), np.ones(N_FRAMES))


NIGHTS: dict[str, Callable[[Generator], Sky]] = {
    "3, Gaussian": lambda _: steady(np.full(N_FRAMES, 3.0)),
    "2 to 5, Gaussian": lambda _: steady(np.linspace(2, 5, N_FRAMES)),
    "2 to 7, Gaussian": lambda _: steady(np.linspace(2, 7, N_FRAMES)),
    "2 to 5, Moffat 3.5": lambda _: steady(np.linspace(2, 5, N_FRAMES), 3.5),
    "2 to 7, Moffat 3.5": lambda _: steady(np.linspace(2, 7, N_FRAMES), 3.5),
    "2.5 to 4, Moffat 3.5": lambda _: steady(np.linspace(2.5, 4, N_FRAMES), 3.5),
    "2 to 5, light 0.4 to 1, noise 0.7 to 1.5": lambda rng: Sky(
        np.linspace(2, 5, N_FRAMES),
        np.inf,
        rng.uniform(0.4, 1, N_FRAMES),
        rng.uniform(0.7, 1.5, N_FRAMES),
    ),
}


def profiles(night: Sky, dx: Floats, dy: Floats) -> Floats:
    """(n, ny, nx) light of a star of flux one at these offsets (ny, nx) from it."""
    width = (night.fwhm / 2)[:, np.newaxis, np.newaxis]
    square = (dx**2 + dy**2) / width**2
    if np.isinf(night.beta):
        return np.asarray(0.5**square * np.log(2) / np.pi / width**2)
    core = 2 ** (1 / night.beta) - 1
    return np.asarray(
        (1 + core * square) ** -night.beta * (night.beta - 1) * core / np.pi / width**2
    )


def starfield(night: Sky, rng: Generator) -> tuple[Floats, Floats, Floats]:
    """(n, SIDE, SIDE) light of stars, and their (m, 2) x, y and (m,) fluxes."""
    middles = np.arange(GRID / 2, SIDE, GRID)
    xy = np.stack(np.meshgrid(middles, middles), axis=-1).reshape(-1, 2)
    xy = xy + rng.uniform(-0.5, 0.5, xy.shape)
    flux = 10 ** rng.uniform(2, 5, len(xy))
    light = np.zeros((N_FRAMES, SIDE, SIDE))
    reach = GRID // 2
    for (x, y), each in zip(xy, flux, strict=True):
        column, row = round(x), round(y)
        rows, columns = (slice(max(at - reach, 0), min(at + reach, SIDE)) for at in (row, column))
        dy, dx = np.mgrid[rows, columns].astype(float)
        light[:, rows, columns] += each * profiles(night, dx - x, dy - y)
    return light, xy, flux


def observe(light: Floats, night: Sky, rng: Generator) -> NDArray[np.float32]:
    """Expose frames, and scale them to the light of a clear one."""
    dimmed = light * night.light[:, np.newaxis, np.newaxis]
    scatter = np.sqrt(night.noise[:, np.newaxis, np.newaxis] ** 2 + dimmed / GAIN)
    seen = dimmed + rng.normal(size=light.shape) * scatter
    return (seen / night.light[:, np.newaxis, np.newaxis]).astype(np.float32)


def how(cube: NDArray[np.float32], night: Sky) -> dict[str, Any]:
    """Arguments of `combine`, with the seeing as the stars of the cube tell it."""
    noise, gain = night.noise / night.light, GAIN * night.light
    pixels = starlight(cube, *find_centres(cube), noise, np.inf, N_PIXELS)
    seeing, gain = measure_seeing(pixels, noise, gain, np.inf)
    return {"noise": noise, "weights": noise**-2, "gain": gain, "seeing": seeing}


def gain_in_depth(night: Sky, told: dict[str, Any]) -> tuple[float, float]:
    """Depth of the coadd, and the best possible one, over that of the weighted mean.

    Of one star under the best filter: the integral of its power over that of the noise.
    """
    size = 128
    offsets = (np.arange(float(size)) + size // 2) % size - size // 2
    light = np.fft.fft2(profiles(night, *np.meshgrid(offsets, offsets)))
    noise, weights = told["noise"], told["weights"]
    placed = np.zeros((N_FRAMES, size, size))
    kernels = kernels_of(told["seeing"].kernels, weights)
    side = kernels.shape[1]
    placed[:, :side, :side] = kernels
    of_kernels = np.fft.fft2(np.roll(placed, (-(side // 2), -(side // 2)), axis=(1, 2)))

    def depth(filters: NDArray[Any]) -> float:
        signal = np.abs((filters * light).sum(axis=0)) ** 2
        variance = (np.abs(filters) ** 2 * noise[:, np.newaxis, np.newaxis] ** 2).sum(axis=0)
        return float(np.sqrt((signal / variance).sum()))

    of_mean = depth(np.broadcast_to(weights[:, np.newaxis, np.newaxis], light.shape))
    best = np.sqrt((np.abs(light) ** 2 * weights[:, np.newaxis, np.newaxis]).sum())
    return depth(of_kernels) / of_mean, float(best) / of_mean


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--nights", type=int, default=3)
    n_nights = parser.parse_args(arguments).nights
    print("| seeing | depth | possible |", " | ".join(f"flux, {mode} [%]" for mode in MODES), "|")
    print("|---" * (3 + len(MODES)) + "|")
    for name, make in NIGHTS.items():
        depths: list[tuple[float, float]] = []
        changes: dict[str, list[float]] = {mode: [] for mode in MODES}
        for seed in range(n_nights):
            rng = np.random.default_rng(seed)
            night = make(rng)
            light, xy, flux = starfield(night, rng)
            cube = observe(light, night, rng)
            told = how(cube, night)
            depths.append(gain_in_depth(night, told))
            images = combine(cube, MODES, **told).images
            truth = light.mean(axis=0)
            for (x, y), each in zip(xy, flux, strict=True):
                if each > 10_000:
                    part = tuple(
                        slice(round(at) - APERTURE, round(at) + APERTURE + 1) for at in (y, x)
                    )
                    for mode in MODES:
                        found = images[mode][part].sum(dtype=float)
                        changes[mode].append(found / truth[part].sum() - 1)
        depth, best = np.mean(depths, axis=0)
        cells = [f"{100 * np.median(changes[mode]):.2f}" for mode in MODES]
        print(f"| {name} | {depth:.3f} | {best:.3f} |", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()
