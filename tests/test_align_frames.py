"""The alignment of a night: the same bytes however it is done, and only of what changed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scripts import align_frames
from scripts.lightstack.alignment import pairs
from scripts.lightstack.alignment.registration import Alignment, align
from scripts.lightstack.alignment.stars import Stars
from scripts.lightstack.detection.sources import SOURCE
from scripts.lightstack.files.cache_file import read_cache
from scripts.lightstack.files.records import read_json, write_json
from scripts.lightstack.files.table_file import write_table
from tests.test_registration import Scene

N_FRAMES = 6


def write_frame(folder: Path, name: str, stars: Stars, **facts: Any) -> None:
    """Write what detection and grading would have written."""
    table = np.zeros(len(stars), SOURCE)
    table["x"], table["y"] = stars.xy.T
    table["flux"], table["fwhm"] = stars.flux, stars.fwhm
    write_table(folder / "sources" / f"{name}.fits", table, {})
    record = {
        "frame": name,
        "verdict": "accepted",
        "reasons": [],
        "pixels_sha256": name,
        "dark": "none",
        "date_obs": None,
        "exptime_s": None,
        "filter": None,
        "gain": None,
        "egain": None,
        "noise_adu": 10.0,
        "n_stars": len(table),
        "fwhm_px": 3.0,
        "star_fwhm_px": [1.0, 6.0],
        "bright_fwhm_ratio": None,
        "doubled": None,
        "shape": list(stars.shape),
        **facts,
    }
    write_json(folder / "quality" / f"{name}.json", record)


@pytest.fixture
def night(tmp_path: Path) -> Path:
    """Return a folder with the lists of some frames; the last is of another field."""
    for number in range(N_FRAMES - 1):
        scene = Scene(60, shift=(7.3 * number, -4.1), distortion=0.003)
        write_frame(tmp_path, f"{number}", scene.observe(5)[1])
    write_frame(tmp_path, f"{N_FRAMES - 1}", Scene(60).observe(77)[0])
    return tmp_path


def aligned(
    folder: Path,
    threads: int = 1,
    reference: str = "first",
    groups: dict[str, str] | None = None,
) -> bytes:
    names = sorted(path.stem for path in (folder / "quality").iterdir())
    align_frames.run(
        {name: folder / "quality" / f"{name}.json" for name in names},
        {name: folder / "sources" / f"{name}.fits" for name in names},
        folder / "alignment.json",
        groups=groups or dict.fromkeys(names, ""),
        reference=reference,
        normalize="flux",
        min_transparency=0.3,
        cache=folder / "work" / "alignments.json",
        threads=threads,
    )
    return (folder / "alignment.json").read_bytes()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Stars]:
    """Note the lists that are aligned in this process."""
    lists: list[Stars] = []

    def noted(frame: Stars, reference: Stars) -> Alignment:
        lists.append(frame)
        return align(frame, reference)

    monkeypatch.setattr(pairs, "align", noted)
    return lists


def test_same_bytes_for_any_threads_and_from_the_cache(night: Path, asked: list[Stars]) -> None:
    cache = night / "work" / "alignments.json"
    expected = aligned(night)
    assert len(asked) == N_FRAMES - 1
    kept = cache.read_bytes()
    assert aligned(night) == expected
    assert len(asked) == N_FRAMES - 1
    for threads in (2, 3, 50):
        cache.unlink()
        assert aligned(night, threads) == expected
        assert cache.read_bytes() == kept
    found = read_json(night / "alignment.json")
    assert len(found["frames"]) == N_FRAMES - 1
    assert found["unaligned"].keys() == {f"{N_FRAMES - 1}"}


def test_only_pairs_that_changed_are_aligned(night: Path, asked: list[Stars]) -> None:
    aligned(night)
    write_frame(night, "2", Scene(60).observe(5)[1])
    write_frame(night, "7", Scene(60, shift=(9, 9)).observe(5)[1])
    asked.clear()
    aligned(night)
    assert len(asked) == 2
    record = read_json(night / "quality" / "3.json")
    write_json(night / "quality" / "3.json", {**record, "star_fwhm_px": [1.0, 5.0]})
    aligned(night)
    assert len(asked) == 3
    aligned(night, reference="1")
    assert len(asked) == 3 + N_FRAMES


def test_other_code_or_packages_align_all_anew(
    night: Path, asked: list[Stars], monkeypatch: pytest.MonkeyPatch
) -> None:
    aligned(night)
    for name, value in (("code_digest", lambda _: "another"), ("VERSIONS", ["another"])):
        asked.clear()
        monkeypatch.setattr(align_frames, name, value)
        aligned(night)
        assert len(asked) == N_FRAMES - 1


def test_the_cache_holds_what_is_in_use(night: Path) -> None:
    cache = night / "work" / "alignments.json"
    aligned(night)
    keys = read_cache(cache).keys()
    assert len(keys) == N_FRAMES - 1
    (night / "quality" / "2.json").unlink()
    aligned(night)
    assert read_cache(cache).keys() < keys
    assert len(read_cache(cache)) == N_FRAMES - 2


@pytest.mark.parametrize("damage", [lambda _: b"[]", lambda whole: whole[: len(whole) // 2]])
def test_a_damaged_cache_is_made_again(night: Path, damage: Callable[[bytes], bytes]) -> None:
    cache = night / "work" / "alignments.json"
    expected = aligned(night)
    whole = cache.read_bytes()
    cache.write_bytes(damage(whole))
    assert aligned(night) == expected
    assert cache.read_bytes() == whole


def test_a_night_without_accepted_frames_counts_the_reasons(tmp_path: Path) -> None:
    few = {"code": "too_few_stars", "value": 3, "limit": 50}
    wide = {"code": "too_wide", "value": 7.0, "limit": 6.0, "fwhm_max_ratio": 2.0, "fwhm0": 3.0}
    # Only codes count, whatever the sentences say: a file may have any name.
    unusable = {"code": "unusable", "cause": "FWHM saturated stars < 3.fits: not a FITS file."}
    verdicts = [("rejected", [few, wide]), ("rejected", [wide]), ("failed", [unusable])]
    for number, (verdict, reasons) in enumerate(verdicts):
        record = {"verdict": verdict, "reasons": reasons}
        write_json(tmp_path / "quality" / f"{number}.json", record)
    aligned(tmp_path)
    assert read_json(tmp_path / "alignment.json")["problem"] == (
        "None of the 3 frames was accepted: "
        "1 for too few stars (lower min_star_count, threshold_sigma or minarea); "
        "2 for stars too wide (raise fwhm0 or fwhm_max_ratio); 1 could not be read."
    )


def test_groups_share_a_reference_and_have_scales_of_their_own(tmp_path: Path) -> None:
    shares = {"0": 1.0, "1": 0.8, "2": 0.3, "3": 0.15, "4": 0.29, "5": 1.0}
    groups = dict(zip(shares, ("L", "L", "Ha", "Ha", "Ha", "R"), strict=True))
    for number, (name, share) in enumerate(shares.items()):
        seen = Scene(60, shift=(7.3 * number, -4.1)).observe(5)[1]
        stars = Stars(seen.xy, seen.flux * share, seen.fwhm, seen.shape)
        write_frame(tmp_path, name, stars, filter=groups[name])
    # A frame of other groups is the reference of others.
    aligned(tmp_path, groups=groups, reference="elsewhere")
    found = read_json(tmp_path / "alignment.json")
    assert found["reference"] == "0"
    scales = {name: entry["flux_scale"] for name, entry in found["frames"].items()}
    assert (scales["0"], scales["1"]) == pytest.approx((1, 1 / 0.8), rel=0.05)
    # One that is as clear as half of its group, at least.
    assert found["flux_references"]["Ha"] == "2"
    of_others = [1, 0.3 / 0.15, 0.3 / 0.29]
    assert [scales[name] for name in "234"] == pytest.approx(of_others, rel=0.05)
    assert scales["2"] == 1
    assert found["problems"].keys() == {"R"}
    assert found["problems"]["R"] == (
        "There is only one frame, and a stack takes at least two: add more."
    )
    aligned(tmp_path)
    assert "problems" not in read_json(tmp_path / "alignment.json")
