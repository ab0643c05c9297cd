"""Frames are parted by what their headers state, however it is spelled."""

from pathlib import PurePath
from typing import Any

import pytest

from scripts.lightstack.planning.groups import (
    LONGEST_NAME,
    GroupingError,
    Groups,
    cards_of,
    group_frames,
    mixtures,
    told,
)
from scripts.lightstack.raw.exposure import Exposure

SHAPE = (10, 20)


def light(**values: Any) -> Exposure:
    return Exposure(SHAPE, **values)


def grouped(
    frames: dict[str, Exposure | str],
    *group_by: str,
    align_by: list[str] | None = None,
    cards: dict[str, dict[str, str]] | None = None,
) -> Groups:
    return group_frames(
        {name: name for name in frames},
        frames,
        lambda path: (cards or {}).get(path, {}),
        group_by=group_by,
        align_by=align_by,
    )


def by_filter(*names: str | None) -> dict[str, Exposure | str]:
    return {f"f{number}": light(filter=name) for number, name in enumerate(names)}


def test_without_keys_all_frames_are_one_group_without_a_name() -> None:
    groups = grouped({"b": light(filter="L"), "a": "damaged"})
    assert groups.members == {"": ["b", "a"]}
    assert groups.stacked == [""]
    assert groups.sharing == {"": {"a": "", "b": ""}}


def test_groups_have_the_values_that_their_frames_share() -> None:
    frames = by_filter("L", "Ha", "Luminance", "ha ", "H-alpha", "HA", "Ha", "h_alpha", "L")
    groups = grouped(frames, "filter")
    assert groups.members == {"Ha": ["f1", "f3", "f4", "f5", "f6", "f7"], "L": ["f0", "f2", "f8"]}


def test_other_filters_are_other_groups() -> None:
    names = ["Ha", "Ha 7nm", "Hb", "OIII", "SII", "R", "Red", "L", "L-eNhance", "Clear"]
    frames = by_filter(*names, *names)
    assert sorted(map(len, grouped(frames, "FILTER").members.values())) == [2] * len(names)


def test_names_of_one_filter_are_no_mixture() -> None:
    names = ["Ha", "H-alpha", "h_alpha"]
    assert mixtures([light(filter=name) for name in names]) == {}
    assert mixtures([light(filter=name) for name in (*names, "O3", "OIII")]) == {
        "filter (3 of Ha, 2 of O3)": ["FILTER"]
    }


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("M 31", "m31", True),
        ("M_31", "M  31 ", True),
        ("NGC 7000", "NGC7000", True),
        ("Panel 1 1", "Panel 11", False),
        ("M 31", "M 3 1", False),
        ("B", "R", False),
        ("B", "B+R", False),
    ],
)
def test_spelling_parts_nothing(one: str, other: str, *, same: bool) -> None:
    frames = [light(object=name) for name in (one, one, other, other)]
    groups = grouped({str(k): frame for k, frame in enumerate(frames)}, "OBJECT")
    assert len(groups.members) == (1 if same else 2)


@pytest.mark.parametrize(
    ("key", "frames", "names"),
    [
        ("EXPTIME", [light(exptime=60.0), light(exptime=60.02), light(exptime=120)], "120 60"),
        ("EXPOSURE", [light(exptime=1 / 30), light(exptime=1 / 30)], "0.0333"),
        ("xbinning", [light(binning=(2, 1)), light(binning=(2, 2)), light()], "2 no_XBINNING"),
        ("BINNING", [light(binning=(2, 1)), light(binning=(2, 2)), light()] * 2, None),
        ("GAIN", [light(gain=100.0), light(gain=100)], "100"),
        ("NAXIS1", [light(), Exposure((10, 40)), light()], "20 40"),
        ("INSTRUME", [light(camera="ZWO ASI"), light(camera="ZWO ASI")], "ZWO_ASI"),
    ],
)
def test_quantities_are_understood_by_any_of_their_cards(
    key: str, frames: list[Exposure], names: str | None
) -> None:
    groups = grouped({str(k): frame for k, frame in enumerate(frames)}, key)
    expected = ["2x1", "2x2", "no_BINNING"] if names is None else names.split()
    assert sorted(groups.members) == expected


def test_a_missing_value_is_not_one_that_agrees() -> None:
    groups = grouped(by_filter("L", None, "L", None), "OBJECT", "FILTER")
    assert groups.members == {
        "no_OBJECT_L": ["f0", "f2"],
        "no_OBJECT_no_FILTER": ["f1", "f3"],
    }


