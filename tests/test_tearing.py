"""Frames in two pieces are found, and whole frames are not taken for such."""

from dataclasses import replace

import numpy as np
import pytest

from scripts.lightstack.alignment.registration import UnalignedError, align
from scripts.lightstack.alignment.stars import Stars
from scripts.lightstack.report.reasons import sentence
from tests.test_registration import SHAPE, Scene

NY, NX = SHAPE


def torn(
    stars: Stars, first: float, last: float, shift: tuple[float, float], axis: int = 1
) -> Stars:
    """Move what lies in a range of rows (or of columns), around the frame's edges."""
    inside = (stars.xy[:, axis] >= first) & (stars.xy[:, axis] < last)
    moved = (stars.xy + shift) % [NX, NY]
    return replace(stars, xy=np.where(inside[:, np.newaxis], moved, stars.xy))


@pytest.mark.parametrize("which", ["frame", "reference"])
@pytest.mark.parametrize("rotation", [0.0, 180.0])
@pytest.mark.parametrize("n_stars", [40, 150, 2000])
@pytest.mark.parametrize(
    ("first", "last", "shift"),
    [(500, NY, (37.0, 0.0)), (0, 430, (-200.0, 0.0)), (300, 600, (12.0, 0.0))],
)
def test_displaced_rows_are_found(
    which: str,
    rotation: float,
    n_stars: int,
    first: float,
    last: float,
    shift: tuple[float, float],
) -> None:
    frame, reference = Scene(n_stars, rotation=rotation).observe(3)
    if which == "frame":
        frame = torn(frame, first, last, shift)
    else:
        reference = torn(reference, first, last, shift)
    with pytest.raises(UnalignedError) as raised:
        align(frame, reference)
    reason = raised.value.reason
    assert reason["code"] == "torn"
    assert reason["axis"] == "rows"
    assert reason["value"] < 0.3
    assert "torn: " in sentence(reason)


def test_displaced_columns_are_found() -> None:
    frame, reference = Scene().observe(3)
    with pytest.raises(UnalignedError) as raised:
        align(torn(frame, 700, NX, (0.0, 50.0), axis=0), reference)
    assert raised.value.reason["axis"] == "columns"


def test_rows_of_another_exposure_are_found() -> None:
    frame, reference = Scene().observe(3)
    other, _ = Scene().observe(99)
    above, below = frame[frame.xy[:, 1] < 450], other[other.xy[:, 1] >= 450]
    joined = Stars(
        np.vstack([above.xy, below.xy]),
        np.append(above.flux, below.flux),
        np.append(above.fwhm, below.fwhm),
        SHAPE,
    )
    with pytest.raises(UnalignedError) as raised:
        align(joined, reference)
    assert raised.value.reason["code"] == "torn"


SCENES = {
    "few stars": Scene(25),
    "many": Scene(1500),
    "half missing": Scene(missing=0.4, spurious=0.4),
    "distorted": Scene(200, distortion=0.004),
    "distorted and turned": Scene(200, distortion=0.003, rotation=90),
    "little overlap": Scene(400, shift=(800, 300)),
    "deeper": Scene(depth=10),
    "a cluster": Scene(300, clustered=True),
}


@pytest.mark.parametrize("name", SCENES)
def test_whole_frames_are_not(name: str) -> None:
    for seed in range(15):
        align(*SCENES[name].observe(seed))


@pytest.mark.parametrize("which", ["frame", "reference"])
@pytest.mark.parametrize("share", [0.3, 0.5, 0.7])
def test_clouds_and_trees_are_not(which: str, share: float) -> None:
    """Where one list has no stars, or the brightest of them, the other has all."""
    rng = np.random.default_rng(0)
    for seed in range(6):
        pair = dict(zip(("frame", "reference"), Scene(250).observe(seed), strict=True))
        stars = pair[which]
        covered = stars.xy[:, 1] < share * NY
        for left in (0.0, 0.15):
            seen = ~covered | (stars.flux > np.quantile(stars.flux, 1 - left))
            dimmed = np.where(covered, 0.1, 1) * stars.flux * rng.normal(1, 0.02, len(stars))
            clouded = replace(stars, flux=dimmed)[seen]
            align(**{**pair, which: clouded})


def test_a_satellite_in_pieces_is_not() -> None:
    for seed in range(10):
        frame, reference = Scene(150).observe(seed)
        x = np.arange(5.0, NX, 12)
        trail = np.stack([x, 430 + 0.1 * x], axis=1)
        with_trail = Stars(
            np.vstack([frame.xy, trail]),
            np.append(frame.flux, np.full(len(x), np.quantile(frame.flux, 0.9))),
            np.append(frame.fwhm, np.full(len(x), 3.2)),
            SHAPE,
        )
        align(with_trail, reference)
