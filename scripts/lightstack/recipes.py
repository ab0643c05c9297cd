"""What each job's result is made of, as a digest: the rule's code and settings, and all before it.

Given to each rule as its parameter, a recipe makes Snakemake do exactly the work that is needed,
whatever the time stamps of the files say: a job is done again if its recipe is another than that
of the result which is there.
"""

import hashlib
import json
from functools import cache

from scripts.lightstack.digest import VERSIONS, code_digest
from scripts.lightstack.frames import Frames
from scripts.lightstack.own_darks import shared_darks

SETTINGS_OF = {
    "combine_darks": ("dark_temperature_tolerance",),
    "subtract_dark": ("saturation_limit", "debug_region", "dark_temperature_tolerance"),
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
    frames, darks : Frames
        The raw files.
    contents : dict of str to str
        Fingerprint of each raw file by its path.
    for_masters : set of str
        Frames that take a master dark.
    """

    def __init__(
        self,
        settings: dict[str, object],
        frames: Frames,
        darks: Frames,
        contents: dict[str, str],
        for_masters: set[str],
    ) -> None:
        self._settings, self._frames, self._contents = settings, frames, contents
        self._for_masters = for_masters
        self._own, self._shared = darks.paths, shared_darks(frames, darks)
        self.of = cache(self._of)

    def settings_of(self, rule: str) -> dict[str, object]:
        """Pick the settings on which a rule's result depends."""
        return {key: self._settings[key] for key in SETTINGS_OF[rule]}

    def _of(self, rule: str, frame: str | None = None) -> str:
        """Recipe of a job.

        Parameters
        ----------
        rule : str
            Its rule.
        frame : str, optional
            Its frame, if the rule is one of `FRAME_CHAIN`.

        Returns
        -------
        str
            12 hexadecimal digits.
        """
        return _digest(
            code_digest(f"scripts/{rule}.py"),
            VERSIONS,
            self.settings_of(rule),
            self._before(rule, frame),
        )

    def _before(self, rule: str, frame: str | None) -> object:
        """Tell what the job takes from others."""
        if rule == "combine_darks":
            return {name: self._contents[path] for name, path in self._shared.items()}
        if rule == "subtract_dark" and frame is not None:
            return [self._contents[self._frames.paths[frame]], self._dark(frame)]
        if rule in FRAME_CHAIN:
            return self.of(FRAME_CHAIN[FRAME_CHAIN.index(rule) - 1], frame)
        return [self._frames.refused if rule == "list_frames" else None] + [
            [[name, self.of(used, name)] for name in self._frames.paths]
            if used in FRAME_CHAIN
            else self.of(used)
            for used in USES[rule]
        ]

    def _dark(self, frame: str) -> object:
        own = self._own.get(frame)
        return [
            self._contents[own] if own else None,
            self.of("combine_darks") if frame in self._for_masters else None,
        ]


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]
