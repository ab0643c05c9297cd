"""Whatever lies in the input folder is stacked rightly or told of; it never stops the others."""

import contextlib
import errno
import json
import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from scripts import calibrate_frame, detect_sources, grade_frame, subtract_background
from scripts.lightstack.alignment.transform import Transform
from scripts.lightstack.files.frame_file import PixelFile, read_header
from scripts.lightstack.files.records import read_json
from scripts.lightstack.planning.layout import PLAN
from scripts.lightstack.planning.plan import Plan
from scripts.lightstack.raw import fits_reader
from scripts.lightstack.raw.exposure import EXPOSURE_CARDS, exposure_of
from scripts.lightstack.raw.image import UnreadableFileError, UnusableFrameError
from scripts.lightstack.raw.images import is_fits_name, read_cards, read_image
from scripts.lightstack.raw.isolation import computed_apart
from scripts.lightstack.report.reasons import sentences
from scripts.lightstack.simulator import make_night
from scripts.lightstack.stacking.aligned import AlignedFrame
from scripts.lightstack.stacking.header import common_header
from scripts.lightstack.text import on_one_line
from tests import bad_input
from tests.bad_input import SHALLOW, Case
from tests.calibration import plain
from tests.conftest import ROOT, SMALL_SETTINGS, Run, made_once, snakemake, write_settings

GOOD = "light_0001"
METRICS = ("n_sources", "n_stars", "fwhm_px", "ellipticity", "background_adu", "noise_adu")


PICTURES = ("png", "jpg", "jpeg", "tif", "tiff")


@pytest.fixture(scope="module")
def offered(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, dict[str, Case]]:
    """Run the workflow on the whole corpus beside a few good frames."""

    def make(folder: Path) -> tuple[Run, dict[str, Case]]:
        make_night(folder, shape=(200, 300), n_lights=5, n_stars=150, seed=4)
        for dark in (folder / "darkfield").iterdir():
            # As pictures have it, which get no dark whose rows might run the other way.
            fits.setval(dark, "ROWORDER", value="TOP-DOWN")
        # Eight bits saturate early.
        write_settings(folder, **SMALL_SETTINGS, saturated_max_fraction=0.5)
        data = folder / "data"
        good = data / f"{GOOD}.fits"
        content = good.read_bytes()
        files = bad_input.corpus(good) | bad_input.strange_names(content)
        cases = bad_input.write(data, files)
        (data / "link.fits").symlink_to(good)
        (data / "dangling.fits").symlink_to("nowhere.fits")
        (data / "loop.fits").symlink_to("loop.fits")
        (folder / "darkfield" / "gone.fits").symlink_to("nowhere.fits")
        (data / "no frame.fits").mkdir()
        os.mkfifo(data / "pipe.fits")
        fits.writeto(data / "other shape.fits", fits.getdata(data / "light_0002.fits")[:150, :220])
        cases |= {
            "link": Case("rejected", "a copy of another file"),
            "dangling": Case("failed", "link to a file that does not exist"),
            "loop": Case("failed", "link to a file that does not exist"),
            "pipe": Case("failed", "not a regular file"),
            "other shape": bad_input.STACKED,
        }
        return snakemake(folder), cases

    return made_once(tmp_path_factory, "bad", make)


def test_every_file_is_a_row_of_the_ledger_with_its_status_and_cause(
    offered: tuple[Run, dict[str, Case]],
) -> None:
    run, cases = offered
    assert run.returncode == 0, run.output
    ledger = run.ledger
    lights = {f"light_{number:04d}" for number in range(1, 6)}
    # What a CSV file cannot hold is escaped there.
    shown = {frame.encode(errors="backslashreplace").decode(): frame for frame in cases}
    assert set(ledger) == {*shown, *lights}
    # The preview counts as the ledger does.
    assert Plan.read(run.folder / PLAN, None).offered == {"": len(ledger)}
    for frame in lights:
        assert ledger[frame]["status"] in ("stacked", "rejected"), ledger[frame]
    wrong = []
    for frame, case in ((shown[row], cases[shown[row]]) for row in shown):
        row = ledger[frame.encode(errors="backslashreplace").decode()]
        if (row["status"], row["reasons"]) == (SHALLOW.status, SHALLOW.cause):
            # Left out before it is read; that others fail is shown by reading them.
            assert frame.startswith(PICTURES)
            continue
        if case.status == "same" and row["reasons"].startswith("the same pixels as "):
            continue
        expected = "stacked" if case.status == "same" else case.status
        if row["status"] != expected or case.cause not in row["reasons"]:
            wrong.append((frame, row["status"], row["reasons"]))
    assert not wrong


