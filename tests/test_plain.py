"""A quick look at a header tells what the full reader tells, or nothing."""

import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from scripts.lightstack.raw import images
from scripts.lightstack.raw.exposure import EXPOSURE_CARDS, exposure_of
from scripts.lightstack.raw.image import UnusableFrameError
from scripts.lightstack.raw.images import read_cards, read_image
from scripts.lightstack.raw.plain import plain_cards
from tests import bad_input
from tests.conftest import ROOT

CASES = 1500

KEYS = (*EXPOSURE_CARDS, "BSCALE", "BZERO", "NAXIS1", "PCOUNT", "GCOUNT", "OBJECT")

ODD_VALUES = (
    "60.0 60 -10.5 +7 007 1. .5 1.5E2 1.5D2 1e1 1E999 -0 NaN T F 'text' '60.0' 60,0 0x10 1_000 "
    "99999999999999999999999 0.1234567890123456789012345 (1,2) - 2.0 0 1"
)

VALUES = ODD_VALUES.split()

ENDS = (
    "",
    " ",
    " / [s] exposure",
    "/",
    " / it's & 'odd'",
    " and words",
    " / caf\xe9",
    " / \t",
    "&",
)

ODD_CARDS = (
    "CONTINUE  'more'",
    "HIERARCH EXPTIME = 5",
    "HIERARCH ESO GAIN = 5",
    "exptime =                 5.0",
    "EXPTIME =5.0",
    "EXPTIME=                  5.0",
    " GAIN   =                 5.0",
    "GAIN                      5.0",
    "EXPTIME = 'GAIN: 5'",
    "EXPTIME",
    "COMMENT = 5",
    "GROUPS  =                    T",
    "ZIMAGE  =                    T",
    "END                          5",
    "END     = 5",
    "ENDING  =                    5",
)


def random_file(rng: random.Random) -> bytes:
    """Content of a FITS file with odd cards, changed or cut at times."""
    cards = []
    for _ in range(rng.choice((0, 1, 2, 2, 4, 8))):
        if rng.random() < 0.2:
            cards.append(rng.choice(rng.choice((ODD_CARDS, bad_input.HOSTILE_CARDS))))
        else:
            key, value = rng.choice(KEYS), rng.choice(VALUES[: rng.choice((9, 99))])
            value = value.rjust(rng.choice((0, 20, 20)))
            cards.append(f"{key:<8}= {value}{rng.choice(ENDS[: rng.choice((3, 9))])}")
    dtype = rng.choice(("i2", "i4", "f4"))
    content = bytearray(bad_input.scaled_fits(np.arange(20, dtype=dtype).reshape(4, 5), *cards))
    if rng.random() < 0.1:
        content[rng.randrange(2880)] = rng.choice(b"0123456789 =/'EDN.\n\xff")
    if rng.random() < 0.1 and content[2800:2880].isspace():
        # Behind the header's end.
        content[2800:2880] = f"{rng.choice(KEYS):<8}= {3:>20}".ljust(80).encode()
    if rng.random() < 0.1:
        del content[rng.randrange(len(content)) :]
    return bytes(content)


def test_it_tells_what_the_full_reader_tells_or_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    accepted = 0
    for number in range(CASES):
        path.write_bytes(random_file(random.Random(number)))
        plain = plain_cards(path, EXPOSURE_CARDS)
        if plain is None:
            continue
        accepted += 1
        shape, cards, pixel_type = plain
        looked = images._read(path, EXPOSURE_CARDS, "first")
        assert exposure_of(cards, shape) == exposure_of(looked.header, looked.data.shape), number
        assert pixel_type == looked.pixel_type
        # Cards by which the steps tell each other something are not read with pixels.
        whole = read_image(path)
        seen = exposure_of(cards, shape)
        known = exposure_of(whole.header, whole.data.shape)
        seen, known = (
            replace(taken, n_combined=None, role=None, calibrated="") for taken in (seen, known)
        )
        assert seen == known, number
    # Were none accepted, or nearly all, this would prove little.
    assert 0.1 * CASES < accepted < 0.9 * CASES


def camera_header(**cards: object) -> fits.Header:
    """Cards as a camera's program writes them."""
    header = bad_input.good_header(OBJECT="M 31 / 'core'", GAIN=100, BSCALE=1.0, **cards)
    header["COMMENT"] = header["HISTORY"] = "words = more of them"
    header[""] = "blank"
    return header


def test_what_cameras_write_needs_no_full_reader(tmp_path: Path) -> None:
    for dtype in ("u1", "i2", "u2", "i4", "u4", "f4", "f8"):
        path = tmp_path / f"{dtype}.fits"
        path.write_bytes(bad_input.plain_fits(np.ones((4, 5), dtype), camera_header()))
        plain = plain_cards(path, EXPOSURE_CARDS)
        assert plain is not None
        shape, cards, pixel_type = plain
        assert (shape, pixel_type) == ((4, 5), np.dtype(dtype).name)
        assert dict(cards) == {
            "EXPTIME": 60,
            "GAIN": 100,
            "EGAIN": 1.5,
            "CCD-TEMP": -10,
            "XBINNING": 1,
            "YBINNING": 1,
            "OBJECT": "M 31 / 'core'",
            "DATE-OBS": "2026-03-01T21:00:00",
        }


def test_a_night_of_plain_fits_is_looked_at_without_astropy(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    path.write_bytes(bad_input.plain_fits(np.ones((4, 5), np.uint16), camera_header()))
    code = """
import sys
from pathlib import Path
import scripts.lightstack.planning.looks as looks
print(looks._look(Path(sys.argv[1])), "astropy" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert done.stdout.startswith("{'exposure': {'shape': [4, 5], 'exptime': 60.0, 'gain': 100.0")
    assert done.stdout.endswith("False\n")


@pytest.mark.parametrize("name", ["whole.fits", "cut.fits", "zipped.fits.gz"])
def test_a_dark_is_looked_at_to_its_end(tmp_path: Path, name: str) -> None:
    content = bad_input.plain_fits(np.ones((400, 50), np.uint16), camera_header())
    path = tmp_path / name
    if name == "zipped.fits.gz":
        fits.writeto(path, np.random.default_rng(1).integers(0, 9999, (400, 50), np.int16))
        content = path.read_bytes()[:-20]
    path.write_bytes(content if name == "whole.fits" else content[:-2880])
    if name == "whole.fits":
        assert read_cards(path, (), with_pixels=True)[0] == (400, 50)
        return
    with pytest.raises(UnusableFrameError, match=rf"{name}: .*truncated"):
        read_cards(path, (), with_pixels=True)


def test_a_picture_by_its_content_is_no_fits_file(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(bad_input.plain_fits(np.ones((4, 5), np.uint16)))
    with pytest.raises(UnusableFrameError, match="not a PNG"):
        read_cards(path, EXPOSURE_CARDS)
