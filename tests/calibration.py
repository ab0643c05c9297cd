"""What a frame is calibrated with where nothing is out of the ordinary."""

from typing import Any

from scripts.lightstack.planning.calibration_choice import Calibration


def plain(**others: Any) -> dict[str, Any]:
    """Give facts and settings for `calibrating.calibrate`: these, and else the usual ones."""
    return {
        **Calibration().facts("a frame"),
        "saturation_limit": 65535,
        "dark_scaling": "none",
        "doubtful_darks": "skip",
        "cosmic_rays": "none",
        "debug_region": 0,
        **others,
    }