def test_good_pixels_give_the_same_metrics_in_every_dress(
    offered: tuple[Run, dict[str, Case]],
) -> None:
    run, cases = offered
    ledger = run.ledger
    good = ledger[GOOD]
    same = [frame for frame, case in cases.items() if case.status == "same"]
    assert len(same) > 50
    for frame in same:
        for metric in METRICS:
            value, expected = float(ledger[frame][metric]), float(good[metric])
            assert value == pytest.approx(expected, rel=1e-4), (frame, metric)


def test_no_traceback_reaches_the_user_or_a_log(offered: tuple[Run, dict[str, Case]]) -> None:
    run, _ = offered
    assert "Traceback" not in run.output
    logs = list((run.folder / "logs").rglob("*.log"))
    assert len(logs) > 200
    assert not [path for path in logs if "Traceback" in path.read_text(errors="replace")]


def test_names_run_nothing_and_ten_failures_are_told(
    offered: tuple[Run, dict[str, Case]],
) -> None:
    run, _ = offered
    assert not list(run.folder.rglob("pwned"))
    lines = run.output.splitlines()
    told = [line for line in lines if re.search(r"\bfailed: ", line)]
    failed = [row for row in run.ledger.values() if row["status"] == "failed"]
    assert len(failed) > 40
    assert len(told) < 20
    (more,) = (line for line in lines if line.endswith("for a reason of its own: see the ledger"))
    assert int(more.split()[0]) > 5


def test_a_dark_that_cannot_be_read_is_told_of(offered: tuple[Run, dict[str, Case]]) -> None:
    run, _ = offered
    sentence = (
        "this dark is not used: 'darkfield/gone.fits': a link to a file that does not exist."
    )
    assert f"Warning: {sentence}" in run.output.splitlines()


def test_reasons_name_the_file(offered: tuple[Run, dict[str, Case]]) -> None:
    run, _ = offered
    nameless = [
        row["reasons"]
        for row in run.ledger.values()
        if row["status"] == "failed" and on_one_line(Path(row["frame"]).name) not in row["reasons"]
    ]
    assert set(nameless) <= {"no pixel has data.", "every pixel has the same value."}


def test_results_hold_no_card_of_a_camera_that_means_something_else_here(
    offered: tuple[Run, dict[str, Case]],
) -> None:
    run, _ = offered
    # Of the same pixels one copy is accepted, and perhaps none of these.
    cleaned = run.folder / "work" / "cleaned"
    hostile = fits.getheader(cleaned / "fits hostile cards.fits")
    plain = fits.getheader(cleaned / "fits no cards.fits")
    for key in ("BKGADU", "NOISEADU", "DARK"):
        assert hostile[key] == plain[key]
    assert "FAILURE" not in hostile
    assert hostile["STORY"].endswith("and ends")
    assert fits.getheader(run.folder / "results" / "stack_mean.fits")["NCOMBINE"] == sum(
        row["status"] == "stacked" for row in run.ledger.values()
    )


