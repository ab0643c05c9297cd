"""Compare stacks of one simulated night with the truth: this workflow, Siril and a plain recipe.

Run it from the checkout (three minutes)::

    python -m benchmarks.truth_table [--frames 12] [--size 1024 1536]

The night has stars in a seeing of 2.7 to 3.5 pixels, a galaxy with an exponential profile and a
nebula, a sky with a gradient of its own in each frame, haze (0.6 to 1 of the light), cosmic rays
and three satellites. The plain recipe is a dark's median, `sep.Background` with a mesh of 64
pixels, astroalign and a mean, a median or a clipped mean of its registered frames. Siril has its
own dark, linear sky, registration and winsorized rejection with `-norm=addscale`.

Each stack is compared with the light of its first frame without noise, star by star and block by
block. What is kept of galaxy and nebula is over what is kept of the stars, whose bias is told.
Depth is that light over the noise in blocks of 8 x 8 pixels of empty sky, over what the frames
allow.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import astroalign
import numpy as np
import sep
from astropy.io import fits
from numpy.typing import NDArray

from benchmarks.siril import SIRIL, siril_script
from scripts.lightstack.detection.sources import detect, measure
from scripts.lightstack.simulator import (
    GAIN_E_PER_ADU,
    READ_NOISE_ADU,
    Light,
    Night,
    Sky,
    add_satellite,
    add_star,
    digitize,
    make_camera,
    make_sky,
    write_night,
)
from scripts.lightstack.sky.noise import noise_of_sky
from scripts.lightstack.sky.surface import Surface

ROOT = Path(__file__).parents[1]

MODES = ("mean", "median", "sigma_clip", "winsorized", "noise_clip", "proper")

SETTINGS = f"""\
min_star_count: 100
threshold_sigma: 5
minarea: 5
modes: [{", ".join(MODES)}]
"""

WITH_SATELLITE = (2, 5, 8)

GALAXY, NEBULA = (0.28, 60.0, 400.0), (0.72, 180.0, 150.0)
"""Place along x [share of the width], scale length or FWHM [pixels], and brightness [ADU]."""

MARGIN, BLOCK, SQUARE, APERTURE = 40, 128, 8, 14
"""Pixels at the edges that do not count, sides of blocks for the sky and for the noise, and radius
of a star's aperture."""

Image = NDArray[np.float32]


def extended(shape: tuple[int, int], x: NDArray[np.float64], y: NDArray[np.float64]) -> Image:
    """Light of galaxy and nebula at places (ny, nx) of the sky [ADU]."""
    ny, nx = shape
    share, scale, bright = GALAXY
    light = bright * np.exp(-np.hypot(x - share * nx, y - ny / 2) / scale)
    share, fwhm, bright = NEBULA
    square = ((x - share * nx) ** 2 + (y - ny / 2) ** 2) / (fwhm / 2.3548) ** 2
    return np.asarray(light + bright * np.exp(-square / 2), np.float32)


def make_night(folder: Path, shape: tuple[int, int], count: int) -> Night:
    """Write the raw files."""
    rng = np.random.default_rng(5)
    lights = {
        f"light_{number:04d}": Light(
            shift=tuple(rng.uniform(-20, 20, 2)) if number else (0.0, 0.0),
            rotation_deg=float(rng.uniform(-1, 1)) if number else 0.0,
            fwhm=float(rng.uniform(2.7, 3.5)),
            transparency=float(rng.uniform(0.6, 1)) if number else 1.0,
            cosmic_rays=20,
        )
        for number in range(count)
    }
    night = Night(make_sky(rng, shape, 700), make_camera(rng, shape), lights)
    write_night(folder, night)
    rows, columns = np.indices(shape).reshape(2, -1).astype(float)
    for number, (name, light) in enumerate(lights.items()):
        path = folder / "data" / f"{name}.fits"
        own = np.random.default_rng([5, number])
        with fits.open(path) as hdus:
            raw, header = hdus[0].data.astype(np.float32), hdus[0].header
        to_sky = np.linalg.inv(light.matrix(shape))
        x, y, _ = to_sky @ np.stack([columns, rows, np.ones_like(rows)])
        added = light.transparency * extended(shape, x.reshape(shape), y.reshape(shape))
        added += Surface(shape, np.array([150, *own.normal(0, [60, 60, 10, 10, 10])])).rows(
            0, shape[0]
        )
        np.maximum(added, 0, out=added)
        if number in WITH_SATELLITE:
            add_satellite(own, added)
        added += own.standard_normal(shape, np.float32) * np.sqrt(added / GAIN_E_PER_ADU)
        fits.writeto(path, digitize(raw + added), header, overwrite=True)
    return night


