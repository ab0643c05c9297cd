"""Check a night with artificial light: `make check-night NIGHT=… SETTINGS="key=value …"`.

Artificial stars and a faint disc are put into copies of the raw frames, the same workflow stacks
them, and what it did to their light is told: in a table and a picture.
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
from numpy.typing import NDArray

from scripts.lightstack.calibration.masters import open_master
from scripts.lightstack.checking.artificial import (
    Truth,
    light_in,
    noise_of_stack,
    of_four,
    place,
    psf_of,
)
from scripts.lightstack.checking.chart import draw_check
from scripts.lightstack.checking.recovery import COLUMNS, Recovery, recover
from scripts.lightstack.checking.with_light import Added, CheckError, write_with_light
from scripts.lightstack.files.atomic import atomic_write
from scripts.lightstack.files.colour_file import COLOURS
from scripts.lightstack.files.frame_file import read_header
from scripts.lightstack.files.records import read_csv, read_json, write_csv
from scripts.lightstack.planning.groups import Groups
from scripts.lightstack.planning.layout import (
    ALIGNMENT,
    CLEANED,
    LEDGER,
    MASTERS,
    PLAN,
    STACK,
    filled,
    in_results,
)
from scripts.lightstack.planning.layout import COLOURS as COLOUR_FILE
from scripts.lightstack.planning.plan import NoPlanError, Plan
from scripts.lightstack.planning.settings import CONFIGURATION, FOLDERS, RAW_FOLDERS
from scripts.lightstack.planning.watching import SNAKEFILE
from scripts.lightstack.raw.colour import ALONE, LUMA, Weights
from scripts.lightstack.stacking.aligned import aligned_frames
from scripts.lightstack.stacking.colours import Planes, planes_of

CHECK = "check_night"
"""Folder in that of the night; nothing is written elsewhere."""

MARK = ".lightstack_check"
"""File in the folder that says that it is the check's own."""

MODES = ("mean", "median", "sigma_clip", "winsorized", "noise_clip", "proper")
"""Modes that show light as it is."""

SEED = 1

FEWEST_STARS = 10

CHECKED = {"debug_region": 0}
"""Settings without which there is no check."""

NAMES = {"": "", "R": "red", "G": "green", "B": "blue"}
"""How colours are called."""


def check_night(night: Path, given: list[str], cores: str = "all") -> list[str]:
    """Check a night.

    Parameters
    ----------
    night : Path
        Folder of a run that has finished.
    given : list of str
        Settings other than the night's, as ``key=value``.
    cores : str
        As Snakemake has it.

    Returns
    -------
    list of str
        What was found, in lines. `CHECK` in the folder gets ``check.csv``, and ``check.png`` or
        a picture of each group and colour.

    Raises
    ------
    CheckError
    """
    for each in given:
        if "=" not in each:
            raise CheckError(f"{each}: not a setting such as background=mesh.")
    plan = _finished(night)
    folder = _own_folder(night, plan)
    settings, before, results = _settings(night, plan), night, plan.settings["results_dir"]
    if given:
        before, results = folder / "before", "results"
        _run(before, settings, given, cores)
    stacks = _stacks(before, results)
    truths = [_inject(night, folder / "after", plan, stack) for stack in stacks]
    _link_others(night, folder / "after", plan)
    _run(folder / "after", {**settings, "input_dir": "data"}, given, cores)
    lines = _differences(before, results, folder / "after")
    rows: list[dict[str, Any]] = []
    for stack, truth in zip(stacks, truths, strict=True):
        lines += [f"{stack.group}:"] if stack.group else []
        found = _recovered(folder / "after", stack, truth)
        for colour in stack.colours:
            of_colour = [one for one in found if one.rows[0]["colour"] == colour]
            of_group = [{"group": stack.group, **row} for one in of_colour for row in one.rows]
            name = ", ".join(filter(None, [night.name, stack.group, NAMES[colour]]))
            n_stars, n_frames = len(truth.xy), len(stack.planes[0])
            title = f"{name}: {n_stars} artificial stars and a disc in {n_frames} frames"
            of_what = "_".join(filter(None, ["check", stack.group, colour]))
            picture = folder / f"{of_what}.png"
            with atomic_write(picture) as file:
                draw_check(of_group, title).save(file, "PNG")
            lines += [*_told(of_colour), f"Picture: {picture}"]
            rows += of_group
    write_csv(folder / "check.csv", ("group", *COLUMNS), rows)
    return [*lines, f"Table: {folder / 'check.csv'}"]


