"""Objects above a threshold, found by SEP within bounds of work.

Interference, or a threshold below the noise, fills a frame with objects that are no stars. SEP
then computes for minutes, and gives up. A night sky stays far from the bounds here: on nebulae,
globular clusters and fields so rich that stars hide the sky (``benchmarks/crowding.py``).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.raw.image import UnusableFrameError

MAX_SHARE = 0.6
"""Share of pixels above the threshold from which there is no sky that could tell the distance. A
field with a star on 35 pixels, of which a thousand are found, has 0.56 (``test_crowding.py``)."""

CROWDED_SHARE = 0.1
"""Share of pixels above the threshold from which a look before the work is worth its time."""

MAX_PIECES = 16_384
"""Pieces into which SEP may part one object; its work grows with their square.

Tuned by ``benchmarks/crowding.py``: on 1.5 megapixels, bright nebulae need 256.
"""

MIN_PIXELS_PER_OBJECT = 40
"""Stars closer than 6 pixels to each other throughout a frame cannot be told apart.

Tuned by ``benchmarks/crowding.py``: fields of ever more stars give one on 180 pixels at most.
"""

MAX_OBJECTS = 200_000
"""SEP's work grows with their square, too."""


def extract(
    image: NDArray[np.float32],
    threshold: np.float32,
    minarea: int,
    no_data: NDArray[np.bool_] | None,
) -> NDArray[Any]:
    """Find objects and part those that touch.

    Parameters
    ----------
    image : (ny, nx) ndarray of float32
        Frame without its background [ADU]; zero where there is no data.
    threshold : float32
        Pixels of objects exceed it [ADU].
    minarea : int
        Fewest connected pixels of an object.
    no_data : (ny, nx) ndarray of bool or None
        Pixels without data; None if all have some.

    Returns
    -------
    (n,) structured ndarray
        As ``sep.extract`` gives it.

    Raises
    ------
    UnusableFrameError
        If what exceeds the threshold cannot be stars.
    """
    import sep

    n_above = int(np.count_nonzero(image > threshold))
    share = n_above / image.size
    if share > MAX_SHARE:
        raise UnusableFrameError(
            f"{share:.0%} of the pixels exceed threshold_sigma: this is no sky with stars, or "
            "threshold_sigma is too low."
        )
    # SEP needs a place for each pixel above the threshold, and two to begin and end with.
    sep.set_extract_pixstack(max(300_000, n_above + 2))
    sep.set_sub_object_limit(MAX_PIECES)
    options = {"minarea": minarea, "mask": no_data, "filter_kernel": None}
    try:
        if share > CROWDED_SHARE or n_above > minarea * _most_objects(image.size):
            _look_ahead(image, threshold, options)
        return np.asarray(sep.extract(image, threshold, **options))
    except (MemoryError, UnusableFrameError):
        raise
    except Exception as error:  # SEP has no kinds of errors
        words = str(error).split(".")[0]
        raise UnusableFrameError(
            f"its objects cannot be told apart ({words}): interference, or threshold_sigma and "
            "minarea are too low."
        ) from error


def _most_objects(n_pixels: int) -> int:
    return min(n_pixels // MIN_PIXELS_PER_OBJECT, MAX_OBJECTS)


def _look_ahead(
    image: NDArray[np.float32], threshold: np.float32, options: dict[str, Any]
) -> None:
    """Refuse objects that are too many, or fall into too many pieces, before SEP parts them."""
    import sep

    whole = {**options, "deblend_nthresh": 1}
    objects, segments = sep.extract(image, threshold, segmentation_map=True, **whole)
    if len(objects) > _most_objects(image.size):
        raise UnusableFrameError(
            f"{len(objects):,} objects exceed threshold_sigma, one on every "
            f"{image.size / len(objects):.0f} pixels: interference, or threshold_sigma and "
            "minarea are too low."
        )
    inside = segments == 1 + int(np.argmax(objects["npix"])) if len(objects) else segments > 0
    if np.count_nonzero(inside) <= MAX_PIECES * options["minarea"]:
        return
    alone = np.where(inside, image, np.float32(0))
    for level in np.quantile(image[inside], (0.5, 0.75)):
        n_peaks = len(sep.extract(alone, level, **whole))
        # SEP adds up the pieces at 32 levels.
        if n_peaks > MAX_PIECES / 2:
            raise UnusableFrameError(
                f"{n_peaks:,} peaks in a single object on {inside.mean():.0%} of the frame "
                "exceed threshold_sigma: interference, or threshold_sigma is too low."
            )
