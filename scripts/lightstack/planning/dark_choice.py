"""Which darks are subtracted from each frame, chosen before any job."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType

from scripts.lightstack.calibration.matching import DARKS, Difference, differences, is_turned, told
from scripts.lightstack.planning.dark_scaling import scale_darks
from scripts.lightstack.planning.frames import Frames
from scripts.lightstack.planning.master_choice import NOUNS, MasterChoice, choose_masters
from scripts.lightstack.planning.uses import Known
from scripts.lightstack.raw.exposure import Exposure


@dataclass(frozen=True)
class DarkChoice(MasterChoice):
    """What is subtracted from which frame.

    Parameters
    ----------
    own : dict of str to str
        Path of the dark of a frame's own name, by frame, if it fits.
    shared : dict of str to Exposure
        How the darks were taken that no frame has for itself, by path.
    of_flats : MasterChoice
        The darks of flats, by the flats' paths.
    own_turned : set of str
        Frames whose own dark has its rows in the other order.
    factors : dict of str to float
        Exposure of a frame over its dark's, by frame, where the dark is scaled.
    """

    own: dict[str, str] = field(default_factory=dict)
    shared: dict[str, Exposure] = field(default_factory=dict)
    of_flats: MasterChoice = field(default_factory=MasterChoice)
    own_turned: set[str] = field(default_factory=set)
    factors: dict[str, float] = field(default_factory=dict)

    @property
    def used(self) -> set[str]:
        """Paths of all darks that are used."""
        return super().used | {*self.own.values()}


def choose_darks(
    frames: Frames,
    darks: Frames,
    known: Known,
    contents: Mapping[str, str],
    temperature_tolerance: float,
    damage: Callable[[str], str],
    flats: Mapping[str, Exposure] = MappingProxyType({}),
    *,
    bias: Mapping[str, Exposure] = MappingProxyType({}),
    dark_scaling: str = "none",
) -> DarkChoice:
    """Choose for each frame the dark with its name, and the closest master that matches.

    Parameters
    ----------
    frames, darks : Frames
        The raw files. Darks that have no frame's name are combined into masters.
    known : mapping
        How each file was taken, by its path.
    contents : mapping of str to str
        Fingerprint of each raw file by its path.
    temperature_tolerance : float
        Largest difference of sensor temperature between a frame and its master, and within a
        kind of darks [degrees Celsius].
    damage : callable
        Tells why the pixels of a dark cannot be read, or nothing: one that cannot is not chosen.
    flats : mapping of str to Exposure
        How flats were taken that need darks, by path.
    bias : mapping of str to Exposure, optional
        How bias frames were taken, by path.
    dark_scaling : str, optional
        As in `dark_scaling.scale_darks`.

    Returns
    -------
    DarkChoice
        A frame with a dark of its own has a master, too, for the case that its dark does harm.
    """
    offered = _offered(frames, darks, known, temperature_tolerance, damage)
    own, shared = offered.own, offered.shared
    lights = {
        name: frame
        for name, path in frames.paths.items()
        if isinstance(frame := known[path], Exposure)
    }
    settings = contents, DARKS, temperature_tolerance
    of_flats = choose_masters(flats, shared, *settings, nouns=NOUNS["dark"])
    scaling = scale_darks(lights, shared, bias, dark_scaling, temperature_tolerance, own)
    with_own = {name: frame for name, frame in lights.items() if name in own}
    in_reserve = choose_masters(with_own, shared, *settings, nouns=NOUNS["dark"])
    choice = choose_masters(
        scaling.frames,
        shared,
        *settings,
        nouns=NOUNS["dark"],
        needless=own,
        also_used=of_flats.used | in_reserve.used,
    )
    choice.add(in_reserve)
    for name, why in scaling.refused.items():
        choice.without[name] = f"{choice.without[name]}; not scaled, {why}"
    choice.told.extend(scaling.told)
    choice.unused.extend(offered.unused)
    choice.idle.update(offered.idle)
    choice.told[:0] = offered.told()
    if none_s := [path for path in shared if path in choice.idle and shared[path].exptime == 0]:
        choice.told.append(
            f"Darks that were exposed for 0 s: {len(none_s)}, such as {none_s[0]}. Those are bias "
            "frames, which belong in the folder bias_dir (bias)."
        )
    inherited = {each.name: getattr(choice, each.name) for each in fields(choice)}
    return DarkChoice(
        **inherited,
        own=own,
        shared=shared,
        of_flats=of_flats,
        own_turned=offered.own_turned,
        factors=scaling.factors,
    )


@dataclass(frozen=True)
class _Offered:
    """The darks that there are.

    Parameters
    ----------
    own, own_turned, shared
        As in `DarkChoice`.
    strangers : list of tuple of Difference
        In what darks differ from the frames of their names, for each such dark.
    unused : list of str
        Why darks cannot be read.
    idle : dict of str to str
        Why a dark of a frame's name is not used, by path.
    """

    own: dict[str, str] = field(default_factory=dict)
    own_turned: set[str] = field(default_factory=set)
    shared: dict[str, Exposure] = field(default_factory=dict)
    strangers: list[tuple[Difference, ...]] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    idle: dict[str, str] = field(default_factory=dict)

    def told(self) -> list[str]:
        """Tell why darks are not used for the frames of their names."""
        lines = [
            f"{count} {NOUNS['dark'][count > 1]} not used for the frame of the same name: {why}."
            for count, why in told(self.strangers, "that frame")
        ]
        return lines + [
            f"{count} {NOUNS['dark'][count > 1]} not used: {why}."
            for why, count in Counter(self.idle.values()).items()
        ]


def _offered(
    frames: Frames,
    darks: Frames,
    known: Known,
    temperature_tolerance: float,
    damage: Callable[[str], str],
) -> _Offered:
    """Tell the darks of single frames from those that are combined."""
    found = _Offered(unused=[*darks.refused.values()])
    for name, path in darks.paths.items():
        dark, frame = known[path], known.get(frames.paths.get(name, ""))
        if isinstance(dark, str) or (problem := damage(path)):
            found.unused.append(dark if isinstance(dark, str) else problem)
        elif isinstance(frame, str) or name in frames.refused:
            found.idle[path] = "the frame of its name cannot be read"
        elif isinstance(frame, Exposure) and DARKS.come_too_late(frame):
            found.idle[path] = "the frame of its name is calibrated already"
        elif frame is None or (apart := differences(dark, [frame], temperature_tolerance)):
            found.shared[path] = dark
            if frame is not None:
                found.strangers.append(apart)
        else:
            found.own[name] = path
            if is_turned(frame, dark):
                found.own_turned.add(name)
    return found
