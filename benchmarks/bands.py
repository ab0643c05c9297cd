"""Compare a stack made by several jobs with one made by one job: CPU time, and bytes.

Run it from the checkout::

    python -m benchmarks.bands [--frames 24] [--shape 3000 4096] [--bands 4] [--modes ...]

Each job is a process of its own, as on a cluster. Compilation is done (and kept on disk) by a
first round on tiny frames; a second one tells what starting Python and importing costs.
"""

import argparse
import filecmp
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.stack_job import SIX, make_frames
from scripts import align_frames, join_bands, measure_frames, stack_band, stack_frames
from scripts.lightstack.files.records import read_json
from scripts.lightstack.stacking.modes import needs_measuring

ROUNDS = 3
"""Each job is done so many times: the least time is the least disturbed."""


def do_job(folder: Path, job: str, options: argparse.Namespace) -> None:
    """Do one of the jobs in this process."""
    names = sorted(path.stem for path in (folder / "quality").iterdir())
    alignment, count = folder / "alignment.json", options.bands
    if job == "align":
        align_frames.run(
            {name: folder / "quality" / f"{name}.json" for name in names},
            {name: folder / "sources" / f"{name}.fits" for name in names},
            alignment,
            groups=dict.fromkeys(names, ""),
            reference="first",
            normalize="flux",
            min_transparency=0.3,
            cache=folder / "alignments.json",
            threads=options.threads,
        )
        return
    cleaned = {name: folder / "cleaned" / f"{name}.fits" for name in names}
    group: dict[str, Any] = {
        "group": "",
        "members": list(read_json(alignment)["frames"]),
        "threads": options.threads,
    }
    how: dict[str, Any] = {"sigma_clip": 2.5, "weights": "none"}
    stacks = {mode: folder / job / f"stack_{mode}.fits" for mode in options.modes}
    thumbnails = folder / job / "work" / "thumbnails.fits"
    seeing = None
    if needs_measuring(options.modes, uncertainty=False):
        seeing = folder / "seeing.fits"
    skies = folder / "skies.fits"
    if job == "stack":
        stack_frames.run(
            alignment, cleaned, stacks, thumbnails, stack_memory_mb=1000, **group, **how
        )
    elif job == "measure":
        measure_frames.run(alignment, cleaned, skies, seeing, **group, **how)
    elif job == "join":
        bands = [folder / f"band_{number}.fits" for number in range(1, count + 1)]
        join_bands.run(
            alignment, cleaned, seeing, bands, stacks, thumbnails, skies=skies, **group, **how
        )
    else:
        stack_band.run(
            alignment,
            cleaned,
            seeing,
            folder / f"{job}.fits",
            number=int(job.removeprefix("band_")),
            count=count,
            modes=options.modes,
            skies=skies,
            stack_memory_mb=1000,
            **group,
            **how,
        )


def cpu_seconds(command: list[str]) -> float:
    """Run a command, and tell the CPU time that it took [s]."""

    def so_far() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    before = so_far()
    subprocess.run(command, check=True)
    return so_far() - before


def main() -> None:
    """Make the frames, warm the caches, measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--shape", type=int, nargs=2, default=(3000, 4096), metavar=("NY", "NX"))
    parser.add_argument("--bands", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--modes", nargs="+", default=list(SIX))
    parser.add_argument("--job", nargs=2, metavar=("FOLDER", "JOB"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        do_job(Path(options.job[0]), options.job[1], options)
        return
    again = [sys.executable, "-m", "benchmarks.bands", "--bands", str(options.bands)]
    again += ["--threads", str(options.threads), "--modes", *options.modes]
    in_bands = ["measure", *(f"band_{k}" for k in range(1, options.bands + 1)), "join"]
    with tempfile.TemporaryDirectory() as place:
        found = {}
        tiny = (200, 300), options.frames
        cases = {"compiled": tiny, "start": tiny, "full": (options.shape, options.frames)}
        for name, (shape, count) in cases.items():
            folder = Path(place, name)
            for part in ("cleaned", "sources", "quality"):
                (folder / part).mkdir(parents=True)
            make_frames(folder, tuple(shape), count)
            found[name] = {
                job: min(cpu_seconds([*again, "--job", str(folder), job]) for _ in range(ROUNDS))
                for job in ("align", "stack", *in_bands)
            }
        print(f"{count} frames of {shape[0]} x {shape[1]}, {options.bands} bands")
        start, full = found["start"], found["full"]
        for job in ("stack", *in_bands):
            print(f"{job:8} {full[job]:6.2f} CPU-s, of which {start[job]:.2f} for its start")
        together = sum(full[job] - start[job] for job in in_bands)
        alone = full["stack"] - start["stack"]
        print(f"beside the starts {together:.2f} CPU-s: {together / alone:.2f} of one job")
        names = [f"stack_{mode}.fits" for mode in options.modes]
        one, joined = folder / "stack", folder / "join"
        same, *other = filecmp.cmpfiles(one, joined, names, shallow=False)
        print("same bytes" if len(same) == len(names) else f"other bytes: {other}")


if __name__ == "__main__":
    main()
