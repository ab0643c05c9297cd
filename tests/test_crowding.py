"""A frame full of objects that are no stars is told, soon; one full of stars is none."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sep
from astropy.io import fits

from scripts import detect_sources
from scripts.lightstack.detection import extraction
from scripts.lightstack.detection.sources import detect
from scripts.lightstack.files.frame_file import Frame, read_header, write_frame
from scripts.lightstack.raw.image import UnusableFrameError
from scripts.subtract_background import subtract_background

NOISE = 10.0
SHAPE = (700, 800)


def night_sky(n_stars: int = 0, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    """Noise, and stars most of which are faint, without the sky."""
    rng = np.random.default_rng(1)
    image = rng.normal(0, NOISE, shape)
    j, i = np.indices((21, 21)) - 10
    for _ in range(n_stars):
        x, y = rng.integers(10, shape[1] - 10), rng.integers(10, shape[0] - 10)
        flux = min(1000 * (rng.pareto(0.8) + 1), 1e6)
        image[y - 10 : y + 11, x - 10 : x + 11] += flux * np.exp(-(i**2 + j**2) / 3.2) / 10
    return image


def lattice() -> np.ndarray:
    """Interference: bright dots on bars."""
    y, x = np.indices(SHAPE)
    dots = (np.cos(2 * np.pi * x / 5) + 1) * (np.cos(2 * np.pi * y / 5) + 1)
    return np.asarray(night_sky() + (x < 0.45 * SHAPE[1]) * (500 + 3000 * dots))


def salt() -> np.ndarray:
    return np.asarray(night_sky() + 5000 * (np.random.default_rng(2).random(SHAPE) < 0.1))


def find(image: np.ndarray, threshold_sigma: float = 5, minarea: int = 5) -> np.ndarray:
    return detect(
        image.astype(np.float32),
        NOISE,
        threshold_sigma=threshold_sigma,
        minarea=minarea,
        smoothing_sigma=1 if minarea > 1 else 0,
    )


def test_a_pattern_is_told_before_it_is_parted(monkeypatch: pytest.MonkeyPatch) -> None:
    thresholds = []
    extract = sep.extract

    def note(*args: object, deblend_nthresh: int = 32, **options: object) -> object:
        thresholds.append(deblend_nthresh)
        return extract(*args, deblend_nthresh=deblend_nthresh, **options)

    monkeypatch.setattr(sep, "extract", note)
    monkeypatch.setattr(extraction, "MAX_PIECES", 4000)
    with pytest.raises(UnusableFrameError, match=r"peaks in a single object on 4\d% of the frame"):
        find(lattice())
    assert set(thresholds) == {1}


def test_a_frame_without_sky_is_told() -> None:
    with pytest.raises(UnusableFrameError, match=r"\d\d% of the pixels exceed threshold_sigma"):
        find(salt())


def test_a_threshold_below_the_noise_is_told() -> None:
    with pytest.raises(UnusableFrameError, match=r"objects exceed threshold_sigma, one on every"):
        find(night_sky(300), threshold_sigma=1.5, minarea=1)


@pytest.mark.parametrize("n_pieces", [20, 100])
def test_objects_that_sep_cannot_part_are_told(
    monkeypatch: pytest.MonkeyPatch, n_pieces: int
) -> None:
    monkeypatch.setattr(extraction, "MAX_PIECES", n_pieces)
    monkeypatch.setattr(extraction, "_look_ahead", lambda *_: None)
    with pytest.raises(UnusableFrameError, match=r"told apart \(object deblending overflow"):
        find(lattice())


def test_a_lack_of_memory_is_not_the_frames_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(sep, "extract", fail)
    with pytest.raises(MemoryError):
        find(night_sky())


def test_there_are_places_for_all_pixels_above_the_threshold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shape = (800, 1000)
    y, x = np.indices(shape)
    image = night_sky(shape=shape) + 2000 * ((y // 4 + x // 4) % 2) * (x < 800)
    monkeypatch.setattr(extraction, "MAX_SHARE", 1)
    monkeypatch.setattr(extraction, "MAX_PIECES", 20)
    monkeypatch.setattr(extraction, "_look_ahead", lambda *_: None)
    with pytest.raises(UnusableFrameError, match="sub-objects"):
        find(image)


@pytest.mark.parametrize("n_stars", [2000, 20_000])
def test_rich_fields_are_measured(n_stars: int) -> None:
    data = (1000 + night_sky(n_stars)).astype(np.float32)
    noise = subtract_background(data, 64).noise
    found = detect(data, noise, threshold_sigma=5, minarea=5, smoothing_sigma=1)
    assert len(found) > 1000


def test_a_nebula_all_over_the_frame_is_measured() -> None:
    y, x = np.indices(SHAPE)
    waves = 1 + 0.3 * np.sin(x / 17) * np.sin(y / 23)
    nebula = 400 * waves * np.exp(-((x - 400) ** 2 + (y - 350) ** 2) / 2 / 130**2)
    photons = np.random.default_rng(3).normal(0, 1, SHAPE) * np.sqrt(nebula)
    image = night_sky(1000) + nebula + photons
    assert (image > 5 * NOISE).mean() > 0.3
    assert len(find(image)) > 300


def test_the_sentence_goes_on_to_the_ledger(tmp_path: Path) -> None:
    frame, sources = tmp_path / "f.fits", tmp_path / "s.fits"
    header = fits.Header([("RAWSHA", "abc"), ("NOISEADU", NOISE)])
    write_frame(frame, Frame(salt().astype(np.float32), header, np.zeros(SHAPE, bool)))
    detect_sources.run(frame, sources, threshold_sigma=5, minarea=5, smoothing_sigma=1)
    assert "exceed threshold_sigma" in read_header(sources)["FAILURE"]
    assert read_header(sources)["RAWSHA"] == "abc"


@pytest.mark.parametrize(
    "cards",
    [
        [("EXPOINUS", 60_000_000), ("DATE-OBS", "2026-03-01"), ("TIME-OBS", "21:00:00")],
        [("EXPTIME", 60_000, "[ms]"), ("DATE_OBS", "2026-03-01T21:00:00")],
        [("EXPOSURE", "60,0 s"), ("DATE-BEG", "2026-03-01T21:00:00")],
    ],
)
def test_exposure_and_date_go_on_as_they_are_understood(
    cards: list[tuple[Any, ...]], tmp_path: Path
) -> None:
    frame, sources = tmp_path / "f.fits", tmp_path / "s.fits"
    header = fits.Header([("RAWSHA", "abc"), ("NOISEADU", NOISE), *cards])
    sky = night_sky(20, (200, 200)).astype(np.float32)
    write_frame(frame, Frame(sky, header, np.zeros(sky.shape, bool)))
    detect_sources.run(frame, sources, threshold_sigma=5, minarea=5, smoothing_sigma=1)
    found = read_header(sources)
    assert (found["EXPTIME"], found["DATE-OBS"]) == (60, "2026-03-01T21:00:00")
