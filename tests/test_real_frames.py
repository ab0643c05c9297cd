"""Real sequences of five telescopes, each with settings that suit it."""

import os
from pathlib import Path

import pytest
from astropy.io import fits

from tests.conftest import ROOT, Run, rank_correlation, snakemake

REAL_FRAMES = Path(os.environ.get("LIGHTSTACK_REAL_FRAMES", ROOT.parent / "shared" / "data"))
SETTINGS = Path(__file__).parent / "real_frames"

pytestmark = pytest.mark.skipif(
    not REAL_FRAMES.is_dir(),
    reason=f"no real frames in {REAL_FRAMES} (set LIGHTSTACK_REAL_FRAMES)",
)


def stack(name: str, folder: Path) -> Run:
    """Run the workflow on a sequence; its frames are linked into an own folder."""
    for source in (REAL_FRAMES / name).iterdir():
        (folder / source.name).symlink_to(source)
    return snakemake(folder, "--configfile", str(SETTINGS / f"{name}.yaml"))


def frames_with(run: Run, status: str) -> list[str]:
    """Names of the frames with this status."""
    assert run.returncode == 0, run.output
    return [frame for frame, row in run.ledger.items() if row["status"] == status]


def test_m8_without_its_starless_frame(tmp_path: Path) -> None:
    run = stack("m8", tmp_path)
    assert frames_with(run, "rejected") == ["L_12"]
    assert "min_star_count" in run.ledger["L_12"]["reasons"]
    assert len(frames_with(run, "stacked")) == 8


def test_tres1_with_its_master_dark(tmp_path: Path) -> None:
    run = stack("tres1", tmp_path)
    assert len(frames_with(run, "stacked")) == 12
    for row in run.ledger.values():
        assert row["dark"].startswith("master of 8: 60 s")
        assert float(row["residual_px"]) < 0.2


@pytest.mark.parametrize(("name", "count"), [("arp145", 17), ("arp186", 24)])
def test_few_stars_odd_headers_and_rotation(name: str, count: int, tmp_path: Path) -> None:
    run = stack(name, tmp_path)
    assert len(frames_with(run, "stacked")) == count
    assert all(float(row["residual_px"]) < 0.5 for row in run.ledger.values())


def test_bulge_aligns_and_its_fwhm_ranks_as_the_headers_do(tmp_path: Path) -> None:
    run = stack("bulge", tmp_path)
    assert len(frames_with(run, "stacked")) >= 11
    measured, stated = [], []
    for frame, row in run.ledger.items():
        measured.append(float(row["fwhm_px"]))
        stated.append(fits.getheader(tmp_path / "data" / f"{frame}.fits")["PFWHM"])
    assert rank_correlation(measured, stated) > 0.85
