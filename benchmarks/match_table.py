"""Measure what is left of extended light in stacks, and the error of their sky, for each model.

Run it from the checkout (some minutes)::

    python -m benchmarks.match_table [--frames 12] [--colours]

Simulated nights of 1024 x 1536 pixels: each frame has 800 ADU of sky with a random gradient of its
own, is dithered by some pixels, and has 1.5 electrons per ADU; a Gaussian nebula is in the middle.
Printed are, of the mean of all frames, the share of the nebula's light that is kept within a
sixteenth of its peak, and the root mean square of the sky's error in blocks of 128 pixels that the
nebula does not reach (a thousandth of its peak, or nowhere: then all) [electrons]. The error is
that of the models: what they leave of the true skies is stacked, without the frames' noise.

``known`` is what photons allow: one cubic, fitted by least squares to the mean of all frames as
they lie, where stars have less than 0.02 ADU and the nebula less than 0.05 ADU (0.3 ADU, if that
is nowhere on a hundredth of the image), which no estimator is told.

With ``--colours`` frames are Bayer mosaics: each colour has a gradient of its own, 0.6, 1 and 0.4
of the sky and the stars, and 1, 0.5 and 0.3 of the nebula. Told are red, green and blue.
"""

import argparse
import math
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from benchmarks.sky_table import BLOCK, SHAPE, exposed, gradient, nebula, starlight
from scripts import clean_colours
from scripts.lightstack.alignment.transform import Transform
from scripts.lightstack.colour.planes import colour_file
from scripts.lightstack.detection.sources import SOURCE
from scripts.lightstack.files.frame_file import Frame, PixelFile, read_header, write_frame
from scripts.lightstack.files.table_file import write_table
from scripts.lightstack.planning.calibration_choice import Calibration
from scripts.lightstack.simulator import GAIN_E_PER_ADU
from scripts.lightstack.sky.surface import HIGHEST_DEGREE, Surface, terms
from scripts.lightstack.stacking.aligned import AlignedFrame
from scripts.lightstack.stacking.bands import Bands
from scripts.lightstack.stacking.colours import planes_of
from scripts.lightstack.stacking.gradients import match_skies
from scripts.subtract_background import subtract_background

NEBULAE = ((0, 0), (30, 300), (120, 600), (250, 200), (500, 500))
"""FWHM [pixels] and peak [ADU]."""

OF_SKY, OF_NEBULA = (0.6, 1.0, 0.4), (1.0, 0.5, 0.3)
"""Parts of the light in red, green and blue."""


def make_frames(
    folder: Path, degree: int, light: NDArray[np.float32], count: int
) -> dict[str, list[AlignedFrame]]:
    """Write what is left of the skies of a night's frames, for each model."""
    rng = np.random.default_rng(degree)
    stars = starlight(rng, 900, 3.2)
    seen_by_match = []
    frames: dict[str, list[AlignedFrame]] = {"mesh": [], "plane": []}
    for number in range(count):
        shift = rng.integers(-12, 13, 2)
        seen = np.roll(light + stars, shift, axis=(0, 1))
        true = gradient(rng, degree)
        raw = exposed(rng, true + seen)
        matrix = np.eye(3)
        matrix[:2, 2] = -shift[::-1]
        for model, of_model in frames.items():
            data = raw.copy()
            sky = subtract_background(data, 64, background=model)
            path = folder / f"{model}_{number}.fits"
            header = fits.Header([("NOISEADU", sky.noise), ("SATURATE", 6e4)])
            write_frame(path, Frame(data, header, np.zeros(SHAPE, bool)))
            transform = Transform(matrix, SHAPE, SHAPE)
            frame = AlignedFrame(str(number), PixelFile(path), read_header(path), transform, 1.0)
            of_model.append(replace(frame, pixels=left_of(true - (raw - data), path)))
            if model == "plane":
                seen_by_match.append(frame)
    (skies,) = match_skies([seen_by_match], 2)
    frames["match"] = [
        replace(frame, sky=sky) for frame, sky in zip(frames["plane"], skies, strict=True)
    ]
    return frames


def left_of(sky: NDArray[np.float32], frame: Path) -> PixelFile:
    """Write what a model has left of a sky beside its frame."""
    path = frame.with_name(f"left_of_{frame.name}")
    fits.writeto(path, sky.astype(np.float32), overwrite=True)
    return PixelFile(path)


