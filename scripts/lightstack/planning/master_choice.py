"""Which master is used for which frame, chosen before any job.

So each job depends on the raw files that it uses, and on no others.
"""

import hashlib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median

from scripts.lightstack.calibration.matching import (
    TEMPERATURE,
    Demands,
    Difference,
    Match,
    differences,
    is_turned,
    kinds,
    match_master,
    representatives,
    told,
)
from scripts.lightstack.raw.exposure import Exposure

CORRECTIONS = {"B": "bias", "D": "dark", "F": "flat"}

NOUNS = {
    "dark": ("dark", "darks"),
    "bias": ("bias", "bias frames"),
    "flat": ("flat", "flats"),
}
"""What one file of each is called, and several."""

Kind = tuple[Exposure, list[str]]
"""How the files of a kind were taken, and their paths."""


@dataclass(frozen=True)
class MasterChoice:
    """What is used for which frame.

    Parameters
    ----------
    kind : dict of str to str
        Kind of files whose master is used, by frame.
    files : dict of str to list of str
        Paths of the files of each kind; kinds are named by their files' contents.
    turned : set of str
        Frames whose master has its rows in the other order.
    unstated : dict of str to str
        In what a frame or its master leave open whether they agree, by frame.
    without : dict of str to str
        Why a frame has no master though there are some, by frame.
    unused : list of str
        A sentence for each file that cannot be used.
    idle : dict of str to str
        Why a good file serves no frame, by its path.
    told : list of str
        Why frames have no master and files no frame, in a line for all that are alike.
    """

    kind: dict[str, str] = field(default_factory=dict)
    files: dict[str, list[str]] = field(default_factory=dict)
    turned: set[str] = field(default_factory=set)
    unstated: dict[str, str] = field(default_factory=dict)
    without: dict[str, str] = field(default_factory=dict)
    unused: list[str] = field(default_factory=list)
    idle: dict[str, str] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)

    @property
    def used(self) -> set[str]:
        """Paths of all files in masters."""
        return {path for paths in self.files.values() for path in paths}

    def add(self, other: "MasterChoice") -> None:
        """Take over what another choice uses, and nothing of what it says."""
        self.kind.update(other.kind)
        self.files.update(other.files)
        self.turned.update(other.turned)
        self.unstated.update(other.unstated)


class Kinds:
    """Kinds of files of one noun, by the temperature that they are wanted at.

    Parameters
    ----------
    files : mapping of str to Exposure
        How the files were taken, by path.
    demands : Demands
        In what those of a kind agree.
    temperature_tolerance : float
        Largest difference of temperature between a frame and what its master is made of [degrees
        Celsius].

    Notes
    -----
    A sensor that is not regulated drifts through the night, and its darks are of all temperatures.
    Each frame gets the files within three quarters of the tolerance of the multiple of half the
    tolerance that is closest to it: so none is further from it than the tolerance, frames of
    almost one temperature share a master, and a new frame changes nothing for the others.
    """

    def __init__(
        self, files: Mapping[str, Exposure], demands: Demands, temperature_tolerance: float
    ) -> None:
        self._files, self._demands = files, demands
        self._tolerance = temperature_tolerance
        self._has_temperature = TEMPERATURE in demands.quantities
        self._near: dict[tuple[float, float], list[Kind]] = {}
        self.all = kinds(files, temperature_tolerance, demands)

    def match(self, frame: Exposure, others: Sequence[Exposure]) -> tuple[Match, Kind | None]:
        """Choose the kind of a frame; `others` are as `match_master` wants them."""
        choices = [self.all]
        if self._has_temperature and frame.temperature is not None:
            half = self._tolerance / 2
            centre = round(frame.temperature / half) * half if half else frame.temperature
            choices = [
                self._about(centre, 0.75 * self._tolerance),
                self._about(frame.temperature, self._tolerance),
                self.all,
            ]
        match = Match(None)
        for found in choices:
            masters = {str(number): exposure for number, (exposure, _) in enumerate(found)}
            match = match_master(frame, masters, self._tolerance, others, self._demands)
            if match.master is not None:
                return match, found[int(match.master)]
        return match, None

    def _about(self, centre: float, reach: float) -> list[Kind]:
        """Kinds of the files within `reach` of a temperature, and of those that state none."""
        if (centre, reach) not in self._near:
            near = {
                path: taken
                for path, taken in self._files.items()
                if taken.temperature is None or abs(taken.temperature - centre) <= reach + 1e-9
            }
            self._near[centre, reach] = [
                (_typical(taken, [near[path] for path in paths]), paths)
                for taken, paths in kinds(near, 2 * reach, self._demands)
            ]
        return self._near[centre, reach]


