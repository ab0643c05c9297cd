"""Raw files as cameras write them, in Adobe's open format.

Tags by the Digital Negative Specification 1.4.
"""

from fractions import Fraction
from pathlib import Path

import numpy as np
import tifffile

CODES = {"R": 0, "G": 1, "B": 2}
IDENTITY = (1, 1, 0, 1, 0, 1, 0, 1, 1, 1, 0, 1, 0, 1, 0, 1, 1, 1)
"""Matrix of the camera's colours, as fractions; LibRaw wants one."""
BYTE, ASCII, SHORT, LONG, RATIONAL, SIGNED_RATIONAL = 1, 2, 3, 4, 5, 10


def write_dng(
    path: Path,
    mosaic: np.ndarray,
    *,
    pattern: str = "RGGB",
    black: int = 512,
    white: int = 16383,
    exptime: float = 30.0,
    iso: int = 800,
    model: str = "Simulated",
    margin: tuple[int, int] = (0, 0),
) -> None:
    """Write a mosaic as a camera's raw file.

    Parameters
    ----------
    path : Path
        The file.
    mosaic : (ny, nx) ndarray of uint16
        Pixels [ADU], black level and hidden margins included.
    pattern : str
        Colours of the first visible rows of the repeating part, which is square.
    black, white : int
        Levels of no light and of saturation [ADU].
    exptime : float
        Exposure time [s].
    iso : int
        ISO speed.
    model : str
        Camera.
    margin : (int, int)
        Hidden rows above and hidden columns to the left.
    """
    side = round(len(pattern) ** 0.5)
    exposure = Fraction(exptime).limit_denominator(100_000)
    tags = [
        (50706, BYTE, 4, bytes([1, 4, 0, 0])),  # DNGVersion
        (50708, ASCII, 0, model),  # UniqueCameraModel
        (271, ASCII, 0, "Maker"),
        (272, ASCII, 0, model),
        (306, ASCII, 0, "2026:11:01 22:10:05"),
        (33421, SHORT, 2, (side, side)),  # CFARepeatPatternDim
        (33422, BYTE, len(pattern), bytes(CODES[colour] for colour in pattern)),  # CFAPattern
        (50714, LONG, 1, black),  # BlackLevel
        (50717, LONG, 1, white),  # WhiteLevel
        (33434, RATIONAL, 1, (exposure.numerator, exposure.denominator)),  # ExposureTime
        (34855, SHORT, 1, iso),  # ISOSpeedRatings
        (50721, SIGNED_RATIONAL, 9, IDENTITY),  # ColorMatrix1
        (50829, LONG, 4, (*margin, *mosaic.shape)),  # ActiveArea
    ]
    tifffile.imwrite(
        path,
        mosaic,
        photometric=tifffile.PHOTOMETRIC.CFA,
        metadata=None,
        extratags=[(*tag, True) for tag in tags],
    )
