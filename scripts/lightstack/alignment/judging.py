"""Which of the aligned frames are fit for a stack, and what their fluxes are scaled by."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.alignment.guesses import LARGEST_SCALE
from scripts.lightstack.alignment.pairs import Outcome
from scripts.lightstack.alignment.proportion import out_of_proportion
from scripts.lightstack.alignment.reference import usual
from scripts.lightstack.alignment.taken import Taken
from scripts.lightstack.alignment.transform import Transform
from scripts.lightstack.alignment.transparency import transparencies

SAME_LEAN = 0.01
"""Light that leans by less alike is alike: as much as 500 stars tell (`LightScale.lean`)."""


def judge(
    outcomes: Mapping[str, Outcome],
    frames: Mapping[str, Taken],
    reference: str,
    *,
    min_transparency: float,
) -> dict[str, dict[str, Any]]:
    """Part frames that were aligned on one.

    Parameters
    ----------
    outcomes : dict of str to dict
        What `pairs.Pairs.outcomes` found of each frame.
    frames : dict of str to Taken
        How they were taken.
    reference : str
        It is never rejected.
    min_transparency : float
        A frame that less of the light reached is rejected.

    Returns
    -------
    dict of str to dict
        ``frames``: the entries of those that are fit for their stack; ``rejected``: those of the
        others, with a ``reason``; ``unaligned``: the reasons of frames without an entry. Entries
        have the ``transparency``, and a ``flux_scale`` that brings fluxes to those of one frame of
        the stack: the reference, or, by stack, one of the ``flux_references``. Their
        ``flux_lean``, where they have one, is that to most frames of the stack if most agree.
    """
    entries = {name: found for name, found in outcomes.items() if "reason" not in found}
    odd = out_of_proportion(entries, frames, reference)
    scales = {name: entries[name]["flux_scale"] for name in entries if name not in odd}
    light = transparencies(scales, frames)
    stacks: dict[str, list[str]] = {}
    for name in light:
        stacks.setdefault(frames[name].stack, []).append(name)
    models = {stack: _model(names, frames, reference, light) for stack, names in stacks.items()}
    upright = {stack: _upright(names, entries, models[stack]) for stack, names in stacks.items()}
    fit, rejected = {}, {}
    for name, entry in entries.items():
        model = models[frames[name].stack]
        scale = _scale(entry, frames[name]) / _scale(entries[model], frames[model])
        flux_scale = entry["flux_scale"] / entries[model]["flux_scale"]
        placed = {**entry, "flux_scale": flux_scale, "transparency": light.get(name)}
        lean = _lean(entry) - upright[frames[name].stack]
        for key in ("flux_lean", "flux_growth"):
            placed.pop(key, None)
        if lean.any():
            placed["flux_lean"] = lean.tolist()
        if name == reference:
            fit[name] = placed
        elif not 1 / LARGEST_SCALE < scale < LARGEST_SCALE:
            reason = {"code": "other_scale", "value": scale, "limit": LARGEST_SCALE}
            rejected[name] = {**placed, "reason": reason}
        elif name in odd:
            rejected[name] = {
                **placed,
                "reason": {"code": "out_of_proportion", "value": odd[name]},
            }
        elif light[name] < min_transparency:
            reason = {"code": "too_opaque", "value": light[name], "limit": min_transparency}
            rejected[name] = {**placed, "reason": reason}
        else:
            fit[name] = placed
    unaligned = {name: found["reason"] for name, found in outcomes.items() if "reason" in found}
    others = {stack: name for stack, name in models.items() if stack != frames[reference].stack}
    return {
        "frames": fit,
        "rejected": rejected,
        "unaligned": unaligned,
        **({"flux_references": others} if others else {}),
    }


def _model(
    names: Sequence[str], frames: Mapping[str, Taken], reference: str, light: Mapping[str, float]
) -> str:
    """Name the frame after which the others of a stack are scaled."""
    if reference in names:
        return reference
    alike = usual(names, frames)
    # The typical one is at least as clear as half of them, and no cloud.
    middle = sorted(light[name] for name in alike)[(len(alike) - 1) // 2]
    return next(name for name in alike if light[name] >= middle)


def _upright(
    names: Sequence[str], entries: Mapping[str, Outcome], model: str
) -> NDArray[np.float64]:
    """Find the lean of those frames whose light is taken for even.

    Most frames of a clear night have the same, whichever the reference has: it is even light.
    Where frames differ, nothing tells, and it is that of the frame after which others are scaled.
    """
    leans = np.array([_lean(entries[name]) for name in names])
    middle = np.median(leans, axis=0)
    agree = np.abs(leans - middle).max(axis=1) < SAME_LEAN
    return np.asarray(middle if 2 * agree.sum() > len(names) else _lean(entries[model]))


def _lean(entry: Outcome) -> NDArray[np.float64]:
    return np.array(entry.get("flux_lean", (0.0, 0.0)))


def _scale(entry: Outcome, taken: Taken) -> float:
    return Transform.from_json(entry, taken.shape, taken.shape).scale
