"""The workflow on a real Slurm: the same bytes as on one machine, whatever happens meanwhile.

Needs the plugins (``make slurm``), and a script that brings up a Slurm of two nodes on this
machine, as root: ``../shared/tools/slurm-up.sh``, or the one that LIGHTSTACK_SLURM_UP names.
"""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from scripts.lightstack.simulator import make_night
from tests.conftest import (
    ROOT,
    SMALL_SETTINGS,
    Run,
    copy_checkout,
    planned_jobs,
    snakemake,
    write_settings,
)

SLURM_UP = Path(
    os.environ.get("LIGHTSTACK_SLURM_UP", ROOT.parent / "shared" / "tools" / "slurm-up.sh")
)
TOO_LITTLE_MB = 300
"""Memory in which a small stack cannot be made; in twice as much it can."""

PLUGIN = "snakemake_executor_plugin_slurm_warm"

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec(PLUGIN) is None, reason="no plugin for Slurm: make slurm"
    ),
    pytest.mark.skipif(
        os.geteuid() != 0 or not SLURM_UP.is_file(),
        reason=f"no root, or no Slurm: there is no {SLURM_UP}",
    ),
]


@pytest.fixture(scope="module")
def slurm() -> Iterator[dict[str, str]]:
    """Environment of a Slurm with two nodes, brought up unless it is there."""
    box = Path(os.environ.get("SLURM_BOX", "/tmp/slurm-box"))  # noqa: S108 - short, for sockets
    is_there = (box / "run" / "slurmctld.pid").exists()
    subprocess.run([SLURM_UP], check=True, capture_output=True)
    yield {"SLURM_CONF": str(box / "slurm.conf"), "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
    if not is_there:
        subprocess.run([SLURM_UP.with_name("slurm-down.sh")], check=True, capture_output=True)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the profile as a site completes it, and with a shorter wait for the tests."""
    profile = yaml.safe_load((ROOT / "profiles" / "slurm" / "profile.yaml").read_text())
    profile["default-resources"] = {"slurm_partition": "debug"}
    profile["slurm-warm-init-seconds-before-status-checks"] = 5
    path = tmp_path_factory.mktemp("site") / "profile.yaml"
    path.write_text(yaml.safe_dump(profile))
    return path


@pytest.fixture
def night(tmp_path: Path) -> Callable[[str], Path]:
    """Make folders with the same night of forty frames, the last of which comes late."""

    def make(name: str) -> Path:
        folder = tmp_path / name
        make_night(folder, shape=(200, 300), n_lights=40, n_stars=150, seed=4)
        # What a shell would make something of.
        lights = sorted((folder / "data").iterdir())
        lights[3].rename(folder / "data" / 'it\'s, $(touch pwned) "x" `id`.fits')
        lights[-1].rename(folder / "late.fits")
        write_settings(folder, **SMALL_SETTINGS)
        return folder

    return make


def command(folder: Path, site: Path, *more: str, checkout: Path = ROOT) -> list[str]:
    given = ["--snakefile", str(checkout / "Snakefile"), "--directory", folder.name]
    return [sys.executable, "-m", "snakemake", *given, "--workflow-profile", str(site), *more]


def start(
    folder: Path, site: Path, env: dict[str, str], *more: str, checkout: Path = ROOT
) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        command(folder, site, *more, checkout=checkout),
        cwd=folder.parent,
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def end(process: "subprocess.Popen[str]", folder: Path) -> Run:
    output, _ = process.communicate(timeout=500)
    return Run(folder, process.returncode, output)


def queue(folder: Path, env: dict[str, str], *more: str) -> list[list[str]]:
    """Return number, node, CPUs and comment of the folder's jobs."""
    asked = ["squeue", "-h", "-o", "%i|%N|%C|%k|%Z", *more]
    lines = subprocess.run(
        asked, env={**os.environ, **env}, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    return [row[:4] for line in lines if (row := line.split("|"))[4] == str(folder.resolve())]


def first_running(folder: Path, env: dict[str, str], comment: str) -> str:
    """Wait for a job of the folder that runs."""
    for _ in range(600):
        for number, _, _, kind in queue(folder, env, "-t", "running"):
            if comment in kind:
                return number
        time.sleep(0.2)
    raise AssertionError(f"no {comment} ran")


def node_of(number: str, env: dict[str, str]) -> str:
    asked = ["squeue", "-h", "-j", number, "-o", "%N"]
    return subprocess.run(
        asked, env={**os.environ, **env}, capture_output=True, text=True, check=True
    ).stdout.strip()


def act(env: dict[str, str], *words: str, cwd: Path | None = None) -> None:
    subprocess.run(words, cwd=cwd, env={**os.environ, **env}, check=True, capture_output=True)


def test_a_disturbed_run_gives_the_bytes_of_a_local_one(
    slurm: dict[str, str], site: Path, night: Callable[[str], Path]
) -> None:
    local, folder = night("local"), night("slurm")
    undisturbed = snakemake(local)
    assert undisturbed.returncode == 0, undisturbed.output

    process = start(folder, site, slurm)
    number = first_running(folder, slurm, "frames")
    write_settings(folder, **{**SMALL_SETTINGS, "min_star_count": 140, "sigma_clip": 1})
    shutil.copy(folder / "late.fits", folder / "data" / "light_9999.fits")
    act(slurm, "scancel", number)
    node = node_of(first_running(folder, slurm, "stack_frames"), slurm)
    # It comes back by itself when its daemon is heard of again.
    act(slurm, "scontrol", "update", f"nodename={node}", "state=down", "reason=test")
    run = end(process, folder)
    assert run.returncode == 0, run.output
    assert run.results == undisturbed.results
    assert not list(folder.parent.rglob("pwned"))
    jobs = queue(folder, slurm, "-t", "all")
    assert len(jobs) <= 8
    assert len(queue(folder, slurm, "-t", "node_fail")) == 1
    assert {node for _, node, _, _ in jobs} == {"n1", "n2"}
    assert max(int(cpus) for _, _, cpus, _ in jobs) <= (os.cpu_count() or 1)

    write_settings(folder, **SMALL_SETTINGS)
    planned = planned_jobs(snakemake(folder, "--dry-run"))
    assert planned["calibrate_frame"] == planned["grade_frame"] == 1

    # The same with Snakemake killed while its job waits.
    shutil.copy(local / "late.fits", local / "data" / "light_9999.fits")
    whole = snakemake(local)
    process = start(folder, site, slurm)
    number = first_running(folder, slurm, "frames")
    act(slurm, "scontrol", "suspend", number)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    again = end(start(folder, site, slurm), folder)
    assert again.returncode == 1
    assert f"scancel {number}" in again.output
    assert end(start(folder, site, slurm, "--unlock"), folder).returncode == 0
    refused = end(start(folder, site, slurm), folder)
    assert refused.returncode == 1
    assert f"scancel {number}" in refused.output
    told = (ROOT / "profiles" / "README.md").read_text().splitlines()
    (cancel,) = (line for line in told if line.startswith("squeue --me"))
    act(slurm, "bash", "-c", cancel, cwd=folder)
    for _ in range(100):
        if not queue(folder, slurm):
            break
        time.sleep(0.2)
    end(start(folder, site, slurm, "--unlock"), folder)
    run = end(start(folder, site, slurm), folder)
    assert run.returncode == 0, run.output
    assert run.results == whole.results


def test_a_job_over_its_memory_gets_twice_as_much(
    slurm: dict[str, str], site: Path, night: Callable[[str], Path], tmp_path: Path
) -> None:
    undisturbed = snakemake(night("local"))
    checkout, folder = tmp_path / "checkout", night("slurm")
    copy_checkout(checkout)
    rules = checkout / "rules" / "stack.smk"
    # In what the stack asks for, all but these MB is for its pixels.
    text = rules.read_text()
    asked = "memory(0, other=stack_memory_mb(), goes_through_all=True)"
    assert text.count(asked) == 2
    rules.write_text(text.replace(asked, f"memory(0, other={TOO_LITTLE_MB - 600})"))
    # Slurm looks each second, and the stack is done in less.
    with (checkout / "scripts" / "stack_frames.py").open("a") as script:
        script.write("\nimport time\n\ntime.sleep(3)\n")
    run = end(start(folder, site, slurm, checkout=checkout), folder)
    assert run.returncode == 0, run.output
    assert run.results == undisturbed.results
    env = {**os.environ, **slurm}
    asked_for = subprocess.run(
        ["squeue", "-h", "-t", "all", "-S", "i", "-o", "%m|%T|%k|%Z"],
        env=env,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    rows = [line.split("|") for line in asked_for]
    of_stack = [row[:2] for row in rows if row[3] == str(folder) and "stack_frames" in row[2]]
    assert [memory for memory, _ in of_stack] == [f"{TOO_LITTLE_MB}M", f"{2 * TOO_LITTLE_MB}M"]
    assert of_stack[0][1] != of_stack[1][1] == "COMPLETED"


def test_bands_of_a_stack_are_made_on_both_nodes(
    slurm: dict[str, str], site: Path, night: Callable[[str], Path], tmp_path: Path
) -> None:
    local, folder = night("local"), tmp_path / "slurm"
    assert snakemake(local).returncode == 0
    shutil.copytree(local, folder)
    whole = snakemake(local, "--config", "sigma_clip=3")
    assert whole.returncode == 0, whole.output
    run = end(start(folder, site, slurm, "--config", "sigma_clip=3", "stack_bands=4"), folder)
    assert run.returncode == 0, run.output
    assert run.results == whole.results
    jobs = queue(folder, slurm, "-t", "all")
    bands = [node for _, node, _, kind in jobs if "stack_band" in kind]
    assert (len(bands), set(bands)) == (4, {"n1", "n2"})


def test_a_slurm_profile_does_not_run_here_in_silence(
    site: Path, night: Callable[[str], Path]
) -> None:
    folder = night("night")
    run = snakemake(folder, "--profile", str(site))
    assert run.returncode == 1
    assert "--workflow-profile slurm" in run.output
    assert not (folder / "work" / "cleaned").exists()
