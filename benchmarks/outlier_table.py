"""Measure what trails and cosmic rays leave in the stacks of simulated nights.

Run it from the checkout (half a minute for each night)::

    python -m benchmarks.outlier_table [--nights 3]

Each night has twelve frames of 1536 x 1024 pixels with 700 stars in changing seeing (2.7 to
3.5 pixels), and is stacked twice: as it is, and with three satellites and 60 cosmic rays in each
frame. The table shows in how many pixels these change the stack by more than five times its
noise, shot noise included, and the greatest change. Looked at are all pixels that they touch:
where all frames have data and the mean changes by more than its noise.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from scripts.lightstack.simulator import (
    GAIN_E_PER_ADU,
    Light,
    Night,
    add_cosmic_ray,
    add_satellite,
    digitize,
    make_camera,
    make_sky,
    write_night,
)

ROOT = Path(__file__).parents[1]

SHAPE = (1024, 1536)
N_FRAMES, N_STARS, N_COSMIC_RAYS = 12, 700, 60
WITH_SATELLITE = (2, 6, 9)
MODES = ("mean", "median", "winsorized", "noise_clip")
SETTINGS = f"""\
min_star_count: 100
threshold_sigma: 5
minarea: 5
modes: [{", ".join(MODES)}]
"""

Image = NDArray[np.float64]


def make_lights(rng: np.random.Generator) -> dict[str, Light]:
    """Say how the frames of a night are taken."""
    return {
        f"light_{number:04d}": Light(
            shift=(rng.uniform(-25, 25), rng.uniform(-25, 25)),
            rotation_deg=rng.uniform(-1.5, 1.5),
            fwhm=rng.uniform(2.7, 3.5),
            ellipticity=rng.uniform(0, 0.12),
            theta=rng.uniform(0, np.pi),
            transparency=rng.uniform(0.85, 1),
            sky_adu=rng.uniform(700, 1000),
        )
        for number in range(N_FRAMES)
    }


def contaminate(path: Path, rng: np.random.Generator, *, satellite: bool) -> None:
    """Add what does not belong to the sky to a raw frame, and leave its noise as it is."""
    with fits.open(path) as hdus:
        raw, header = hdus[0].data.astype(np.float32), hdus[0].header
    added = np.zeros_like(raw)
    if satellite:
        add_satellite(rng, added)
        added += rng.standard_normal(raw.shape, np.float32) * np.sqrt(added / GAIN_E_PER_ADU)
    for _ in range(N_COSMIC_RAYS):
        add_cosmic_ray(rng, added)
    fits.writeto(path, digitize(raw + added), header, overwrite=True)


def stack(folder: Path) -> dict[str, Image]:
    """Run the workflow and read its stacks, and the coverage as one of them."""
    (folder / "config").mkdir()
    (folder / "config" / "config.yaml").write_text(SETTINGS)
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    command += ["--directory", str(folder), "--cores", "2"]
    subprocess.run(command, check=True, capture_output=True)
    paths = {mode: folder / "results" / f"stack_{mode}.fits" for mode in MODES}
    images = {mode: fits.getdata(path).astype(float) for mode, path in paths.items()}
    images["coverage"] = fits.getdata(paths["mean"], "COVERAGE")
    return images


def left(place: Path, seed: int) -> dict[str, tuple[int, float]]:
    """How many pixels stand out, and the greatest change [sigma]."""
    rng = np.random.default_rng(seed)
    sky, camera = make_sky(rng, SHAPE, N_STARS), make_camera(rng, SHAPE)
    night = Night(sky, camera, make_lights(rng), seed=seed)
    write_night(place / "clean", night)
    shutil.copytree(place / "clean", place / "dirty")
    for number, path in enumerate(sorted((place / "dirty" / "data").iterdir())):
        satellite = number in WITH_SATELLITE
        contaminate(path, np.random.default_rng([seed, number]), satellite=satellite)
    clean, dirty = stack(place / "clean"), stack(place / "dirty")
    light = np.maximum(clean["median"], 0)
    covered = (clean["coverage"] == N_FRAMES) & (dirty["coverage"] == N_FRAMES)
    sky_noise = 1.4826 * np.median(np.abs(clean["mean"][covered & (light < 10)]))
    noise = np.sqrt(sky_noise**2 + light / GAIN_E_PER_ADU / N_FRAMES)
    touched = covered & (np.abs(dirty["mean"] - clean["mean"]) > noise)
    found = {}
    for mode in MODES:
        sigmas = np.where(touched, np.abs(dirty[mode] - clean[mode]) / noise, 0)
        found[mode] = int((sigmas > 5).sum()), float(sigmas.max())
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--nights", type=int, default=3)
    print("| night | " + " | ".join(MODES) + " |\n" + "|---" * (1 + len(MODES)) + "|")
    for seed in range(1, parser.parse_args().nights + 1):
        with tempfile.TemporaryDirectory() as place:
            found = left(Path(place), seed)
        cells = [f"{count}, {highest:.1f}" for count, highest in found.values()]
        print(f"| {seed} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
