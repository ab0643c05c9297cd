"""The plan of a run: what the main process decided before the first job.

One process plans, however many work: it reads the settings, lists and fingerprints the files,
chooses what each frame is calibrated with and works out the recipes (`making.make_plan`), and
writes the plan when jobs start. The Snakemakes inside jobs, on this machine or another, read that
file and look at nothing else, so a setting that is edited or a frame that arrives in mid-run
changes nothing of the run.

What a rule asks for while Snakemake reads it (names, values, sizes, recipes) is a field of `Plan`,
filled in by `make_plan`; the functions of ``rules/common.smk`` only look it up. What only a person
is told belongs to `making.Told`, and what the main process does before and after its jobs to
``rules/hooks.smk``. Fields are plain data, texts, numbers, lists and dictionaries with texts as
keys, for they go through JSON.
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from scripts.lightstack.files.records import read_json, write_json


class NoPlanError(Exception):
    """A job was started without the plan of a main process."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What the rules need to know of a run: of raw files nothing, if it is one over nights.

    Parameters
    ----------
    run : str
        Of this run alone, so that no job follows the plan of another.
    code : str
        Digest of the code and the packages that make frames what they are.
    settings : dict
        All settings.
    frames : dict of str to str
        Path of each raw frame, by its name, in the natural order of the names.
    joined : dict of str to list of str
        By frame of another run, the folder of that run and the frame's name there; these have no
        jobs of their own.
    contents : dict of str to str
        SHA-256 of each raw frame, by its name.
    facts : dict of str to dict
        What else is known of a frame and decides on its result, by its name.
    frame_mb : list of float
        Size of each frame as float32 [MB].
    refused : dict of str to str
        Why a file cannot be read at all, by its frame's name; these have no jobs.
    left_out : dict of str to str
        Why a light is not used, by its frame's name.
    offered : dict of str to int
        How many frames of a group there are in the ledger; what is not used is in none.
    own_darks : dict of str to str
        Path of the dark of a frame's own name, by frame, if it fits.
    kinds : dict of str to dict
        Kind of the master that is used, by noun as in `layout.MASTERS`, then by frame.
    raw_files : dict of str to dict
        Paths of the raw files of which a master is made, by noun, then by kind.
    darks_of_maps : dict of str to str
        Path of the master dark of which a map of bad pixels is made, by the map's kind, if it is.
    pedestals : dict of str to str
        Path of the master that is taken off the flats of a kind, by kind, if there is one.
    facts_of_flats : dict of str to dict
        What else is known of a kind of flats and decides on their master, by kind.
    inventory : list of dict
        What is known of each file, in the columns of the inventory.
    rule_settings : dict of str to dict
        The settings on which a rule's result depends, by rule.
    facts_of_report : dict
        What the report tells and no result holds.
    ledger : dict of str to dict
        What the ledger tells of a frame from its header, by its name.
    groups : dict
        Which frames are stacked together: the fields of `groups.Groups`.
    recipes : dict of str to dict
        Recipe of each job, by rule, then by frame, kind of raw files or group; by "" if the rule
        has one job.
    """

    run: str
    code: str
    settings: dict[str, Any]
    frames: dict[str, str]
    joined: dict[str, list[str]] = field(default_factory=dict)
    contents: dict[str, str] = field(default_factory=dict)
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    frame_mb: list[float]
    refused: dict[str, str]
    left_out: dict[str, str]
    offered: dict[str, int]
    own_darks: dict[str, str] = field(default_factory=dict)
    kinds: dict[str, dict[str, str]] = field(default_factory=dict)
    raw_files: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    darks_of_maps: dict[str, str] = field(default_factory=dict)
    pedestals: dict[str, str] = field(default_factory=dict)
    facts_of_flats: dict[str, dict[str, Any]] = field(default_factory=dict)
    inventory: list[dict[str, Any]]
    rule_settings: dict[str, dict[str, Any]]
    facts_of_report: dict[str, Any]
    ledger: dict[str, dict[str, str]]
    groups: dict[str, Any]
    recipes: dict[str, dict[str, str]]

    def write(self, path: Path) -> None:
        """Write the plan as JSON, at once or not at all."""
        write_json(path, asdict(self))

    def has_news(self, path: Path) -> bool:
        """Tell whether a run by this plan makes another report than the last one, and has jobs.

        Parameters
        ----------
        path : Path
            File of the last run's plan.
        """
        try:
            return bool(read_json(path)["recipes"]["write_report"] != self.recipes["write_report"])
        except (OSError, ValueError, TypeError, KeyError):
            return True

    @classmethod
    def read(cls, path: Path, run: str | None) -> "Plan":
        """Read what `write` has written.

        Parameters
        ----------
        path : Path
            The file.
        run : str or None
            The run to which the process belongs, if that is known.

        Returns
        -------
        Plan

        Raises
        ------
        NoPlanError
            With a sentence, if there is none, or it is another run's.
        """
        try:
            plan = cls(**read_json(path))
        except (OSError, ValueError, TypeError) as error:
            raise NoPlanError(
                f"{path}: the plan of the run cannot be read ({error}). It is written when the "
                "jobs of a run start, and each job needs it: run snakemake again, without "
                "--no-hooks and in a folder that all machines share."
            ) from None
        if run is not None and plan.run != run:
            raise NoPlanError(
                f"{path} is the plan of another run than the one that started this job. If that "
                "one was stopped, nothing is lost; otherwise run snakemake without --no-hooks."
            )
        return plan
