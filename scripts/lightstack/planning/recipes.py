"""What each job's result is made of, as a digest: the rule's code and settings, and all before it.

Reruns are exact because of six things, each of which holds where the others cannot:

Content digests
    of raw files (`fingerprints`), so that a file counts by its bytes, not by its name or time. A
    cache keeps them, for reading all raw files before each run would take minutes; it may be lost.
    So may that of what headers say (`looks`), which follows the digests. Held by
    ``test_a_frame_is_replaced`` and ``test_two_frames_swap_their_pixels``.
Files that a job could not read
    are noted (`files.unread`): a frame that failed for a bad sector has a result like any other,
    so the next run would not try again. The recipe counts the failures. Held by
    ``test_the_next_run_tries_what_a_job_could_not_read``.
Recipes
    (here) of all jobs: digests of code, settings and raw contents, in which the recipes of earlier
    jobs are ingredients. Each is its job's parameter, and Snakemake does a job again whose
    parameters have changed. That their table agrees with the rules is held by ``test_recipes.py``;
    that they plan exactly what is needed, by ``test_reruns.py``; that results are those of a run
    from scratch, by ``test_chains.py``.
No time stamps
    (`inside_snakemake`). Snakemake would also compare the times of inputs and outputs, in which a
    copy, a wrong clock or a raw file from the future play a part. Held by
    ``test_times_play_no_part`` and the tests after it.
Records
    are Snakemake's (``.snakemake/metadata``): with which parameters a file was made. Without its
    record a file may be of any state, so it is made again; without any records the run stops
    (`recovery`). Held by ``test_a_result_whose_record_was_lost_is_made_again``.
Whole files
    take their names when they are whole and on the disk (`files.atomic`). A calibrated frame
    lives for a moment and need not be: it is made again if it was left. What is damaged all the
    same is found by a look at each file (`files.wholeness`, `recovery`). Snakemake marks
    what a killed job may have left and locks the folder of a run; a process that only plans, or
    runs one job for another, changes nothing there. Held by ``test_faults.py``.
"""

import hashlib
import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from scripts.lightstack.digest import VERSIONS, code_digest
from scripts.lightstack.planning.calibration_choice import RULES as MASTER_RULES
from scripts.lightstack.planning.calibration_choice import Calibration
from scripts.lightstack.planning.frames import Frames
from scripts.lightstack.planning.groups import Groups
from scripts.lightstack.planning.plan import Plan
from scripts.lightstack.planning.settings import FOLDERS, complete_settings
from scripts.lightstack.stacking import modes


@dataclass(frozen=True)
class Ingredients:
    """What a rule's results are made of, beside code and raw files.

    Parameters
    ----------
    settings : tuple of str
        Settings on which they depend.
    uses : tuple of str
        Rules whose results are read.
    per : str
        "frame", "kind" (of raw files of a master), "group" or "reference" (which some groups
        share) if the rule has a job for each, or "run".
    """

    settings: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    per: str = "run"


READING = ("fits_extension", "overscan_section", "trim_section")
"""Settings of how raw files are read."""

CALIBRATION = (
    *("saturation_limit", "dark_scaling", "doubtful_darks", "cosmic_rays", "debug_region"),
    *READING,
)
"""Settings by which a frame is read and freed of dark, bias and flat."""

RULES = {
    "combine_darks": Ingredients(READING, per="kind"),
    "combine_bias": Ingredients(READING, per="kind"),
    "combine_flats": Ingredients(
        ("saturation_limit", *READING), ("combine_darks", "combine_bias"), per="kind"
    ),
    "map_bad_pixels": Ingredients(READING, ("combine_darks",), per="kind"),
    "calibrate_frame": Ingredients(
        CALIBRATION,
        ("combine_darks", "combine_bias", "combine_flats", "map_bad_pixels"),
        per="frame",
    ),
    "subtract_background": Ingredients(
        ("background", "background_box"), ("calibrate_frame",), per="frame"
    ),
    "detect_sources": Ingredients(
        ("threshold_sigma", "minarea", "smoothing_sigma", "background_box"),
        ("subtract_background",),
        per="frame",
    ),
    "clean_colours": Ingredients(
        (*CALIBRATION, "background", "background_box"),
        ("combine_darks", "combine_bias", "combine_flats", "map_bad_pixels", "detect_sources"),
        per="frame",
    ),
    "grade_frame": Ingredients(
        (
            "min_star_count",
            "fwhm0",
            "fwhm_max_ratio",
            "ellip_max",
            "outlier_mad_thresh",
            "saturated_max_fraction",
        ),
        ("detect_sources",),
        per="frame",
    ),
    "select_frames": Ingredients(("output_dir",), ("grade_frame", "subtract_background")),
    "align_frames": Ingredients(
        ("reference", "normalize", "min_transparency"),
        ("grade_frame", "detect_sources"),
        per="reference",
    ),
    "list_frames": Ingredients((), ("align_frames", "grade_frame")),
    "list_inventory": Ingredients(),
    "stack_frames": Ingredients(
        ("color", "sigma_clip", "weights", "uncertainty", "modes"),
        ("align_frames", "subtract_background"),
        per="group",
    ),
    "draw_preview": Ingredients(("modes",), ("stack_frames",), per="group"),
}
"""The rules whose jobs have recipes, each after those that it uses."""

