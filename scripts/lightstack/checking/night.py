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

from scripts.lightstack.calibration.suspicions import noise_of
from scripts.lightstack.checking.artificial import Truth, light_in, place, psf_of
from scripts.lightstack.checking.chart import draw_check
from scripts.lightstack.checking.recovery import COLUMNS, Recovery, recover
from scripts.lightstack.files.atomic import atomic_write
from scripts.lightstack.files.frame_file import PixelFile
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
from scripts.lightstack.planning.plan import NoPlanError, Plan
from scripts.lightstack.planning.settings import CONFIGURATION, FOLDERS, RAW_FOLDERS
from scripts.lightstack.planning.watching import SNAKEFILE
from scripts.lightstack.stacking.aligned import AlignedFrame, aligned_frames

CHECK = "check_night"
"""Folder in that of the night; nothing is written elsewhere."""

MARK = ".lightstack_check"
"""File in the folder that says that it is the check's own."""

MODES = ("mean", "median", "sigma_clip", "winsorized", "noise_clip", "proper")
"""Modes that show light as it is."""

SEED = 1

FEWEST_STARS = 10

CHECKED = {"color": "gray", "debug_region": 0}
"""Settings without which there is no check."""


class CheckError(Exception):
    """The night cannot be checked; the message is a sentence."""


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
        a picture of each group.

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
        found = _recovered(folder / "after", stack, truth)
        of_group = [{"group": stack.group, **row} for one in found for row in one.rows]
        name = f"{night.name}, {stack.group}" if stack.group else night.name
        n_stars, n_frames = len(truth.xy), len(stack.frames)
        title = f"{name}: {n_stars} artificial stars and a disc in {n_frames} frames"
        picture = folder / (f"check_{stack.group}.png" if stack.group else "check.png")
        with atomic_write(picture) as file:
            draw_check(of_group, title).save(file, "PNG")
        lines += [*([f"{stack.group}:"] if stack.group else []), *_told(found)]
        lines.append(f"Picture: {picture}")
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
    frames : list of AlignedFrame
    cleaned : dict of str to Path
        By the names of the frames.
    images : dict of str to (ndarray, float)
        The stack (ny, nx) of each mode, and the noise of its pixels [ADU].
    ledger : Path
    """

    group: str
    shared: str
    reference: str
    frames: list[AlignedFrame]
    cleaned: dict[str, Path]
    images: dict[str, tuple[NDArray[np.float32], float]]
    ledger: Path


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
    groups = Groups(**Plan.read(folder / PLAN, None).groups)
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
        cleaned = {name: folder / filled(CLEANED, frame=name) for name in {*names, reference}}
        frames = [one for one in aligned_frames(alignment, cleaned) if one.name in names]
        ledger = folder / in_results(LEDGER, results)
        shared = groups.shared[group]
        found.append(_Stack(group, shared, reference, frames, cleaned, images, ledger))
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
    for mode, (image, noise) in stack.images.items():
        with_light, _ = _read_stack(_stack(folder, "results", stack.group, mode))
        found.append(recover(mode, image, with_light, noise, truth))
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


def _read_stack(path: Path) -> tuple[NDArray[np.float32], float]:
    """Read a stack and the noise of its pixels, by the differences of neighbours."""
    from astropy.io import fits

    image = np.asarray(fits.getdata(path), np.float32)
    return image, noise_of(image)


def _inject(night: Path, folder: Path, plan: Plan, stack: _Stack) -> Truth:
    """Write the raw frames of a group with artificial light."""
    widths = {row["frame"]: row["fwhm_px"] for row in read_csv(stack.ledger)}
    frames = stack.frames
    psfs = [psf_of(stack.cleaned[frame.name], float(widths[frame.name])) for frame in frames]
    typical = float(np.median([frame.noise for frame in frames]))
    image, noise = next(iter(stack.images.values()))
    truth = place(image, noise, typical, psfs, np.random.default_rng(SEED))
    if len(truth.xy) < FEWEST_STARS:
        raise CheckError(
            f"{night}: there is no room for artificial stars between those there are."
        )
    numbers = {name: number for number, name in enumerate(plan.frames)}
    for frame, psf in zip(frames, psfs, strict=True):
        light = light_in(frame, truth, psf) * _response(night, plan, frame.name)
        gain = frame.gain * frame.brightening  # of the frame itself
        rng = np.random.default_rng([SEED, numbers[frame.name]])
        light += rng.normal(size=light.shape) * np.sqrt(np.maximum(light, 0) / gain)
        is_turned = plan.facts[frame.name].get("turned")
        raw = (night / plan.frames[frame.name]).resolve()
        target = folder / "data" / f"{frame.name}.fits"
        target.parent.mkdir(parents=True, exist_ok=True)
        _write_with_light(raw, target, light[::-1] if is_turned else light)
    return truth


def _link_others(night: Path, folder: Path, plan: Plan) -> None:
    """Link the raw frames that got no light."""
    for name, path in plan.frames.items():
        raw, target = (night / path).resolve(), folder / "data" / f"{name}.fits"
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.with_name(f"{Path(name).name}{raw.suffix}").symlink_to(raw)


def _response(night: Path, plan: Plan, name: str) -> NDArray[np.float32] | float:
    """Share of the light that each pixel of a frame shows, by the flat it was divided by."""
    kind = plan.kinds.get("flat", {}).get(name)
    if kind is None:
        return 1.0
    master = PixelFile(night / filled(MASTERS["flat"], kind=kind))
    flat = master.read_rows(0, master.shape[0])
    flat = flat[::-1] if "flat" in plan.facts[name].get("mirrored", ()) else flat
    return np.nan_to_num(flat, nan=1.0)


def _write_with_light(raw: Path, target: Path, light: NDArray[np.floating]) -> None:
    """Write a copy of a FITS file with light added to its image."""
    from astropy.io import fits

    try:
        with fits.open(raw, memmap=False) as hdus:
            images = [hdu for hdu in hdus if hdu.is_image and hdu.shape == light.shape]
            if len(images) != 1:
                raise CheckError(
                    f"{raw}: a check needs one image in each file, without overscan, of "
                    f"{light.shape[1]} x {light.shape[0]} pixels."
                )
            image = images[0]
            if np.issubdtype(image.data.dtype, np.integer):
                ends = np.iinfo(image.data.dtype)
                total = np.clip(image.data + np.rint(light), ends.min, ends.max)
            else:
                total = image.data + light
            image.data = total.astype(image.data.dtype)
            hdus.writeto(target)
    except OSError as error:
        raise CheckError(f"{raw}: a check needs FITS files, and this is none ({error}).") from None


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
        mode = recovery.rows[0]["mode"]
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
