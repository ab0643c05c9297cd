"""The frame that the others are aligned on, and which of them are fit for the stack."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scripts import list_frames
from scripts.lightstack.alignment.judging import judge
from scripts.lightstack.alignment.reference import MOST_TRIED, Choice, best, first
from scripts.lightstack.alignment.taken import Taken
from scripts.lightstack.alignment.transform import Transform
from scripts.lightstack.alignment.transparency import transparencies
from scripts.lightstack.files.records import read_csv, read_json
from scripts.lightstack.report.notes import notes
from scripts.lightstack.report.reasons import sentence
from tests.test_align_frames import aligned, write_frame
from tests.test_registration import NX_NY, SHAPE, Scene

TAKEN = Taken(SHAPE, 60.0, 3.0, 10.0)


class Sky:
    """Frames that align if they show the same target; how often one was tried."""

    def __init__(self, **targets: str) -> None:
        self.targets = targets
        self.flux = dict.fromkeys(targets, 1.0)
        self.x = dict.fromkeys(targets, 0.0)
        self.growth = dict.fromkeys(targets, 0.0)
        self.tried: list[tuple[str, int]] = []

    def align(self, reference: str, names: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Do as `pairs.Pairs.aligned` does."""
        self.tried.append((reference, len(names)))
        target = self.targets[reference]
        return {
            name: self.entry(name, reference) for name in names if self.targets[name] == target
        }

    def entry(self, name: str, reference: str) -> dict[str, Any]:
        """Place a frame on another."""
        matrix = np.eye(3)
        matrix[0, 2] = self.x[name] - self.x[reference]
        transform = Transform(matrix, SHAPE, SHAPE).to_json()
        scale = {"flux_scale": self.flux[reference] / self.flux[name]}
        return {**transform, **scale, "flux_growth": self.growth[name] - self.growth[reference]}

    def frames(self, **other: Taken) -> dict[str, Taken]:
        """Tell how the frames were taken; those that are not named alike."""
        return {name: other.get(name, TAKEN) for name in self.targets}


def targets(text: str) -> dict[str, str]:
    """Name frames f00, f01, … whose targets are letters of a text."""
    return {f"f{k:02d}": letter for k, letter in enumerate(text)}


@pytest.mark.parametrize("text", ["aaaa", "a", "aabb", "abba", "aaab", "abcaa", "aaabbcc"])
def test_the_first_frame_stays_where_no_other_set_is_larger(text: str) -> None:
    sky = Sky(**targets(text))
    assert first(sky.frames(), sky.align, 0.3) == Choice("f00")


@pytest.mark.parametrize(
    ("text", "name", "size"), [("abb", "f01", 2), ("aabbbccc", "f02", 3), ("abcbcdccd", "f02", 4)]
)
def test_the_first_frame_of_the_largest_set_is_taken(text: str, name: str, size: int) -> None:
    sky = Sky(**targets(text))
    choice = first(sky.frames(), sky.align, 0.3)
    assert choice == Choice(name, {"code": "apart", "value": size, "limit": len(text)})