class _Stack(NamedTuple):
    """What was stacked of a group.

    Attributes
    ----------
    group : str
        Its name; empty where frames are not grouped.
    shared : str
        Name of the groups with its reference.
    reference : str
    planes : tuple of sequences of AlignedFrame
        The frames, or their red, green and blue.
    is_halved : bool
        Whether a pixel of the stack is 2 x 2 of the frames'.
    cleaned : dict of str to Path
        Grey images, by the names of the frames.
    images : dict of str to (n, ny, nx) ndarray of float32
        The stack of each mode, or its red, green and blue [ADU].
    ledger : Path
    """

    group: str
    shared: str
    reference: str
    planes: Planes
    is_halved: bool
    cleaned: dict[str, Path]
    images: dict[str, NDArray[np.float32]]
    ledger: Path

    @property
    def colours(self) -> tuple[str, ...]:
        """Names of the planes: one that is empty if the stack is grey."""
        return ("",) if len(self.planes) == 1 else tuple(COLOURS)


def _finished(night: Path) -> Plan:
    """Read the plan of the night's last run."""
    try:
        plan = Plan.read(night / PLAN, None)
    except NoPlanError:
        raise CheckError(
            f"{night}: there is no finished run to compare with. Run it first: {_command(night)}"
        ) from None
    if plan.joined:
        raise CheckError(f"{night}: a check is of one night. Check each of `nights` by itself.")
    for key, value in CHECKED.items():
        if plan.settings[key] != value:
            raise CheckError(
                f"{night}: a check needs {key}={value}, and the last run had "
                f"{key}={plan.settings[key]}. Run it so first: "
                f"{_command(night)} --config {key}={value}"
            )
    return plan


def _command(folder: Path) -> str:
    return f"snakemake --directory {folder} --cores all"


def _stacks(folder: Path, results: str) -> list[_Stack]:
    """Open what a run has stacked, by group."""
    plan = Plan.read(folder / PLAN, None)
    groups, color = Groups(**plan.groups), plan.settings["color"]
    found = []
    for group, members in groups.members.items():
        alignment = _alignment(folder, results, groups.shared[group])
        names = [name for name in members if name in alignment["frames"]]
        images = {
            mode: _read_stack(path)
            for mode in MODES
            if len(names) > 1 and (path := _stack(folder, results, group, mode)).exists()
        }
        if not images:
            continue
        reference = alignment["reference"]
        cleaned, stacked = (
            {name: folder / filled(pattern, frame=name) for name in {*names, reference}}
            for pattern in (CLEANED, CLEANED if color == "gray" else COLOUR_FILE)
        )
        frames = [one for one in aligned_frames(alignment, stacked) if one.name in names]
        planes: Planes = (frames,)
        if color != "gray":
            scaled = alignment["normalize"] != "none"
            planes = planes_of(frames, reference, stacked, scaled=scaled, halved=False)
        found.append(
            _Stack(
                group,
                groups.shared[group],
                reference,
                planes,
                color == "superpixel",
                cleaned,
                images,
                folder / in_results(LEDGER, results),
            )
        )
    if not found:
        raise CheckError(
            f"{folder}: there is no stack of {', '.join(MODES)}. Run it again: {_command(folder)}"
        )
    return found


