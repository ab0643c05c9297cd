"""Measure what models of the sky leave of extended light, and the noise that is measured.

Run it from the checkout (three minutes)::

    python -m benchmarks.sky_table

Simulated frames of 1024 x 1536 pixels, 800 ADU of sky with a random gradient, 900 stars, 1.5
electrons per ADU. The first table has a Gaussian nebula in the middle: what share of its light is
left within its FWHM, and the error of the sky in blocks of 128 pixels [ADU, root mean square], for
each model (mean of the trials). The second has the noise that is measured, over the true one: also
of a mosaic made grey, and where a flat has raised corners that had 0.4 of the light. The third has
the error of the mesh beside which stars are sought, made of pixels and of averages of 2 x 2: its
scatter and mean over the noise of a pixel.
"""

import argparse
import math

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.raw.bayer import GREY_NOISE, grey_of_mosaic
from scripts.lightstack.simulator import (
    BIAS_ADU,
    GAIN_E_PER_ADU,
    READ_NOISE_ADU,
    Light,
    add_star,
    digitize,
    make_sky,
)
from scripts.lightstack.sky.mesh import mesh_of, subtract_mesh
from scripts.lightstack.sky.noise import noise_in_cells, noise_of_sky
from scripts.lightstack.sky.noise_map import noise_surface
from scripts.lightstack.sky.surface import N_TERMS, Surface
from scripts.subtract_background import subtract_background

SHAPE = (1024, 1536)
BLOCK = 128
AMPLITUDES = (800, 60, 60, 20, 20, 20, 6, 6, 6, 6)
"""Standard deviations of a gradient's terms [ADU]; the first is the sky."""

NEBULAE = ((0, 0), (30, 300), (60, 300), (120, 600), (250, 200), (400, 200), (500, 500))
"""FWHM [pixels] and peak [ADU]."""

Image = NDArray[np.float32]


def gradient(rng: np.random.Generator, degree: int) -> Image:
    """Make a sky with a random gradient."""
    coefficients = rng.normal(0, AMPLITUDES)[: N_TERMS[degree]]
    coefficients[0] = AMPLITUDES[0]
    return Surface(SHAPE, coefficients).rows(0, SHAPE[0])


def nebula(fwhm: float, peak: float) -> Image:
    """Make a Gaussian nebula in the middle of the frame."""
    y, x = np.indices(SHAPE, np.float32)
    sigma = np.float32(max(fwhm, 1) / (2 * math.sqrt(2 * math.log(2))))
    distance = ((x - SHAPE[1] / 2) ** 2 + (y - SHAPE[0] / 2) ** 2) / (2 * sigma**2)
    return np.float32(peak) * np.exp(-distance)


def starlight(rng: np.random.Generator, n_stars: int, fwhm: float) -> Image:
    """Scatter stars."""
    light, sky = np.zeros(SHAPE, np.float32), make_sky(rng, SHAPE, n_stars)
    for (x, y), flux in zip(sky.xy, sky.flux, strict=True):
        add_star(light, x, y, flux, Light(fwhm=fwhm))
    return light


def exposed(rng: np.random.Generator, light: Image) -> Image:
    """Expose a frame, and take its bias off."""
    noise = np.sqrt(light / np.float32(GAIN_E_PER_ADU) + READ_NOISE_ADU**2)
    frame = light + noise * rng.standard_normal(SHAPE, np.float32) + np.float32(BIAS_ADU)
    return digitize(frame).astype(np.float32) - np.float32(BIAS_ADU)