def test_folders_part_frames() -> None:
    frames = dict.fromkeys(("a", "n1/Ha/a", "n1/Ha/b", "n1/ha/a", "n1_Ha/a"), light())
    groups = grouped({**frames}, "folder")
    (name,) = (name for name, frames in groups.members.items() if "n1/Ha/a" in frames)
    assert groups.members[name] == ["n1/Ha/a", "n1/Ha/b"]
    assert groups.members["no_folder"] == ["a"]
    assert len({name.casefold() for name in groups.members}) == 4


def test_any_card_can_part_frames() -> None:
    assert cards_of(["filter", "PierSide", "ESO  ins mode", "folder"]) == [
        "ESO INS MODE",
        "PIERSIDE",
    ]
    cards = {"a": {"PIERSIDE": "West"}, "b": {"PIERSIDE": "WEST"}, "c": {"PIERSIDE": "East"}}
    groups = grouped(dict.fromkeys("abc", light()), "pierside", cards=cards)
    assert groups.members == {"East": ["c"], "West": ["a", "b"]}
    assert groups.alone == ["East"]


HOSTILE = [
    *(
        "../../etc",
        "/etc/passwd",
        ".",
        "..",
        "...",
        ".hidden",
        "-rf",
        "~",
        "$HOME",
        "a\nb",
        "a\0b",
    ),
    *(
        "{frame}",
        "<results>",
        "*?[",
        "a/b",
        "a\\b",
        "CON:",
        "'\"`",
        "\u202e\u200b",
        "   ",
        "é",
        "é",
    ),
    *("previous", "Previous", "frames.csv", "alignment.json", "stack_mean.fits", "PREVIEW.png"),
    *("x" * 300, "ab" * 40, "é" * 100, "Ha", "Ha/", "Ha?", "ha!", "no_FILTER"),
]


@pytest.mark.parametrize("n_values", [1, 2])
def test_names_are_safe_and_their_own(n_values: int) -> None:
    frames = {f"{k}": light(filter=name, object="o") for k, name in enumerate([*HOSTILE, None])}
    frames["twin"] = frames["0"]
    groups = grouped({**frames}, *["OBJECT", "FILTER"][-n_values:])
    parted = {tuple(frames) for frames in groups.members.values()}
    essences = {frozenset(frames) for frames in parted}
    assert len(groups.members) == len(essences)
    assert len({name.casefold() for name in groups.members}) == len(groups.members)
    for name in groups.members:
        assert PurePath(name).parts == (name,)
        assert name[0] not in ".-"
        assert name.casefold() != "previous"
        assert not name.casefold().endswith((".csv", ".json", ".fits", ".png", ".html"))
        assert not set(name) & set("/\\{}<>*?[]\"'`$~:\n\0 ")
        assert len(name.encode()) <= LONGEST_NAME + 7
    assert all(frame in groups.of_frame for frame in frames)


def test_a_name_does_not_depend_on_other_groups() -> None:
    before = grouped(by_filter("Ha", "Ha", "L/1"), "FILTER").of_frame
    after = grouped(by_filter("Ha", "Ha", "L/1", "B", None, "x" * 300), "FILTER").of_frame
    assert {frame: after[frame] for frame in before} == before


def test_filters_and_exposures_of_a_target_share_a_reference() -> None:
    frames = {
        f"{target} {name} {time}": light(object=target, filter=name, exptime=time)
        for target in ("A", "B")
        for name in ("L", "R")
        for time in (1.0, 2.0)
    }
    frames |= {f"{name}'": frame for name, frame in frames.items()}
    groups = grouped({**frames}, "OBJECT", "FILTER", "EXPTIME")
    assert {common: len(names) for common, names in groups.aligned.items()} == {"A": 4, "B": 4}
    assert [*groups.sharing["A"]][:3] == ["A L 1.0", "A L 1.0'", "A L 2.0"]
    assert groups.sharing["A"]["A L 1.0"] == "A_L_1"
    assert set(grouped({**frames}, "FILTER").shared.values()) == {""}
    own = grouped({**frames}, "FILTER", align_by=["FILTER"])
    assert own.shared == {"L": "L", "R": "R"}
    assert set(grouped({**frames}, "OBJECT", "FILTER", align_by=[]).shared.values()) == {""}