def _recovered(folder: Path, stack: _Stack, truth: Truth) -> list[Recovery]:
    """Compare the stacks of a group without and with the artificial light."""
    reference = _alignment(folder, "results", stack.shared).get("reference")
    if reference != stack.reference:
        raise CheckError(
            f"{stack.group}: with artificial light the reference is {reference} and no more "
            f"{stack.reference}, so stacks do not compare. Take a part of the groups for a "
            "night of its own, and check that."
        )
    found = []
    for mode, before in stack.images.items():
        after = _read_stack(_stack(folder, "results", stack.group, mode))
        for colour, one, other in zip(stack.colours, before, after, strict=True):
            found.append(recover((mode, colour), one, other, noise_of_stack(one), truth))
    return found


def _alignment(folder: Path, results: str, shared: str) -> dict[str, Any]:
    path = folder / in_results(filled(ALIGNMENT, group=shared), results)
    try:
        found: dict[str, Any] = read_json(path)
    except (OSError, ValueError):
        raise CheckError(
            f"{path}: not there, so there is no finished run to compare with. Run it first: "
            f"{_command(folder)}"
        ) from None
    return {"frames": {}, **found}


def _own_folder(night: Path, plan: Plan) -> Path:
    """Make the folder of the check, without what an earlier one left."""
    folder = night / CHECK
    taken = night / plan.settings["input_dir"]
    if folder.resolve().is_relative_to(taken.resolve()):
        raise CheckError(
            f"input_dir: the check's folder {folder} would lie among the frames. Put these into a "
            "folder of their own, such as data."
        )
    if folder.exists() and not (folder / MARK).exists():
        raise CheckError(f"{folder} was not made by a check: move it away first.")
    folder.mkdir(exist_ok=True)
    (folder / MARK).touch()
    for name in ("before", "after"):
        if (folder / name).exists():
            shutil.rmtree(folder / name)
    for path in folder.glob("check*.png"):
        path.unlink()
    return folder


def _settings(night: Path, plan: Plan) -> dict[str, Any]:
    """Give the settings of the night for a run in another folder, with the same reference."""
    own = {key: value for key, value in plan.settings.items() if key not in FOLDERS}
    raw = {
        key: str((night / Path(plan.settings[key]).expanduser()).resolve()) for key in RAW_FOLDERS
    }
    shared = set(plan.groups["shared"].values())
    if len(shared) == 1:
        alignment = _alignment(night, plan.settings["results_dir"], shared.pop())
        own["reference"] = alignment.get("reference", own["reference"])
    return {**own, **raw}


def _run(folder: Path, settings: dict[str, Any], given: list[str], cores: str) -> None:
    """Run the workflow in a folder of the check."""
    path = folder / CONFIGURATION
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(settings))
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(SNAKEFILE)]
    command += ["--directory", str(folder), "--cores", cores]
    command += ["--config", *given] if given else []
    if subprocess.run(command, check=False).returncode:
        raise CheckError(f"{folder}: the run failed, as told above.")


def _stack(folder: Path, results: str, group: str, mode: str) -> Path:
    return folder / in_results(filled(STACK, mode=mode, group=group), results)


def _read_stack(path: Path) -> NDArray[np.float32]:
    """Read the planes (n, ny, nx) of a stack."""
    from astropy.io import fits

    image = np.asarray(fits.getdata(path), np.float32)
    return image if image.ndim > 2 else image[np.newaxis]