def stack_here(folder: Path) -> Iterator[tuple[str, Image]]:
    """Run the workflow with its defaults."""
    (folder / "config").mkdir()
    (folder / "config" / "config.yaml").write_text(SETTINGS)
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    subprocess.run(
        [*command, "--directory", str(folder), "--cores", "2"], check=True, capture_output=True
    )
    for mode in MODES:
        yield (
            f"lightstack, {mode}",
            fits.getdata(folder / f"results/stack_{mode}.fits").astype(np.float32),
        )


def stack_plainly(folder: Path) -> Iterator[tuple[str, Image]]:
    """Follow the plain recipe."""
    dark = np.median([fits.getdata(path) for path in (folder / "darkfield").iterdir()], axis=0)
    frames = []
    for path in sorted((folder / "data").iterdir()):
        frame = np.ascontiguousarray(fits.getdata(path) - dark, np.float32)
        frame -= sep.Background(frame, bw=64, bh=64).back()
        frames.append(frame)
    aligned = [frames[0]]
    for frame in frames[1:]:
        registered, outside = astroalign.register(frame, frames[0], detection_sigma=5)
        aligned.append(np.where(outside, np.nan, registered))
    cube = np.array(aligned, np.float32)
    mean, std = np.nanmean(cube, axis=0), np.nanstd(cube, axis=0)
    yield "plain recipe, mean", mean
    yield "plain recipe, median", np.nanmedian(cube, axis=0)
    near = np.abs(cube - mean) <= 2.5 * std
    yield "plain recipe, sigma_clip", np.nanmean(np.where(near, cube, np.nan), axis=0)


def stack_by_siril(folder: Path) -> Iterator[tuple[str, Image]]:
    """Let Siril stack the night."""
    ways = {
        "mean": "rej 0 0 -norm=addscale",
        "median": "med -norm=addscale",
        "winsorized": "rej 3 3 -norm=addscale",
    }
    script = folder / "stack.ssf"
    script.write_text(siril_script(ways, os.cpu_count() or 1))
    (folder / "home").mkdir()
    environment = os.environ | {"XDG_CONFIG_HOME": str(folder / "home")}
    subprocess.run(
        [SIRIL, "-d", str(folder), "-s", str(script)],
        check=True,
        capture_output=True,
        env=environment,
    )
    for mode in ways:
        yield f"Siril, {mode}", fits.getdata(folder / f"{mode}.fit").astype(np.float32) * 65535


def stars_without_noise(sky: Sky, shape: tuple[int, int], fwhm: float) -> Image:
    """Draw the stars of the first frame."""
    light = np.zeros(shape, np.float32)
    for (x, y), flux in zip(sky.xy, sky.flux, strict=True):
        add_star(light, x, y, flux, Light(fwhm=fwhm))
    return light


def fluxes_of(stack: Image, stars: Image, night: Night, fwhm: float) -> list[float]:
    """Measure the stars that stand alone, over their true fluxes."""
    shape = stack.shape
    y, x = np.indices(shape).astype(float)
    fluxes = []
    for (at_x, at_y), flux in zip(night.sky.xy, night.sky.flux, strict=True):
        column, line = round(at_x), round(at_y)
        box = np.s_[line - 20 : line + 21, column - 20 : column + 21]
        if not (3e4 < flux < 4e5 and 60 < column < shape[1] - 60 and 60 < line < shape[0] - 60):
            continue
        others = stars[box].sum() - flux
        if others > 0.2 * flux:
            continue
        distance = np.hypot(x[box] - at_x, y[box] - at_y)
        ring = (distance > APERTURE + 1) & (distance < 20)
        alone = stack[box] - (stars[box] - drawn(flux, at_x - column, at_y - line, fwhm))
        fluxes.append(
            (alone - np.median(alone[ring]))[distance < APERTURE].sum(dtype=float) / flux
        )
    return fluxes


