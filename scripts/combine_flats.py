"""Combine the flats of one kind into a master: their clipped mean, each scaled by its median."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scripts.lightstack.calibration.flats import (
    check_light,
    check_overscan,
    clipped_mean,
    guard,
    is_in_shares,
    normalize,
)
from scripts.lightstack.calibration.masters import Image, open_master, readable, write_master
from scripts.lightstack.calibration.pattern import pattern_of_grey
from scripts.lightstack.calibration.reading import Reading
from scripts.lightstack.calibration.subtraction import Rows, subtract
from scripts.lightstack.job import job_log
from scripts.lightstack.raw.colour import LUMA, Weights
from scripts.lightstack.raw.exposure import exposure_of
from scripts.lightstack.raw.image import RawImage, UnusableFrameError
from scripts.lightstack.raw.saturation import cut_off

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

WHOLE = (slice(0, None), slice(0, None))

log = logging.getLogger(__name__)


def run(
    flats: list[Path],
    pedestal: Path | None,
    master: Path,
    *,
    turned: bool = False,
    freed: bool = True,
    saturation_limit: float,
    threads: int = 1,
    **reading: Any,
) -> None:
    """Write a master flat, of those flats that can be used.

    Parameters
    ----------
    flats : list of Path
        Raw flats of one kind.
    pedestal : Path or None
        Master of the flats' own darks, or of bias frames.
    master : Path
        FITS file to write: see `lightstack.calibration.masters`. Its pixels are shares of the
        light that a typical pixel shows, NaN where a pixel does not show it.
    turned : bool
        Whether the pedestal's rows run the other way than the flats'.
    freed : bool
        Whether the flats had their bias taken off before, if there is no pedestal.
    saturation_limit : float
        Raw value from which a pixel is saturated [ADU].
    threads : int, optional
        How many threads to use; they change nothing but the time.
    **reading
        How raw files are read: see `lightstack.calibration.reading.Reading`.
    """
    left_out: list[str] = []
    unnamed: list[str] = []
    how = Reading(**reading)

    def images(weights: Weights) -> Iterator[Image]:
        opened = open_master(pedestal, weights) if pedestal else None
        return _normalized(
            readable(flats, how, weights),
            opened.pixels if opened else None,
            left_out if weights == LUMA else [],
            unnamed,
            turned=turned,
            saturation_limit=saturation_limit,
        )

    has_dark = pedestal is not None and open_master(pedestal) is not None
    write_master(
        images,
        len(flats),
        master,
        clipped_mean,
        noun="flats",
        told=("filter", "gain"),
        variance=lambda n: 1 / n,
        finish=lambda pixels, taken: guard(pixels, next(iter(unnamed), taken.bayer)),
        doubt="" if has_dark or freed else "neither dark nor bias taken off the flats",
        left_out=left_out,
        threads=threads,
    )


def _normalized(
    flats: Iterator[tuple[Path, RawImage]],
    dark: Rows | None,
    left_out: list[str],
    unnamed: list[str],
    *,
    turned: bool,
    saturation_limit: float,
) -> Iterator[Image]:
    """Bring flats to one scale; leave out those that show no light, and note why.

    Of a mosaic whose header has no pattern, where its greens are is noted in `unnamed`. In shares
    of the light, as other programs write master flats, flats have no pedestal any more.
    """
    for path, image in flats:
        shares = is_in_shares(image.data / np.float32(image.header.get("ADUSCALE", 1)))
        limit = min(saturation_limit, image.ceiling, cut_off(image.peak, image.step) or np.inf)
        saturated = (image.peak >= limit) & (not shares)
        taken = exposure_of(image.header, (image.data.shape[0], image.data.shape[1]))
        try:
            check_overscan(image.overscan_noise)
            if dark is not None and not shares:
                subtract(image.data, dark, WHOLE, is_turned=turned)
            pattern = taken.bayer
            if pattern is None and image.peak is image.data:
                pattern = pattern_of_grey(image.data) or None
                unnamed += filter(None, [pattern])
            check_light(image.data)
            normalize(image.data, saturated, pattern)
        except UnusableFrameError as error:
            log.warning("Left out: %s: %s", path, error)
            left_out.append(f"{path.name}: {error}".removesuffix("."))
            continue
        yield image.header, image.data


if "snakemake" in globals():
    with job_log(snakemake):
        run(
            [Path(flat) for flat in snakemake.input.flats],
            Path(snakemake.input.pedestal) if snakemake.input.pedestal else None,
            Path(snakemake.output.master),
            **snakemake.params.facts,
            **snakemake.params.settings,
            threads=snakemake.threads,
        )
