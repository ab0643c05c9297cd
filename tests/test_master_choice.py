"""Each frame gets the darks that were taken near its own temperature."""

from dataclasses import replace

import numpy as np

from scripts.lightstack.calibration.matching import DARKS
from scripts.lightstack.planning.master_choice import NOUNS, MasterChoice, choose_masters
from scripts.lightstack.raw.exposure import Exposure

PLAIN = Exposure((10, 20), exptime=60.0)


def at(**temperatures: float) -> dict[str, Exposure]:
    return {name: replace(PLAIN, temperature=value) for name, value in temperatures.items()}


def chosen(lights: dict[str, Exposure], darks: dict[str, Exposure]) -> MasterChoice:
    contents = {name: name for name in darks}
    return choose_masters(lights, darks, contents, DARKS, 1.0, nouns=NOUNS["dark"])


def drifting(count: int, first: float, last: float, prefix: str) -> dict[str, Exposure]:
    values = np.linspace(first, last, count).round(2).tolist()
    return at(**{f"{prefix}{number:02d}": value for number, value in enumerate(values)})


def test_no_frame_of_a_sensor_that_drifts_gets_the_few_darks_of_one_end() -> None:
    darks, lights = drifting(30, 1.96, 3.78, "d"), drifting(20, 2.0, 3.7, "l")
    choice = chosen(lights, darks)
    assert set(choice.kind) == set(lights)
    for name, kind in choice.kind.items():
        temperatures = [darks[path].temperature or 0.0 for path in choice.files[kind]]
        assert len(temperatures) >= 12
        assert max(abs(t - (lights[name].temperature or 0.0)) for t in temperatures) <= 1
    assert choice.told == []
    # Frames of almost one temperature share a master.
    assert len(choice.files) <= 5


def test_a_frame_that_arrives_changes_nothing_for_the_others() -> None:
    darks, lights = drifting(30, 1.96, 3.78, "d"), drifting(20, 2.0, 3.7, "l")
    more = chosen({**lights, **at(new=1.7, newer=4.2)}, darks)
    assert {name: more.kind[name] for name in lights} == chosen(lights, darks).kind


def test_a_regulated_sensor_has_one_master_wherever_it_is_set() -> None:
    for setting in (-10.0, -9.75, -9.6, -9.5):
        darks = drifting(10, setting - 0.1, setting + 0.1, "d")
        choice = chosen(drifting(10, setting - 0.1, setting + 0.1, "l"), darks)
        assert [sorted(paths) for paths in choice.files.values()] == [sorted(darks)]


def test_a_dark_at_the_end_of_the_tolerance_is_used_if_there_is_no_other() -> None:
    choice = chosen(at(a=-10.9, b=-11.1), at(d=-10.0))
    assert set(choice.kind) == {"a"}
    assert "temperature" in choice.without["b"]
