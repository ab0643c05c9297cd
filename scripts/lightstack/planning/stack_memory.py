"""How much memory a stack is given, where nobody has set it."""

from collections.abc import Sequence
from math import sqrt

LEAST_MB = 600
"""What any machine has for a job: with it, a run of 400 frames of 12 MP stays below 1.2 GB."""

ROWS = 64
"""Rows of all frames that are to fit. At a rotation of 1 degree, a band of so many rows of 4096
pixels reads each frame 2.2 times; one of 128 rows 1.6 times, and one of 5 rows 16 times."""

ASPECT = 0.75
"""Height of a frame over its width: of most cameras, 2 / 3 to 1."""


OF_COLOURS = {"gray": 1.0, "rgb": 3.0, "superpixel": 1.5}
"""Pixels of a row of the stack over those of a frame; as many rows of superpixels are twice as
much of the frame."""


def stack_memory(
    frame_mb: Sequence[float], color: str = "gray", *, uncertainty: bool = False
) -> int:
    """Memory in which a stack of these frames reads each of them few times.

    Parameters
    ----------
    frame_mb : sequence of float
        Sizes of the frames as float32 [MB].
    color : str
        "gray", "rgb" or "superpixel".
    uncertainty : bool
        Whether there is a variance for each pixel, of one colour at a time.

    Returns
    -------
    int
        [MB]
    """
    heights = (sqrt(ASPECT * max(size, 1e-6) * 1e6 / 4) for size in frame_mb)
    rows = (min(ROWS / ny, 1) * size for ny, size in zip(heights, frame_mb, strict=True))
    planes = OF_COLOURS[color]
    planes += uncertainty * (planes if color == "gray" else planes / 3)
    return max(LEAST_MB, round(planes * sum(rows)))
