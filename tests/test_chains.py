"""Whatever happens in whatever order, the results are those of a run from scratch."""

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scripts.lightstack.simulator import Light, Night, make_camera, make_sky, write_night
from tests.conftest import SMALL_SETTINGS, snakemake, write_settings

SHAPE = (120, 160)
SETTINGS: dict[str, Any] = {**SMALL_SETTINGS, "min_star_count": 5}
VALUES: dict[str, list[Any]] = {
    "min_star_count": [5, 15, 40],
    "threshold_sigma": [5, 8],
    "background_box": [32, 40],
    "sigma_clip": [1.5, 2.5],
    "normalize": ["flux", "none"],
    "reference": ["first", "best"],
    "modes": [["mean", "median"], ["mean", "noise_clip"]],
    "ellip_max": [0.05, 0.5],
}

event = st.one_of(
    st.tuples(st.just("offer"), st.integers(0, 5), st.integers(0, 5)),
    st.tuples(st.just("remove"), st.integers(0, 5)),
    st.tuples(st.just("dark"), st.integers(0, 2)),
    st.tuples(st.just("no dark"), st.integers(0, 2)),
    st.tuples(st.just("own dark"), st.integers(0, 5), st.integers(0, 2)),
    *(
        st.tuples(st.just("set"), st.just(key), st.sampled_from(values))
        for key, values in VALUES.items()
    ),
)


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six lights and three darks to play with."""
    folder = tmp_path_factory.mktemp("stock")
    rng = np.random.default_rng(5)
    lights = {
        f"light_{number}": Light(
            shift=(float(rng.uniform(-5, 5)), float(rng.uniform(-5, 5))),
            ellipticity=float(rng.uniform(0, 0.1)),
            cosmic_rays=3,
        )
        for number in range(6)
    }
    night = Night(make_sky(rng, SHAPE, 60), make_camera(rng, SHAPE), lights, n_darks=3)
    write_night(folder, replace(night, seed=2))
    return folder


@pytest.fixture(scope="module")
def begun(stock: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the workflow on three of the lights."""
    folder = tmp_path_factory.mktemp("chains") / "begun"
    for name in ("data", "darkfield"):
        (folder / name).mkdir(parents=True)
    for number in range(3):
        play(folder, stock, {}, ("offer", number, number))
    write_settings(folder, **SETTINGS)
    run = snakemake(folder)
    assert run.returncode == 0, run.output
    return folder


def play(folder: Path, stock: Path, config: dict[str, Any], what: tuple[Any, ...]) -> None:
    """Let one event happen."""
    kind, *values = what
    lights, darks = folder / "data", folder / "darkfield"
    if kind == "offer":
        name, pixels = values
        shutil.copy(stock / "data" / f"light_{pixels}.fits", lights / f"light_{name}.fits")
    elif kind == "remove":
        (lights / f"light_{values[0]}.fits").unlink(missing_ok=True)
    elif kind == "dark":
        shutil.copy(stock / "darkfield" / f"dark_0{values[0] + 1}.fits", darks)
    elif kind == "no dark":
        (darks / f"dark_0{values[0] + 1}.fits").unlink(missing_ok=True)
    elif kind == "own dark":
        name, pixels = values
        dark = stock / "darkfield" / f"dark_0{pixels + 1}.fits"
        shutil.copy(dark, darks / f"light_{name}.fits")
    else:
        config[values[0]] = values[1]


@settings(
    max_examples=6,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(chain=st.lists(event, min_size=2, max_size=4))
def test_results_do_not_depend_on_what_was_before(
    stock: Path, begun: Path, tmp_path: Path, chain: list[tuple[Any, ...]]
) -> None:
    folder = shutil.copytree(begun, Path(tempfile.mkdtemp(dir=tmp_path)) / "night")
    config = dict(SETTINGS)
    for what in chain:
        play(folder, stock, config, what)
        write_settings(folder, **config)
        run = snakemake(folder)
    fresh = folder / "fresh"
    for name in ("data", "darkfield", "config"):
        shutil.copytree(folder / name, fresh / name)
    scratch = snakemake(fresh)
    assert run.returncode == scratch.returncode, run.output + scratch.output
    assert run.results == scratch.results
