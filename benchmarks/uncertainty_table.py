"""Compare the standard errors in stacks with the scatter of simulated repeats.

Run it from the checkout::

    python -m benchmarks.uncertainty_table [--frames 5 12 20] [--trials 30] [--fields 4]

Frames are dithered, turned by up to a degree, of seeing between 2.6 and 3.4 pixels and of
transparency between 0.7 and 1. Each number is the scatter of the repeats over what the stacks tell
of it (both root mean square): on the sky, and where the mean of all is 2 to 10, 10 to 100 and more
than 100 times as bright as its noise.

Fields differ in their stars, dithers and seeing. These decide in which bright pixels it is noise
that clips a value, or has it in the middle, so that one field tells little of the brightest stars.
"""

import argparse
import itertools
import tempfile
from pathlib import Path

import numpy as np
from astropy.io import fits

from scripts.lightstack.alignment.transform import Transform
from scripts.lightstack.files.frame_file import Frame, PixelFile, read_header, write_frame
from scripts.lightstack.linear import affine_inverse
from scripts.lightstack.simulator import Light, add_star, make_sky
from scripts.lightstack.sky.noise import noise_of_sky
from scripts.lightstack.stacking.aligned import AlignedFrame
from scripts.lightstack.stacking.measuring import measure
from scripts.lightstack.stacking.modes import WITH_ERROR
from scripts.lightstack.stacking.stacked import Stacked

SHAPE = (300, 360)
GAIN, READ_NOISE_E, SKY_ADU = 1.5, 6.0, 300.0
EDGES = (-np.inf, 2, 10, 100, np.inf)
MARGIN = 20
KINDS = ("plain", "flat", "no gain", "few stars")


def frames_of(folder: Path, n: int, kind: str, trial: int, field: int = 0) -> list[AlignedFrame]:
    """Write frames and give them as the stack gets them; trials differ in their noise alone.

    Of the kind "flat", corners of the sensor see half of the light and are made up for it.
    """
    same, noise = np.random.default_rng(7 + field), np.random.default_rng([trial, n, field])
    sky = make_sky(same, SHAPE, 4 if kind == "few stars" else 60)
    fluxes = np.geomspace(300, 1e3 if kind == "few stars" else 2e5, len(sky.flux))
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    response = np.ones(SHAPE)
    if kind == "flat":
        response -= 0.25 * ((2 * y / SHAPE[0] - 1) ** 2 + (2 * x / SHAPE[1] - 1) ** 2)
        response /= np.median(response)
    frames = []
    for number in range(n):
        shift, turn = same.uniform(-6, 6, 2), same.uniform(-1, 1)
        light = Light(
            shift=(float(shift[0]), float(shift[1])) if number else (0.0, 0.0),
            rotation_deg=float(turn) if number else 0.0,
            fwhm=float(same.uniform(2.6, 3.4)),
            transparency=float(same.uniform(0.7, 1)),
        )
        matrix = light.matrix(SHAPE)
        signal = np.zeros(SHAPE, np.float32)
        places = sky.xy @ matrix[:2, :2].T + matrix[:2, 2]
        for (at_x, at_y), flux in zip(places, fluxes * light.transparency, strict=True):
            add_star(signal, at_x, at_y, flux, light)
        electrons = noise.poisson((signal + SKY_ADU) * GAIN * response)
        read = electrons + noise.normal(0, READ_NOISE_E, SHAPE)
        pixels = (read / GAIN / response - SKY_ADU).astype(np.float32)
        header = fits.Header([("NOISEADU", noise_of_sky(pixels)), ("BKGADU", SKY_ADU)])
        header.update({"SATURATE": 6e4, "EXPTIME": 60.0})
        header.update({} if kind in ("no gain", "few stars") else {"EGAIN": GAIN})
        header.update({"FLAT": "master"} if kind == "flat" else {})
        path = folder / f"{number}.fits"
        write_frame(path, Frame(pixels, header, np.zeros(SHAPE, bool)))
        transform = Transform(affine_inverse(matrix), SHAPE, SHAPE)
        frames.append(
            AlignedFrame(
                str(number), PixelFile(path), read_header(path), transform, 1 / light.transparency
            )
        )
    return frames


def scatter_over_error(
    folder: Path, n: int, kind: str, trials: int, fields: int = 1
) -> dict[str, list[float]]:
    """Stack repeats, and compare by mode: on the sky and in three steps of brightness."""
    sums = {mode: np.zeros((2, len(EDGES) - 1)) for mode in WITH_ERROR}
    for field in range(fields):
        for mode, of_field in _sums_of_field(folder, n, kind, trials, field).items():
            sums[mode] += of_field
    return {
        mode: np.sqrt(scatter[told > 0] / told[told > 0]).tolist()
        for mode, (scatter, told) in sums.items()
    }


def _sums_of_field(
    folder: Path, n: int, kind: str, trials: int, field: int
) -> dict[str, np.ndarray]:
    """Sum the variances of repeats, and those that are told, in each step of brightness."""
    values: dict[str, list[np.ndarray]] = {mode: [] for mode in WITH_ERROR}
    errors: dict[str, list[np.ndarray]] = {mode: [] for mode in WITH_ERROR}
    for trial in range(trials):
        frames = frames_of(folder, n, kind, trial, field)
        stacked = Stacked({}, (frames,), frames[0], 2.5, "noise", {}, uncertainty=True)
        measured = measure(frames, WITH_ERROR, 2, uncertainty=True)
        bands = [band for _, band in stacked.bands(WITH_ERROR, 1000, 2, [measured])]
        for mode in WITH_ERROR:
            values[mode].append(np.concatenate([band.images[mode] for band in bands]))
            errors[mode].append(np.concatenate([band.errors[mode] for band in bands]))
    inner = np.zeros(SHAPE, bool)
    inner[MARGIN:-MARGIN, MARGIN:-MARGIN] = True
    brightness = np.mean(values["mean"], axis=0) / np.median(errors["mean"][0][inner])
    places = [
        inner & (brightness > low) & (brightness <= high)
        for low, high in itertools.pairwise(EDGES)
    ]
    found = {}
    for mode in WITH_ERROR:
        scatter = np.var(values[mode], axis=0, ddof=1)
        told = np.mean(np.square(errors[mode]), axis=0)
        found[mode] = np.array([[of[place].sum() for place in places] for of in (scatter, told)])
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, nargs="+", default=[5, 12, 20])
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--fields", type=int, default=4)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS[:3]))
    options = parser.parse_args()
    print("| frames | kind | mode | sky | 2 to 10 | 10 to 100 | above |")
    print("|---|---|---|---|---|---|---|")
    for n in options.frames:
        for kind in options.kinds:
            with tempfile.TemporaryDirectory() as folder:
                found = scatter_over_error(Path(folder), n, kind, options.trials, options.fields)
            for mode, ratios in found.items():
                told = " | ".join(f"{ratio:.3f}" for ratio in ratios)
                print(f"| {n} | {kind} | {mode} | {told} |", flush=True)


if __name__ == "__main__":
    main()
