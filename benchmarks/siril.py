"""Compare the whole workflow with Siril, on the same simulated frames in one run.

Run it from the checkout, on a machine that does nothing else (half an hour)::

    python -m benchmarks.siril [--cases 12mp 1.5mp 60mp] [--repeats 2] [--cores 2]

Both do the same from the raw files on, in a fresh folder each time: master dark, dark
subtraction, sky (``seqsubsky``), registration, and every stack that Siril has: mean, median,
maximum, minimum and sigma clipping. The workflow adds what Siril does not have: the standard
deviation, grading, ledger, preview, and the start of Snakemake. They run in turn, the first one
another in each repetition; nothing is compiled while the clock runs. Both keep their own limits
of memory: 600 MB for the stack here, 90 % of what is free there.

CPU time is that of all processes. Memory is the largest sum of their proportional set sizes,
sampled five times a second in a run before the clock runs: to look is not free. A ratio below one
says that the workflow needs less.
"""

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np

from scripts.lightstack.simulator import Light, Night, make_camera, make_sky, write_night

ROOT = Path(__file__).parents[1]
SIRIL = "siril-cli"
SAMPLING_S = 0.2
STACKS = {
    "mean": "rej 0 0 -norm=add",  # limits of zero: nothing is rejected
    "median": "med -norm=add",
    "max": "max",
    "min": "min",
    "sigma_clip": "rej sigma 2.5 2.5 -norm=add",
}
"""Siril's counterparts of the workflow's modes.

`seqsubsky` keeps the level of each frame: `add` makes up for that where values are averaged or
compared with their mean.
"""

SETTINGS = """\
min_star_count: 100
threshold_sigma: 5
minarea: 5
"""


@dataclass(frozen=True)
class Case:
    """A night to measure: how many lights there are, and their ``(ny, nx)`` [pixels]."""

    n_lights: int
    shape: tuple[int, int]
    n_darks: int = 5
    n_stars: int = 900

    def __str__(self) -> str:
        """Tell number and size of the lights."""
        return f"{self.n_lights} x {np.prod(self.shape) / 1e6:.2g} MP"


CASES = {
    "12mp": Case(12, (3000, 4000)),
    "1.5mp": Case(40, (1024, 1536)),
    "60mp": Case(4, (6336, 9504)),
}


@dataclass(frozen=True)
class Cost:
    """What a run took: wall time [s], CPU time of all processes [s] and peak memory [MB]."""

    wall: float
    cpu: float
    memory: float


def make_night(folder: Path, case: Case) -> None:
    """Write the raw files of a night without any bad frame."""
    rng = np.random.default_rng(1)
    sky = make_sky(rng, case.shape, case.n_stars)
    camera = make_camera(rng, case.shape)
    lights = {
        f"light_{number:04d}": Light(
            shift=(float(rng.uniform(-25, 25)), float(rng.uniform(-25, 25))),
            rotation_deg=float(rng.uniform(-1.5, 1.5)),
            fwhm=float(rng.uniform(2.7, 3.5)),
            ellipticity=float(rng.uniform(0, 0.12)),
            sky_adu=float(rng.uniform(700, 1000)),
            cosmic_rays=8,
        )
        for number in range(1, case.n_lights + 1)
    }
    write_night(folder, Night(sky, camera, lights, n_darks=case.n_darks))


@contextmanager
def fresh_copy(night: Path) -> Iterator[Path]:
    """Give the raw files in a folder of their own, which is removed afterwards."""
    with tempfile.TemporaryDirectory(dir=night.parent) as name:
        shutil.copytree(night, name, copy_function=os.link, dirs_exist_ok=True)
        os.sync()  # what others have written is not written back while the clock runs
        yield Path(name)


def siril_script(stacks: dict[str, str], cores: int) -> str:
    """Write the commands that take Siril from the raw files to stacks made in these ways."""
    calibrate = "calibrate" if siril_version() >= (1, 2) else "preprocess"
    lines = [
        "requires 1.0.0",
        "setext fit",
        "set32bits",
        f"setcpu {cores}",
        "cd darkfield",
        "link dark -out=../process",
        "cd ../data",
        "link light -out=../process",
        "cd ../process",
        "stack dark med -nonorm -out=../master",
        f"{calibrate} light -dark=../master",
        "seqsubsky pp_light 1",
        "register bkg_pp_light",
        *(f"stack r_bkg_pp_light {how} -out=../{mode}" for mode, how in stacks.items()),
    ]
    return "\n".join([*lines, ""])


def siril_version() -> tuple[int, ...]:
    """Ask Siril for its version."""
    done = subprocess.run([SIRIL, "--version"], check=True, capture_output=True, text=True)
    return tuple(int(part) for part in done.stdout.split()[1].split("-")[0].split("."))


def run_siril(folder: Path, case: Case, cores: int, *, watched: bool) -> Cost:
    """Stack the night with Siril, and make sure that it did all that it was asked for."""
    script = folder / "stack.ssf"
    script.write_text(siril_script(STACKS, cores))
    home = folder / "home"
    home.mkdir()
    environment = os.environ | {"XDG_CONFIG_HOME": str(home)}  # nobody's preferences
    cost = measure(
        [SIRIL, "-d", str(folder), "-s", str(script)], folder / "log", environment, watched=watched
    )
    registered = len(list((folder / "process").glob("r_bkg_pp_light_?????.fit")))
    missing = [mode for mode in STACKS if not (folder / f"{mode}.fit").is_file()]
    if registered != case.n_lights or missing:
        sys.exit(
            f"Siril registered {registered} of {case.n_lights} frames and lacks the stacks "
            f"{missing}. It said:\n{_tail(folder / 'log')}"
        )
    return cost


