"""Masters of what frames without light show: darks and bias frames."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from scripts.lightstack.calibration.combining import combined, levels, variance_of_combined
from scripts.lightstack.calibration.masters import Image, readable, write_master
from scripts.lightstack.calibration.reading import Reading
from scripts.lightstack.calibration.starlight import has_stars
from scripts.lightstack.raw.colour import LUMA, Weights

log = logging.getLogger(__name__)


def write_pedestal(
    frames: Sequence[Path],
    master: Path,
    *,
    noun: str,
    told: Sequence[str],
    threads: int = 1,
    **reading: Any,
) -> None:
    """Write a master, of those frames that can be read.

    Parameters
    ----------
    frames : sequence of Path
        Raw frames of one kind.
    master : Path
        FITS file to write: see `lightstack.calibration.masters` [ADU].
    noun, told
        As in `masters.write_master`.
    threads : int, optional
        How many threads to use; they change nothing but the time.
    **reading
        How raw files are read: see `lightstack.calibration.reading.Reading`.
    """
    how = Reading(**reading)
    left_out: dict[Path, str] = {}

    def images(weights: Weights) -> Iterator[Image]:
        for path, image in readable(frames, how, weights):
            # The grey comes first, and decides for all colours.
            if weights == LUMA and has_stars(image.data):
                why = (
                    f"{path.name}: it has stars, as a light: move it from the {noun} to the lights"
                )
                log.warning("Left out: %s", why)
                left_out[path] = why
            if path not in left_out:
                yield image.header, image.data

    write_master(
        images,
        len(frames),
        master,
        combined,
        noun=noun,
        told=told,
        variance=variance_of_combined,
        levels=levels,
        left_out=left_out.values(),
        threads=threads,
    )
