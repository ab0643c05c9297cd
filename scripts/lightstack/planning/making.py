"""How a plan is made: all that the main process looks at, in its order."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from scripts.lightstack.files.unread import NOTES, Unread, as_tried, noted
from scripts.lightstack.planning.calibration_choice import Calibration, choose_calibration
from scripts.lightstack.planning.checks import (
    check_folders,
    check_lights,
    check_reference,
    missing_folders,
)
from scripts.lightstack.planning.fingerprints import fingerprints
from scripts.lightstack.planning.frames import find_frames
from scripts.lightstack.planning.groups import Groups, cards_of, group_frames
from scripts.lightstack.planning.inventory import inventory, ledger_facts
from scripts.lightstack.planning.joining import join_nights
from scripts.lightstack.planning.layout import EXPOSURES, FINGERPRINTS, MASTERS, filled
from scripts.lightstack.planning.looks import Looks
from scripts.lightstack.planning.master_choice import NOUNS
from scripts.lightstack.planning.overview import overview
from scripts.lightstack.planning.plan import Plan
from scripts.lightstack.planning.recipes import Recipes
from scripts.lightstack.planning.recovery import frame_mb
from scripts.lightstack.planning.settings import RAW_FOLDERS, complete_settings
from scripts.lightstack.planning.uses import Uses, frames_to_turn, sort_files, without_colours
from scripts.lightstack.raw.exposure import Exposure
from scripts.lightstack.raw.sections import Asked
from scripts.lightstack.telling import complaints


@dataclass(frozen=True)
class Told:
    """What a person is told of the files, beside the plan.

    Parameters
    ----------
    overview : list of str
        What there is, in a few lines.
    warnings : list of str
        A sentence for each cause for which files are left out.
    nouns : dict of str to str
        What each file is that calibrates, by path: "dark", "bias" or "flat".
    unread : dict of str to Unread
        What jobs of earlier runs could not read, by path.
    nights : dict of str to str
        The last run of each night whose frames are stacked, by its folder.
    """

    overview: list[str]
    warnings: list[str] = field(default_factory=list)
    nouns: dict[str, str] = field(default_factory=dict)
    unread: dict[str, Unread] = field(default_factory=dict)
    nights: dict[str, str] = field(default_factory=dict)


def make_plan(
    config: dict[str, Any], *, threads: int = 1, say: Callable[[str], None] = lambda _: None
) -> tuple[Plan, Told]:
    """Look at settings and files, and decide what is to be done with each.

    Parameters
    ----------
    config : dict
        The settings that were given.
    threads : int
        Files that are read at a time.
    say : function of str, optional
        Is told how far the reading of new files has come, if it takes a while.

    Returns
    -------
    Plan
        For the rules.
    Told
        For the person at the keyboard.

    Raises
    ------
    SettingsError, ValueError
        With a sentence, if settings and files do not make a run.
    """
    settings = complete_settings(config)
    if settings["nights"]:
        plan, lines, runs = join_nights(config)
        return plan, Told(lines, nights=runs)
    looked = _look(settings, threads, say)
    unread = noted(NOTES)
    return _plan(settings, looked, unread), _told(settings, looked, unread)


@dataclass(frozen=True)
class _Looked:
    """What was found in the raw files of a run, and decided on each.

    Parameters
    ----------
    contents : dict of str to str
        SHA-256 of each file, by its path.
    known : dict of str to Exposure or str
        How each was taken, or why that cannot be told, by its path.
    uses : Uses
        What each is used as.
    calibration : Calibration
        What each frame is calibrated with.
    groups : Groups
        Which frames are stacked together.
    """

    contents: dict[str, str]
    known: dict[str, Exposure | str]
    uses: Uses
    calibration: Calibration
    groups: Groups


def _look(settings: dict[str, Any], threads: int, say: Callable[[str], None]) -> _Looked:
    """Find and read the raw files, and decide what is done with each."""
    found = {key: find_frames(settings[key]) for key in RAW_FOLDERS}
    check_folders(settings, found["input_dir"])
    raw = fingerprints(
        [path for files in found.values() for path in files.paths.values()],
        Path(FINGERPRINTS),
        threads=threads,
        say=say,
    )
    contents = raw.digests
    with Looks(
        contents,
        Path(EXPOSURES),
        cards_of(settings["group_by"]),
        settings["fits_extension"],
        Asked(settings["overscan_section"], settings["trim_section"]),
        say=say,
    ) as looks:
        known = {path: looks.exposure(path) for path in contents}
        lights, darks, bias, flats = (
            (settings[key], found[key].without(raw.unreadable)) for key in RAW_FOLDERS
        )
        uses = sort_files(lights, darks, known, contents, bias=bias, flats=flats)
        if settings["color"] != "gray":
            uses = replace(uses, frames=uses.frames.without(without_colours(uses.frames, known)))
        check_lights(settings, uses)
        check_reference(settings["reference"], uses.frames)
        calibration = choose_calibration(
            uses,
            known,
            contents,
            settings["dark_temperature_tolerance"],
            looks.damage,
            settings["bad_pixels"],
            settings["dark_scaling"],
        )
        groups = group_frames(
            uses.frames.paths,
            known,
            looks.cards,
            group_by=settings["group_by"],
            align_by=settings["align_by"],
        )
    return _Looked(contents, known, uses, calibration, groups)


def _plan(settings: dict[str, Any], looked: _Looked, unread: dict[str, Unread]) -> Plan:
    """Write down what the rules need to know."""
    contents, uses, calibration = looked.contents, looked.uses, looked.calibration
    frames = uses.frames.paths
    recipes = Recipes(
        settings,
        frames=uses.frames,
        left_out=uses.lights_left_out(),
        contents=as_tried(contents, unread),
        calibration=calibration,
        turned=frames_to_turn(uses.frames, looked.known),
        inventory=inventory(uses, looked.known, contents, calibration, looked.groups),
        groups=looked.groups,
        facts=ledger_facts(uses, looked.known, looked.groups),
    )
    return recipes.plan(
        [frame_mb(Path(path)) for path in frames.values()],
        contents={frame: contents[path] for frame, path in frames.items()},
        facts={frame: recipes.facts_of(frame) for frame in frames},
        own_darks=calibration.darks.own,
        kinds=calibration.kinds,
        raw_files=calibration.files,
        darks_of_maps={
            kind: filled(MASTERS["dark"], kind=dark)
            for kind, dark in calibration.bad_pixels.darks.items()
        },
        pedestals={
            kind: filled(MASTERS[each.noun], kind=each.kind)
            for kind, each in calibration.pedestals.items()
            if each.noun
        },
        facts_of_flats={kind: recipes.facts_of_flats(kind) for kind in calibration.pedestals},
    )


def _told(settings: dict[str, Any], looked: _Looked, unread: dict[str, Unread]) -> Told:
    """Tell a person what there is, and what is left out."""
    uses, calibration, groups = looked.uses, looked.calibration, looked.groups
    refused, subject = uses.frames.refused.items(), ("this frame is", "frames are")
    warnings = [*missing_folders(settings), *complaints(refused, subject, "left out")]
    for noun, choice in calibration.masters.items():
        one, several = NOUNS[noun]
        unused = ((sentence.partition(":")[0], sentence) for sentence in choice.unused)
        warnings += complaints(unused, (f"this {one} is", f"{several} are"), "not used")
    in_colour = settings["color"] != "gray"
    return Told(
        overview(uses, looked.known, calibration, groups, in_colour=in_colour),
        warnings,
        {
            path: noun
            for noun, files in (("dark", uses.darks), ("bias", uses.bias), ("flat", uses.flats))
            for path in files.paths.values()
        },
        unread,
    )