def make_colours(
    folder: Path, degree: int, light: NDArray[np.float32], count: int
) -> list[list[AlignedFrame]]:
    """Write what is left of the skies of Bayer frames that are matched: red, green and blue."""
    rng = np.random.default_rng(degree)
    stars = starlight(rng, 900, 3.2)
    frames = []
    write_table(folder / "sources.fits", np.empty(0, SOURCE), {"RAWSHA": "0"})
    for number in range(count):
        shift = 0 if number == 0 else rng.integers(-12, 13, 2)
        mosaic, true = np.empty((2, *SHAPE), np.float32)
        for (row, column), colour in zip(np.ndindex(2, 2), (0, 1, 1, 2), strict=True):
            if (row, column) != (1, 0):  # both greens have one sky
                sky = gradient(rng, degree)
            seen = np.roll(OF_SKY[colour] * stars + OF_NEBULA[colour] * light, shift, axis=(0, 1))
            whole = exposed(rng, OF_SKY[colour] * sky + seen)
            mosaic[row::2, column::2] = whole[row::2, column::2]
            true[row::2, column::2] = OF_SKY[colour] * sky[row::2, column::2]
        raw, path = folder / "raw.fits", folder / f"{number}.fits"
        counts = np.clip(mosaic + 500, 0, 65535).astype(np.uint16)
        fits.writeto(raw, counts, fits.Header({"BAYERPAT": "RGGB"}), overwrite=True)
        clean_colours.run(
            raw,
            folder / "sources.fits",
            path,
            sha256="0",
            masters={},
            background="match",
            background_box=64,
            **Calibration().facts(""),
            saturation_limit=60000,
            dark_scaling="none",
            doubtful_darks="skip",
            cosmic_rays="none",
            debug_region=0,
        )
        matrix = np.eye(3)
        matrix[:2, 2] = -np.broadcast_to(shift, 2)[::-1]
        transform = Transform(matrix, SHAPE, SHAPE)
        frames.append(
            AlignedFrame(str(number), PixelFile(path), read_header(path), transform, 1.0)
        )
        taken = (counts.astype(np.float32) - 500) - fits.getdata(path)
        left_of(true - taken, path)
    paths = {frame.name: Path(folder / f"{frame.name}.fits") for frame in frames}
    planes = planes_of(frames, "0", paths, scaled=False, halved=False)
    return [
        [
            replace(frame, sky=sky, pixels=colour_file(left, frame.header, number))
            for frame, sky in zip(plane, skies, strict=True)
            for left in [folder / f"left_of_{frame.name}.fits"]
        ]
        for number, (plane, skies) in enumerate(zip(planes, match_skies(planes, 2), strict=True))
    ]


def known(degree: int, light: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Give the error of one surface that is fitted where there is no light."""
    rng = np.random.default_rng(degree)
    stars = starlight(rng, 900, 3.2)
    true, mean = np.zeros((2, *SHAPE), np.float32)
    for _ in range(count):
        sky = gradient(rng, degree)
        true += sky / np.float32(count)
        mean += exposed(rng, sky + light + stars) / np.float32(count)
    limit = 0.05 if (light < 0.05).mean() > 0.01 else 0.3
    dark = (stars < 0.02) & (light < limit)
    y, x = np.nonzero(dark)
    columns = terms(x.astype(float), y.astype(float), SHAPE, HIGHEST_DEGREE)
    coefficients = np.linalg.lstsq(columns, mean[dark].astype(float))[0]
    return true - Surface(SHAPE, coefficients).rows(0, SHAPE[0])


def print_colours(count: int) -> None:
    """Print the table of Bayer frames."""
    print("| gradient | nebula | red: kept, sky | green: kept, sky | blue: kept, sky |")
    print("|---|---|---|---|---|")
    for degree, name in ((1, "linear"), (2, "quadratic"), (3, "cubic")):
        for fwhm, peak in NEBULAE:
            light = nebula(fwhm, peak)
            with tempfile.TemporaryDirectory() as folder:
                cells = []
                for k, plane in enumerate(make_colours(Path(folder), degree, light, count)):
                    cells.append(cell(mean_of(plane), OF_NEBULA[k] * light))
            print("|", " | ".join((name, named(fwhm, peak), *cells)), "|", flush=True)


def mean_of(frames: list[AlignedFrame]) -> NDArray[np.float32]:
    """Stack."""
    bands = Bands([frames], ["mean"], 1000, 2)
    return np.concatenate([band.images["mean"] for _, band in bands])


def main(count: int) -> None:
    """Print the table."""
    print("| gradient | nebula | mesh: kept, sky | plane: kept, sky | match: kept, sky | known |")
    print("|---|---|---|---|---|---|")
    for degree, name in ((1, "linear"), (2, "quadratic"), (3, "cubic")):
        for fwhm, peak in NEBULAE:
            light = nebula(fwhm, peak)
            with tempfile.TemporaryDirectory() as folder:
                frames = make_frames(Path(folder), degree, light, count)
                cells = [cell(mean_of(of_model), light) for of_model in frames.values()]
            cells.append(cell(known(degree, light, count), light))
            print("|", " | ".join((name, named(fwhm, peak), *cells)), "|", flush=True)


def cell(error: NDArray[np.float32], light: NDArray[np.float32]) -> str:
    """Tell the share of the light that is kept, and the sky's error."""
    inside = light > light.max() / 16
    kept = 1 + float(np.nansum(error[inside])) / max(float(light[inside].sum()), 1)
    text = f"{kept:.1%}, " if light.max() > 1 else ""
    return text + f"{GAIN_E_PER_ADU * in_blocks(error, light):.2f}"


def named(fwhm: float, peak: float) -> str:
    """Name a nebula."""
    return f"{fwhm} px, {peak} ADU" if peak else "none"


def in_blocks(error: NDArray[np.float32], light: NDArray[np.float32]) -> float:
    """Root mean square of the means of blocks that the nebula does not reach."""
    error = np.where(light > max(float(light.max()), 1) / 1000, np.float32(np.nan), error)
    means = []
    for y in range(0, SHAPE[0], BLOCK):
        for x in range(0, SHAPE[1], BLOCK):
            block = error[y : y + BLOCK, x : x + BLOCK]
            if np.isfinite(block).mean() > 0.8:
                means.append(float(np.nanmedian(block)))
    return math.sqrt(float(np.mean(np.square(means)))) if means else math.nan


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--colours", action="store_true")
    options = parser.parse_args()
    (print_colours if options.colours else main)(options.frames)