def row_of(name: str, stack: Image, night: Night) -> str:
    """Compare a stack with the truth."""
    shape = stack.shape
    y, x = np.indices(shape).astype(float)
    nebulous = extended(shape, x, y)
    widths = [light.fwhm for light in night.lights.values()]
    stars = stars_without_noise(night.sky, shape, float(np.mean(widths)))
    dark = stars < 5
    inner = np.zeros(shape, bool)
    inner[MARGIN:-MARGIN, MARGIN:-MARGIN] = True
    usable = inner & dark & np.isfinite(stack)
    sky = usable & (nebulous < 0.3)
    level = float(np.median(stack[sky]))
    left = stack - np.float32(level) - stars

    kept = []
    for share, size, bright in (GALAXY, NEBULA):
        radius = np.hypot(x - share * shape[1], y - shape[0] / 2)
        part = usable & (radius < (2 * size if bright == GALAXY[2] else size / 2))
        kept.append(left[part].sum(dtype=float) / nebulous[part].sum(dtype=float))
    errors = []
    for top in range(MARGIN, shape[0] - BLOCK, BLOCK):
        for side in range(MARGIN, shape[1] - BLOCK, BLOCK):
            part = np.zeros(shape, bool)
            part[top : top + BLOCK, side : side + BLOCK] = True
            part &= sky
            if part.sum() > BLOCK**2 / 4:
                errors.append(left[part].mean(dtype=float))
    fluxes = fluxes_of(stack, stars, night, float(np.mean(widths)))
    scale = float(np.median(fluxes))
    n_y, n_x = shape[0] // SQUARE, shape[1] // SQUARE
    squares = np.where(sky, left, np.nan)[: SQUARE * n_y, : SQUARE * n_x]
    means = squares.reshape(n_y, SQUARE, n_x, SQUARE).mean(axis=(1, 3))
    apart = (means[:, 1:] - means[:, :-1]) / np.sqrt(2)
    noise = 1.4826 * float(np.nanmedian(np.abs(apart)))
    variance = (800 + 150 + 20) / GAIN_E_PER_ADU + READ_NOISE_ADU**2
    light_of_all = sum(light.transparency**2 for light in night.lights.values())
    best = SQUARE * np.sqrt(light_of_all / variance)
    depth = scale / noise / best
    pixels = np.where(np.isfinite(stack), stack - level - nebulous, 0).astype(np.float32)
    sigma = noise_of_sky(pixels)
    found = detect(pixels, sigma, threshold_sigma=10, minarea=5, smoothing_sigma=1)
    table = measure(pixels, np.zeros(shape, bool), found, sigma)
    outliers = int(np.count_nonzero((left - nebulous)[sky] > 8 * sigma))
    scatter = 1.4826 * float(np.median(np.abs(np.array(fluxes) - scale)))
    cells = [
        *(f"{100 * each / scale:.1f}" for each in kept),
        f"{np.std(errors):.2f}",
        f"{100 * (scale - 1):+.2f}",
        f"{100 * scatter:.2f}",
        f"{depth:.3f}",
        f"{np.median(table['fwhm']):.2f}",
        f"{outliers}",
    ]
    return f"| {name} | {' | '.join(cells)} |"


def drawn(flux: float, dx: float, dy: float, fwhm: float) -> Image:
    """Draw one star in the middle of 41 x 41 pixels, or so far from it."""
    light = np.zeros((41, 41), np.float32)
    add_star(light, 20 + dx, 20 + dy, flux, Light(fwhm=fwhm))
    return light


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--size", type=int, nargs=2, default=(1024, 1536))
    chosen = parser.parse_args(arguments)
    ways = [stack_here, stack_plainly]
    if shutil.which(SIRIL) is None:
        print(f"{SIRIL} is not installed (Debian package siril): its rows are missing.")
    else:
        ways.append(stack_by_siril)
    print(
        "| stack | galaxy kept [%] | nebula kept [%] | sky error [ADU] | photometry, bias [%] | "
        "scatter [%] | depth | FWHM [px] | outliers left |\n" + "|---" * 9 + "|"
    )
    with tempfile.TemporaryDirectory() as name:
        night = make_night(Path(name) / "night", tuple(chosen.size), chosen.frames)
        for number, way in enumerate(ways):
            folder = Path(name) / str(number)
            shutil.copytree(Path(name) / "night", folder)
            for stack, image in way(folder):
                print(row_of(stack, image, night), flush=True)


if __name__ == "__main__":
    main()
