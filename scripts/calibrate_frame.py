"""Read one raw frame and free it of dark, bias and flat."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.calibration.calibrating import calibrate
from scripts.lightstack.calibration.pattern import doubt_of_pattern
from scripts.lightstack.calibration.repair import repair, small_gaps
from scripts.lightstack.files.frame_file import Frame, write_failure, write_frame
from scripts.lightstack.job import job_log
from scripts.lightstack.raw.bayer import (
    GREY_OF,
    MOSAIC_CARDS,
    PATTERN_DOUBT,
    WEIGHTS,
    bayer_pattern,
    grey_of_mosaic,
    near_any,
)
from scripts.lightstack.raw.exposure import binning_of
from scripts.lightstack.raw.image import UnusableFrameError
from scripts.lightstack.raw.orientation import turn_header

if TYPE_CHECKING:
    from astropy.io import fits
    from snakemake.iocontainers import snakemake

log = logging.getLogger(__name__)


def run(
    raw: Path,
    frame: Path,
    *,
    sha256: str,
    masters: Mapping[str, Path],
    turned: bool = False,
    **calibration: Any,
) -> None:
    """Write a raw frame without dark, bias and flat, or a file that says why it is unusable.

    Parameters
    ----------
    raw : Path
        The raw frame.
    frame : Path
        FITS file to write: pixels [ADU], the saturated ones among them, their level in
        ``SATURATE``, the raw file's step in ``ADUSTEP`` [ADU], and the SHA-256 of the raw pixels
        in ``PIXSHA``: a file that was saved anew has other bytes, and the same pixels. ``NODATA``
        is the share of pixels without data beside those that are bad, ``SATFOUND`` the raw value
        at which pixels pile up.
        What was used stands in ``DARK``, and in ``BIAS`` and ``FLAT`` where it was; ``BADPIX`` is
        the number of pixels that have no data because they are on the map.
    sha256 : str
        Digest of the raw frame, for the ledger.
    masters : dict of str to Path
        As in `calibrating.calibrate`.
    turned : bool
        Whether the frame's rows are to be put into the other order.
    **calibration
        Further arguments of `calibrating.calibrate`.
    """
    try:
        found = calibrate(raw, masters, **calibration)
    except UnusableFrameError as error:
        log.warning("Unusable: %s", error)
        write_failure(frame, error, {"RAWSHA": sha256})
        return
    data, header, saturated, adu_step = found.data, found.header, found.saturated, found.step
    if bayer_pattern(header) is not None:
        saturated, adu_step = _made_grey(data, header, saturated), adu_step / WEIGHTS
    if turned:
        data, saturated = data[::-1], saturated[::-1]
        turn_header(header, len(data))
    found.note(sha256)
    header["SATURATE"] = (found.level, "[ADU] level of saturated pixels")
    header["ADUSTEP"] = (adu_step, "[ADU] smallest difference in the raw file")
    write_frame(frame, Frame(np.ascontiguousarray(data), header, saturated), durable=False)


def _made_grey(
    data: NDArray[np.float32], header: "fits.Header", saturated: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Make a mosaic grey, in place; give the pixels that are made of saturated ones."""
    pattern = bayer_pattern(header) or ""
    is_binned = max(binning_of(header) or (1, 1)) > 1
    doubt = doubt_of_pattern(data, pattern, is_binned=is_binned)
    gaps = small_gaps(data)
    if gaps is None:
        grey_of_mosaic(data)
    else:
        repair(data, gaps, step=2)
        grey_of_mosaic(data)
        data[gaps] = np.nan
    header[GREY_OF] = (pattern, "mosaic of which the grey was made")
    if doubt:
        header[PATTERN_DOUBT] = doubt
    for key in MOSAIC_CARDS:
        header.remove(key, ignore_missing=True)
    return near_any(saturated)


if "snakemake" in globals():
    with job_log(snakemake):
        run(
            Path(snakemake.input.raw),
            Path(snakemake.output.frame),
            sha256=snakemake.params.sha256,
            masters={
                noun: Path(path)
                for noun in ("own", "dark", "bias", "flat", "bad_pixels")
                if (path := snakemake.input.get(noun))
            },
            **snakemake.params.facts,
            **snakemake.params.settings,
        )