STACKING = tuple(
    f"scripts/{rule}.py" for rule in ("stack_frames", "stack_band", "join_bands", "measure_frames")
)
"""Scripts that make a stack, be it in one job or in several: the bytes are the same."""

# The report shows the settings of all that it tells of.
RULES["write_report"] = Ingredients(
    (
        "group_by",
        "align_by",
        *dict.fromkeys(
            name
            for rule, made in RULES.items()
            if rule != "select_frames"
            for name in made.settings
        ),
    ),
    (
        "list_frames",
        "list_inventory",
        "align_frames",
        "stack_frames",
        "draw_preview",
        "subtract_background",
        "detect_sources",
    ),
)

RULES["tune"] = Ingredients(
    (
        *("threshold_sigma", "minarea", "smoothing_sigma"),
        *("outlier_mad_thresh", "min_star_count"),
    ),
    ("subtract_background",),
)


PER_FRAME = [rule for rule, made in RULES.items() if made.per == "frame"]
"""Rules that have a job for each frame."""

OF_FRAMES = [rule for rule, made in RULES.items() if made.per in ("frame", "kind")]
"""Rules that make a frame what it is before it is stacked."""


def settings_of_frames() -> list[str]:
    """Name the settings on which it depends what frames are before they are stacked.

    Those that are named nowhere are among them.
    """
    of_frames = {name for rule in OF_FRAMES for name in RULES[rule].settings}
    others = {name for rule, made in RULES.items() for name in made.settings} | {*FOLDERS}
    others |= {"nights", "group_by", "align_by", "stack_memory_mb", "stack_bands"}
    return [name for name in complete_settings({}) if name in of_frames or name not in others]


def code_of_frames() -> str:
    """Digest of the code and the packages that make frames what they are."""
    return _digest([code_digest(f"scripts/{rule}.py") for rule in OF_FRAMES], VERSIONS)


def rules_of(settings: Mapping[str, Any]) -> dict[str, Ingredients]:
    """Give those of `RULES` that a run with these settings has."""
    rules = dict(RULES)
    if settings["color"] == "gray":
        del rules["clean_colours"]
    else:
        stack = rules["stack_frames"]
        rules["stack_frames"] = replace(stack, uses=("align_frames", "clean_colours"))
    return rules


def files_of(rule: str, settings: dict[str, Any]) -> list[str]:
    """Name a rule's scripts, and what all settings make them import by name."""
    if rule == "stack_frames":
        uncertainty = bool(settings["uncertainty"])
        return [*STACKING, *modes.files_of(settings["modes"], uncertainty=uncertainty)]
    return [f"scripts/{rule}.py"]