def in_blocks(error: Image) -> float:
    """Root mean square of the means of blocks."""
    ny, nx = (n // BLOCK for n in SHAPE)
    means = error[: ny * BLOCK, : nx * BLOCK].reshape(ny, BLOCK, nx, BLOCK).mean(axis=(1, 3))
    return math.sqrt(float(np.mean(means**2)))


def print_light(trials: int) -> None:
    """Print what is left of extended light."""
    print("| gradient | nebula: FWHM, peak | mesh: kept | sky error | plane: kept | sky error |")
    print("|---|---|---|---|---|---|")
    for degree, name in ((1, "linear"), (2, "quadratic"), (3, "cubic")):
        for fwhm, peak in NEBULAE:
            rng = np.random.default_rng(degree)
            cells = [one_trial(rng, degree, nebula(fwhm, peak)) for _ in range(trials)]
            (mesh_kept, mesh_error), (kept, error) = np.mean(cells, axis=0)
            texts = ["", ""] if peak == 0 else [f"{kept:.1%}" for kept in (mesh_kept, kept)]
            what = f"{fwhm} px, {peak} ADU" if peak else "none"
            print(
                f"| {name} | {what} | {texts[0]} | {mesh_error:.2f} | {texts[1]} | {error:.2f} |"
            )


def one_trial(rng: np.random.Generator, degree: int, light: Image) -> list[tuple[float, float]]:
    """Give the share of the light that is kept and the sky's error, by the mesh and the plane."""
    sky = gradient(rng, degree)
    frame = exposed(rng, sky + light + starlight(rng, 900, 3.2))
    inside = light > light.max() / 16
    results = []
    for model in ("mesh", "plane"):
        product = frame.copy()
        subtract_background(product, 64, background=model)
        error = frame - product - sky
        total = float(light[inside].sum())
        kept = 1 - float(error[inside].sum()) / total if total else 1.0
        results.append((kept, in_blocks(error)))
    return results


def print_noise() -> None:
    """Print the noise that is measured."""
    print(
        "| stars | FWHM | globalrms of SEP | noise_of_sky | with a nebula | grey | raised: map |"
    )
    print("|---|---|---|---|---|---|---|")
    rng = np.random.default_rng(9)
    for n_stars in (0, 900, 5000, 20_000, 30_000):
        for fwhm in (2.2, 3.2, 5.0):
            sky = gradient(rng, 1)
            stars = starlight(rng, n_stars, fwhm) if n_stars else np.float32(0)
            true = float(np.median(np.sqrt(sky / GAIN_E_PER_ADU + READ_NOISE_ADU**2 + 1 / 12)))
            frame = exposed(rng, sky + stars)
            with_nebula = exposed(rng, sky + stars + nebula(150, 600))
            grey = frame.copy()
            grey_of_mosaic(grey)
            values = (
                mesh_of(frame, 64, 0.0).globalrms,
                *map(noise_of_sky, (frame, with_nebula)),
                noise_of_sky(grey) / GREY_NOISE,
            )
            cells = [f"{v / true:.3f}" for v in values]
            print(f"| {n_stars} | {fwhm} |", " | ".join([*cells, of_map(rng, sky + stars)]), "|")


def of_map(rng: np.random.Generator, light: Image) -> str:
    """Least and greatest of the noise that a map tells over the true one."""
    response = np.float32(1) - Surface(SHAPE, np.array([1 / 3, 0, 0, 1 / 6, 0, 1 / 6])).rows(
        0, SHAPE[0]
    )
    frame = exposed(rng, light * response) / response
    places, sigma = noise_in_cells(frame)
    coefficients = noise_surface(places, sigma, SHAPE)
    if coefficients is None:
        return ""
    sky = np.float32(AMPLITUDES[0])
    true = np.sqrt(sky * response / GAIN_E_PER_ADU + READ_NOISE_ADU**2 + 1 / 12) / response
    ratio = Surface(SHAPE, coefficients).rows(0, SHAPE[0]) / true
    return f"{ratio.min():.2f} to {ratio.max():.2f}"


def print_meshes(trials: int) -> None:
    """Print the errors of meshes."""
    print("| stars | FWHM | of pixels: scatter | mean | of 2 x 2: scatter | mean |")
    print("|---|---|---|---|---|---|")
    rng = np.random.default_rng(3)
    for n_stars in (0, 900, 5000, 20_000):
        for fwhm in (2.2, 3.2, 5.0) if n_stars else (0,):
            errors = [errors_of_meshes(rng, n_stars, fwhm) for _ in range(trials)]
            cells = [f"{error:.3f}" for error in np.mean(errors, axis=0)]
            print(f"| {n_stars} | {fwhm or ''} |", " | ".join(cells), "|")


def errors_of_meshes(rng: np.random.Generator, n_stars: int, fwhm: float) -> list[float]:
    """Give scatter and mean of the error of the mesh of pixels, and of that of 2 x 2."""
    sky = gradient(rng, 2)
    stars = starlight(rng, n_stars, fwhm) if n_stars else np.float32(0)
    frame = exposed(rng, sky + stars)
    of_pixels, of_squares = frame.copy(), frame.copy()
    mesh_of(of_pixels, 64, 1.0).subfrom(of_pixels)
    subtract_mesh(of_squares, 64, 1.0)
    noise = float(np.median(np.sqrt(sky / GAIN_E_PER_ADU + READ_NOISE_ADU**2 + 1 / 12)))
    errors = [(frame - cleaned - sky) / noise for cleaned in (of_pixels, of_squares)]
    return [float(value) for error in errors for value in (error.std(), error.mean())]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=4)
    n_trials = parser.parse_args().trials
    print_light(n_trials)
    print()
    print_noise()
    print()
    print_meshes(n_trials)
