"""A file is used as what it is, not as what its folder was meant for."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from scripts.lightstack.planning.frames import Frames
from scripts.lightstack.planning.uses import Uses, sort_files
from scripts.lightstack.raw.exposure import Exposure

SHAPE = (10, 20)


def uses_of(
    lights: dict[str, Exposure | str],
    darks: dict[str, Exposure | str] | None = None,
    contents: dict[str, str] | None = None,
) -> Uses:
    """Sort files by their names below data/ and darkfield/."""
    folders = {"data": lights, "darkfield": darks or {}}
    known = {
        f"{folder}/{name}": seen
        for folder, files in folders.items()
        for name, seen in files.items()
    }
    found = [
        (folder, Frames({str(Path(name).with_suffix("")): f"{folder}/{name}" for name in files}))
        for folder, files in folders.items()
    ]
    digests = {path: path for path in known}
    return sort_files(found[0], found[1], known, digests | (contents or {}))


def light(**values: Any) -> Exposure:
    return Exposure(SHAPE, **values)


def why(uses: Uses) -> dict[str, str]:
    return {path: uses.why(path) for path in uses.left_out}


def test_a_header_counts_before_a_folder_and_a_folder_before_the_setting() -> None:
    uses = uses_of(
        {
            "a.fits": light(),
            "LIGHT/b.fits": light(role="light"),
            "DARK/c.fits": light(),
            "DARK/d.fits": light(role="light"),
            "FLAT/e.fits": light(),
            "f.fits": light(role="bias"),
            "g.fits": light(role="dark"),
        },
        {
            "h.fits": light(),
            "i.fits": light(role="light"),
            "j.fits": light(role="flat"),
            "FLAT/k.fits": light(role="flat"),
            "l.fits": light(role="bias"),
        },
    )
    assert [*uses.frames.paths] == ["a", "LIGHT/b", "DARK/d"]
    assert [*uses.darks.paths.values()] == ["darkfield/h.fits", "data/DARK/c.fits", "data/g.fits"]
    assert [*uses.flats.paths.values()] == ["data/FLAT/e.fits", "darkfield/FLAT/k.fits"]
    assert [*uses.bias.paths.values()] == ["data/f.fits", "darkfield/l.fits"]
    assert why(uses) == {
        "darkfield/i.fits": "a light among darks",
        "darkfield/j.fits": "a flat among darks",
    }
    assert uses.strays() == {
        "lights among darks": ["data/DARK/d.fits"],
        "bias frames among darks": ["darkfield/l.fits"],
        "bias frames among lights": ["data/f.fits"],
        "darks among lights": ["data/g.fits"],
    }


def test_a_name_counts_where_neither_header_nor_folder_says_anything() -> None:
    uses = uses_of(
        {
            "M31_001.fits": light(),
            "Dark_60s_001.CR2": light(),
            "MasterFlat_Ha.fits": light(),
            "Bias_003.fits": light(),
            "Dark_2.fits": light(role="light"),
            "LIGHT/dark_3.fits": light(),
            "Dark Nebula B33_4.fits": light(),
            "gain100_offset50_5.fits": light(),
        },
        {"flat_1.fits": light(), "light_2.fits": light()},
    )
    lights = ["M31_001", "Dark_2", "LIGHT/dark_3", "Dark Nebula B33_4", "gain100_offset50_5"]
    assert [*uses.frames.paths] == lights
    # Darks may have the names of the lights that they are for.
    darks = ["darkfield/light_2.fits", "data/Dark_60s_001.CR2"]
    assert [*uses.darks.paths.values()] == darks
    assert [*uses.flats.paths.values()] == ["data/MasterFlat_Ha.fits"]
    assert [*uses.bias.paths.values()] == ["data/Bias_003.fits"]
    assert why(uses) == {"darkfield/flat_1.fits": "a flat among darks"}
    assert uses.strays()["darks among lights"] == ["data/Dark_60s_001.CR2"]


def test_a_dark_among_the_lights_is_the_dark_of_no_name() -> None:
    uses = uses_of({"a.fits": light(), "DARK/a.fits": light(role="dark")})
    assert "DARK/a" not in uses.darks.paths
    assert [*uses.darks.paths.values()] == ["data/DARK/a.fits"]


def test_a_stack_among_single_exposures_is_left_out() -> None:
    stack = light(role="stack", n_combined=20)
    uses = uses_of({"a.fits": light(), "stack.fits": stack})
    assert [*uses.frames.paths] == ["a"]
    assert why(uses) == {"data/stack.fits": "a stack among single exposures"}
    # Where there is nothing else, stacks are what there is to stack.
    assert len(uses_of({"a.fits": stack, "b.fits": stack}).frames.paths) == 2
    assert len(uses_of({"a.fits": stack, "b.fits": "b.fits: damaged"}).frames.paths) == 2


def test_a_stack_without_a_card_is_known_by_its_name() -> None:
    names = ["Autosave001.tif", "r_pp_light_stacked.fit", "Integration.fits", "stacked-16_M31.png"]
    uses = uses_of({name: light() for name in (*names, "M31_stackable.fits", "Haystack.fits")})
    assert [*uses.frames.paths] == ["M31_stackable", "Haystack"]
    assert set(why(uses).values()) == {"a stack among single exposures"}
    # A header counts before a name, unless programs have left it in what they have made.
    stated = light(role="light", pixel_type="uint16")
    made = light(role="light", pixel_type="float32")
    uses = uses_of({"a.fits": stated, "stack_1.fits": stated, "stack_2.fits": made})
    assert [*uses.frames.paths] == ["a", "stack_1"]
    assert len(uses_of({"stack_1.fits": light(), "stack_2.fits": light()}).frames.paths) == 2


def test_a_picture_of_8_bits_among_raw_frames_is_left_out() -> None:
    jpeg = light(picture=True, pixel_type="uint8")
    deep = light(picture=True, pixel_type="uint16")
    shallow = light(pixel_type="uint8")
    uses = uses_of({"a.fits": light(pixel_type="uint16"), "Autosave.jpg": jpeg, "b.tif": deep})
    assert [*uses.frames.paths] == ["a", "b"]
    assert why(uses) == {"data/Autosave.jpg": "a picture of 8 bits among raw frames"}
    assert uses.roles["data/Autosave.jpg"] == "picture"
    assert len(uses_of({"a.jpg": jpeg, "b.png": jpeg}).frames.paths) == 2
    assert len(uses_of({"a.fits": shallow, "b.fits": shallow}).frames.paths) == 2


def test_frames_that_were_set_aside_are_left_out() -> None:
    names = ["BAD_L_1.fits", "rejected/L_2.fits", "M31/Bad Lights/L_3.fits", "failed_L_4.fit"]
    others = ["L_5.fits", "Bad Homburg/L_6.fits", "badlands.fits", "bad.fits", "M31_bad_7.fits"]
    uses = uses_of({name: light() for name in (*names, *others)})
    words = "set aside, as its name or its folder says"
    assert why(uses) == {f"data/{name}": words for name in names}
    # Where there is nothing else, they are what there is.
    assert len(uses_of({name: light() for name in names}).frames.paths) == len(names)


def test_copies_count_once() -> None:
    names = ["copy of light_1.fits", "light_1.fits", "light_1 (2).fits", "light_2.fits"]
    contents = {f"data/{name}": "same" for name in names[:3]}
    uses = uses_of({name: light() for name in names}, contents=contents)
    assert [*uses.frames.paths] == ["light_1", "light_2"]
    assert why(uses) == {
        "data/copy of light_1.fits": "a copy of another file: data/light_1.fits",
        "data/light_1 (2).fits": "a copy of another file: data/light_1.fits",
    }
    twins: dict[str, Exposure | str] = {"a.fits": light(role="dark"), "b.fits": light(role="dark")}
    same = {"darkfield/a.fits": "same", "darkfield/b.fits": "same"}
    assert [*uses_of({"x.fits": light()}, twins, same).darks.paths] == ["a"]
    # The darks of two frames' own names may be one.
    assert [*uses_of({"a.fits": light(), "b.fits": light()}, twins, same).darks.paths] == [
        "a",
        "b",
    ]


def test_unreadable_files_stay_frames() -> None:
    uses = uses_of({"a.fits": "a.fits: damaged", "b.fits": light()})
    assert [*uses.frames.paths] == ["a", "b"]


def test_what_a_program_made_of_an_exposure_is_left_out_where_the_exposure_is_there() -> None:
    uses = uses_of(
        {
            "L_1.fits": light(date="2026-03-01T21:00:00.1"),
            "process/pp_L_1.fit": light(date="2026-03-01T21:00:00.1"),
            "process/r_bkg_pp_L_1.fit": light(date="2026-03-01T21:00:00.1"),
            "L_1_c_r.fit": light(date="2026-03-01T21:00:00.1"),
            "L_2.fits": light(),
            "L_2.reg.tif": light(),
            # Of a filter, of another night and of exposures that are not there.
            "r_L_1.fits": light(date="2026-03-01T22:00:00.1"),
            "next/pp_L_2.fits": light(),
            "pp_L_3.fits": light(),
            "r_pp_L_4.fits": light(),
        }
    )
    assert why(uses) == {
        f"data/{name}": f"made of another file by a program: data/{of}.fits"
        for name, of in (
            ("process/pp_L_1.fit", "L_1"),
            ("process/r_bkg_pp_L_1.fit", "L_1"),
            ("L_1_c_r.fit", "L_1"),
            ("L_2.reg.tif", "L_2"),
        )
    }


def test_what_another_program_made_is_known_by_its_numbers_and_its_name() -> None:
    raw = light(date="2026-03-01T21:00:00.1", pixel_type="uint16")
    made = light(date="2026-03-01T21:00:00.1", pixel_type="float32")
    later = light(date="2026-03-01T21:01:00.1", pixel_type="float32")
    uses = uses_of(
        {
            "light_1.fits": raw,
            "calibrated/light_1.fits": made,
            "cal_light_1-crop.fits": made,
            "light_1_rgb.fits": replace(raw, n_planes=3),
            "preview/light_1_stretched.tif": light(picture=True, pixel_type="uint16"),
            # Another exposure, another name, and another camera's numbers.
            "calibrated/cal_light_1.fits": later,
            "light_10.fits": made,
            "light_1_2.fits": raw,
        }
    )
    of_raw = "made of another file by a program: data/light_1.fits"
    names = ["calibrated/light_1.fits", "cal_light_1-crop.fits", "light_1_rgb.fits"]
    names += ["preview/light_1_stretched.tif"]
    assert why(uses) == {f"data/{name}": of_raw for name in names}


def test_what_this_workflow_made_of_a_frame_is_known_by_its_card() -> None:
    sha256 = "0123456789abcdef" * 4
    uses = uses_of(
        {"a.fits": light(), "x/b.fits": light(raw_sha256=sha256), "c.fits": light(raw_sha256="f")},
        contents={"data/a.fits": sha256},
    )
    assert why(uses) == {"data/x/b.fits": "made of another file by a program: data/a.fits"}