def _typical(first: Exposure, members: Sequence[Exposure]) -> Exposure:
    """Give the first of a kind with the median of all temperatures."""
    stated = [taken.temperature for taken in members if taken.temperature is not None]
    return replace(first, temperature=median(stated)) if stated else first


def choose_masters(
    frames: Mapping[str, Exposure],
    files: Mapping[str, Exposure],
    contents: Mapping[str, str],
    demands: Demands,
    temperature_tolerance: float,
    *,
    nouns: tuple[str, str],
    needless: Collection[str] = (),
    also_used: Collection[str] = (),
) -> MasterChoice:
    """Choose for each frame the closest master that matches.

    Parameters
    ----------
    frames, files : mapping of str to Exposure
        How the frames were taken, by name, and the files that masters are made of, by path.
    contents : mapping of str to str
        Fingerprint of each file by its path.
    demands : Demands
        In what they have to agree.
    temperature_tolerance : float
        Largest difference of sensor temperature between a frame and what its master is made of
        [degrees Celsius].
    nouns : (str, str)
        What one of the files is, and several, as in `NOUNS`.
    needless : collection of str
        Frames that need none.
    also_used : collection of str
        Paths of files that are used for something else.

    Returns
    -------
    MasterChoice
    """
    choice = MasterChoice()
    known = Kinds(files, demands, temperature_tolerance)
    others = representatives(frames.values(), demands)
    apart: dict[str, tuple[Difference, ...]] = {}
    for name, frame in frames.items():
        if name in needless:
            continue
        if demands.come_too_late(frame):
            done = " and ".join(CORRECTIONS[letter] for letter in frame.calibrated)
            choice.without[name] = f"calibrated already ({done})"
        elif files:
            match, found = known.match(frame, others)
            if found is None:
                apart[name] = match.differences
                continue
            first, paths = found
            content = " ".join(contents[path] for path in paths)
            choice.kind[name] = hashlib.sha256(content.encode()).hexdigest()[:12]
            choice.files[choice.kind[name]] = paths
            if match.unstated:
                choice.unstated[name] = f"{', '.join(match.unstated)} not stated"
            if is_turned(frame, first):
                choice.turned.add(name)
    for name, reason in apart.items():
        ((_, choice.without[name]),) = told([reason], nouns[1])
    choice.told.extend(_frames_without(choice, apart, nouns))
    raw = [frame for frame in frames.values() if not demands.come_too_late(frame)]
    if raw:
        used = {*choice.used, *also_used}
        apart_files: list[tuple[Difference, ...]] = []
        others_fit = 0
        for taken, paths in known.all:
            left = [path for path in paths if path not in used]
            reason = differences(taken, raw, temperature_tolerance, demands) if left else ()
            why = told([reason], "frames")[0][1] if reason else _not_chosen(nouns)
            choice.idle.update(dict.fromkeys(left, why))
            apart_files += [reason] * len(left) if reason else []
            others_fit += 0 if reason else len(left)
        counted = [*told(apart_files, "frames")]
        counted += [(others_fit, _not_chosen(nouns))] if others_fit else []
        choice.told.extend(
            f"{count} {nouns[count > 1]} without a frame: {why}." for count, why in counted
        )
    return choice


def _not_chosen(nouns: tuple[str, str]) -> str:
    return f"other {nouns[1]} fit better, or none surely"


def _frames_without(
    choice: MasterChoice, apart: Mapping[str, tuple[Difference, ...]], nouns: tuple[str, str]
) -> Iterator[str]:
    """Say why frames have no master, a line for all that are alike."""
    calibrated = Counter(why for name, why in choice.without.items() if name not in apart)
    for why, count in calibrated.items():
        yield f"{count} without a {nouns[0]}: {why}."
    for count, why in told(apart.values(), nouns[1]):
        yield f"{count} without a {nouns[0]}: {why}."
