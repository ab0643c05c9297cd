"""What the tests share: simulated nights, and runs of the real workflow."""

import atexit
import fcntl
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar, cast

import numpy as np
import pytest
import yaml
from numba.core.caching import _CacheLocator
from numpy.typing import ArrayLike

from scripts.lightstack.files.records import read_csv
from scripts.lightstack.simulator import Night, make_night
from tests.forked import Snakemake
from tests.stacking import cut, stack

# Containers often set it, and each process would compile all modules of the workflow anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# A shell's background jobs, and so all that these start, ignore Ctrl-C, which tests send.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).parents[1]
SMALL_SETTINGS = {"min_star_count": 20, "threshold_sigma": 5, "minarea": 5, "background_box": 32}


LONGEST = (
    "test_results_are_the_same_bytes_on_an_older_processor",
    "test_a_run_killed_at_twenty_moments_ends_in_the_same_bytes",
    "test_a_checkout_may_lie_anywhere",
)
"""Tests that would be waited for if they came last."""

LONG = """
    workflow faults reruns registration check_night nights colours grouped_nights real_frames
    bad_input fuzz uncertainty stack_frames mixed_folders overscan unread bad_pixels report
    report_page watching
""".split()
"""Files of tests that take long, the longest first. Who is done with others takes of the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, and with each file's tests together."""
    ranks = {f"test_{name}": rank for rank, name in enumerate(LONG)}

    def rank(item: pytest.Item) -> tuple[bool, int]:
        return item.name not in LONGEST, ranks.get(item.path.stem, len(LONG))

    items.sort(key=rank)


Made = TypeVar("Made")


@dataclass(frozen=True)
class Run:
    """A finished run of the workflow in a folder."""

    folder: Path
    returncode: int
    output: str

    @property
    def ledger(self) -> dict[str, dict[str, str]]:
        """Rows of the ledger by frame."""
        return {row["frame"]: row for row in read_csv(self.folder / "results" / "frames.csv")}

    @property
    def results(self) -> dict[str, bytes]:
        """Contents of all files that the run made for its user."""
        folders = (self.folder / "results", self.folder / "data_cleaned")
        return {
            path.relative_to(self.folder).as_posix(): path.read_bytes()
            for folder in folders
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.name != ".lightstack.json"
        }