def _inject(night: Path, folder: Path, plan: Plan, stack: _Stack) -> Truth:
    """Write the raw frames of a group with artificial light."""
    widths = {row["frame"]: row["fwhm_px"] for row in read_csv(stack.ledger)}
    frames = list(zip(*stack.planes, strict=True))
    psfs = [psf_of(stack.cleaned[one.name], float(widths[one.name])) for one, *_ in frames]
    typical = float(np.median([plane.noise for planes in frames for plane in planes]))
    image = next(iter(stack.images.values())).mean(axis=0)
    on_stack = [of_four(psf) for psf in psfs] if stack.is_halved else psfs
    truth = place(image, noise_of_stack(image), typical, on_stack, np.random.default_rng(SEED))
    if len(truth.xy) < FEWEST_STARS:
        raise CheckError(
            f"{night}: there is no room for artificial stars between those there are."
        )
    light = truth.on_frames() if stack.is_halved else truth
    numbers = {name: number for number, name in enumerate(plan.frames)}
    for planes, psf in zip(frames, psfs, strict=True):
        name = planes[0].name
        weights = ALONE if len(planes) > 1 else (LUMA,)
        seen = np.stack(
            [
                light_in(plane, light, psf) * _response(night, plan, name, each)
                for plane, each in zip(planes, weights, strict=True)
            ]
        )
        is_turned = plan.facts[name].get("turned")
        added = Added(
            seen[:, ::-1] if is_turned else seen,
            gain=planes[0].gain * planes[0].brightening,
            scale=float(read_header(stack.cleaned[name]).get("ADUSCALE", 1.0)),
            rng=np.random.default_rng([SEED, numbers[name]]),
        )
        target = folder / "data" / f"{name}.fits"
        target.parent.mkdir(parents=True, exist_ok=True)
        write_with_light((night / plan.frames[name]).resolve(), target, added)
    return truth


def _link_others(night: Path, folder: Path, plan: Plan) -> None:
    """Link the raw frames that got no light."""
    for name, path in plan.frames.items():
        raw, target = (night / path).resolve(), folder / "data" / f"{name}.fits"
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.with_name(raw.name).symlink_to(raw)


def _response(night: Path, plan: Plan, name: str, weights: Weights) -> NDArray[np.float32] | float:
    """Share of the light that each pixel of a frame shows, by the flat it was divided by."""
    kind = plan.kinds.get("flat", {}).get(name)
    if kind is None:
        return 1.0
    master = open_master(night / filled(MASTERS["flat"], kind=kind), weights)
    if master is None:
        return 1.0
    flat = master.pixels.read_rows(0, master.pixels.shape[0])
    flat = flat[::-1] if "flat" in plan.facts[name].get("mirrored", ()) else flat
    return np.nan_to_num(flat, nan=1.0)


def _differences(before: Path, results: str, after: Path) -> list[str]:
    """Tell if the runs did not stack the same frames."""
    stacked = [
        {
            row["frame"]
            for row in read_csv(folder / in_results(LEDGER, where))
            if row["status"] == "stacked"
        }
        for folder, where in ((before, results), (after, "results"))
    ]
    lines = []
    for names, other in ((stacked[0] - stacked[1], "without"), (stacked[1] - stacked[0], "with")):
        if names:
            lines.append(
                f"Only {other} the artificial light stacked: {', '.join(sorted(names))}. The runs "
                "are not the same, and the fluxes below are off by their part."
            )
    return lines


def _told(found: list[Recovery]) -> list[str]:
    """Say the table in lines."""
    lines = []
    for recovery in found:
        first = recovery.rows[0]
        mode = f"{first['mode']} {NAMES[first['colour']]}".rstrip()
        half = "beyond them" if np.isnan(recovery.depth) else f"at magnitude {recovery.depth:.2f}"
        lines.append(f"{mode}: half of the stars are found {half}")
        for row in recovery.rows:
            seen = f"{row['found']} of {row['n']} found, " if row["source"] == "star" else ""
            lines.append(
                f"  {row['source']} {row['magnitude']:.2f}: {seen}"
                f"{row['flux_percent']:.1f} % of the flux"
            )
    return lines


def main() -> None:
    """Check the night that the command line names."""
    parser = argparse.ArgumentParser(description="Check a night with artificial light.")
    parser.add_argument("night", type=Path, help="folder of a run that has finished")
    parser.add_argument("settings", nargs="*", help="other settings, as key=value")
    parser.add_argument("--cores", default="all", help="as Snakemake has it")
    arguments = parser.parse_args()
    if not arguments.night.is_dir():
        sys.exit(
            f"{arguments.night}: there is no such folder. Say which: make check-night NIGHT=…"
        )
    try:
        lines = check_night(arguments.night.resolve(), arguments.settings, arguments.cores)
    except CheckError as error:
        sys.exit(str(error))
    sys.stdout.write("\n".join([*lines, ""]))


if __name__ == "__main__":
    main()
