"""Measure what a night of a colour camera costs beside one of a mono camera.

Run it from the checkout (five minutes)::

    python -m benchmarks.colour_speed [--frames 20] [--shape 1080 1920] [--rounds 3]

Frames of a field that turns by 70 degrees, as those of a telescope without an equatorial mount do,
go through all steps in this process; skies are modelled as by default. Told is the CPU time of
each step per frame and megapixel: the least of some rounds in which mono and colours take turns.
"""

import argparse
import logging
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from scripts import (
    align_frames,
    calibrate_frame,
    clean_colours,
    detect_sources,
    grade_frame,
    stack_frames,
    subtract_background,
)
from scripts.lightstack.files.records import read_json
from scripts.lightstack.planning.calibration_choice import Calibration
from scripts.lightstack.planning.settings import complete_settings
from scripts.lightstack.simulator import Light, Night, make_camera, make_sky, write_night

TURN_DEG = 70.0

KINDS = ((None, ("gray",)), ("GRBG", ("gray", "superpixel", "rgb")))
"""Patterns of cameras, and what is made of their frames."""


def simulate(folder: Path, shape: tuple[int, int], n_frames: int, pattern: str | None) -> None:
    """Write the raw frames."""
    rng = np.random.default_rng(1)
    sky = make_sky(rng, shape, 400, margin=max(shape) // 2)
    camera = replace(make_camera(rng, shape, hot_share=0), pattern=pattern)
    lights = {
        f"{number:03d}": Light(
            shift=(float(rng.uniform(-5, 5)), float(rng.uniform(-5, 5))),
            rotation_deg=TURN_DEG * number / max(n_frames - 1, 1),
        )
        for number in range(n_frames)
    }
    write_night(folder, Night(sky, camera, lights, n_darks=0))


def measure(folder: Path, color: str) -> dict[str, float]:
    """Go through all steps; tell the CPU time of each [s]."""
    settings = complete_settings({"min_star_count": 20, "threshold_sigma": 5, "minarea": 5})
    spent: dict[str, float] = {}

    def timed(step: str, work: Callable[..., None], *given: Any, **named: Any) -> None:
        began = time.process_time()
        work(*given, **named)
        spent[step] = spent.get(step, 0.0) + time.process_time() - began

    made = folder / color
    raws = sorted((folder / "data").iterdir())
    stems = [raw.stem for raw in raws]
    calibration: dict[str, Any] = {
        "sha256": "0",
        "masters": {},
        **Calibration().facts(""),
        "saturation_limit": 65535,
        "dark_scaling": "none",
        "doubtful_darks": "skip",
        "cosmic_rays": "none",
        "debug_region": 0,
    }
    sky = {name: settings[name] for name in ("background", "background_box")}
    found: dict[str, Any] = {"threshold_sigma": 5, "minarea": 5, "smoothing_sigma": 1.0}
    limits = {name: settings[name] for name in GRADING}
    for raw in raws:
        calibrated, cleaned, sources, colours = (
            made / step / f"{raw.stem}.fits"
            for step in ("calibrated", "cleaned", "sources", "colours")
        )
        quality = made / "quality" / f"{raw.stem}.json"
        timed("calibrate_frame", calibrate_frame.run, raw, calibrated, **calibration)
        timed("subtract_background", subtract_background.run, calibrated, cleaned, **sky)
        timed("detect_sources", detect_sources.run, cleaned, sources, **found)
        timed("grade_frame", grade_frame.run, sources, quality, frame=raw.stem, limits=limits)
        if color != "gray":
            timed("clean_colours", clean_colours.run, raw, sources, colours, **calibration, **sky)
    (made / "alignments.json").unlink(missing_ok=True)
    timed(
        "align_frames",
        align_frames.run,
        {stem: made / "quality" / f"{stem}.json" for stem in stems},
        {stem: made / "sources" / f"{stem}.fits" for stem in stems},
        made / "alignment.json",
        groups=dict.fromkeys(stems, ""),
        reference="first",
        normalize="flux",
        min_transparency=0.3,
        cache=made / "alignments.json",
        threads=1,
    )
    stacked = "cleaned" if color == "gray" else "colours"
    timed(
        "stack_frames",
        stack_frames.run,
        made / "alignment.json",
        {stem: made / stacked / f"{stem}.fits" for stem in stems},
        {mode: made / f"stack_{mode}.fits" for mode in settings["modes"]},
        made / "stacks" / "thumbnails.fits",
        group="",
        members=list(read_json(made / "alignment.json")["frames"]),
        color=color,
        sigma_clip=2.5,
        weights="noise",
        stack_memory_mb=1000,
        threads=1,
    )
    return spent


GRADING = (
    "min_star_count",
    "fwhm0",
    "fwhm_max_ratio",
    "ellip_max",
    "outlier_mad_thresh",
    "saturated_max_fraction",
)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--shape", type=int, nargs=2, default=[1080, 1920])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    shape = (options.shape[0], options.shape[1])
    megapixels = options.frames * shape[0] * shape[1] / 1e6
    nights: dict[str, dict[str, float]] = {}
    logging.disable(logging.WARNING)  # that there are no darks
    with tempfile.TemporaryDirectory() as folder:
        for pattern, colors in KINDS:
            own = Path(folder, str(pattern))
            simulate(own, shape, options.frames, pattern)
            for color in colors:
                measure(own, color)  # compiles, and fills the disk's cache
        for _ in range(options.rounds):
            for pattern, colors in KINDS:
                for color in colors:
                    name = f"Bayer, {color}" if pattern else "mono"
                    spent = measure(Path(folder, str(pattern)), color)
                    least = nights.setdefault(name, spent)
                    nights[name] = {step: min(spent[step], least[step]) for step in spent}
    print(f"| step [s / MP] | {' | '.join(nights)} |\n|---{'|---' * len(nights)}|")
    for step in nights["Bayer, rgb"]:
        values = (f"{spent.get(step, 0) / megapixels:.3f}" for spent in nights.values())
        print(f"| {step} | {' | '.join(values)} |")
    totals = [sum(spent.values()) / megapixels for spent in nights.values()]
    print(f"| all | {' | '.join(f'{total:.3f}' for total in totals)} |")
    print(f"| over mono | {' | '.join(f'{total / totals[0]:.2f}' for total in totals)} |")


if __name__ == "__main__":
    main()