def run_workflow(folder: Path, case: Case, cores: int, *, watched: bool) -> Cost:
    """Stack the night with the workflow, and make sure that all frames are in the stacks."""
    settings = folder / "config" / "config.yaml"
    settings.parent.mkdir()
    settings.write_text(SETTINGS)
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    command += ["--directory", str(folder), "--cores", str(cores)]
    environment = dict(os.environ)
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # or each job compiles its modules again
    cost = measure(command, folder / "log", environment, watched=watched)
    ledger = (folder / "results" / "frames.csv").read_text()
    stacked = ledger.count(",stacked,")
    missing = [mode for mode in STACKS if not (folder / f"results/stack_{mode}.fits").is_file()]
    if stacked != case.n_lights or missing:
        sys.exit(
            f"The workflow stacked {stacked} of {case.n_lights} frames and lacks the stacks "
            f"{missing}:\n{ledger}"
        )
    return cost


def measure(command: list[str], log: Path, environment: dict[str, str], *, watched: bool) -> Cost:
    """Run a command to its end and measure it together with its descendants."""
    with log.open("wb") as output:
        begin = time.perf_counter()
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, env=environment
        )
        with watched_memory(process.pid) if watched else nullcontext([0]) as samples:
            _, status, usage = os.wait4(process.pid, 0)
            wall = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"{command[0]} failed with status {process.returncode}:\n{_tail(log)}")
    return Cost(wall, usage.ru_utime + usage.ru_stime, max(samples) / 1e6)


@contextmanager
def watched_memory(pid: int) -> Iterator[list[int]]:
    """Sample the memory of a process and its descendants [bytes] until the block is left."""
    samples = [0]
    over = threading.Event()

    def watch() -> None:
        while not over.wait(SAMPLING_S):
            samples.append(sum(_memory_of(member) for member in _family(pid)))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield samples
    finally:
        over.set()
        thread.join()


def _family(pid: int) -> list[int]:
    """Return a process and its descendants."""
    children = defaultdict(list)
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                stat = (entry / "stat").read_text()
            except OSError:  # it has ended
                continue
            children[int(stat.rpartition(")")[2].split()[1])].append(int(entry.name))
    family = [pid]
    for member in family:
        family += children[member]
    return family


def _memory_of(pid: int) -> int:
    """Return the proportional set size of a process [bytes]: shared memory is shared out."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:  # it has ended
        return 0
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-30:])


RUNNERS: dict[str, Callable[..., Cost]] = {"lightstack": run_workflow, "siril": run_siril}


def compare(place: Path, case: Case, repeats: int, cores: int) -> dict[str, list[Cost]]:
    """Run both programs in turn on a night: the costs of each."""
    night = place / "night"
    make_night(night, case)
    costs: dict[str, list[Cost]] = {name: [] for name in RUNNERS}
    memory = {}
    for repeat in range(repeats + 1):
        for name in list(RUNNERS)[:: -1 if repeat % 2 else 1]:
            with fresh_copy(night) as folder:
                cost = RUNNERS[name](folder, case, cores, watched=repeat == 0)
            if repeat == 0:
                memory[name] = cost.memory
                continue
            costs[name].append(replace(cost, memory=memory[name]))
            print(
                f"{case}, {name}: {cost.wall:.1f} s wall, {cost.cpu:.1f} CPU-s",
                file=sys.stderr,
                flush=True,
            )
    shutil.rmtree(night)
    return costs


def table_row(case: Case, costs: dict[str, list[Cost]]) -> str:
    """Write the medians of both programs and the median of the ratios of neighbouring runs."""
    cells = [str(case)]
    for quantity in ("wall", "cpu", "memory"):
        ours, theirs = ([getattr(cost, quantity) for cost in costs[name]] for name in RUNNERS)
        ratios = [own / other for own, other in zip(ours, theirs, strict=True)]
        cells.append(f"{statistics.median(ours):.0f} / {statistics.median(theirs):.0f}")
        varies = min(ratios) < max(ratios)
        spread = f" ({min(ratios):.2f}-{max(ratios):.2f})" if varies else ""
        cells.append(f"**{statistics.median(ratios):.2f}**{spread}")
    return f"| {' | '.join(cells)} |"


def circumstances(cores: int) -> str:
    """Tell versions and machine."""
    model = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    packages = ", ".join(f"{name} {version(name)}" for name in ("snakemake", "numpy", "numba"))
    siril = ".".join(map(str, siril_version()))
    return (
        f"lightstack / Siril {siril}; {packages}, Python {platform.python_version()}; "
        f"{cores} of {os.cpu_count()} cores, {model}"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the chosen cases and print a table in Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--cores", type=int, default=2)
    options = parser.parse_args(arguments)
    if shutil.which(SIRIL) is None:
        print(f"Nothing is compared: {SIRIL} is not installed (Debian package siril).")
        return
    with tempfile.TemporaryDirectory() as name:
        rows = []
        for key in options.cases:
            costs = compare(Path(name), CASES[key], options.repeats, options.cores)
            rows.append(table_row(CASES[key], costs))
    print("| frames | wall [s] | ratio | CPU [s] | ratio | memory [MB] | ratio |")
    print("|---|---|---|---|---|---|---|", *rows, sep="\n")
    print(f"\n{circumstances(options.cores)}")


if __name__ == "__main__":
    main()
