"""Compare Snakemake's local executor with the warm one on many jobs that do little.

Usage: python benchmarks/executor_warm.py [--jobs 100] [--cores 2] [--repeats 1]

The warm one runs twice: with a process for each script, and with processes that go on to further
scripts. Shown is what they cost per job beside the script itself and the imports: in the children,
and in Snakemake's main process, from the first job to the last.

Each job is a ``script:`` that imports numpy, sep, astropy.io.fits and scipy.ndimage, measures a
small synthetic frame and writes a FITS file. Both executors run the same workflow in turn, each
time from scratch, in a temporary folder; the files that they write are compared byte by byte.
"""

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

MODULES = ("numpy", "sep", "astropy.io.fits", "scipy.ndimage")

SNAKEFILE = """
import json, resource

FRAMES = range(config["jobs"])


def cpu(who):
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


rule all:
    input:
        expand("frames/{frame}.fits", frame=FRAMES),


rule measure_frame:
    output:
        "frames/{frame}.fits",
    script:
        "measure_frame.py"


onstart:
    global planned
    planned = cpu(resource.RUSAGE_SELF)


# Executors have reaped their processes by now.
onsuccess:
    main = cpu(resource.RUSAGE_SELF)
    children = cpu(resource.RUSAGE_CHILDREN)
    record = {"main": main, "jobs": main - planned, "children": children}
    with open("cpu.json", "w") as file:
        json.dump(record, file)
"""

SCRIPT = """
import numpy as np
import scipy.ndimage
import sep
from astropy.io import fits

rng = np.random.default_rng(int(snakemake.wildcards.frame))
data = rng.normal(100, 5, (128, 128)).astype(np.float32)
data[rng.integers(8, 120, 12), rng.integers(8, 120, 12)] += 20_000
data = scipy.ndimage.gaussian_filter(data, 1.5)
data -= sep.Background(data)
header = fits.Header({"NSTARS": len(sep.extract(data, 20.0))})
fits.PrimaryHDU(data, header).writeto(snakemake.output[0])
"""

PROBE = """
import sys, time
from types import SimpleNamespace
import numpy, sep, astropy.io.fits, scipy.ndimage, snakemake.io, snakemake.logging

code = compile(open("measure_frame.py").read(), "measure_frame.py", "exec")
imported = time.process_time()
for frame in range(int(sys.argv[1])):
    wildcards = SimpleNamespace(frame=str(frame))
    exec(code, {"snakemake": SimpleNamespace(wildcards=wildcards, output=[f"{frame}.fits"])})
print(imported, time.process_time() - imported)
"""

REPETITIONS = 20


@dataclass(frozen=True)
class Run:
    """What one run of the workflow cost, in seconds, and what it wrote."""

    wall: float
    main_cpu: float
    main_cpu_of_jobs: float
    children_cpu: float
    digest: str


EXECUTORS = {
    "local": ["--executor", "local"],
    "warm": ["--executor", "warm", "--warm-preload", *MODULES],
    "warm, 100": [
        *("--executor", "warm", "--warm-scripts-per-child", "100", "--warm-preload"),
        *MODULES,
    ],
}


def run_workflow(folder: Path, executor: str, jobs: int, cores: int) -> Run:
    """Run the workflow from scratch in a folder of its own."""
    folder.mkdir()
    (folder / "Snakefile").write_text(SNAKEFILE)
    (folder / "measure_frame.py").write_text(SCRIPT)
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--cores",
        str(cores),
        "--scheduler",
        "greedy",
        "--quiet",
        "all",
        "--config",
        f"jobs={jobs}",
        *EXECUTORS[executor],
    ]
    begin = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True)
    wall = time.perf_counter() - begin
    cpu = json.loads((folder / "cpu.json").read_text())
    digest = hashlib.sha256()
    for path in sorted((folder / "frames").iterdir()):
        digest.update(path.name.encode() + path.read_bytes())
    return Run(wall, cpu["main"], cpu["jobs"], cpu["children"], digest.hexdigest())


def own_cpu(folder: Path) -> tuple[float, float]:
    """Return the CPU seconds of the imports, once, and of the rest of the script, once per job."""
    (folder / "measure_frame.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "-c", PROBE, str(REPETITIONS)],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        check=True,
        capture_output=True,
        text=True,
    )
    imports, script = map(float, done.stdout.split())
    return imports, script / REPETITIONS


def main() -> None:
    """Run both executors in turn and print what they cost."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--jobs", type=int, default=100)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=1)
    options = parser.parse_args()

    runs: dict[str, list[Run]] = {executor: [] for executor in EXECUTORS}
    print("executor    wall_s   cpu_main_s   cpu_children_s")
    with tempfile.TemporaryDirectory() as folder:
        for repeat in range(options.repeats):
            for executor, done in runs.items():
                run = run_workflow(
                    Path(folder, f"{executor}{repeat}"), executor, options.jobs, options.cores
                )
                done.append(run)
                seconds = f"{run.wall:8.1f} {run.main_cpu:12.1f} {run.children_cpu:16.1f}"
                print(f"{executor:10} {seconds}", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        imports, script = own_cpu(Path(folder))
    print(f"imports: {1000 * imports:.0f} ms; script: {1000 * script:.1f} ms")
    for executor, done in runs.items():
        children = statistics.median(run.children_cpu for run in done)
        once = 0 if executor == "local" else imports
        beside = (children - once) / options.jobs - script
        main_process = statistics.median(run.main_cpu_of_jobs for run in done) / options.jobs
        print(
            f"{executor}: {1000 * children / options.jobs:.1f} ms of CPU per job in children, "
            f"{1000 * beside:.1f} of it beside script and preloading; "
            f"{1000 * main_process:.1f} in the main process"
        )
    same = len({run.digest for done in runs.values() for run in done}) == 1
    print(f"outputs byte-identical: {'yes' if same else 'NO'}")
    if not same:
        sys.exit(1)


if __name__ == "__main__":
    main()
