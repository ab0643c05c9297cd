"""What each frame is calibrated with: dark or bias, and flat."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from scripts.lightstack.calibration.matching import BIAS, FLATS, Demands
from scripts.lightstack.planning.bad_pixel_choice import BadPixelChoice, choose_maps
from scripts.lightstack.planning.dark_choice import DarkChoice, choose_darks
from scripts.lightstack.planning.frames import Frames
from scripts.lightstack.planning.master_choice import NOUNS, MasterChoice, choose_masters
from scripts.lightstack.planning.uses import Known, Uses
from scripts.lightstack.raw.exposure import Exposure
from scripts.lightstack.raw.sections import SUBTRACTED
from scripts.lightstack.telling import listed

RULES = {
    "combine_darks": "dark",
    "combine_bias": "bias",
    "combine_flats": "flat",
    "map_bad_pixels": "bad_pixels",
}
"""What the rules that make masters make them of."""


@dataclass(frozen=True)
class Pedestal:
    """What is taken off the flats of a kind.

    Parameters
    ----------
    noun : str
        "dark", "bias", or empty if there is nothing.
    kind : str
        Kind of those.
    turned : bool
        Whether its rows run the other way than the flats'.
    freed : bool
        Whether there is nothing to be taken off.
    """

    noun: str = ""
    kind: str = ""
    turned: bool = False
    freed: bool = False


@dataclass(frozen=True)
class Calibration:
    """What each frame is calibrated with.

    Parameters
    ----------
    darks : DarkChoice
    bias, flats : MasterChoice
    pedestals : dict of str to Pedestal
        What is taken off the flats, by their kind.
    bad_pixels : BadPixelChoice
    finds_sharp_pixels : bool
        Whether bad pixels are looked for in a frame itself whose dark does harm.
    """

    darks: DarkChoice = field(default_factory=DarkChoice)
    bias: MasterChoice = field(default_factory=MasterChoice)
    flats: MasterChoice = field(default_factory=MasterChoice)
    pedestals: dict[str, Pedestal] = field(default_factory=dict)
    bad_pixels: BadPixelChoice = field(default_factory=BadPixelChoice)
    finds_sharp_pixels: bool = False

    @property
    def masters(self) -> dict[str, MasterChoice]:
        """The choices by noun."""
        return {"dark": self.darks, "bias": self.bias, "flat": self.flats}

    @property
    def told(self) -> list[str]:
        """Why frames are left without, and files without a frame."""
        return [line for choice in self.masters.values() for line in choice.told]

    @property
    def kinds(self) -> dict[str, dict[str, str]]:
        """Kind of the master that is used, by noun, then by frame."""
        choices = {noun: choice.kind for noun, choice in self.masters.items()}
        return {**choices, "bad_pixels": self.bad_pixels.kind}

    @property
    def files(self) -> dict[str, dict[str, list[str]]]:
        """Paths of the raw files of which masters are made, by noun, then by kind."""
        choices = {noun: choice.files for noun, choice in self.masters.items()}
        return {**choices, "bad_pixels": self.bad_pixels.files}

    def facts(self, frame: str) -> dict[str, Any]:
        """Tell what is known of a frame and its masters and decides on the result."""
        mirrored = [noun for noun, choice in self.masters.items() if frame in choice.turned]
        if "dark" in mirrored and self.bad_pixels.kind.get(frame) in self.bad_pixels.darks:
            mirrored.append("bad_pixels")
        if frame in self.darks.own_turned:
            mirrored.append("own")
        has_dark = frame in self.darks.kind or frame in self.darks.own
        return {
            "mirrored": mirrored,
            "dark_factor": self.darks.factors.get(frame),
            "finds_sharp_pixels": has_dark and self.finds_sharp_pixels,
            "unstated": {
                noun: choice.unstated[frame]
                for noun, choice in self.masters.items()
                if frame in choice.unstated
            },
        }

    def without(self, frame: str) -> str:
        """Say what a frame is left without, and why."""
        return "; ".join(
            f"without a {noun}: {choice.without[frame]}"
            for noun, choice in self.masters.items()
            if frame in choice.without
        )

    def unstated(self, frame: str) -> str:
        """Say what the headers of a frame and its masters leave open."""
        return "; ".join(
            choice.unstated[frame] for choice in self.masters.values() if frame in choice.unstated
        )


def choose_calibration(
    uses: Uses,
    known: Known,
    contents: Mapping[str, str],
    temperature_tolerance: float,
    damage: Callable[[str], str],
    bad_pixels: str = "none",
    dark_scaling: str = "none",
) -> Calibration:
    """Choose what each frame is calibrated with.

    Parameters
    ----------
    uses : Uses
        What each file is used as.
    known : mapping
        How each file was taken, by its path.
    contents : mapping of str to str
        Fingerprint of each raw file by its path.
    temperature_tolerance : float
        Largest difference of sensor temperature between a frame and its dark [degrees Celsius].
    damage : callable
        Tells why the pixels of a file cannot be read, or nothing: one that cannot is not chosen.
    bad_pixels : str, optional
        As in `choose_maps`.
    dark_scaling : str, optional
        As in `dark_scaling.scale_darks`.

    Returns
    -------
    Calibration
        A bias is for flats, for frames without a dark, which has the bias in it, or whose dark is
        scaled or does harm.
    """
    usable, unused = {}, {}
    for noun, frames in (("bias", uses.bias), ("flat", uses.flats)):
        usable[noun], unused[noun] = _usable(frames, known, damage)
    lights = {
        name: taken
        for name, path in uses.frames.paths.items()
        if isinstance(taken := known[path], Exposure)
    }
    flats = _chosen(lights, usable["flat"], contents, FLATS, "flat")
    raw = {path: usable["flat"][path] for path in sorted(flats.used)}
    raw = {path: taken for path, taken in raw.items() if not _is_freed(taken)}
    darks = choose_darks(
        uses.frames,
        uses.darks,
        known,
        contents,
        temperature_tolerance,
        damage,
        flats=raw,
        bias=usable["bias"],
        dark_scaling=dark_scaling,
    )
    pedestals = {
        kind: pedestal
        for kind, paths in flats.files.items()
        if (pedestal := _dark_of_flats([path for path in paths if path in raw], darks))
    }
    in_need = {
        kind: usable["flat"][paths[0]]
        for kind, paths in flats.files.items()
        if kind not in pedestals
    }
    for_flats = _chosen(in_need, usable["bias"], contents, BIAS, "bias")
    darkened = {*darks.kind, *darks.own}
    in_reserve, in_need_of_bias = (
        {name: taken for name, taken in lights.items() if (name in darkened) == has_dark}
        for has_dark in (True, False)
    )
    for_darkened = _chosen(in_reserve, usable["bias"], contents, BIAS, "bias")
    also_used = for_flats.used | for_darkened.used
    bias = _chosen(in_need_of_bias, usable["bias"], contents, BIAS, "bias", also_used=also_used)
    bias.add(for_darkened)
    for kind, taken in in_need.items():
        if kind in for_flats.kind:
            chosen = for_flats.kind[kind]
            pedestals[kind] = Pedestal("bias", chosen, kind in for_flats.turned)
            bias.files[chosen] = for_flats.files[chosen]
        elif taken.overscan == SUBTRACTED:
            pedestals[kind] = Pedestal(freed=True)
        else:
            pedestals[kind] = Pedestal()
            flats.told.append(_uncorrected(flats.files[kind]))
    bias.unused.extend(unused["bias"])
    flats.unused.extend(unused["flat"])
    maps = choose_maps(lights, uses.frames.paths, darks, contents, bad_pixels)
    return Calibration(darks, bias, flats, pedestals, maps, bad_pixels != "none")


def _chosen(
    frames: Mapping[str, Exposure],
    files: Mapping[str, Exposure],
    contents: Mapping[str, str],
    demands: Demands,
    noun: str,
    also_used: Collection[str] = (),
) -> MasterChoice:
    """Choose masters in which temperature plays no part; where there are none, nothing is told."""
    if not files:
        return MasterChoice()
    return choose_masters(
        frames, files, contents, demands, 0.0, nouns=NOUNS[noun], also_used=also_used
    )


def _dark_of_flats(paths: list[str], darks: DarkChoice) -> Pedestal | None:
    """Find the dark that suits all flats of a kind, given those that are raw; use it."""
    if not paths:
        return Pedestal(freed=True)
    chosen = {darks.of_flats.kind.get(path) for path in paths}
    kind = next(iter(chosen))
    if len(chosen) > 1 or kind is None:
        return None
    darks.files[kind] = darks.of_flats.files[kind]
    return Pedestal("dark", kind, paths[0] in darks.of_flats.turned)


def _usable(
    frames: Frames, known: Known, damage: Callable[[str], str]
) -> tuple[dict[str, Exposure], list[str]]:
    """How files were taken that masters can be made of, by path; why others cannot be used."""
    usable: dict[str, Exposure] = {}
    unused = [*frames.refused.values()]
    for path in frames.paths.values():
        taken = known[path]
        if isinstance(taken, Exposure) and not (problem := damage(path)):
            usable[path] = taken
        else:
            unused.append(taken if isinstance(taken, str) else problem)
    return usable, unused


def _is_freed(flat: Exposure) -> bool:
    """Whether nothing is to be taken off a flat: programs free their master flats of the bias."""
    return bool(set("BD") & set(flat.calibrated)) or flat.is_master or (flat.n_combined or 1) > 1


def _uncorrected(paths: list[str]) -> str:
    return (
        "Flats from which neither a dark nor a bias is taken off, as none fits them: "
        f"{listed(paths, 1)}. They correct too little."
    )
