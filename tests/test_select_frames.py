"""Accepted frames are copied when they have to be, and only then."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from scripts import select_frames
from scripts.lightstack.files.frame_file import Frame, write_frame
from scripts.lightstack.files.records import write_json


@pytest.fixture
def frame(tmp_path: Path) -> Path:
    """Return a folder with one cleaned frame and its quality record."""
    cleaned = Frame(np.ones((4, 5), np.float32), fits.Header(), np.zeros((4, 5), bool))
    write_frame(tmp_path / "cleaned.fits", cleaned)
    metrics = {key: 1 for key, _ in select_frames.METRICS.values()}
    record = {"frame": "a", "verdict": "accepted", "reasons": [], **metrics}
    write_json(tmp_path / "quality.json", record)
    return tmp_path


def accepted_frame(folder: Path) -> Path:
    select_frames.run(
        [folder / "quality.json"],
        [folder / "cleaned.fits"],
        folder / "selection.csv",
        output_dir=folder / "accepted",
    )
    return folder / "accepted" / "a.fits"


def test_a_frame_is_not_copied_twice(frame: Path) -> None:
    before = accepted_frame(frame).stat().st_ino
    assert accepted_frame(frame).stat().st_ino == before


def test_a_frame_is_copied_anew_by_other_code(
    frame: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accepted_frame(frame)
    monkeypatch.setitem(select_frames.METRICS, "NSTARS", ("n_stars", "another comment"))
    monkeypatch.setattr(select_frames, "code_digest", lambda _: "another")
    assert fits.getheader(accepted_frame(frame)).comments["NSTARS"] == "another comment"