def snakemake(
    folder: Path,
    *arguments: str,
    cores: int = 2,
    env: dict[str, str] | None = None,
    under: tuple[str, ...] = (),
    forked: bool = True,
) -> Run:
    """Run the workflow in a folder, as a user does, or `under` another command.

    A fork has imported Snakemake already: see `forked`. What has to start anew does not.
    """
    arguments = (*command_line(folder, cores), *arguments)
    environment = {**os.environ, **(env or {})}
    if forked and not under:
        return Run(folder, *forked_snakemake().run(arguments, folder, environment))
    done = subprocess.run(
        [*under, sys.executable, "-m", "snakemake", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        env=environment,
        cwd=folder,
    )
    return Run(folder, done.returncode, done.stdout)


def command_line(folder: Path, cores: int = 2) -> tuple[str, ...]:
    """Return the arguments of Snakemake that run the workflow in a folder."""
    where = ("--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder))
    return (*where, "--cores", str(cores))


@cache
def forked_snakemake() -> Snakemake:
    """Return what forks Snakemakes for the tests of this process."""
    snakemake = Snakemake()
    atexit.register(snakemake.close)
    return snakemake


def copy_checkout(target: Path) -> None:
    """Copy what a run needs, and what Python and Numba have compiled of it so far."""
    target.mkdir()
    for name in ("Snakefile", "rules", "scripts", "profiles", "config", "envs"):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=unfinished)
        else:
            shutil.copyfile(source, target / name)
    package = Path("scripts", "lightstack")
    for room in {path.parent for path in (ROOT / package).rglob("*.py")}:
        # Numba knows a folder by its whole path.
        names = (str(path / "a.py") for path in (room, target / room.relative_to(ROOT)))
        here, there = map(_CacheLocator.get_suitable_cache_subpath, names)
        for kept in (target / package / "__pycache__").glob(f"compiled-*/{here}"):
            kept.rename(kept.with_name(there))


def unfinished(folder: str, names: list[str]) -> list[str]:
    """Choose what other tests are writing meanwhile: its name changes when it is whole."""
    if "__pycache__" not in Path(folder).parts:
        return []
    whole = (".pyc", ".nbi", ".nbc", "codes.json")
    return [name for name in names if not name.endswith(whole) and "." in name]


def planned_jobs(run: Run) -> dict[str, int]:
    """Jobs per rule that a dry run announces."""
    plan = re.search(r"^To be done: \d+ jobs?\n((?:  .*\n)*)", run.output, re.MULTILINE)
    lines = plan[1].splitlines() if plan else []
    return {rule: int(count) for rule, count, *_ in map(str.split, lines)}


def write_settings(folder: Path, **settings: object) -> None:
    """Write a folder's own configuration."""
    path = folder / "config" / "config.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(settings))


def older_processor() -> dict[str, str]:
    """Environment in which libraries do not use what newer processors can do."""
    features = np._core._multiarray_umath  # type: ignore[attr-defined]
    newer = [name for name in features.__cpu_dispatch__ if features.__cpu_features__[name]]
    return {
        "NPY_DISABLE_CPU_FEATURES": " ".join(newer),
        "OPENBLAS_CORETYPE": "Nehalem",
        "NUMBA_CPU_NAME": "generic",
    }


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], Made]) -> Made:
    """Make something in a folder, which all processes that test share: none may change it.

    The first that needs it makes it; another one that needs it meanwhile waits.
    """
    base = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    folder = base / name
    folder.mkdir(exist_ok=True)
    with folder.with_suffix(".pickle").open("ab+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        if written := file.read():
            return cast("Made", pickle.loads(written))  # noqa: S301 - written below
        made = make(folder)
        pickle.dump(made, file)
        return made


def rank_correlation(one: ArrayLike, other: ArrayLike) -> float:
    """Tell how alike two orders are (Spearman): `scipy.stats` alone takes seconds to import."""
    ranks = np.argsort(np.argsort([np.asarray(one), np.asarray(other)])).astype(float)
    return float(np.corrcoef(ranks)[0, 1])


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Night]:
    """Run the workflow on fifteen lights, three of them bad."""

    def make(folder: Path) -> tuple[Run, Night]:
        night = make_night(folder, shape=(640, 960), n_stars=450, seed=11)
        write_settings(folder, min_star_count=80, threshold_sigma=5, minarea=5)
        return snakemake(folder), night

    return made_once(tmp_path_factory, "simulated", make)


@pytest.fixture(scope="session")
def stacks(
    simulated: tuple[Run, Night], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """Stack the simulated night in all modes."""
    run, _ = simulated
    return made_once(tmp_path_factory, "stacks", lambda folder: stack(run.folder, folder))


@pytest.fixture(scope="session")
def corner(simulated: tuple[Run, Night], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the simulated night, with a corner of its reference: soon stacked, but in two bands."""
    return cut(simulated[0].folder, tmp_path_factory.mktemp("corner") / "night", (200, 400))


@pytest.fixture(scope="session")
def small_frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder with a few small lights and darks."""

    def make(folder: Path) -> Path:
        make_night(folder, shape=(200, 300), n_lights=5, n_stars=150, seed=4)
        return folder

    return made_once(tmp_path_factory, "small_frames", make)


@pytest.fixture
def small_night(small_frames: Path, tmp_path: Path) -> Callable[..., Path]:
    """Copy the few small lights and darks to a folder, and write settings that suit them."""

    def make(name: str = "night", **settings: object) -> Path:
        folder = shutil.copytree(small_frames, tmp_path / name)
        write_settings(folder, **{**SMALL_SETTINGS, **settings})
        return folder

    return make


@pytest.fixture(scope="session")
def small_run(small_frames: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run the workflow on a small night."""

    def make(folder: Path) -> Run:
        shutil.copytree(small_frames, folder, dirs_exist_ok=True)
        write_settings(folder, **SMALL_SETTINGS)
        run = snakemake(folder)
        assert run.returncode == 0, run.output
        return run

    return made_once(tmp_path_factory, "small_run", make)


@pytest.fixture
def finished_night(small_run: Run, tmp_path: Path) -> Path:
    """Copy the finished small night, times and all."""
    return shutil.copytree(small_run.folder, tmp_path / "night")
