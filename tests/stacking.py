"""Stacks as the scripts of the workflow make them, in one job and in bands."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from scripts import join_bands, measure_frames, stack_band, stack_frames
from scripts.lightstack.files.frame_file import Frame, read_frame, write_frame
from scripts.lightstack.files.records import read_json
from scripts.lightstack.files.wholeness import is_whole
from scripts.lightstack.stacking.modes import MODES


def stack(
    folder: Path, out: Path, alignment: Path | None = None, **options: Any
) -> dict[str, Path]:
    """Stack the frames of a run in all modes, in one job."""
    alignment = alignment or folder / "results" / "alignment.json"
    frames = read_json(alignment)["frames"]
    cleaned = {name: folder / "work" / "cleaned" / f"{name}.fits" for name in frames}
    stacks = {mode: out / f"stack_{mode}.fits" for mode in MODES}
    settings: dict[str, Any] = {
        "sigma_clip": 2.5,
        "weights": "none",
        "stack_memory_mb": 1000,
        "threads": 1,
        "group": "",
        "members": list(frames),
    }
    thumbnails = out / "work" / "thumbnails.fits"
    stack_frames.run(alignment, cleaned, stacks, thumbnails, **{**settings, **options})
    return stacks


def stack_in_bands(
    folder: Path,
    out: Path,
    count: int,
    alignment: Path | None = None,
    *,
    uncertainty: bool = False,
) -> None:
    """Stack as the jobs of a cluster do."""
    alignment = alignment or folder / "results" / "alignment.json"
    cleaned = {path.stem: path for path in (folder / "work" / "cleaned").iterdir()}
    stacks = {mode: out / f"stack_{mode}.fits" for mode in MODES}
    how: dict[str, Any] = {
        "sigma_clip": 2.5,
        "weights": "none",
        "uncertainty": uncertainty,
        "threads": 2,
    }
    skies, seeing = out / "work" / "skies.fits", out / "work" / "seeing.fits"
    bands = [out / "work" / f"{number}.fits" for number in range(1, count + 1)]
    group: dict[str, Any] = {"group": "", "members": list(read_json(alignment)["frames"])}
    measure_frames.run(alignment, cleaned, skies, seeing, modes=MODES, **group, **how)
    how["skies"] = skies
    for number, band in enumerate(bands, 1):
        stack_band.run(
            alignment,
            cleaned,
            seeing,
            band,
            number=number,
            count=count,
            modes=list(MODES),
            stack_memory_mb=3,
            **group,
            **how,
        )
        assert is_whole(str(band))
    thumbnails = out / "work" / "thumbnails.fits"
    join_bands.run(alignment, cleaned, seeing, bands, stacks, thumbnails, **group, **how)


def cut(folder: Path, target: Path, shape: tuple[int, int]) -> Path:
    """Copy a run, and leave of its reference the corner: the smaller grid of all stacks."""
    shutil.copytree(folder / "results", target / "results")
    shutil.copytree(folder / "work" / "cleaned", target / "work" / "cleaned")
    reference = read_json(target / "results" / "alignment.json")["reference"]
    path = target / "work" / "cleaned" / f"{reference}.fits"
    whole, corner = read_frame(path), np.s_[: shape[0], : shape[1]]
    saturated = whole.saturated[corner].copy()
    write_frame(path, Frame(whole.data[corner].copy(), whole.header, saturated))
    return target


def assert_same_products(stacks: dict[str, Path], folder: Path) -> None:
    """Compare stacks and their thumbnails with others."""
    for path in [*stacks.values(), stacks["mean"].with_name("work") / "thumbnails.fits"]:
        other = folder / path.relative_to(stacks["mean"].parent)
        assert other.read_bytes() == path.read_bytes(), path.name