def test_of_several_files_of_one_frame_the_rawest_counts(
    small_night: Callable[..., Path],
) -> None:
    folder = small_night()
    data = folder / "data"
    for name in ("light_0001.fits.gz", "light_0001.png", "light_0001_thn.jpg", "light_0002.FIT"):
        (data / name).touch()
    run = snakemake(folder)
    assert run.returncode == 0, run.output
    assert "light_0001" in run.ledger
    assert run.ledger["light_0001"]["status"] == "stacked"
    assert (
        "Not used, a rawer file of the same frame is there: data/light_0001.fits.gz, "
        "data/light_0001.png, "
    ) in run.output
    row = run.ledger["light_0002"]
    assert row["status"] == "failed"
    for name in ("light_0002.FIT", "light_0002.fits", "Rename or move"):
        assert name in row["reasons"]
    assert len(run.ledger) == 5


def bombs() -> dict[str, bytes]:
    """Files that claim to be huge, by name."""
    return {
        "a.png": bad_input.png_of_size(50_000, 50_000),
        "b.png": bad_input.png_of_size(15_000, 15_000, bits=16),
        "c.jpg": bad_input.jpeg_of_size(15_000, 16_000),
        "d.tif": bad_input.tiff_of_size(15_000, 16_000),
        "e.tif": bad_input.tiff_of_size(15_000, 16_000, compression="zlib"),
        "f.tif": bad_input.tiff_of_size(60_000, 60_000, tile=(16, 16), compression="zstd"),
        "g.fits": bad_input.fits_of_size(-64, 15_000, 16_000),
        "h.fits": bad_input.fits_of_size(-64, 2**62, 2**62),
        "i.fits": bad_input.fits_of_size(8, *[2] * 200, extra=("PCOUNT  = 99999999999999",)),
        "j.fits.gz": bad_input.gzip_bomb(600),
        "k.fits.gz": bad_input.gzip_bomb(600, b"SIMPLE  =                    T".ljust(2880)),
        "l.fits.gz": bad_input.gzip_bomb(600, bad_input.fits_of_size(8, 10**9)),
        "m.fits.gz": bad_input.gzip_bomb(600, bad_input.fits_of_size(8, 50_000, 50_000)),
        "n.fits.gz": bad_input.gzip_bomb(300, bad_input.fits_of_size(-64, 15_000, 16_000)),
        "o.fits.fz": bad_input.edited(
            bad_input.compressed_fits(np.ones((9, 9), "i2"), "RICE_1"),
            ("ZNAXIS1", 15_000),
            ("ZNAXIS2", 16_000),
        ),
        "p.fits.fz": bad_input.edited(
            bad_input.compressed_fits(np.ones((9, 9), "i2"), "GZIP_1"),
            ("ZNAXIS1", 2**40),
            ("ZTILE1", 2**40),
        ),
    }


