"""Measure what is left of light that is put into the frames of a real night.

Run it from the checkout, for a night that ``snakemake --notemp`` has stacked (a minute or some)::

    python -m benchmarks.injection_table /path/to/night

Gaussian nebulae, at their peak three times as bright as a frame's noise, are put into the
calibrated frames at three places of the sky, one at a time. Printed is the share of their light,
within a sixteenth of the peak, that is kept [%]: of single frames cleaned by `plane` (least,
median and greatest), and in the mean of all frames with `match`. What a night's own sky is nobody
knows, so nebulae are compared with the same frames without them.
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from benchmarks.match_table import mean_of
from scripts.lightstack.alignment.transform import Transform
from scripts.lightstack.detection.sources import SIGMA_TO_FWHM
from scripts.lightstack.files.frame_file import Frame, PixelFile, read_frame, write_frame
from scripts.lightstack.files.records import read_json
from scripts.lightstack.stacking.aligned import AlignedFrame
from scripts.lightstack.stacking.gradients import match_skies
from scripts.subtract_background import subtract_background

SIZES = (30, 60, 120, 250)
"""FWHM [pixels]."""

PLACES = ((0.5, 0.5), (0.25, 0.3), (0.75, 0.7))
"""On the reference, over its width and height."""

PEAK = 3.0
"""Brightness in the middle [noise of a frame]."""

Image = NDArray[np.float32]


class Night(NamedTuple):
    """The frames of a night.

    Attributes
    ----------
    names : list of str
    raw : list of (ny, nx) ndarray of float32
        Calibrated, with their sky [ADU].
    transforms : list of Transform
    scales : list of float
        What brings fluxes to those of the reference.
    """

    names: list[str]
    raw: list[Image]
    transforms: list[Transform]
    scales: list[float]


def read_night(folder: Path) -> Night:
    """Read the frames that were stacked."""
    alignment = read_json(folder / "results/alignment.json")

    def calibrated(name: str) -> Image:
        return read_frame(folder / f"work/calibrated/{name}.fits").data

    shape = calibrated(alignment["reference"]).shape
    names = list(alignment["frames"])
    raw = [calibrated(name) for name in names]
    entries = alignment["frames"].values()
    transforms = [
        Transform.from_json(entry, data.shape, shape)
        for entry, data in zip(entries, raw, strict=True)
    ]
    return Night(names, raw, transforms, [entry["flux_scale"] for entry in entries])


def nebula(
    shape: tuple[int, int], transform: Transform, place: tuple[float, float], fwhm: float
) -> Image:
    """Draw a nebula of peak one as a frame sees it that is so transformed."""
    ny, nx = shape
    y, x = np.indices(shape)
    xy = transform.forward(np.column_stack([x.ravel(), y.ravel()]).astype(float))
    height, width = transform.reference_shape
    distance = np.hypot(xy[:, 0] - place[0] * width, xy[:, 1] - place[1] * height)
    light: Image = np.exp(-((distance / (fwhm / SIGMA_TO_FWHM)) ** 2) / 2).astype(np.float32)
    return light.reshape(ny, nx)


def cleaned(
    night: Night, lights: list[Image], folder: Path
) -> tuple[list[Image], list[float], Image]:
    """Clean frames with light added: give them, their noise, and their mean with `match`."""
    products, noises, frames = [], [], []
    for k, (raw, light) in enumerate(zip(night.raw, lights, strict=True)):
        product = raw + light
        noise = subtract_background(product, 64, background="plane").noise
        path = folder / f"{k}.fits"
        header = fits.Header([("NOISEADU", noise), ("SATURATE", 6e4)])
        write_frame(path, Frame(product, header, np.zeros(product.shape, bool)))
        pixels = PixelFile(path)
        frames.append(
            AlignedFrame(night.names[k], pixels, header, night.transforms[k], night.scales[k])
        )
        products.append(product)
        noises.append(noise)
    (skies,) = match_skies([frames], 2)
    matched = [replace(frame, sky=sky) for frame, sky in zip(frames, skies, strict=True)]
    return products, noises, mean_of(matched)


def main(folder: Path) -> None:
    """Print the table."""
    night = read_night(folder)
    print("| FWHM [px] | place | plane: least | median | greatest | match |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        nothing = [np.zeros(data.shape, np.float32) for data in night.raw]
        before, noises, stack = cleaned(night, nothing, Path(scratch))
        noise = float(np.median(noises))
        for fwhm in SIZES:
            for place in PLACES:
                shapes = [
                    nebula(data.shape, transform, place, fwhm)
                    for data, transform in zip(night.raw, night.transforms, strict=True)
                ]
                lights = [
                    np.float32(PEAK * noise / scale) * shape
                    for shape, scale in zip(shapes, night.scales, strict=True)
                ]
                after, _, stack_after = cleaned(night, lights, Path(scratch))
                kept = [
                    share(new - old, light)
                    for new, old, light in zip(after, before, lights, strict=True)
                ]
                here = np.eye(3), stack.shape, stack.shape
                whole = PEAK * noise * nebula(stack.shape, Transform(*here), place, fwhm)
                values = min(kept), np.median(kept), max(kept), share(stack_after - stack, whole)
                cells = " | ".join(f"{100 * value:.0f}" for value in values)
                print(f"| {fwhm} | {place[0]}, {place[1]} | {cells} |", flush=True)


def share(gained: Image, light: Image) -> float:
    """Share of the light that is there."""
    inside = (light > light.max() / 16) & np.isfinite(gained)
    return float(gained[inside].sum() / light[inside].sum())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("night", type=Path, help="folder of a run that has finished")
    main(parser.parse_args().night)