def test_a_good_night_is_aligned_once_and_a_mixed_folder_a_few_times() -> None:
    good = Sky(**targets("a" * 50))
    first(good.frames(), good.align, 0.3)
    assert set(good.tried) == {("f00", 50)}
    mixed = Sky(**{f"f{k}": f"{k // 2}" for k in range(400)})
    first(mixed.frames(), mixed.align, 0.3)
    assert sum(n for _, n in mixed.tried) <= (MOST_TRIED + 1) * 400


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"shape": (300, 400)}, "other_shape"),
        ({"shape": (SHAPE[0] // 2, SHAPE[1] // 2)}, "other_shape"),
        ({"exptime": 5.0}, "other_exposure"),
        ({"exptime": None}, "exposure_unknown"),
    ],
)
def test_a_frame_that_is_not_as_most_are_is_no_reference(
    changes: dict[str, Any], code: str
) -> None:
    sky = Sky(**targets("aaaa"))
    frames = sky.frames(f00=replace(TAKEN, **changes))
    choice = first(frames, sky.align, 0.3)
    assert choice.name == "f01"
    assert choice.passed_over is not None
    assert choice.passed_over["code"] == code
    assert "most" in sentence(choice.passed_over)


def test_exposures_that_nearly_agree_are_the_same() -> None:
    sky = Sky(**targets("aaaa"))
    frames = sky.frames(f00=replace(TAKEN, exptime=59.98), f01=replace(TAKEN, exptime=60.3))
    assert first(frames, sky.align, 0.3) == Choice("f00")


def test_a_cloudy_first_frame_is_no_reference_and_a_hazy_one_is() -> None:
    sky = Sky(**targets("aaaaa"))
    sky.flux["f00"] = 0.5
    assert first(sky.frames(), sky.align, 0.3) == Choice("f00")
    sky.flux["f00"] = sky.flux["f01"] = 0.2
    choice = first(sky.frames(), sky.align, 0.3)
    assert choice == Choice("f02", {"code": "too_opaque", "value": 0.2, "limit": 0.3})
    assert first(sky.frames(), sky.align, 0.0) == Choice("f00")


def test_a_stretched_picture_is_no_reference() -> None:
    sky = Sky(**targets("aaaa"))
    sky.growth["f00"], sky.flux["f00"] = 0.6, 30.0
    choice = first(sky.frames(), sky.align, 0.3)
    assert choice.name == "f01"
    assert choice.passed_over is not None
    assert "bright stars have 54% of the light" in sentence(choice.passed_over)
    assert best(sky.frames(), sky.align, 0.3).name != "f00"
    # As most are, so it is.
    sky.growth |= dict.fromkeys(("f01", "f02"), 0.6)
    assert first(sky.frames(), sky.align, 0.3) == Choice("f00")


def test_stretched_pictures_are_rejected_and_make_no_others_cloudy() -> None:
    outcomes = {name: outcome() for name in "abcd"}
    outcomes |= {name: {**outcome(0.03), "flux_growth": 0.6} for name in "xyz"}
    found = judge(outcomes, dict.fromkeys(outcomes, TAKEN), "a", min_transparency=0.3)
    assert list(found["frames"]) == list("abcd")
    assert list(found["rejected"]) == list("xyz")
    assert all("flux_growth" not in entry for entry in found["rejected"].values())
    assert {entry["reason"]["code"] for entry in found["rejected"].values()} == {
        "out_of_proportion"
    }


def test_the_best_frame_is_deep_sharp_and_in_the_middle() -> None:
    sky = Sky(**targets("aaaaab"))
    sky.x = {name: 30.0 * k for k, name in enumerate(sky.targets)}
    sky.flux["f03"] = 1.2
    assert best(sky.frames(), sky.align, 0.3) == Choice("f03")
    sharp = sky.frames(f02=replace(TAKEN, fwhm=2.0), f05=replace(TAKEN, fwhm=1.0))
    assert best(sharp, sky.align, 0.3) == Choice("f02")
    # The sharpest frame is of no use where the others do not reach.
    sky.x["f02"] = 900.0
    assert best(sharp, sky.align, 0.3) == Choice("f03")


def test_of_stacks_on_one_grid_that_with_the_largest_images_has_the_reference() -> None:
    sky = Sky(**targets("aaaaa"))
    small = replace(TAKEN, shape=(500, 750), stack="B")
    frames = sky.frames(**dict.fromkeys(("f00", "f01", "f02"), small))
    assert first(frames, sky.align, 0.3).name == "f03"


def test_transparency_is_light_per_second_over_that_of_clear_frames() -> None:
    frames = {
        "a": replace(TAKEN, exptime=10.0),
        "b": TAKEN,
        "c": TAKEN,
        "d": TAKEN,
        "hydrogen": replace(TAKEN, optics="Ha"),
        "folder": replace(TAKEN, stack="Ha"),
    }
    scales = {"a": 6.0, "b": 1.0, "c": 1.0, "d": 5.0, "hydrogen": 30.0, "folder": 30.0}
    found = transparencies(scales, frames)
    assert found == pytest.approx({"a": 1, "b": 1, "c": 1, "d": 0.2, "hydrogen": 1, "folder": 1})


def test_one_frame_with_too_much_light_makes_no_others_cloudy() -> None:
    found = transparencies({"a": 1.0, "b": 1.0, "c": 0.02}, dict.fromkeys("abc", TAKEN))
    assert found["a"] == found["b"] == 1
    assert min(transparencies({"a": 1.0, "b": 9.0}, dict.fromkeys("ab", TAKEN)).values()) == 1


def outcome(flux_scale: float = 1.0, scale: float = 1.0) -> dict[str, Any]:
    matrix = np.diag([scale, scale, 1])
    return {**Transform(matrix, SHAPE, SHAPE).to_json(), "flux_scale": flux_scale}


def test_cloudy_frames_and_those_of_another_binning_are_rejected_with_their_numbers() -> None:
    reason = {"code": "no_arrangement", "value": 0, "limit": 4}
    outcomes = {
        "a": outcome(),
        "b": outcome(1.1),
        "c": outcome(),
        "clouds": outcome(12.0),
        "haze": outcome(2.0),
        "binned": outcome(scale=2.0),
        "other": {"reason": reason},
    }
    found = judge(outcomes, dict.fromkeys(outcomes, TAKEN), "a", min_transparency=0.3)
    assert list(found["frames"]) == ["a", "b", "c", "haze"]
    assert found["frames"]["haze"]["transparency"] == 0.5
    assert found["unaligned"] == {"other": reason}
    said = {name: entry["reason"] for name, entry in found["rejected"].items()}
    assert said["clouds"] == {
        "code": "too_opaque",
        "value": pytest.approx(1 / 12),
        "limit": 0.3,
    }
    assert sentence(said["clouds"]).startswith("8% of the light of a clear frame")
    assert said["binned"]["code"] == "other_scale"
    assert "2.00 times" in sentence(said["binned"])


def test_each_stack_has_the_scale_of_its_own_frames() -> None:
    """One reference for all filters: its grid, not its light."""
    hydrogen = replace(TAKEN, optics="Ha", stack="Ha")
    binned = replace(TAKEN, optics="B", stack="B")
    frames = {"l1": TAKEN, "l2": TAKEN, **dict.fromkeys(("h1", "h2", "h3"), hydrogen)}
    frames |= dict.fromkeys(("b1", "b2"), binned)
    outcomes = {"l1": outcome(), "l2": outcome(1.2)}
    outcomes |= {"h1": outcome(100.0), "h2": outcome(30.0), "h3": outcome(33.0)}
    outcomes |= {"b1": outcome(4.0, scale=2.0), "b2": outcome(5.0, scale=2.0)}
    found = judge(outcomes, frames, "l1", min_transparency=0.0)
    scales = {name: entry["flux_scale"] for name, entry in found["frames"].items()}
    assert scales == pytest.approx(
        {"l1": 1, "l2": 1.2, "h1": 100 / 30, "h2": 1, "h3": 1.1, "b1": 1, "b2": 1.25}
    )


def test_a_reference_of_the_users_own_choice_is_kept() -> None:
    outcomes = {"a": outcome(), "b": outcome(0.1), "c": outcome(0.1)}
    found = judge(outcomes, dict.fromkeys("abc", TAKEN), "a", min_transparency=0.3)
    assert list(found["frames"]) == ["a", "b", "c"]


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Return a folder with the lists of a test shot, of clouds and of good frames."""
    for number in range(7):
        _, stars = Scene(80, shift=(7.3 * number, -4.1)).observe(5)
        if number == 0:
            write_frame(tmp_path, "0", replace(stars, flux=stars.flux / 12), exptime_s=5)
        elif number == 4:
            write_frame(tmp_path, "4", replace(stars, flux=stars.flux / 10), exptime_s=60)
        else:
            write_frame(tmp_path, f"{number}", stars, exptime_s=60)
    return tmp_path


def test_a_night_with_a_test_shot_and_clouds(mixed: Path) -> None:
    aligned(mixed)
    found = read_json(mixed / "alignment.json")
    assert found["reference"] == "1"
    assert found["passed_over"]["frame"] == "0"
    assert "5 s and not 60 s" in notes(found)[0]
    assert list(found["frames"]) == ["0", "1", "2", "3", "5", "6"]
    assert found["frames"]["0"]["flux_scale"] == pytest.approx(12)
    assert list(found["rejected"]) == ["4"]
    # The same from the cache, and of the user's own choice.
    expected = (mixed / "alignment.json").read_bytes()
    assert aligned(mixed) == expected
    aligned(mixed, reference="0")
    found = read_json(mixed / "alignment.json")
    assert found["reference"] == "0"
    assert not notes(found)


def test_the_ledger_gives_the_reason_and_the_numbers_of_a_cloudy_frame(mixed: Path) -> None:
    aligned(mixed)
    names = [f"{number}" for number in range(7)]
    list_frames.run(
        {name: mixed / "quality" / f"{name}.json" for name in names},
        [mixed / "alignment.json"],
        mixed / "frames.csv",
        refused={},
        left_out={},
        facts={name: {} for name in names},
    )
    row = read_csv(mixed / "frames.csv")[4]
    assert row["status"] == "rejected"
    assert row["reasons"] == "10% of the light of a clear frame < min_transparency 0.3"
    assert float(row["transparency"]) == pytest.approx(0.1)


def test_a_stretched_picture_among_raw_frames_is_rejected(tmp_path: Path) -> None:
    for number in range(4):
        _, stars = Scene(80, shift=(7.3 * number, -4.1)).observe(5)
        stretched = replace(stars, flux=100 * stars.flux**0.6)
        write_frame(tmp_path, f"{number}", stretched if number == 0 else stars)
    aligned(tmp_path)
    found = read_json(tmp_path / "alignment.json")
    assert list(found["frames"]) == ["1", "2", "3"]
    assert "a stretched picture" in sentence(found["rejected"]["0"]["reason"])
    assert found["rejected"]["0"]["transparency"] is None
    assert "0, is passed over: its bright stars have" in notes(found)[0]


def test_mirror_images_are_told(tmp_path: Path) -> None:
    for number in range(3):
        _, stars = Scene(80, shift=(7.3 * number, -4.1)).observe(5)
        if number == 2:
            stars = replace(stars, xy=stars.xy * [1, -1] + [0, NX_NY[1] - 1])
        write_frame(tmp_path, f"{number}", stars)
    aligned(tmp_path)
    found = read_json(tmp_path / "alignment.json")
    assert len(found["frames"]) == 3
    assert notes(found) == [
        "Mirror images of the reference, which are turned over: 1 of 3 frames, such as 2."
    ]


def test_frames_mostly_beside_the_reference_are_told(tmp_path: Path) -> None:
    for number, share in enumerate((0, 0.4, -0.6)):
        _, stars = Scene(400, shift=(share * NX_NY[0], -4.1)).observe(5)
        write_frame(tmp_path, f"{number}", stars)
    aligned(tmp_path)
    found = read_json(tmp_path / "alignment.json")
    assert len(found["frames"]) == 3
    (line,) = notes(found)
    assert "beyond the edges of the reference: 1 of 3 frames, such as 2. Stacks show" in line


@pytest.mark.parametrize(("ratios", "told"), [((1.2, 1.18, 1.02), 1), ((1.2, 1.02, 1.01), 0)])
def test_a_night_of_stretched_pictures_is_told(
    tmp_path: Path, ratios: tuple[float, ...], told: int
) -> None:
    for number, ratio in enumerate(ratios):
        _, stars = Scene(80, shift=(7.3 * number, -4.1)).observe(5)
        write_frame(tmp_path, f"{number}", stars, bright_fwhm_ratio=ratio)
    aligned(tmp_path)
    said = notes(read_json(tmp_path / "alignment.json"))
    assert [line.startswith("Bright stars are 18% wider") for line in said] == [True] * told
