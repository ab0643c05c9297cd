"""The stack does not depend on how it is computed, and says what it is."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning

from scripts.lightstack import modules
from scripts.lightstack.alignment.transform import Transform
from scripts.lightstack.files.frame_file import PixelFile, read_frame
from scripts.lightstack.files.records import read_json, write_json
from scripts.lightstack.job import JobError
from scripts.lightstack.planning.recipes import files_of
from scripts.lightstack.planning.stack_memory import stack_memory
from scripts.lightstack.resampling.plane import resample
from scripts.lightstack.simulator import Night
from scripts.lightstack.stacking import bands, stacked
from scripts.lightstack.stacking.aligned import AlignedFrame, aligned_frames, weights_by_noise
from scripts.lightstack.stacking.bands import Bands
from scripts.lightstack.stacking.combining import combine
from scripts.lightstack.stacking.gradients import match_skies
from scripts.lightstack.stacking.joining import joined
from scripts.lightstack.stacking.modes import MODES
from scripts.lightstack.stacking.psf_matching import TERMS
from scripts.lightstack.stacking.seeing import linear_below, measure_seeing_on_bands
from scripts.lightstack.stacking.thumbnails import Thumbnail
from scripts.lightstack.stacking.times import exposed, in_header
from tests.conftest import ROOT, Run, rank_correlation
from tests.stacking import assert_same_products, cut, stack, stack_in_bands


@pytest.fixture(scope="module")
def corner_stacks(corner: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return stack(corner, tmp_path_factory.mktemp("stacks"))


@pytest.fixture(scope="module")
def weighted(corner: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return stack(corner, tmp_path_factory.mktemp("weighted"), weights="noise")


@pytest.mark.parametrize(
    "options", [{"threads": 3}, {"stack_memory_mb": 2}, {"threads": 2, "stack_memory_mb": 7}]
)
def test_threads_and_memory_change_no_byte(
    corner: Path, corner_stacks: dict[str, Path], tmp_path: Path, options: dict[str, Any]
) -> None:
    assert fits.getheader(corner_stacks["noise_clip"])["PSFMATCH"]
    others = stack(corner, tmp_path, **options)
    for mode in MODES:
        assert others[mode].read_bytes() == corner_stacks[mode].read_bytes(), mode


@pytest.mark.parametrize("count", [1, 3])
def test_bands_of_several_jobs_give_the_bytes_of_one(
    corner: Path,
    corner_stacks: dict[str, Path],
    tmp_path: Path,
    count: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And none of them matches the skies again."""
    matched = Mock(wraps=match_skies)
    monkeypatch.setattr(stacked, "match_skies", matched)
    stack_in_bands(corner, tmp_path, count)
    assert_same_products(corner_stacks, tmp_path)
    assert matched.call_count == 1


def test_bands_without_rows_change_nothing(corner: Path, tmp_path: Path) -> None:
    """Nine bands of a reference of which seven rows are left."""
    strip = cut(corner, tmp_path / "strip", (7, 400))
    stacks = stack(strip, tmp_path / "at once")
    assert fits.getdata(stacks["mean"]).shape == (7, 400)
    stack_in_bands(strip, tmp_path / "in bands", 9)
    assert_same_products(stacks, tmp_path / "in bands")


def test_what_cannot_be_stacked_is_told_by_the_job_that_joins(
    simulated: tuple[Run, Night], tmp_path: Path
) -> None:
    alignment = tmp_path / "alignment.json"
    write_json(alignment, {"reference": "a", "frames": {}, "problem": "Fewer than two frames."})
    with pytest.raises(JobError, match="Fewer than two frames"):
        stack_in_bands(simulated[0].folder, tmp_path, 2, alignment)
    made = sorted(path.name for path in (tmp_path / "work").iterdir())
    assert made == ["1.fits", "2.fits", "seeing.fits", "skies.fits"]


