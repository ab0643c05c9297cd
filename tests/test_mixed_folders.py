"""Folders as they are: other things lie among the frames, and the stacks are the same."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from astropy.io import fits
from PIL import Image

from scripts.lightstack.files.records import read_csv
from tests.conftest import planned_jobs, snakemake


def with_cards(path: Path, **cards: object) -> None:
    for key, value in cards.items():
        fits.setval(path, key, value=value)


def turn_over(path: Path) -> None:
    """Store the rows of an image in the other order, and say so."""
    with fits.open(path, mode="update") as hdus:
        hdus[0].data = np.ascontiguousarray(hdus[0].data[::-1])
        hdus[0].header["ROWORDER"] = "BOTTOM-UP"


def add_other_things(folder: Path) -> None:
    """Mix the darks and much else into a folder of lights, and turn frames over."""
    data, darkfield = folder / "data", folder / "darkfield"
    lights, darks = sorted(data.iterdir()), sorted(darkfield.iterdir())
    (data / "DARK").mkdir()
    for dark in darks:
        dark.rename(data / "DARK" / dark.name)
        turn_over(data / "DARK" / dark.name)
    for name, kind in (("misplaced", "Light Frame"), ("flat", "Flat Field")):
        shutil.copy(lights[0], darkfield / f"{name}.fits")
        with_cards(
            darkfield / f"{name}.fits", IMAGETYP=kind, OBSERVER=name, XBINNING=2, YBINNING=2
        )
    (data / "BIAS").mkdir()
    shutil.copy(lights[1], data / "BIAS" / "bias_1.fits")
    with_cards(data / "BIAS" / "bias_1.fits", XBINNING=2, YBINNING=2)
    fits.delval(data / "BIAS" / "bias_1.fits", "IMAGETYP")
    shutil.copy(lights[1], data / "light_0002 (2).fits")
    shutil.copy(lights[3], data / "Autosave.fits")
    with_cards(data / "Autosave.fits", STACKCNT=20)
    stretched = np.sqrt(fits.getdata(lights[0]).astype(float)).clip(0, 255).astype(np.uint8)
    Image.fromarray(stretched).save(data / "Stack.jpg")
    Image.fromarray(stretched).save(data / f"{lights[0].stem}.jpg")
    Image.fromarray(stretched[::4, ::4]).save(data / f"{lights[0].stem}_thn.jpg")
    (data / "raw.XISF").write_bytes(b"II*\0")
    turn_over(lights[-1])


def test_the_stack_is_that_of_a_tidy_night(small_night: Callable[..., Path]) -> None:
    tidy, mixed = small_night("tidy"), small_night("mixed")
    for folder in (tidy, mixed):
        for path in folder.glob("*/*.fits"):
            with_cards(path, ROWORDER="TOP-DOWN")
    add_other_things(mixed)
    expected, run = snakemake(tidy), snakemake(mixed)
    assert run.returncode == expected.returncode == 0, run.output
    for mode in ("mean", "sigma_clip"):
        stacks = [
            fits.getdata(folder / "results" / f"stack_{mode}.fits") for folder in (tidy, mixed)
        ]
        np.testing.assert_array_equal(stacks[0], stacks[1])
    rows = {name: row["status"] for name, row in run.ledger.items()}
    used = {name: row["status"] for name, row in expected.ledger.items()}
    others = {"light_0002 (2)": "rejected", "Autosave": "rejected", "Stack": "rejected"}
    assert rows == used | others
    assert {row["dark"] for row in run.ledger.values()} - {""} == {
        row["dark"] for row in expected.ledger.values()
    }
    for line in (
        "Not used, a copy of another file: data/light_0002 (2).fits.",
        "Not used, a stack among single exposures: data/Autosave.fits.",
        "Not used, a picture of 8 bits among raw frames: data/Stack.jpg.",
        "Not used, a light among darks: darkfield/misplaced.fits.",
        "Not used, a flat among darks: darkfield/flat.fits.",
        "5 lights, 5 darks for them.",
        "a rawer file of the same frame is there: data/light_0001.jpg, data/light_0001_thn.jpg.",
        "Not read, for lightstack does not know their kinds: 1 .xisf.",
    ):
        assert line in run.output
    files = [path for folder in ("data", "darkfield") for path in (mixed / folder).rglob("*.*")]
    inventory = read_csv(mixed / "results" / "inventory.csv")
    listed = {row["file"] for row in inventory}
    assert listed == {str(path.relative_to(mixed)) for path in files} - {"data/raw.XISF"}
    assert sum(row["used_as"] == "light" for row in inventory) == len(used)


def test_the_inventory_follows_and_no_pixel_is_touched(finished_night: Path) -> None:
    folder = finished_night
    shutil.copy(folder / "data" / "light_0001.fits", folder / "darkfield" / "x.fits")
    with_cards(folder / "darkfield" / "x.fits", IMAGETYP="Light Frame")
    plan = snakemake(folder, "-n")
    assert "Not used, a light among darks: darkfield/x.fits." in plan.output
    assert "x.fits" not in (folder / "results" / "inventory.csv").read_text()
    assert planned_jobs(plan) == {"all": 1, "list_inventory": 1, "write_report": 1}
    assert snakemake(folder).returncode == 0
    assert "darkfield/x.fits,light,," in (folder / "results" / "inventory.csv").read_text()
    assert "Nothing to be done" in snakemake(folder, "-n").output


def test_a_folder_without_lights_is_told_with_what_is_there(
    small_night: Callable[..., Path],
) -> None:
    folder = small_night()
    for path in (folder / "data").iterdir():
        with_cards(path, IMAGETYP="Dark Frame")
    run = snakemake(folder)
    assert run.returncode == 1
    assert "input_dir: no light below data; by their headers and folders, " in run.output
    assert "Traceback" not in run.output


def test_pixels_that_were_saved_anew_count_once(small_night: Callable[..., Path]) -> None:
    folder = small_night(min_star_count=20)
    light = folder / "data" / "light_0002.fits"
    pixels = fits.getdata(light)
    fits.PrimaryHDU(pixels).writeto(folder / "data" / "light_0002_converted.fits")
    compressed = fits.CompImageHDU(pixels, fits.Header([("OBJECT", "M 1")]))
    compressed.writeto(folder / "data" / "z.fits.fz")
    run = snakemake(folder)
    assert run.returncode == 0, run.output
    for name in ("light_0002_converted", "z"):
        assert run.ledger[name]["status"] == "rejected"
        assert run.ledger[name]["reasons"] == "the same pixels as light_0002, which counts"
        assert not (folder / "data_cleaned" / f"{name}.fits").exists()
    assert run.ledger["light_0002"]["status"] == "stacked"
    stacked = [row for row in run.ledger.values() if row["status"] == "stacked"]
    header = fits.getheader(folder / "results" / "stack_mean.fits")
    assert header["NCOMBINE"] == len(stacked)
