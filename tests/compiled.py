"""Compile what most tests run, by one process: several at once would each compile all of it."""

import tempfile
from pathlib import Path

from scripts.lightstack.simulator import make_night
from scripts.lightstack.stacking.modes import MODES
from tests.conftest import SMALL_SETTINGS, snakemake, write_settings
from tests.test_colours import bayer_night


def main() -> None:
    """Run the workflow on grey frames and on those of a colour camera, with all modes."""
    settings = {**SMALL_SETTINGS, "modes": [*MODES], "uncertainty": True}
    with tempfile.TemporaryDirectory() as folder:
        grey, coloured = Path(folder, "grey"), Path(folder, "coloured")
        make_night(grey, shape=(200, 300), n_lights=5, n_stars=150, seed=4)
        write_settings(grey, **settings)
        bayer_night(coloured, "GRBG", **settings)
        for night in (grey, coloured):
            run = snakemake(night, cores=1)
            assert run.returncode == 0, run.output


if __name__ == "__main__":
    main()