def test_bands_that_do_not_fit_are_named(corner: Path, tmp_path: Path) -> None:
    strip = cut(corner, tmp_path / "strip", (8, 400))
    stack_in_bands(strip, tmp_path, 2)
    band = tmp_path / "work" / "2.fits"
    with pytest.raises(JobError, match=r"1\.fits have 4 of 8 rows"):
        list(joined([band.with_name("1.fits")], 8))
    band.write_bytes(band.read_bytes()[:-5000])
    with pytest.raises(JobError, match=r"2\.fits is damaged"):
        list(joined([band], 8))


def test_bands_fit_the_machine(
    simulated: tuple[Run, Night], monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = aligned(simulated[0])

    def height(memory_mb: int) -> int:
        rows, _ = next(iter(Bands([frames], ["mean"], memory_mb, 1)))
        return rows[1] - rows[0]

    assert height(1000) == 128
    low = height(2)
    assert 1 <= low < 20
    monkeypatch.setattr(bands, "machine_bytes", lambda: 2e6 / bands.SHARE)
    assert height(1000) == low


@pytest.mark.parametrize(("n", "expected"), [(10, 600), (400, 600), (10_000, 10_000)])
def test_memory_follows_from_the_number_of_frames(n: int, expected: int) -> None:
    """Of 12 megapixels."""
    assert stack_memory([48.0] * n) == pytest.approx(expected, rel=0.05)
    assert stack_memory([1e-9] * n) == 600
    if n > 1000:
        assert stack_memory([48.0] * n, "rgb") == pytest.approx(3 * expected, rel=0.05)
        assert stack_memory([48.0] * n, "superpixel") == pytest.approx(1.5 * expected, rel=0.05)


def test_noise_clip_removes_trails_and_keeps_the_stars(
    stacks: dict[str, Path],
) -> None:
    image = {mode: fits.getdata(stacks[mode]).astype(float) for mode in MODES}
    coverage = fits.getdata(stacks["mean"], "COVERAGE")
    sky = (coverage == 12) & (np.abs(image["median"]) < 30)
    noise = 1.4826 * np.median(np.abs(image["noise_clip"][sky]))
    left = (image["noise_clip"] - image["median"])[sky] / noise
    # Sixty pixels of cosmic rays and a trail of a thousand; noise alone reaches 5 of the
    # difference of two estimates.
    assert (image["mean"] - image["median"])[sky].max() > 20 * noise
    assert left.max() < 5
    stars = (coverage == 12) & (image["median"] > 100 * noise)
    assert stars.sum() > 500
    kept = image["noise_clip"][stars].sum() / image["mean"][stars].sum()
    assert kept == pytest.approx(1, abs=0.003)


def test_the_coadd_says_what_it_is_and_what_it_makes_of_a_star(stacks: dict[str, Path]) -> None:
    with fits.open(stacks["proper"], checksum=True) as hdus, fits.open(stacks["mean"]) as others:
        header, psf = hdus[0].header, hdus["PSF"]
        assert [hdu.name for hdu in hdus[1:]] == ["COVERAGE", "REJECTED", "PSF", "FRAMES"]
        assert (header["WEIGHTS"], others[0].header["WEIGHTS"]) == ("noise", "none")
        assert (header["PSFMATCH"], header["CLIPSIG"]) == (True, 4)
        assert psf.header["NSTARS"] > 10
        assert psf.data.sum(dtype=float) == pytest.approx(1, abs=1e-5)
        assert np.unravel_index(psf.data.argmax(), psf.shape) == (20, 20)
        sky = (hdus["COVERAGE"].data == 12) & (np.abs(others[0].data) < 20)
        noise = 1.4826 * np.median(np.abs(hdus[0].data[sky] - np.median(hdus[0].data[sky])))
        assert noise == pytest.approx(header["NOISEADU"] / header["NOISCORR"], rel=0.1)
        stars = (hdus["COVERAGE"].data == 12) & (others[0].data > 500)
        kept = hdus[0].data[stars].sum(dtype=float) / others[0].data[stars].sum(dtype=float)
        assert kept == pytest.approx(1, abs=0.005)


def aligned(run: Run) -> list[AlignedFrame]:
    found = read_json(run.folder / "results" / "alignment.json")
    cleaned = run.folder / "work" / "cleaned"
    return aligned_frames(found, {name: cleaned / f"{name}.fits" for name in found["frames"]})


def test_the_seeing_is_measured_on_the_frames(simulated: tuple[Run, Night]) -> None:
    frames = aligned(simulated[0])
    seeing, _ = measure_seeing_on_bands(frames, 1)
    assert seeing is not None
    assert (seeing.errors < 0.05).all()
    stacked = [row for row in simulated[0].ledger.values() if row["status"] == "stacked"]
    fwhm = [float(row["fwhm_px"]) for row in stacked]
    sharpens = (seeing.kernels @ TERMS.T)[:, TERMS.shape[0] // 2]
    assert rank_correlation(fwhm, sharpens) < -0.9


def test_the_level_of_saturated_pixels_is_known(simulated: tuple[Run, Night]) -> None:
    for frame in aligned(simulated[0]):
        assert isinstance(frame.pixels, PixelFile)
        read = read_frame(frame.pixels.path)
        assert read.saturated.any()
        level = read.header["SATURATE"]
        assert read.data[read.saturated].max() == pytest.approx(level, rel=0.01)
        assert frame.saturation == pytest.approx(level * frame.flux_scale, rel=0.01)
        assert linear_below([frame]) == pytest.approx(0.6 * frame.saturation)


def test_weights_follow_the_noise_before_resampling(
    corner_stacks: dict[str, Path], weighted: dict[str, Path]
) -> None:
    for mode in ("median", "max", "min", "std"):
        same = fits.getdata(corner_stacks[mode])
        np.testing.assert_array_equal(fits.getdata(weighted[mode]), same)
    header = fits.getheader(weighted["mean"])
    assert header["WEIGHTS"] == "noise"
    sky = np.abs(fits.getdata(corner_stacks["median"])) < 20
    plain, noise = (
        np.nanstd(fits.getdata(path["mean"])[sky]) for path in (corner_stacks, weighted)
    )
    assert noise < plain


def test_a_sky_without_noise_weighs_as_the_quietest() -> None:
    np.testing.assert_array_equal(
        weights_by_noise(np.array([2.0, 0.0, 4.0])), [1 / 4, 1 / 4, 1 / 16]
    )
    np.testing.assert_array_equal(weights_by_noise(np.zeros(3)), [1, 1, 1])


def test_a_stack_of_one_is_refused(simulated: tuple[Run, Night], tmp_path: Path) -> None:
    alignment = tmp_path / "alignment.json"
    write_json(alignment, {"reference": "a", "frames": {}, "problem": "Fewer than two frames."})
    with pytest.raises(JobError, match="Fewer than two frames"):
        stack(simulated[0].folder, tmp_path, alignment)
    assert not list(tmp_path.glob("stack_*"))


def header(**cards: object) -> fits.Header:
    return fits.Header(list(cards.items()))


@pytest.mark.parametrize(
    ("cards", "begin", "end"),
    [
        ({"DATE-OBS": "2026-03-01T21:00:00", "EXPTIME": 60}, "2026-03-01T21:00:00", "T21:01:00"),
        ({"DATE-OBS": "2026-03-01", "TIME-OBS": "21:00:00"}, "2026-03-01T21:00:00", "T21:00:00"),
        ({"DATE-OBS": "2026-03-01T21:00:00+01:00"}, "2026-03-01T20:00:00", "T20:00:00"),
        ({"DATE-OBS": "9999-12-31T23:59:59", "EXPTIME": 60}, "9999-12-31T23:59:59", "T23:59:59"),
        (
            {"DATE-OBS": "2026-03-01T21:00:00", "EXPTIME": -1e15},
            "2026-03-01T21:00:00",
            "T21:00:00",
        ),
        ({"DATE-OBS": "yesterday", "EXPTIME": 60}, None, None),
    ],
)
def test_dates_and_exposures_of_any_kind(
    cards: dict[str, object], begin: str | None, end: str | None
) -> None:
    found = exposed(header(**cards))
    told = (in_header(found.begin), in_header(found.end)) if found else (None, None)
    assert told == (begin and f"{begin}.000", end and f"{(begin or '')[:10]}{end}.000")


def test_noise_and_gain_follow_the_size_of_the_pixels() -> None:
    rng = np.random.default_rng(1)
    matrix = np.diag([0.8, 0.8, 1.0])
    transform = Transform(matrix, (300, 300), (240, 240))
    frame = AlignedFrame("a", None, header(NOISEADU=10.0, EGAIN=2.0), transform, 1.5)  # type: ignore[arg-type]
    # Noise without the averaging of interpolation: that of whole pixels, each brighter by area.
    source = rng.normal(0, 10, (300, 300)).astype(np.float32)
    resampled = resample(source, 0, transform, (0, 240), scale=1.5)
    assert np.nanstd(resampled) == pytest.approx(frame.noise, rel=0.15)
    assert frame.noise == pytest.approx(10 * 1.5 / 0.64)
    assert frame.gain == pytest.approx(2 / (1.5 / 0.64))


def test_the_recipe_has_the_modules_that_a_stack_loads(corner: Path, tmp_path: Path) -> None:
    """Those of a mode that is not asked for are in neither."""
    results, cleaned = corner / "results", corner / "work" / "cleaned"
    # What is outside of the package is imported once.
    command = """if True:
        import json, os, sys
        from pathlib import Path
        import astropy.io.fits, numba, scipy.ndimage, scipy.spatial, sep
        alignment, cleaned, out, cases = sys.argv[1:]
        names = json.loads(Path(alignment).read_text())["frames"]
        for modes, uncertainty in json.loads(cases):
            if os.fork():
                assert os.wait()[1] == 0
                continue
            from scripts import join_bands, measure_frames, stack_band, stack_frames
            stack_frames.run(
                Path(alignment),
                {name: Path(cleaned, f"{name}.fits") for name in names},
                {mode: Path(out, f"stack_{mode}.fits") for mode in modes},
                Path(out, "work", "thumbnails.fits"),
                group="", members=list(names),
                sigma_clip=2.5, weights="none", uncertainty=uncertainty,
                stack_memory_mb=1000, threads=1,
            )
            files = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
            Path(out, f"loaded by {modes[-1]}").write_text("\\n".join(filter(None, files)))
            break
    """
    cases = (
        (["mean"], False),
        (["mean", "winsorized"], False),
        (["noise_clip"], False),
        (["proper"], False),
        (["mean", "median"], True),
    )
    arguments = [str(results / "alignment.json"), str(cleaned), str(tmp_path), json.dumps(cases)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command_line = [sys.executable, "-c", command, *arguments]
    subprocess.run(command_line, cwd=ROOT, env=environment, check=True)
    loaded = {}
    for modes, uncertainty in cases:
        settings = {"modes": modes, "color": "gray", "uncertainty": uncertainty}
        told = (tmp_path / f"loaded by {modes[-1]}").read_text()
        package = ROOT / "scripts" / "lightstack"
        paths = {Path(line) for line in told.splitlines() if Path(line).is_relative_to(package)}
        loaded[modes[-1]] = {path for path in paths if path.name != "__init__.py"}
        files = files_of("stack_frames", settings)
        in_recipe = {path for file in files for path in modules.reached(ROOT / file)}
        assert loaded[modes[-1]] <= in_recipe
        names = {path.stem for path in in_recipe}
        # Gains that are not stated are measured as noise_clip does it.
        optional = {"noise_clip"} if uncertainty else set(modes) - {"mean"}
        optional |= {"noise_clip", "proper_kernels", "own_psf"} if "proper" in modes else set()
        own = {"winsorized", "noise_clip", "proper", "proper_kernels", "own_psf"}
        assert names & own == optional
    assert loaded["mean"] < loaded["winsorized"]
    assert loaded["mean"] < loaded["noise_clip"]


def test_the_last_good_stacks_are_set_aside_for_a_failure(corner: Path, tmp_path: Path) -> None:
    good = {path.name: path.read_bytes() for path in stack(corner, tmp_path).values()}
    (tmp_path / "preview.png").write_text("the preview")
    (tmp_path / "previous").mkdir()
    (tmp_path / "previous" / "notes.txt").write_text("mine")
    alignment = tmp_path / "alignment.json"
    write_json(alignment, {"reference": "a", "frames": {}, "problem": "Fewer than two frames."})
    for _ in range(2):
        with pytest.raises(JobError):
            stack(corner, tmp_path, alignment)
        left = {path.name: path.read_bytes() for path in (tmp_path / "previous").iterdir()}
        assert left == good | {"preview.png": b"the preview", "notes.txt": b"mine"}
        assert not list(tmp_path.glob("stack_*"))
    stack(corner, tmp_path)
    assert [path.name for path in (tmp_path / "previous").iterdir()] == ["notes.txt"]


def test_readers_find_out_that_a_stack_is_damaged(stacks: dict[str, Path], tmp_path: Path) -> None:
    for path in stacks.values():
        with fits.open(path, checksum=True) as hdus:  # a wrong sum is a warning, and that an error
            assert all({"CHECKSUM", "DATASUM"} <= set(hdu.header) for hdu in hdus)
    content = bytearray(stacks["mean"].read_bytes())
    content[-100] ^= 1
    (tmp_path / "damaged.fits").write_bytes(content)
    with (
        pytest.warns(AstropyUserWarning, match="Datasum"),
        pytest.warns(AstropyUserWarning, match="Checksum"),
        fits.open(tmp_path / "damaged.fits", checksum=True) as hdus,
    ):
        assert hdus[-1].verify_datasum() == 0


def test_a_stack_lists_its_frames(simulated: tuple[Run, Night], weighted: dict[str, Path]) -> None:
    rows = [row for row in simulated[0].ledger.values() if row["status"] == "stacked"]
    table, plain = (fits.getdata(weighted[mode], "FRAMES") for mode in ("mean", "median"))
    assert list(table["NAME"]) == [row["frame"] for row in rows]
    assert list(table["SHA256"]) == [row["sha256"] for row in rows]
    assert list(table["EXPTIME"]) == [float(row["exptime_s"]) for row in rows]
    np.testing.assert_allclose(table["FLUXSCAL"], [float(row["flux_scale"]) for row in rows])
    assert table["WEIGHT"].sum() == pytest.approx(1)
    ratio = table["WEIGHT"] * table["SKYNOISE"] ** 2
    np.testing.assert_allclose(ratio, ratio[0])
    assert "WEIGHT" not in plain.names


def test_the_noise_of_a_mean_is_what_its_header_expects(stacks: dict[str, Path]) -> None:
    with fits.open(stacks["mean"]) as hdus:
        sky = (hdus["COVERAGE"].data == 12) & (np.abs(fits.getdata(stacks["median"])) < 30)
        values = hdus[0].data[sky]
        noise = 1.4826 * np.median(np.abs(values - np.median(values)))
        # Interpolation averages: docs/methods.md, "Noise".
        assert 0.85 < noise / hdus[0].header["NOISEADU"] < 1.05


@pytest.mark.parametrize("shape", [(50, 70), (640, 641), (1300, 900)])
def test_a_thumbnail_is_the_mean_of_blocks(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(5).normal(size=shape).astype(np.float32)
    image[:9, 3:12] = np.nan
    small = Thumbnail(shape)
    for start in range(0, shape[0], 37):
        small.add(image[start : start + 37], start)
    factor = -(-max(shape) // 640)
    ny, nx = shape[0] // factor, shape[1] // factor
    blocks = image[: ny * factor, : nx * factor].reshape(ny, factor, nx, factor).astype(float)
    count = np.isfinite(blocks).sum(axis=(1, 3))
    expected = np.nansum(blocks, axis=(1, 3))[count > 0] / count[count > 0]
    np.testing.assert_allclose(small.image()[count > 0], expected)
    assert np.isnan(small.image()[count == 0]).all()


def test_more_frames_than_16_bits_can_count() -> None:
    n = 40_000
    combined = combine(np.ones((n, 1, 1), np.float32), ["mean", "sigma_clip"])
    assert combined.coverage.item() == n
    assert combined.coverage.dtype == combined.rejected["sigma_clip"].dtype == np.int32
    assert combine(np.ones((3, 1, 1), np.float32), ["mean"]).coverage.dtype == np.int16