READ_WITHIN = """
import json, resource, sys
from pathlib import Path
from typing import Any
from PIL import Image, JpegImagePlugin, PngImagePlugin
import imagecodecs, tifffile
from astropy.io import fits
from scripts.lightstack.raw.image import UnreadableFileError, UnusableFrameError
from scripts.lightstack.raw.images import read_image
from scripts.lightstack.report.reasons import sentences

answers = {}
for path in sorted(Path(sys.argv[1]).iterdir()):
    Path("/proc/self/clear_refs").write_text("5")
    def peak():
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) // 1000 for line in lines if line.startswith("VmHWM"))
    before = peak()
    try:
        read_image(path)
        sentence = "read"
    except UnusableFrameError as error:
        sentence = str(error)
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1000
    answers[path.name] = (sentence, max(peak(), children) - before)
print(json.dumps(answers))
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="measures as Linux does")
def test_files_that_claim_to_be_huge_are_refused_within_200_mb(tmp_path: Path) -> None:
    files = bombs()
    for name, content in files.items():
        assert len(content) < 1_500_000
        (tmp_path / name).write_bytes(content)
    done = subprocess.run(
        [sys.executable, "-c", READ_WITHIN, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    assert set(answers) == set(files)
    for name, (sentence, megabytes) in answers.items():
        assert sentence.startswith(f"{name}: "), sentence
        assert megabytes < 200, (name, sentence, megabytes)


def test_cards_and_shape_are_those_of_the_whole_image(tmp_path: Path) -> None:
    make_night(tmp_path, shape=(200, 300), n_lights=1, n_stars=150, seed=4)
    files = bad_input.corpus(tmp_path / "data" / "light_0001.fits")
    bad_input.write(tmp_path, files)
    read = 0
    for name in files:
        path = tmp_path / name
        picture = not is_fits_name(path)
        image, cause = None, ""
        try:
            image = read_image(path)
        except UnusableFrameError as error:
            cause = str(error)
        if image is None:
            assert files[name][1].cause in cause
            with contextlib.suppress(UnusableFrameError):
                read_cards(path, EXPOSURE_CARDS)
            continue
        shape, header, _ = read_cards(path, EXPOSURE_CARDS)
        whole = exposure_of(image.header, image.data.shape, picture=picture)
        looked_at = exposure_of(header, shape, picture=picture)
        # Only who looks counts the images and their colours.
        assert replace(looked_at, n_images=1, n_planes=1) == whole, name
        read += 1
    assert read > 40


def test_a_file_on_which_the_decoder_writes_beyond_its_memory_is_a_sentence(
    tmp_path: Path,
) -> None:
    path = tmp_path / "crash.fits.fz"
    path.write_bytes(bad_input.overflowing_hcompress())
    with pytest.raises(UnusableFrameError, match=r"crash\.fits\.fz: .*damaged"):
        read_image(path)


def _segfault() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def _run_for_ever() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (1, 9))
    while True:
        pass


def _expand_without_bounds() -> None:
    while True:
        np.ones(100_000_000)[0] += len([bytes(1_000_000_000)])


def _leave() -> None:
    sys.exit(0)


@pytest.mark.parametrize(
    ("decoder", "cause"),
    [
        (os.abort, "damaged .Aborted"),
        (_segfault, "damaged .Segmentation fault"),
        (_run_for_ever, "damaged .it has no end"),
        (_expand_without_bounds, "MemoryError"),
        (_leave, "SystemExit"),
    ],
)
def test_a_decoder_that_fails_in_any_way_is_a_sentence(
    decoder: Callable[[], None], cause: str
) -> None:
    with pytest.raises(UnusableFrameError, match=cause):
        computed_apart(lambda _: decoder(), (4, 5), 100)


@pytest.mark.parametrize("name", ["EMFILE", "ENOMEM", "ENOSPC", "ESTALE"])
def test_a_failure_of_the_machine_is_no_verdict_on_a_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    number = getattr(errno, name)
    path = tmp_path / "a.fits"
    path.write_bytes(bad_input.plain_fits(np.ones((4, 5), np.int16)))

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fits_reader, "_read_header", fail)
    with pytest.raises(OSError, match=os.strerror(number)) as failure:
        read_image(path)
    assert failure.value.filename == str(path)


@pytest.mark.parametrize("name", ["EIO", "EACCES", "EBADMSG"])
def test_a_file_that_the_system_cannot_read_is_worth_another_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    number = getattr(errno, name)
    path = tmp_path / "a.fits"
    path.write_bytes(bad_input.plain_fits(np.ones((4, 5), np.int16)))

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fits_reader, "_read_header", fail)
    with pytest.raises(UnreadableFileError, match=rf"a\.fits: .* {os.strerror(number)}\."):
        read_image(path)


@pytest.mark.parametrize(
    "error", [OSError("broken data stream"), OSError(errno.EINVAL, "Invalid argument")]
)
def test_what_a_decoder_says_is_a_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    path = tmp_path / "a.fits"
    path.write_bytes(bad_input.plain_fits(np.ones((4, 5), np.int16)))

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(fits_reader, "_read_header", fail)
    with pytest.raises(UnusableFrameError, match=r"a\.fits: .*damaged"):
        read_image(path)


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_decoder_that_is_killed_is_no_verdict_on_a_frame(sent: signal.Signals) -> None:
    with pytest.raises(OSError, match="its decoder was ended from outside"):
        computed_apart(lambda _: os.kill(os.getpid(), sent), (4, 5), 100)


@pytest.mark.parametrize(
    ("failure", "sentence"),
    [
        ("OSError(5, 'Input/output error', 'a.fits')", "ERROR: a.fits: Input/output error."),
        ("MemoryError('no 1 GB')", "ERROR: Memory is used up (no 1 GB). Use fewer --cores."),
    ],
)
def test_a_failure_of_the_machine_is_a_sentence(
    tmp_path: Path, failure: str, sentence: str
) -> None:
    code = f"""
