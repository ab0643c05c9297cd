"""A frame whose stars are there twice is known, and no field of single stars is taken for one."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from scripts.lightstack.detection.doubling import doubling
from scripts.lightstack.files.records import read_json
from scripts.lightstack.report.reasons import sentence
from tests.test_align_frames import aligned, write_frame
from tests.test_registration import Scene

Floats = NDArray[np.float64]


def field(seed: int, n: int, side: float) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(seed)
    return rng.uniform(0, side, (n, 2)), rng.pareto(0.8, n) + 1


@pytest.mark.parametrize("share", [0.5, 0.3])
@pytest.mark.parametrize("jump", [(14.0, 9.0), (-5.0, 0.1), (3.0, -80.0)])
def test_stars_that_are_there_twice_are_found(share: float, jump: tuple[float, float]) -> None:
    for seed in range(5):
        xy, flux = field(seed, 200, 1000)
        both = np.vstack([xy, xy + jump]) + np.random.default_rng(seed).normal(0, 0.2, (400, 2))
        reason = doubling(both, np.append((1 - share) * flux, share * flux))
        assert reason is not None
        assert reason["distance"] == pytest.approx(np.hypot(*jump), abs=0.5)


def test_single_stars_are_not() -> None:
    for seed in range(300):
        assert doubling(*field(seed, 300, 300)) is None
    for n in (0, 1, 2, 12):
        assert doubling(*field(1, n, 100)) is None
    # A jump that leaves stars long has no second ones.
    xy, flux = field(1, 100, 1000)
    assert doubling(np.vstack([xy, xy + 1.0]), np.append(flux, flux)) is None


def test_a_doubled_frame_is_left_out_and_no_reference(tmp_path: Path) -> None:
    reason = {"code": "doubled", "value": 25, "limit": 60, "distance": 16.6}
    for number in range(4):
        _, stars = Scene(80, shift=(7.3 * number, -4.1)).observe(5)
        write_frame(tmp_path, f"{number}", stars, doubled=reason if number == 0 else None)
    aligned(tmp_path)
    found = read_json(tmp_path / "alignment.json")
    assert (found["reference"], list(found["frames"])) == ("1", ["1", "2", "3"])
    assert "its stars are there twice, 17 px apart" in sentence(found["unaligned"]["0"])
    # What most frames show is the sky's own; and what a user asks for is done.
    aligned(tmp_path, reference="0")
    assert len(read_json(tmp_path / "alignment.json")["frames"]) == 4
    for number in (1, 2):
        write_frame(tmp_path, f"{number}", Scene(80).observe(5)[1], doubled=reason)
    aligned(tmp_path)
    assert not read_json(tmp_path / "alignment.json")["unaligned"]
