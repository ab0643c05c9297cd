"""A stack tells how its noise hangs together: between pixels, and between frames by darks."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray

from scripts.lightstack.alignment.transform import Transform
from scripts.lightstack.colour.demosaicing import colour_of_mosaic
from scripts.lightstack.resampling.plane import resample
from scripts.lightstack.simulator import Camera, Light, Night, make_sky, write_night
from scripts.lightstack.sky.noise import noise_of_sky
from scripts.lightstack.stacking.aligned import AlignedFrame
from scripts.lightstack.stacking.combining import combine
from scripts.lightstack.stacking.dark_limit import limited_by_darks
from scripts.lightstack.stacking.header import Plane, common_header, mode_header
from scripts.lightstack.stacking.modes import MODES
from scripts.lightstack.stacking.propagation import propagate, variance_of_median
from tests.conftest import SMALL_SETTINGS, snakemake, write_settings

SHAPE = (420, 500)
SIX = MODES[:6]


def matrix(kind: str, number: int, rng: np.random.Generator) -> NDArray[np.float64]:
    shift = {
        "whole": rng.integers(-5, 5, 2),
        "half": np.full(2, 0.5 if number else 0.0),
        "none": np.full(2, 0.0),
    }.get(kind, rng.uniform(-5, 5, 2))
    angle = np.radians(rng.uniform(-2, 2) if kind == "turned" else 0.0)
    scale = 0.9 if kind == "scaled" else 1.0
    made = np.eye(3)
    made[:2, :2] = scale * np.array(
        [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    )
    middle = np.array([SHAPE[1], SHAPE[0]]) / 2
    made[:2, 2] = middle + shift - made[:2, :2] @ middle
    return made


def frames(kind: str, n: int, seed: int = 1, **cards: float | str) -> list[AlignedFrame]:
    rng = np.random.default_rng(seed)
    made = []
    for number in range(n):
        header = fits.Header([("NOISEADU", rng.uniform(6, 10)), ("SATURATE", 6e4)])
        header.update(cards)
        transform = Transform(matrix(kind, number, rng), SHAPE, SHAPE)
        made.append(AlignedFrame(f"{number}", None, header, transform, 1.0))  # type: ignore[arg-type] # its pixels play no part
    return made


def stacks_of_noise(
    used: list[AlignedFrame],
    weights: NDArray[np.float64],
    trials: int,
    of_darks: float = 0.0,
) -> Iterator[dict[str, NDArray[np.float32]]]:
    """Stack frames of white noise, a part of which all frames share."""
    rng = np.random.default_rng(5)
    for _ in range(trials):
        dark = rng.normal(0, of_darks, SHAPE)
        cube = [
            resample(
                (dark + rng.normal(0, np.sqrt(each.noise**2 - of_darks**2), SHAPE)).astype(
                    np.float32
                ),
                0,
                each.transform,
                (0, SHAPE[0]),
            )
            for each in used
        ]
        inner = np.ascontiguousarray(np.stack(cube)[:, 40:-40, 40:-40])
        yield combine(inner, SIX, weights=weights).images


def on_large_scales(image: NDArray[np.float32], side: int = 10) -> float:
    ny, nx = (length // side * side for length in image.shape)
    blocks = image[:ny, :nx].reshape(ny // side, side, nx // side, side)
    return float(blocks.mean(axis=(1, 3), dtype=float).var()) * side**2


@pytest.mark.parametrize(
    ("kind", "n"),
    [
        ("whole", 5),
        ("half", 3),
        ("half", 12),
        ("dithered", 4),
        ("dithered", 12),
        ("turned", 6),
        ("scaled", 5),
    ],
)
def test_every_stack_tells_how_interpolation_correlated_its_noise(kind: str, n: int) -> None:
    used = frames(kind, n)
    weights = np.array([each.noise for each in used]) ** -2.0
    made = propagate(used, weights)
    stacks = list(stacks_of_noise(used, weights, 12))
    for mode in SIX:
        images = np.stack([stack[mode] for stack in stacks])
        # Extremes have a pattern, as the noise of turned frames has.
        images -= images.mean(axis=0)
        pixel = np.mean([image.var() for image in images])
        large = np.mean([on_large_scales(image) for image in images])
        found = made.factor_of(mode, n)
        tolerance = 0.025 if mode in ("mean", "median", "sigma_clip") else 0.07
        assert np.sqrt(large / pixel) == pytest.approx(found, rel=tolerance), mode
        plane = Plane(used, weights, made)
        header = mode_header(fits.Header(), mode, [plane], weighted_by="noise", sigma_clip=2.5)
        assert header["NOISCORR"] == pytest.approx(found, abs=1e-4)
    if kind == "half" and n == 12:
        assert made.factor > 1.15
    if kind == "whole":
        assert made.factor == pytest.approx(1)


@pytest.mark.parametrize("colour", "RGB")
@pytest.mark.parametrize(("kind", "n"), [("dithered", 8), ("turned", 6), ("scaled", 5)])
def test_colours_tell_how_their_noise_is_correlated(kind: str, n: int, colour: str) -> None:
    noise = {"R": 5.0, "G": 8.0, "B": 6.0}
    cards: dict[str, Any] = {f"NOISEAD{name}": each for name, each in noise.items()} | {
        f"SATURAT{colour}": 6e4
    }
    share = 0.5 if colour == "G" else 0.25
    used = [
        replace(frame, colour=colour, share=share)
        for frame in frames(kind, n, MOSAIC="GRBG", **cards)
    ]
    deviations = np.zeros(SHAPE)
    for (row, column), name in zip(np.ndindex(2, 2), "GRBG", strict=True):
        deviations[row::2, column::2] = noise[name]
    rng = np.random.default_rng(2)
    values: dict[str, list[NDArray[np.float32]]] = {mode: [] for mode in SIX}
    for _ in range(16):
        cube = []
        for frame in used:
            mosaic = rng.normal(0, deviations).astype(np.float32)
            number = "RGB".index(colour)
            plane = colour_of_mosaic(mosaic, (0, SHAPE[0]), SHAPE, "GRBG", number)
            cube.append(resample(plane, 0, frame.transform, (0, SHAPE[0])))
        inner = np.ascontiguousarray(np.stack(cube)[:, 40:-40, 40:-40])
        for mode, image in combine(inner, SIX).images.items():
            values[mode].append(image)
    made = propagate(used, np.ones(n))
    for mode in SIX:
        images = np.stack(values[mode])
        images -= images.mean(axis=0)
        large = np.sqrt(np.mean([on_large_scales(image, 30) for image in images]))
        ratio = made.factor_of(mode, n)
        tolerance = 0.05 if mode in ("mean", "median", "sigma_clip") else 0.12
        assert large / images.std() == pytest.approx(ratio, rel=tolerance), mode
        header = mode_header(
            fits.Header(),
            mode,
            [Plane(used, np.ones(n), made)],
            weighted_by="none",
            sigma_clip=2.5,
        )
        assert header[f"NOISCOR{colour}"] == pytest.approx(ratio, abs=1e-4)
        if mode == "mean" and kind != "scaled":
            # What the cards say of light is what large scales show.
            of_trials = large * np.sqrt(len(images) / (len(images) - 1))
            assert of_trials == pytest.approx(header[f"NOISEAD{colour}"], rel=0.05)
    assert made.factor > 1.4


@pytest.mark.parametrize("n", range(1, 14))
def test_the_noise_of_a_median_is_known(n: int) -> None:
    found = np.median(np.random.default_rng(n).normal(size=(n, 100_000)), axis=0).std()
    assert np.sqrt(variance_of_median(n)) == pytest.approx(found, rel=0.015)


@pytest.mark.parametrize("kind", ["none", "whole", "half", "dithered"])
def test_noise_of_darks_averages_as_far_as_frames_are_dithered(kind: str) -> None:
    used = frames(kind, 12, DARKNOIS=4.0, DARK="master of 2", NDARKS=2)
    weights = np.ones(12)
    common = common_header(used, used[0])
    assert "DARKNOIS" not in common
    plane = Plane(used, weights, propagate(used, weights))
    header = mode_header(common, "mean", [plane], weighted_by="", sigma_clip=2.5)
    stacks = list(stacks_of_noise(used, weights, 6, of_darks=4.0))
    measured = np.sqrt(np.mean([stack["mean"].var() for stack in stacks]))
    # Interpolation lowers what does not lie on whole pixels; the rest is told.
    lowered = {"none": 1.0, "whole": 1.0, "half": 0.93, "dithered": 0.9}[kind]
    assert measured / header["NOISEADU"] == pytest.approx(lowered, abs=0.05)
    alone = np.sqrt(np.sum([each.noise**2 for each in used])) / 12
    if kind == "none":
        assert header["DARKADU"] == pytest.approx(4.0, rel=0.01)
        assert header["NOISEADU"] > 1.7 * alone
        assert header["DITHERPX"] == 0
    if kind == "dithered":
        assert header["NOISEADU"] < 1.05 * alone


def test_noise_of_a_flat_is_in_all_frames_too() -> None:
    used = frames("none", 9, FLATNOIS=0.005, FLAT="master of 5", BKGADU=1000.0)
    made = propagate(used, np.ones(9))
    assert made.shared_variance == pytest.approx(5.0**2 * (1 - 1 / 9))
    assert made.dark_variance == made.n_darks == 0


def test_masters_that_differ_are_not_shared() -> None:
    used = frames("none", 2, DARKNOIS=4.0, NDARKS=5)
    used[0].header["DARK"], used[1].header["DARK"] = "master of 5: 60 s", "master of 5: 30 s"
    apart = propagate(used, np.ones(2))
    assert apart.shared_variance == 0
    assert apart.dark_variance == pytest.approx(2 * 2.0**2)
    used[1].header["DARK"] = "master of 5: 60 s; another level than the frame's"
    assert propagate(used, np.ones(2)).shared_variance == pytest.approx(4.0**2 / 2)


def told(noise: float, of_darks: float, number: int, dither: float) -> str:
    cards = {"NOISEADU": noise, "DARKADU": of_darks, "NDARKS": number, "DITHERPX": dither}
    return limited_by_darks(fits.Header(list(cards.items())))


def test_too_few_darks_are_told_with_the_number_that_it_takes() -> None:
    assert told(5.0, 4.0, 5, 0.13) == (
        "The darks limit the stack: 5 of them add 4 ADU of noise to the 3 ADU that the frames "
        "leave, so it has 67% more than with perfect darks. All frames share it, as they are "
        "dithered by 0.13 pixels only: 43 darks or more dither bring that below 10%."
    )
    of_more = 4.0 * np.sqrt(5 / 43)
    assert np.hypot(3.0, of_more) < 1.1 * 3
    assert np.hypot(3.0, 4.0 * np.sqrt(5 / 42)) > 1.1 * 3
    assert "dither" not in told(5.0, 4.0, 5, 20.0)
    assert not told(5.0, 1.0, 5, 0.1)
    assert not limited_by_darks(fits.Header([("NOISEADU", 5.0)]))


def test_a_run_tells_that_its_darks_are_too_few(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    shape = (240, 320)
    sky = make_sky(rng, shape, 150)
    for name, dither, n_darks in (("few", 0.2, 2), ("dithered", 12.0, 6)):
        lights = {
            f"light_{number}": Light(
                shift=(rng.uniform(0, dither), rng.uniform(0, dither)), sky_adu=30.0
            )
            for number in range(9)
        }
        camera = Camera(shape, np.zeros(shape, np.float32))
        folder = tmp_path / name
        write_night(folder, Night(sky, camera, lights, n_darks=n_darks))
        write_settings(folder, **SMALL_SETTINGS, modes=["mean", "median"])
        run = snakemake(folder)
        assert run.returncode == 0, run.output
        limit = re.search(r"The darks limit the stack: 2 of them add .*", run.output)
        assert (limit is not None) == (name == "few"), run.output
        header = fits.getheader(folder / "results" / "stack_mean.fits")
        assert header["NDARKS"] == n_darks
        if limit:
            assert header["DARKADU"] == pytest.approx(6 / 2**0.5, rel=0.1)
        # The card tells the noise that there is, but for what interpolation lowers.
        image = fits.getdata(folder / "results" / "stack_mean.fits")
        assert 0.8 < noise_of_sky(image.astype(np.float32)) / header["NOISEADU"] < 1.1
