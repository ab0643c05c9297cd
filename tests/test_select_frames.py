"""Accepted frames are copied when they have to be, and only then."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from scripts import select_frames
from scripts.lightstack.files import accepted_file
from scripts.lightstack.files.frame_file import Frame, write_frame
from scripts.lightstack.files.output_folder import MANIFEST
from scripts.lightstack.files.records import read_json, write_json


def accepted(name: str, **metrics: object) -> dict[str, object]:
    """Return a quality record."""
    found = {"frame": name, "verdict": "accepted", "reasons": [], "pixels_sha256": name}
    return {**found, "dark": "none", "date_obs": None, "exptime_s": None, **metrics}


@pytest.fixture
def frame(tmp_path: Path) -> Path:
    """Return a folder with one cleaned frame and its quality record."""
    cleaned = Frame(np.ones((4, 5), np.float32), fits.Header(), np.zeros((4, 5), bool))
    write_frame(tmp_path / "cleaned.fits", cleaned)
    metrics = {key: 1 for key, _ in accepted_file.METRICS.values()}
    record = accepted("a", **metrics)
    write_json(tmp_path / "quality.json", record)
    return tmp_path


def accepted_frame(folder: Path) -> Path:
    select_frames.run(
        {"a": folder / "quality.json"},
        {"a": folder / "cleaned.fits"},
        folder / "selection.csv",
        groups={"a": ""},
        output_dir=folder / "accepted",
        threads=2,
    )
    return folder / "accepted" / "a.fits"


def test_a_frame_is_not_copied_twice(frame: Path) -> None:
    before = accepted_frame(frame).stat().st_ino
    assert accepted_frame(frame).stat().st_ino == before


def test_a_frame_is_copied_anew_by_other_code(
    frame: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accepted_frame(frame)
    monkeypatch.setitem(accepted_file.METRICS, "NSTARS", ("n_stars", "another comment"))
    monkeypatch.setattr(select_frames, "code_digest", lambda _: "another")
    assert fits.getheader(accepted_frame(frame)).comments["NSTARS"] == "another comment"


def test_many_frames_are_copied_at_a_time_and_noted_in_order(tmp_path: Path) -> None:
    metrics = {key: 1 for key, _ in accepted_file.METRICS.values()}
    names = [f"{folder}/{number}" for folder in "ba" for number in range(20)]
    for number, name in enumerate(names):
        pixels = np.full((300, 400), number, np.float32)  # more than is copied at once
        frame = Frame(pixels, fits.Header(), np.zeros(pixels.shape, bool))
        write_frame(tmp_path / "cleaned" / f"{name}.fits", frame)
        record = accepted(name, **metrics)
        write_json(tmp_path / "quality" / f"{name}.json", record)
    manifests = []
    for threads in (1, 4):
        folder = tmp_path / f"accepted {threads}"
        select_frames.run(
            {name: tmp_path / "quality" / f"{name}.json" for name in names},
            {name: tmp_path / "cleaned" / f"{name}.fits" for name in names},
            tmp_path / "selection.csv",
            groups=dict.fromkeys(names, ""),
            output_dir=folder,
            threads=threads,
        )
        manifests.append(list(read_json(folder / MANIFEST)))
        for number, name in enumerate(names):
            data, header = fits.getdata(folder / f"{name}.fits", header=True)
            assert (data == number).all()
            assert header["NSTARS"] == 1
    assert manifests[0] == manifests[1] == sorted(f"{name}.fits" for name in names)
