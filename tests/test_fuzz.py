"""Damaged bytes of every format are pixels or a sentence: no crash, no hang, nothing else."""

import gzip
import os
import random
import re
import resource
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray

from scripts.lightstack.raw.image import UnusableFrameError
from scripts.lightstack.raw.images import read_image
from tests import bad_input

ROOT = Path(__file__).parents[1]
"""Not that of `conftest`: its imports would take each batch as long as hundreds of cases."""

CASES = int(os.environ.get("LIGHTSTACK_FUZZ_CASES", "4000"))
"""More of them, on demand: ``LIGHTSTACK_FUZZ_CASES=100000 pytest tests/test_fuzz.py``."""

BATCHES = 2

VALUES = (
    b"0 -1 1 2 3 8 16 -32 -64 64 99999999999 1e400 NaN T F '' 'x' 100000 2147483648 0.5 'RICE_1' "
    b"'GZIP_1' 'HCOMPRESS_1' 'PLIO_1' '1PB(99)' '1PE' (1,2) / = &"
).split()

WORKER = """
import sys
from tests.test_fuzz import work
work(int(sys.argv[1]), int(sys.argv[2]))
"""

HANG_S = 10

MAX_MEMORY_MB = 1000


@cache
def seeds() -> dict[str, bytes]:
    """Small whole files by name, one of every kind that the workflow reads."""
    rng = np.random.default_rng(0)
    grey = rng.normal(1000, 30, (24, 31)).astype(np.uint16)
    grey[10, 10] = 60_000
    byte = (grey // 8).clip(0, 255).astype(np.uint8)
    colour = np.stack([byte, byte // 2, byte // 3], axis=-1)
    header = bad_input.good_header(OBJECT="M 31 'x'", CRPIX1=3.0)
    plain = bad_input.plain_fits(grey, header)
    files = {
        "uint16.fits": plain,
        "float64.fits": bad_input.plain_fits(grey.astype(np.float64), header),
        "uint16.fits.gz": gzip.compress(plain, mtime=0),
        "extension.fits": bad_input.fits_bytes(
            fits.PrimaryHDU(header=header),
            fits.BinTableHDU(np.zeros(3, [("a", "f4"), ("b", "i4")])),
            fits.ImageHDU(grey.astype(np.int32)),
        ),
        "sixteen.png": bytes(imagecodecs.png_encode(grey)),
        "sixteen colour.png": bytes(imagecodecs.png_encode(np.stack([grey] * 3, axis=-1))),
        "grey.png": bad_input.picture(byte, "PNG"),
        "colour.png": bad_input.picture(colour, "PNG"),
        "palette.png": bad_input.picture(byte, "PNG", "P"),
        "alpha.png": bad_input.picture(colour, "PNG", "RGBA"),
        "grey.jpg": bad_input.picture(byte, "JPEG"),
        "colour.jpg": bad_input.picture(colour, "JPEG"),
        "progressive.jpg": bad_input.picture(colour, "JPEG", progressive=True),
        "cmyk.jpg": bad_input.picture(colour, "JPEG", "CMYK"),
        "plain.tif": bad_input.tiff(grey),
        "big endian.tif": bad_input.tiff(grey, rowsperstrip=8),
        "big.tif": bad_input.tiff(grey, bigtiff=True),
        "lzw.tif": bad_input.tiff(colour, photometric="rgb", compression="lzw"),
        "deflate.tif": bad_input.tiff(grey, compression="zlib", predictor=True),
        "float.tif": bad_input.tiff(grey.astype(np.float32), compression="zlib", predictor=3),
        "tiles.tif": bad_input.tiff(grey, tile=(16, 16), compression="zstd"),
        "packbits.tif": bad_input.tiff(byte, compression="packbits"),
        "jpeg.tif": bad_input.tiff(colour, photometric="rgb", compression="jpeg"),
        "pillow.tif": bad_input.picture(byte, "TIFF"),
    }
    for kind in ("RICE_1", "GZIP_1", "GZIP_2", "HCOMPRESS_1", "PLIO_1"):
        small = (grey // 8).astype(np.int16)
        files[f"{kind}.fits.fz"] = bad_input.compressed_fits(small, kind)
    files["quantized.fits.fz"] = bad_input.compressed_fits(grey.astype(np.float32), "RICE_1")
    return files


def mutate(rng: random.Random, content: bytes) -> bytes:
    """Damage a file at a few places."""
    damaged = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        if len(damaged) < 4:
            break
        _damage(rng, damaged)
    return bytes(damaged)


def _damage(rng: random.Random, content: bytearray) -> None:
    # Half of the damage goes into the first bytes, where most formats keep their header.
    at = rng.randrange(len(content) if rng.random() < 0.5 else min(len(content), 600))
    length = rng.choice((1, 2, 4, 8, 80, 2880))
    match rng.randrange(8):
        case 0:
            content[at] ^= 1 << rng.randrange(8)
        case 1:
            content[at] = rng.choice((0, 255, 127, 128, 1, 32, 48, 57, 45))
        case 2:
            del content[at:]
        case 3:
            del content[at : at + length]
        case 4:
            content[at:at] = content[at : at + length]
        case 5:
            to = rng.randrange(len(content))
            one, other = content[at : at + length], content[to : to + length]
            if len(one) == len(other):
                content[at : at + length], content[to : to + length] = other, one
        case 6:
            number = rng.choice((0, 1, 2**31 - 1, 2**32 - 1, rng.randrange(2**16)))
            content[at : at + 4] = number.to_bytes(4, rng.choice(("big", "little")))
        case _:
            _edit_card(rng, content)


def _edit_card(rng: random.Random, content: bytearray) -> None:
    cards = list(re.finditer(rb"= *(-?[0-9.]+|[TF]|'[^']*')", bytes(content)))
    if cards:
        start, end = rng.choice(cards).span(1)
        value = rng.choice(VALUES).ljust(end - start)
        content[start : start + len(value)] = value


def work(first: int, last: int) -> None:
    """Read the damaged files of some seeds; say each number before, and what is wrong."""
    whole = seeds()
    folder = Path.cwd()
    right = {}
    for name, content in whole.items():
        (folder / name).write_bytes(content)
        right[name] = read_image(folder / name).data
    names = list(whole)
    read = 0
    for number in range(first, last):
        rng = random.Random(number)
        name = names[number % len(names)]
        is_cut = rng.random() < 0.15
        content = whole[name]
        content = content[: rng.randrange(len(content))] if is_cut else mutate(rng, content)
        (folder / name).write_bytes(content)
        _say("case", number, name)
        begin = time.monotonic()
        read += _check(folder / name, right[name] if is_cut else None)
        if time.monotonic() - begin > HANG_S:
            _say("WRONG time:", time.monotonic() - begin)
    # ru_maxrss of this process would be that of the one that started it, if that is larger.
    status = Path("/proc/self/status").read_text()
    own = int(re.search(r"VmHWM:\s+(\d+) kB", status)[1])  # type: ignore[index]
    megabytes = max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) / 1000
    if megabytes > MAX_MEMORY_MB:
        _say("WRONG memory:", megabytes)
    _say("finished", read)


def _check(path: Path, right: NDArray[np.float32] | None) -> bool:
    """Whether a file can be read; it must give the right pixels if these are given."""
    try:
        pixels = read_image(path).data
    except UnusableFrameError as error:
        if not re.fullmatch(rf"{re.escape(path.name)}: [^\n]{{8,}}\.", str(error)):
            _say("WRONG sentence:", repr(str(error)))
        return False
    except BaseException as error:
        _say("WRONG exception:", repr(error))
        raise
    if pixels.dtype != np.float32 or pixels.ndim != 2 or np.isinf(pixels).any():
        _say("WRONG pixels:", pixels.dtype, pixels.shape)
    if right is not None and not np.array_equal(pixels, right, equal_nan=True):
        _say("WRONG pixels: made up where the file was cut")
    return True


def _say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def _run_batch(folder: Path, first: int, last: int) -> str:
    folder.mkdir()
    try:
        done = subprocess.run(
            [sys.executable, "-c", WORKER, str(first), str(last)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            timeout=60 + (last - first),
        )
    except subprocess.TimeoutExpired as error:
        return f"{(error.stdout or b'').decode(errors='replace')}\nWRONG time: it hangs"
    return f"{done.stdout}\nexit code {done.returncode}"


def test_damaged_files_are_pixels_or_a_sentence(tmp_path: Path) -> None:
    edges = np.linspace(0, CASES, BATCHES + 1).astype(int).tolist()
    with ThreadPoolExecutor(BATCHES) as pool:
        outputs = list(
            pool.map(
                _run_batch,
                [tmp_path / str(number) for number in range(BATCHES)],
                edges[:-1],
                edges[1:],
            )
        )
    read = 0
    for output in outputs:
        lines = output.splitlines()
        wrong = [number for number, line in enumerate(lines) if line.startswith("WRONG")]
        assert not wrong, "\n".join(lines[wrong[0] - 1 : wrong[0] + 1])
        assert lines[-1] == "exit code 0", output[-3000:]
        (last,) = [line for line in lines if line.startswith("finished")]
        read += int(last.split()[1])
    # Were none read, or nearly all, the damage would prove little.
    assert 0.1 * CASES < read < 0.7 * CASES


@pytest.mark.parametrize("name", list(seeds()))
def test_seeds_are_whole(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(seeds()[name])
    assert read_image(tmp_path / name).data.shape == (24, 31)