class Recipes:
    """Recipes of all jobs of a run.

    Parameters
    ----------
    settings : dict
        All settings.
    frames : Frames
        The lights.
    left_out : dict of str to str
        Why a light is not used, by its frame's name.
    contents : dict of str to str
        Fingerprint of each raw file by its path.
    calibration : Calibration
        What each frame is calibrated with.
    turned : set of str
        Frames whose rows are put into the other order.
    inventory : list of dict
        What is known of each file.
    groups : Groups
        Which frames are stacked together.
    facts : dict of str to dict
        What the ledger tells of frames from their headers.
    joined : mapping of str to mapping of str to str, optional
        Recipes of the jobs that other runs have done, by rule, then by frame.
    """

    def __init__(
        self,
        settings: dict[str, object],
        *,
        frames: Frames,
        left_out: dict[str, str],
        contents: dict[str, str],
        calibration: Calibration,
        turned: set[str],
        inventory: list[dict[str, Any]],
        groups: Groups,
        facts: dict[str, dict[str, str]],
        joined: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        self._settings, self._frames, self._left_out = settings, frames, left_out
        self._rules, self._joined = rules_of(settings), joined or {}
        self._contents, self._calibration = contents, calibration
        self._turned, self._inventory = turned, inventory
        self._groups, self._facts = groups, facts
        self.of = cache(self._of)

    def settings_of(self, rule: str) -> dict[str, object]:
        """Pick the settings on which a rule's result depends."""
        return {key: self._settings[key] for key in RULES[rule].settings}

    def facts_of(self, frame: str) -> dict[str, object]:
        """Tell what is known of a frame and decides on its result, beside its pixels."""
        return {"turned": frame in self._turned, **self._calibration.facts(frame)}

    def facts_of_flats(self, kind: str) -> dict[str, object]:
        """Tell what decides on a master flat beside its flats and what is taken off them."""
        pedestal = self._calibration.pedestals[kind]
        return {"turned": pedestal.turned, "freed": pedestal.freed}

    @property
    def facts_of_report(self) -> dict[str, object]:
        """Tell what stands in no result: the settings' defaults, and files without use."""
        defaults = complete_settings({})
        return {
            "defaults": {name: defaults[name] for name in RULES["write_report"].settings},
            "unused": [
                line for choice in self._calibration.masters.values() for line in choice.unused
            ],
        }

    def of_all(self, rule: str) -> dict[str, str]:
        """Recipes of all jobs of a rule, by what they are for; by "" if it has one job."""
        noun = MASTER_RULES.get(rule, "dark")
        names: dict[str, Iterable[str]] = {
            "frame": self._frames.paths,
            "kind": self._calibration.files[noun],
            "group": self._groups.stacked,
            "reference": self._groups.aligned,
            "run": [""],
        }
        return {name: self.of(rule, name) for name in names[RULES[rule].per]}

    def plan(self, frame_mb: list[float], **raw: Any) -> Plan:
        """Write down what the rules need to know of a run that has these recipes.

        Parameters
        ----------
        frame_mb : list of float
            As in `plan.Plan`.
        raw
            Those fields of `plan.Plan` that tell of raw files, or of frames of other runs.

        Returns
        -------
        Plan
        """
        return Plan(
            run=secrets.token_hex(8),
            code=code_of_frames(),
            settings=self._settings,
            frames=self._frames.paths,
            frame_mb=frame_mb,
            refused=self._frames.refused,
            left_out=self._left_out,
            offered={name: self._offered(name) for name in self._groups.members},
            inventory=self._inventory,
            rule_settings={rule: self.settings_of(rule) for rule in RULES},
            facts_of_report=self.facts_of_report,
            ledger=self._facts,
            groups=asdict(self._groups),
            recipes={rule: self.of_all(rule) for rule in RULES},
            **raw,
        )

    def _of(self, rule: str, name: str = "") -> str:
        """Recipe of a job.

        Parameters
        ----------
        rule : str
            Its rule.
        name : str, optional
            Its frame, kind of raw files or group, if the rule has a job for each.

        Returns
        -------
        str
            12 hexadecimal digits.
        """
        if name in self._joined.get(rule, {}):
            return self._joined[rule][name]
        return _digest(
            [code_digest(file) for file in files_of(rule, self._settings)],
            VERSIONS,
            self.settings_of(rule),
            self._raw(rule, name),
            [self._used(used, rule, name) for used in self._rules.get(rule, RULES[rule]).uses],
        )

    def _raw(self, rule: str, name: str) -> object:
        """Tell what the job takes from raw files."""
        raw: object = None
        match rule:
            case "combine_darks" | "combine_bias" | "combine_flats" | "map_bad_pixels":
                files = self._calibration.files[MASTER_RULES[rule]][name]
                facts = self.facts_of_flats(name) if rule == "combine_flats" else None
                raw = [[self._contents[path] for path in files], facts]
            case "calibrate_frame" | "clean_colours":
                own = self._calibration.darks.own.get(name)
                dark = [Path(own).name, self._contents[own]] if own else None
                raw = [self._contents[self._frames.paths[name]], dark, self.facts_of(name)]
            case "list_inventory":
                raw = self._inventory
            case "select_frames":
                raw = self._groups.of_frame
            case "align_frames":
                raw = self._groups.sharing[name]
            case "stack_frames":
                raw = self._groups.members[name]
            case "draw_preview":
                raw = self._offered(name)
            case "list_frames":
                raw = [self._frames.refused, self._left_out, self._facts]
            case "write_report":
                raw = self.facts_of_report
        return raw

    def _offered(self, group: str) -> int:
        """Count the frames of a group in the ledger: files that are not used are in none."""
        others = 0 if group else len(self._frames.refused) + len(self._left_out)
        return len(self._groups.members[group]) + others

    def _used(self, used: str, rule: str, name: str) -> object:
        """Recipes of the jobs of another rule whose results the job reads."""
        if RULES[used].per == "kind":
            kind = self._kind(MASTER_RULES[used], rule, name)
            return self.of(used, kind) if kind else None
        if RULES[used].per == RULES[rule].per:
            return self.of(used, name)
        return [[each, self.of(used, each)] for each in self._names(used, rule, name)]

    def _names(self, used: str, rule: str, name: str) -> list[str]:
        """Name the jobs of another rule whose results a job reads."""
        per_run = RULES[rule].per == "run"
        shared = self._groups.shared[name] if RULES[rule].per == "group" else name
        match RULES[used].per:
            case "reference":
                return list(self._groups.aligned) if per_run else [shared]
            case "group":
                return self._groups.stacked
            case _ if per_run:
                return list(self._frames.paths)
        return list(self._groups.sharing[shared])

    def _kind(self, noun: str, rule: str, name: str) -> str | None:
        """Kind of the master of a noun that a job reads, if it reads one."""
        if rule == "map_bad_pixels":
            return self._calibration.bad_pixels.darks.get(name)
        if rule != "combine_flats":
            return self._calibration.kinds[noun].get(name)
        pedestal = self._calibration.pedestals[name]
        return pedestal.kind if pedestal.noun == noun else None


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]
