"""What each job's result is made of, as a digest: the rule's code and settings, and all before it.

Given to each rule as its parameter, a recipe makes Snakemake do exactly the work that is needed,
whatever the time stamps of the files say: a job is done again if its recipe is another than that
of the result which is there.
"""

import hashlib
import json
from functools import cache
from pathlib import Path

from scripts.lightstack.digest import VERSIONS, code_digest
from scripts.lightstack.planning.dark_choice import DarkChoice
from scripts.lightstack.planning.frames import Frames

SETTINGS_OF = {
    "combine_darks": (),
    "subtract_dark": ("saturation_limit", "debug_region"),
    "subtract_background": ("background_box",),
    "detect_sources": ("threshold_sigma", "minarea", "smoothing_sigma"),
    "grade_frame": (
        "min_star_count",
        "fwhm0",
        "fwhm_max_ratio",
        "ellip_max",
        "outlier_mad_thresh",
        "saturated_max_fraction",
    ),
    "select_frames": ("output_dir",),
    "align_frames": ("reference", "normalize"),
    "list_frames": (),
    "stack_frames": ("sigma_clip", "weights", "modes"),
    "draw_preview": ("modes",),
}
"""Settings on which the result of each rule depends."""

FRAME_CHAIN = ("subtract_dark", "subtract_background", "detect_sources", "grade_frame")
"""The rules of a single frame, each of which uses the result of the one before."""

USES = {
    "select_frames": ("grade_frame", "subtract_background"),
    "align_frames": ("grade_frame", "detect_sources"),
    "list_frames": ("align_frames", "grade_frame"),
    "stack_frames": ("align_frames", "subtract_background"),
    "draw_preview": ("stack_frames",),
}
"""Rules whose results the rules for all frames use."""


class Recipes:
    """Recipes of all jobs of a run.

    Parameters
    ----------
    settings : dict
        All settings.
    frames : Frames
        The raw frames.
    contents : dict of str to str
        Fingerprint of each raw file by its path.
    choice : DarkChoice
        The dark of each frame.
    """

    def __init__(
        self,
        settings: dict[str, object],
        frames: Frames,
        contents: dict[str, str],
        choice: DarkChoice,
    ) -> None:
        self._settings, self._frames = settings, frames
        self._contents, self._choice = contents, choice
        self.of = cache(self._of)

    def settings_of(self, rule: str) -> dict[str, object]:
        """Pick the settings on which a rule's result depends."""
        return {key: self._settings[key] for key in SETTINGS_OF[rule]}

    def _of(self, rule: str, name: str = "") -> str:
        """Recipe of a job.

        Parameters
        ----------
        rule : str
            Its rule.
        name : str, optional
            Its frame, if the rule is one of `FRAME_CHAIN`, or its kind of darks.

        Returns
        -------
        str
            12 hexadecimal digits.
        """
        return _digest(
            code_digest(f"scripts/{rule}.py"),
            VERSIONS,
            self.settings_of(rule),
            self._before(rule, name),
        )

    def _before(self, rule: str, name: str) -> object:
        """Tell what the job takes from others."""
        if rule == "combine_darks":
            return [self._contents[path] for path in self._choice.darks[name]]
        if rule == "subtract_dark":
            return [self._contents[self._frames.paths[name]], self._dark(name)]
        if rule in FRAME_CHAIN:
            return self.of(FRAME_CHAIN[FRAME_CHAIN.index(rule) - 1], name)
        return [self._frames.refused if rule == "list_frames" else None] + [
            [[name, self.of(used, name)] for name in self._frames.paths]
            if used in FRAME_CHAIN
            else self.of(used)
            for used in USES[rule]
        ]

    def _dark(self, frame: str) -> object:
        if own := self._choice.own.get(frame):
            return [Path(own).name, self._contents[own]]
        kind = self._choice.kind.get(frame)
        return self.of("combine_darks", kind) if kind else None


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]