from types import SimpleNamespace
from scripts.lightstack.job import job_log
with job_log(SimpleNamespace(log=[{str(tmp_path / "log")!r}])):
    raise {failure}
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT)
    assert done.returncode == 1
    assert (tmp_path / "log").read_text() == f"{sentence}\n"


def test_names_stand_in_the_ledger_as_they_are(tmp_path: Path) -> None:
    make_night(tmp_path, shape=(200, 300), n_lights=1, n_stars=150, seed=4)
    name = "dunkel \xfc 'a' \\ \"b\".fits"
    dark = (tmp_path / "darkfield" / "dark_01.fits").rename(tmp_path / name)
    raw = tmp_path / "data" / "light_0001.fits"
    assert _through_every_step(tmp_path, raw, 0, dark)["dark"] == name
    bad = tmp_path / "schlecht \xfc.fits"
    bad.write_text("no image")
    record = _through_every_step(tmp_path, bad, 0)
    assert sentences(record["reasons"]) == "schlecht \xfc.fits: not a FITS file."


def test_hostile_headers_pass_through_every_step(tmp_path: Path) -> None:
    make_night(tmp_path, shape=(200, 300), n_lights=1, n_stars=150, seed=4)
    good = fits.getdata(tmp_path / "data" / "light_0001.fits").astype(np.int32)
    rng = np.random.default_rng(5)
    cards = bad_input.HOSTILE_CARDS
    for debug_region in (0, 150):
        records = []
        for count in (0, *range(5, len(cards), 10), len(cards)):
            chosen = [cards[index] for index in rng.permutation(len(cards))[:count]]
            raw = tmp_path / "raw.fits"
            raw.write_bytes(
                bad_input.scaled_fits(
                    (good - 32768).astype(np.int16), f"BZERO   = {32768:>20}", *chosen
                )
            )
            records.append(_through_every_step(tmp_path, raw, debug_region))
        for record in records:
            for key in ("verdict", "n_sources", "noise_adu", "background_adu", "dark", "sha256"):
                assert record[key] == records[0][key]
        assert records[0]["n_sources"] > 3


def _through_every_step(
    folder: Path, raw: Path, debug_region: int, dark: Path | None = None
) -> dict[str, Any]:
    paths = [folder / f"{step}.fits" for step in ("dark", "cleaned", "sources")]
    calibrate_frame.run(
        raw,
        paths[0],
        sha256="digest",
        masters={"own": dark} if dark else {},
        **plain(debug_region=debug_region),
    )
    subtract_background.run(paths[0], paths[1], background_box=32)
    detect_sources.run(paths[1], paths[2], threshold_sigma=5, minarea=5, smoothing_sigma=1.0)
    limits = {
        "min_star_count": 1,
        "fwhm0": 3.0,
        "fwhm_max_ratio": 2.0,
        "ellip_max": 0.5,
        "outlier_mad_thresh": 3.0,
        "saturated_max_fraction": 0.1,
    }
    grade_frame.run(paths[2], folder / "quality.json", frame=raw.stem, limits=limits)
    record = read_json(folder / "quality.json")
    assert record["sha256"] == "digest"
    if record["verdict"] == "failed":
        return record
    header = read_header(paths[1])
    pixels = PixelFile(paths[1])
    identity = Transform(np.eye(3), pixels.shape, pixels.shape)
    frame = AlignedFrame(raw.stem, pixels, header, identity, 1.0)
    common = common_header([frame, frame], frame)
    assert common["NCOMBINE"] == 2
    fits.Header.fromstring(common.tostring()).tostring()
    return record
