"""Time alignment and stack on simulated frames, and measure their memory.

Run it from the checkout, on a machine that does nothing else::

    python -m benchmarks.stack_job [--frames 12] [--shape 3000 4096] [--threads 2] [--modes ...]

Twelve different frames are made once, in a temporary folder; more frames than that read the same
files again. Each run is a process of its own: compilation is done (and kept on disk) by a first
run on tiny frames, and the time of starting Python and importing is shown by itself.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from astropy.io import fits

from scripts import align_frames, stack_frames
from scripts.lightstack.detection.sources import SOURCE
from scripts.lightstack.files.frame_file import Frame, write_frame
from scripts.lightstack.files.records import write_json
from scripts.lightstack.files.table_file import write_table
from scripts.lightstack.simulator import Light, add_star, make_sky

SIX = ("mean", "median", "max", "min", "std", "sigma_clip")
FILES = 12


def make_frames(folder: Path, shape: tuple[int, int], count: int) -> None:
    """Write what the steps before alignment would have written, for noise and 1000 stars."""
    rng = np.random.default_rng(1)
    sky = make_sky(rng, shape, 1000)
    for number in range(count):
        name = f"frame_{number:04d}"
        path = folder / "cleaned" / f"{name}.fits"
        if number >= FILES:
            path.symlink_to(folder / "cleaned" / f"frame_{number % FILES:04d}.fits")
        light = Light(
            shift=(float(number % FILES) * 1.37, float(number % FILES) * -0.71),
            rotation_deg=0.1 * (number % FILES),
        )
        matrix = light.matrix(shape)
        if number < FILES:
            pixels = rng.normal(0, 10, shape).astype(np.float32)
            for (x, y), flux in zip(
                sky.xy @ matrix[:2, :2].T + matrix[:2, 2], sky.flux, strict=True
            ):
                add_star(pixels, x, y, flux, light)
            header = fits.Header([("NOISEADU", 10.0), ("SATURATE", 6e4), ("EXPTIME", 60.0)])
            header["SKYMODEL"] = "match"
            write_frame(path, Frame(pixels, header, np.zeros(shape, bool)))
        xy = sky.xy @ matrix[:2, :2].T + matrix[:2, 2] + rng.normal(0, 0.03, sky.xy.shape)
        inside = ((xy > 0) & (xy < (shape[1], shape[0]))).all(axis=1)
        table = np.zeros(inside.sum(), SOURCE)
        table["x"], table["y"] = xy[inside].T
        table["flux"], table["fwhm"] = sky.flux[inside], 3.0
        write_table(folder / "sources" / f"{name}.fits", table, {})
        record = {"n_stars": len(table), "fwhm_px": 3.0, "star_fwhm_px": [2.0, 4.0]}
        record |= {"bright_fwhm_ratio": None, "doubled": None}
        # Copies of a file would count once.
        record |= {"pixels_sha256": name, "date_obs": None, "exptime_s": 60.0, "dark": "none"}
        record |= {"filter": None, "gain": None, "egain": None, "noise_adu": 10.0}
        quality = {"frame": name, "verdict": "accepted", "shape": list(shape), **record}
        write_json(folder / "quality" / f"{name}.json", quality)


def _nothing() -> None:
    """Show what starting Python costs."""


def _cpu_seconds() -> float:
    """CPU time of this process and of its forks that have ended [s]."""
    whose = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(used.ru_utime + used.ru_stime for used in map(resource.getrusage, whose))


def _peak_mb() -> float:
    """Most memory of this process [MB]; `ru_maxrss` counts what its parent had at the fork."""
    lines = Path("/proc/self/status").read_text().splitlines()
    peak = next(line for line in lines if line.startswith("VmHWM:"))
    return int(peak.split()[1]) / 1000


def align_and_stack(folder: Path, modes: list[str], threads: int, memory_mb: int) -> None:
    """Do the two jobs, and print their costs."""
    names = sorted(path.stem for path in (folder / "quality").iterdir())
    steps: dict[str, Callable[[], None]] = {
        "start": _nothing,
        "align": lambda: align_frames.run(
            {name: folder / "quality" / f"{name}.json" for name in names},
            {name: folder / "sources" / f"{name}.fits" for name in names},
            folder / "alignment.json",
            groups=dict.fromkeys(names, ""),
            reference="first",
            normalize="flux",
            min_transparency=0.3,
            cache=folder / "alignments.json",
            threads=threads,
        ),
        "stack": lambda: stack_frames.run(
            folder / "alignment.json",
            {name: folder / "cleaned" / f"{name}.fits" for name in names},
            {mode: folder / f"stack_{mode}.fits" for mode in modes},
            folder / "stacks" / "thumbnails.fits",
            group="",
            members=names,
            sigma_clip=2.5,
            weights="none",
            stack_memory_mb=memory_mb,
            threads=threads,
        ),
    }
    cpu = 0.0
    wall = time.perf_counter()
    for name, step in steps.items():
        step()
        now = _cpu_seconds()
        print(
            f"{name}: {now - cpu:7.2f} CPU-s {time.perf_counter() - wall:7.2f} s wall, "
            f"{(now - cpu) / len(names):.3f} CPU-s and "
            f"{(time.perf_counter() - wall) / len(names):.3f} s per frame, "
            f"peak {_peak_mb():.0f} MB",
            flush=True,
        )
        cpu, wall = now, time.perf_counter()


def main() -> None:
    """Make the frames, warm the caches, measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, nargs="+", default=[12])
    parser.add_argument("--shape", type=int, nargs=2, default=(3000, 4096), metavar=("NY", "NX"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory-mb", type=int, default=1000)
    parser.add_argument("--modes", nargs="+", default=list(SIX))
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.folder:
        align_and_stack(options.folder, options.modes, options.threads, options.memory_mb)
        return
    again = ["--threads", str(options.threads), "--memory-mb", str(options.memory_mb)]
    again += ["--modes", *options.modes]
    with tempfile.TemporaryDirectory() as place:
        cases = [("tiny", (200, 300), 2), *((str(n), options.shape, n) for n in options.frames)]
        for name, shape, count in cases:
            folder = Path(place, name)
            for part in ("cleaned", "sources", "quality"):
                (folder / part).mkdir(parents=True)
            make_frames(folder, tuple(shape), count)
            print(f"{count} frames of {shape[0]} x {shape[1]}", flush=True)
            command = [sys.executable, "-m", "benchmarks.stack_job", "--folder", str(folder)]
            subprocess.run([*command, *again], check=True)


if __name__ == "__main__":
    main()
