"""The distortion that the frames of a night share is found by all of them together."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

from scripts.lightstack.alignment import optics, pairs
from scripts.lightstack.alignment.optics import FEWEST_FRAMES, share_distortion
from scripts.lightstack.alignment.pairs import BEND, Outcome, entry_of
from scripts.lightstack.alignment.registration import align
from scripts.lightstack.alignment.stars import Stars
from scripts.lightstack.alignment.transform import Transform
from tests.test_align_frames import aligned, write_frame
from tests.test_registration import NX_NY, SHAPE, Scene

FEW_STARS = Scene(44, distortion=0.003)


def flipped_night(scene: Scene, n: int, seed: int) -> tuple[Stars, list[tuple[Scene, Stars]]]:
    """Make the lists of a reference and of frames around it, every other one after the flip."""
    rng = np.random.default_rng(seed)
    sky = rng.uniform(-1, 2, (9 * scene.n_stars, 2)) * NX_NY
    snr = 10 * rng.uniform(size=len(sky)) ** (-1 / 0.75)
    reference = scene._list(rng, scene.distorted(sky), snr, gain=1)
    frames = []
    for number in range(n):
        turn = 180 * (number % 2) + rng.normal(0, 0.5)
        frame = replace(scene, rotation=turn, shift=tuple(rng.uniform(-60, 60, 2)))
        frames.append((frame, scene._list(rng, frame.seen(sky), snr, gain=0.5)))
    return reference, frames


@cache
def outcomes(scene: Scene, n: int, seed: int) -> tuple[dict[str, Outcome], list[Scene]]:
    """Align the frames of such a night, each by itself."""
    reference, frames = flipped_night(scene, n, seed)
    found = {
        str(number): entry_of(align(stars, reference)) for number, (_, stars) in enumerate(frames)
    }
    return found, [frame for frame, _ in frames]


def errors(found: Mapping[str, Outcome], scenes: list[Scene]) -> list[float]:
    """Errors at the frames' corners [pixels]."""
    return [
        scene.corner_error(Transform.from_json(entry, SHAPE, SHAPE))
        for scene, entry in zip(scenes, found.values(), strict=True)
    ]


def unbent(found: Mapping[str, Outcome]) -> dict[str, Outcome]:
    """Give what stays of frames that share nothing."""
    return {
        name: {key: value for key, value in entry.items() if key != BEND}
        for name, entry in found.items()
    }


@pytest.mark.parametrize("distortion", [0.003, 0.001, -0.003])
def test_frames_of_few_stars_share_what_the_optics_do(distortion: float) -> None:
    alone, scenes = outcomes(replace(FEW_STARS, distortion=distortion), 20, 103)
    together = errors(share_distortion(alone, SHAPE), scenes)
    assert max(errors(alone, scenes)) > 0.1
    assert np.median(together) < 0.03
    assert max(together) < 0.06


def test_their_transforms_are_told_as_those_of_single_frames() -> None:
    alone, scenes = outcomes(FEW_STARS, 20, 103)
    for scene, entry in zip(scenes, share_distortion(alone, SHAPE).values(), strict=True):
        assert BEND not in entry
        transform = Transform.from_json(entry, SHAPE, SHAPE)
        np.testing.assert_allclose(transform.corners, entry["corners_px"], atol=1e-9)
        middle = np.array([[700.0, 400.0], [300.0, 800.0]])
        there = transform.forward(middle)
        np.testing.assert_allclose(transform.backward(there), middle, atol=1e-4)
        assert 0 < entry["residual_px"] < 0.3
        assert scene.corner_error(transform) < 0.06


def test_straight_optics_stay_straight() -> None:
    alone, _ = outcomes(replace(FEW_STARS, distortion=0.0), 20, 103)
    assert share_distortion(alone, SHAPE) == unbent(alone)


def test_distortion_that_moves_too_little_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    alone, _ = outcomes(replace(FEW_STARS, distortion=0.001), 20, 103)
    shared = share_distortion(alone, SHAPE)
    moves = [np.subtract(shared[name]["corners_px"], alone[name]["corners_px"]) for name in alone]
    monkeypatch.setattr(optics, "LEAST_MOVE", 0.9 * np.abs(moves).max())
    assert share_distortion(alone, SHAPE) == shared != unbent(alone)
    monkeypatch.setattr(optics, "LEAST_MOVE", 1.1 * np.abs(moves).max())
    assert share_distortion(alone, SHAPE) == unbent(alone)


def test_too_few_frames_are_left_as_they_are() -> None:
    alone, _ = outcomes(FEW_STARS, 20, 103)
    few = dict(list(alone.items())[: FEWEST_FRAMES - 1])
    shared = share_distortion(few, SHAPE)
    assert all(shared[name]["matrix"] == few[name]["matrix"] for name in few)


def test_the_order_of_frames_plays_no_part() -> None:
    alone, _ = outcomes(FEW_STARS, 20, 103)
    other_way = dict(reversed(list(alone.items())))
    assert share_distortion(other_way, SHAPE) == share_distortion(alone, SHAPE)


def test_frames_through_other_optics_keep_their_own() -> None:
    scene = replace(FEW_STARS, n_stars=122)
    alone, scenes = outcomes(scene, 12, 7)
    other = replace(scene, distortion=-0.003, shift=(60, -45), rotation=180)
    found = entry_of(align(*other.observe(3)))
    shared = share_distortion({**alone, "other": found}, SHAPE)
    assert shared["other"] == {key: value for key, value in found.items() if key != BEND}
    assert max(errors({name: shared[name] for name in alone}, scenes)) < 0.03


def test_a_frame_that_is_unaligned_stays_so() -> None:
    alone, _ = outcomes(FEW_STARS, 20, 103)
    reason: Outcome = {"reason": {"code": "no_arrangement", "value": 0, "limit": 4}}
    assert share_distortion({**alone, "other": reason}, SHAPE)["other"] == reason


def test_a_frame_that_arrives_gives_the_bytes_of_a_run_from_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Mock(wraps=align)
    monkeypatch.setattr(pairs, "align", asked)
    reference, frames = flipped_night(FEW_STARS, 12, 103)
    for number, stars in enumerate([reference, *(stars for _, stars in frames[:-1])]):
        write_frame(tmp_path, f"{number:02d}", stars)
    before = aligned(tmp_path)
    write_frame(tmp_path, "12", frames[-1][1])
    asked.reset_mock()
    after = aligned(tmp_path)
    assert asked.call_count == 1
    assert b"polynomial" in before
    (tmp_path / "work" / "alignments.json").unlink()
    assert aligned(tmp_path, threads=3) == after