def test_files_that_cannot_be_read_are_of_no_group() -> None:
    groups = grouped({**by_filter("L", "L"), "z": "damaged"}, "FILTER")
    assert groups.members == {"L": ["f0", "f1"]}


@pytest.mark.parametrize(
    ("group_by", "align_by", "sentence"),
    [
        (["FLITER"], None, r"no frame's header has a card FLITER \(did you mean FILTER\?\)"),
        (["FILTER"], ["OBJECT"], r"Set group_by: \[FILTER, OBJECT\], or leave OBJECT out"),
        ([], ["OBJECT"], r"Set group_by: \[OBJECT\]"),
        (["EXPTIME"], None, r"\[EXPTIME\] leaves each of the 2 frames alone"),
    ],
)
def test_what_cannot_be_is_told(
    group_by: list[str], align_by: list[str] | None, sentence: str
) -> None:
    frames: dict[str, Exposure | str] = {"a": light(exptime=1.0), "b": light(exptime=2.0)}
    with pytest.raises(GroupingError, match=sentence):
        grouped(frames, *group_by, align_by=align_by)


def test_frames_that_differ_are_told_of() -> None:
    frames = [light(filter=name, exptime=60.0) for name in ("L", "L", "Ha", "ha")]
    frames += [Exposure((5, 5), exptime=300.0, binning=(2, 2), camera="A")]
    assert mixtures(frames) == {
        "shape (1 of 5 x 5, 4 of 20 x 10)": ["NAXIS1", "NAXIS2"],
        "filter (2 of Ha, 2 of L, 1 not stated)": ["FILTER"],
        "exposure (4 of 60 s, 1 of 300 s)": ["EXPTIME"],
    }
    many = [light(exptime=float(seconds)) for seconds in range(10, 90, 10)]
    assert [*mixtures(many)] == ["exposure (1 of 10 s, 1 of 20 s, 1 of 30 s, …, 1 of 80 s)"]
    binned = [Exposure((5, 10), binning=(2, 2)), light(binning=(1, 1))]
    assert [key for keys in mixtures(binned).values() for key in keys] == ["XBINNING"]


@pytest.mark.parametrize(
    "frames",
    [
        [],
        [light(exptime=60.0), light(exptime=180.0)],
        [light(filter="L"), light()],
        [light(object="M 31"), light(object="m31")],
    ],
)
def test_frames_that_are_alike_are_not(frames: list[Exposure]) -> None:
    assert mixtures(frames) == {}


def lines(frames: dict[str, Exposure | str], *group_by: str) -> list[str]:
    return told(grouped(frames, *group_by), {name: name for name in frames}, frames)


def test_a_mixture_is_told_with_what_parts_it() -> None:
    frames = {
        f"{target}{name}{k}": light(object=target, filter=name)
        for target in "AB"
        for name in "LR"
        for k in range(2)
    }
    assert lines({**frames}) == [
        (
            "Frames are going to be stacked together that differ in filter (4 of L, 4 of R); "
            "object (4 of A, 4 of B). To part them, set group_by: [FILTER, OBJECT]."
        )
    ]
    assert lines({**frames}, "OBJECT") == [
        "Groups by OBJECT: A (4), B (4).",
        (
            "In 2 groups, such as A, frames are going to be stacked together that differ in "
            "filter (2 of L, 2 of R). To part them, set group_by: [OBJECT, FILTER]."
        ),
    ]
    assert lines({**frames, "x": light(object="C", filter="L")}, "OBJECT", "FILTER") == [
        "Groups by OBJECT, FILTER: A_L (2), A_R (2), B_L (2), B_R (2).",
        "Not stacked, alone in their groups: x (C_L).",
    ]


def test_filters_that_only_names_tell_are_told() -> None:
    names = [f"M31_{name}_60s_{k}" for name in ("Ha", "OIII") for k in range(2)]
    (line,) = lines({name: light() for name in names})
    assert (
        "frames of several filters are going to be stacked together (2 of ha, 2 of oiii). " in line
    )
    assert "set group_by: [folder]" in line
    for others in (
        {names[0]: light(), names[1]: light()},
        {name: light(filter="Ha") for name in names},
        {names[0]: light(), names[2]: light(), "M31_1": light()},
        {"r_pp_light_1": light(), "pp_light_2": light(), "L_R_3": light()},
    ):
        assert not lines({**others})
