"""Products open in other programs as what they are."""

import csv
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData
from astropy.table import Table

from scripts.lightstack.simulator import Night
from tests.conftest import Run

PRODUCTS = ("results/stack_mean.fits", "results/stack_sigma_clip.fits", "results/stack_std.fits")


def needed(program: str) -> Callable[..., object]:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed")


def test_a_stack_is_an_image_with_a_unit_for_astropy(simulated: tuple[Run, Night]) -> None:
    run, _ = simulated
    path = run.folder / "results" / "stack_mean.fits"
    image = CCDData.read(path)
    assert str(image.unit) == "adu"
    np.testing.assert_array_equal(image.data, fits.getdata(path))
    frames = Table.read(path, hdu="FRAMES")
    assert len(frames) == fits.getval(path, "NCOMBINE") == 12
    assert frames["DATE_OBS"][0].startswith("2026-03-01T21:0")


@pytest.mark.parametrize("name", [*PRODUCTS, "data_cleaned/light_0001.fits"])
def test_headers_keep_the_standard(simulated: tuple[Run, Night], name: str) -> None:
    run, _ = simulated
    with fits.open(run.folder / name, checksum=True) as hdus:
        hdus.verify("exception")
        for hdu in hdus[1:]:
            names = hdu.columns.names if isinstance(hdu, fits.BinTableHDU) else []
            assert all(column.replace("_", "a").isalnum() for column in names)


@needed("fitsverify")
@pytest.mark.parametrize("name", [*PRODUCTS, "data_cleaned/light_0001.fits"])
def test_fitsverify_finds_no_fault(simulated: tuple[Run, Night], name: str) -> None:
    run, _ = simulated
    done = subprocess.run(
        ["fitsverify", "-q", str(run.folder / name)], capture_output=True, text=True, check=False
    )
    assert done.stdout.startswith("verification OK"), done.stdout


@needed("stilts")
def test_topcat_reads_tables(simulated: tuple[Run, Night], tmp_path: Path) -> None:
    run, _ = simulated
    for source, rows in (
        (f"{run.folder}/results/stack_mean.fits#FRAMES", 12),
        (f"{run.folder}/results/frames.csv", 15),
    ):
        target = tmp_path / "table.csv"
        command = ["stilts", "tcopy", f"in={source}", f"out={target}", "ofmt=csv"]
        command += ["ifmt=csv"] if source.endswith(".csv") else []
        subprocess.run(command, check=True, capture_output=True)
        assert len(list(csv.DictReader(target.read_text().splitlines()))) == rows


@needed("siril-cli")
def test_siril_opens_the_stacks(simulated: tuple[Run, Night], tmp_path: Path) -> None:
    run, _ = simulated
    script = ["requires 1.0.0"]
    for name in PRODUCTS:
        shutil.copy(run.folder / name, tmp_path)
        script += [f"load {Path(name).stem}", f"save again_{Path(name).stem}"]
    (tmp_path / "open.ssf").write_text("\n".join([*script, "close", ""]))
    done = subprocess.run(
        ["siril-cli", "-d", str(tmp_path), "-s", str(tmp_path / "open.ssf")],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for name in PRODUCTS:
        (again,) = tmp_path.glob(f"again_{Path(name).stem}.fit*")
        ours, theirs = fits.getdata(tmp_path / Path(name).name), fits.getdata(again)
        whole = np.isfinite(ours)
        scale = 65535 if np.nanmax(np.abs(theirs[whole])) <= 1 < np.max(ours[whole]) else 1
        np.testing.assert_allclose(theirs[whole] * scale, ours[whole], rtol=1e-4, atol=0.05)
