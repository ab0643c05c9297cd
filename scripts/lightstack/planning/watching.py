"""Run the workflow whenever frames arrive or settings change: `make watch NIGHT=…`."""

import argparse
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import chdir
from pathlib import Path

import yaml

from scripts.lightstack.planning.frames import find_frames
from scripts.lightstack.planning.settings import (
    CONFIGURATION,
    RAW_FOLDERS,
    SettingsError,
    complete_settings,
    has_settings,
)

SNAKEFILE = Path(__file__).parents[3] / "Snakefile"

SETTLED_S = 2.0
"""A file is finished when it has not changed for so long [s]."""

PATIENCE_S = 30.0
"""Longest wait for finished files, where new ones arrive faster than they settle [s]."""

LONGEST_WAIT_MS = 500
"""Time after which the watch says that nothing has changed [ms]; the first run waits for it."""

LOOKS_S = 0.25
"""Time between two looks at files that are being written [s]."""


def settle(places: list[Path], patience: float = PATIENCE_S) -> bool:
    """Wait until all frames in folders, and single files, are finished.

    Parameters
    ----------
    places : list of Path
        Folders and files; they may be absent.
    patience : float
        Longest wait [s].

    Returns
    -------
    bool
        Whether they are.
    """
    end = time.monotonic() + patience
    before, since = _states(places), time.monotonic()
    while time.monotonic() - since < SETTLED_S:
        if time.monotonic() > end:
            return False
        time.sleep(LOOKS_S)
        now = _states(places)
        if now != before:
            before, since = now, time.monotonic()
    return True


def _states(places: list[Path]) -> dict[str, tuple[int, int]]:
    """Size and time of each frame in folders, and of each single file."""
    states: dict[str, tuple[int, int]] = {}
    for place in places:
        for path in [str(place)] if place.is_file() else find_frames(place).paths.values():
            try:
                status = Path(path).stat()
            except OSError:
                continue
            states[path] = (status.st_size, status.st_mtime_ns)
    return states


def arrivals(places: list[Path]) -> Generator[None, None, None]:
    """Yield at the start and whenever what `settle` waits for has changed since and is finished.

    The folders, and those of single files, must be there.
    """
    from watchfiles import watch

    known = None
    # Editors put a new file in the place of the one that they change.
    folders = {place if place.is_dir() else place.parent for place in places}
    # What arrives while a run works on the files before is kept by the watch.
    for changes in watch(*folders, rust_timeout=LONGEST_WAIT_MS, yield_on_timeout=True):
        if not changes and known is not None:
            continue
        if not settle(places):
            _say("New files arrive all the time; those that are there are stacked.")
        states = _states(places)
        if states != known:
            known = states
            yield


def watch_night(night: Path, options: list[str]) -> None:
    """Run the workflow in a folder now, and again at new frames and settings, until Ctrl-C.

    Parameters
    ----------
    night : Path
        Folder of a run.
    options : list of str
        Options of Snakemake.
    """
    with chdir(night):
        configuration = Path(CONFIGURATION)
        given = yaml.safe_load(configuration.read_bytes()) if has_settings(configuration) else {}
        settings = complete_settings(given)
    folders = [night / Path(settings[key]).expanduser() for key in RAW_FOLDERS]
    watched = [folder for folder in folders if folder.is_dir()]
    if (night / configuration).parent.is_dir():
        watched.append(night / configuration)
    if not folders[0].is_dir():
        sys.exit(f"input_dir: there is no folder {folders[0]} to watch. Make it first.")
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(SNAKEFILE)]
    command += ["--directory", str(night), *(options or ["--cores", "all"])]
    for _ in arrivals(watched):
        subprocess.run(command, check=False)
        _say(f"Waiting for frames in {folders[0]}; Ctrl-C ends it.")


def _say(sentence: str) -> None:
    sys.stderr.write(f"{sentence}\n")
    sys.stderr.flush()


def main() -> None:
    """Watch the folder that the command line names."""
    from snakemake.exceptions import WorkflowError

    parser = argparse.ArgumentParser(description="Stack frames as they arrive.")
    parser.add_argument("night", type=Path, help="folder with data/ and, if needed, config/")
    parser.add_argument("options", nargs=argparse.REMAINDER, help="options of Snakemake")
    arguments = parser.parse_args()
    if not arguments.night.is_dir():
        sys.exit(f"{arguments.night}: there is no such folder. Say which: make watch NIGHT=…")
    try:
        watch_night(arguments.night.resolve(), arguments.options)
    except KeyboardInterrupt:
        _say("No longer watched.")
    except (SettingsError, WorkflowError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
