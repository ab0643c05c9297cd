"""Which frames get a dark of another exposure, scaled to theirs, chosen before any job."""

import math
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from scripts.lightstack.calibration.matching import BIAS, DARKS, representatives
from scripts.lightstack.calibration.scaling import MOST_FACTOR
from scripts.lightstack.planning.master_choice import Kinds
from scripts.lightstack.raw.exposure import Exposure


@dataclass(frozen=True)
class Scaling:
    """How darks are scaled.

    Parameters
    ----------
    frames : dict of str to Exposure
        The frames, as if they had the exposure of the darks that are scaled to them.
    factors : dict of str to float
        Exposure of a frame over its dark's, by frame, where the dark is scaled.
    refused : dict of str to str
        Why no dark is scaled for a frame though others than of its exposure are there.
    told : list of str
        The same in a line for all that are alike.
    """

    frames: dict[str, Exposure]
    factors: dict[str, float] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)


def scale_darks(
    frames: Mapping[str, Exposure],
    darks: Mapping[str, Exposure],
    bias: Mapping[str, Exposure],
    dark_scaling: str,
    temperature_tolerance: float,
    own: Collection[str] = (),
) -> Scaling:
    """Choose for each frame the exposure of the darks that are scaled to it.

    Parameters
    ----------
    frames, darks, bias : mapping of str to Exposure
        How each was taken, the frames by name and the others by path.
    dark_scaling : str
        "none"; "exposure" where there is no dark of a frame's exposure; "optimize" then, and
        where there is one.
    temperature_tolerance : float
        Largest difference of sensor temperature between a frame and its dark [degrees Celsius].
    own : collection of str
        Frames with a dark of their own name.

    Returns
    -------
    Scaling
        Of several exposures with darks that fit, the one by whose factor least is changed.
    """
    scaling = Scaling(dict(frames))
    if dark_scaling == "none":
        return scaling
    known = Kinds(darks, DARKS, temperature_tolerance)
    known_bias = Kinds(bias, BIAS, 0.0)
    others, others_bias = (representatives(frames.values(), each) for each in (DARKS, BIAS))
    exposures = sorted({dark.exptime for dark in darks.values() if dark.exptime})
    without_bias = 0
    for name, frame in frames.items():
        if DARKS.come_too_late(frame):
            continue
        has_bias = known_bias.match(frame, others_bias)[1] is not None
        if name in own or known.match(frame, others)[1] is not None:
            if dark_scaling == "optimize" and has_bias:
                scaling.factors[name] = 1.0
            without_bias += dark_scaling == "optimize" and not has_bias
            continue
        fitting = [
            each
            for each in exposures
            if known.match(replace(frame, exptime=each), others)[1] is not None
        ]
        if not fitting:
            continue
        nearest = min(fitting, key=lambda each: abs(math.log(each / (frame.exptime or each))))
        factor = (frame.exptime or 0.0) / nearest
        if not frame.exptime:
            scaling.refused[name] = "its exposure is not stated"
        elif not has_bias:
            scaling.refused[name] = "no bias fits"
        elif factor > MOST_FACTOR:
            scaling.refused[name] = (
                f"darks of {nearest:g} s times {factor:.3g}, and {MOST_FACTOR:g} at most"
            )
        else:
            scaling.frames[name] = replace(frame, exptime=nearest)
            scaling.factors[name] = factor
    scaling.told.extend(
        f"{count} without a dark that could be scaled: {why}."
        for why, count in Counter(scaling.refused.values()).items()
    )
    if without_bias:
        scaling.told.append(
            f"{without_bias} with a dark as it is: dark_scaling needs bias frames that fit."
        )
    return scaling
