"""Model the sky of one frame and subtract it."""

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.detection.dithering import dithered, step_of
from scripts.lightstack.files.frame_file import (
    pass_on_failure,
    read_frame,
    write_failure,
    write_frame,
)
from scripts.lightstack.job import job_log
from scripts.lightstack.raw.image import UnusableFrameError

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

DIGITIZATION_NOISE = 12**-0.5
"""Standard deviation of the rounding to a step: what is left where a sky is clipped to zero."""


def subtract_background(
    data: NDArray[np.float32], box: int, raw_step: float = 1.0
) -> tuple[float, float]:
    """Subtract a smooth model of the sky, in place.

    Parameters
    ----------
    data : (ny, nx) ndarray of float32
        Pixels [ADU], NaN where there is no data.
    box : int
        Side of the mesh's cells [pixels].
    raw_step : float, optional
        Smallest difference that the raw file can hold [ADU].

    Returns
    -------
    level, noise : float
        The sky's typical value and standard deviation [ADU].

    Raises
    ------
    UnusableFrameError
        If the sky has no finite level and noise.

    Notes
    -----
    In each cell of the mesh the mode is estimated from clipped pixels, the cells are median
    filtered 3 x 3 and joined by a bicubic spline (Bertin & Arnouts 1996, A&AS 117, 393), as the
    package SEP does it. Of pixels with steps, such as whole numbers, the sky between the steps is
    found by dithering; the product is not dithered, and the dither's noise is taken out again.
    """
    import sep

    no_data = np.isnan(data)
    step = step_of(data)
    seen = dithered(data, step) if step else data
    sky = sep.Background(seen, mask=no_data if no_data.any() else None, bw=box, bh=box)
    level, noise = float(sky.globalback), float(sky.globalrms)
    if step:
        noise = math.sqrt(max(noise**2 - step**2 / 12, 0.0))
    if not (math.isfinite(level) and math.isfinite(noise)):
        raise UnusableFrameError("the sky cannot be measured: the pixels have absurd values.")
    sky.subfrom(data)
    return level, max(noise, DIGITIZATION_NOISE * raw_step)


def run(frame: Path, cleaned: Path, *, background_box: int) -> None:
    """Write a frame without its sky.

    Parameters
    ----------
    frame : Path
        What `calibrate_frame` wrote.
    cleaned : Path
        FITS file to write, with the sky's level and noise [ADU] in ``BKGADU`` and ``NOISEADU``
        and the level of saturated pixels [ADU] in ``SATURATE``.
    background_box : int
        Side of the mesh's cells [pixels].
    """
    if pass_on_failure(frame, cleaned):
        return
    calibrated = read_frame(frame)
    header = calibrated.header
    raw_step = header.pop("ADUSTEP")
    try:
        level, noise = subtract_background(calibrated.data, background_box, raw_step)
    except UnusableFrameError as error:
        write_failure(cleaned, error, {"RAWSHA": header["RAWSHA"]})
        return
    header["BKGADU"] = (level, "[ADU] level of the sky that was subtracted")
    header["SATURATE"] -= level
    header["NOISEADU"] = (noise, "[ADU] standard deviation of the sky")
    write_frame(cleaned, calibrated)


if "snakemake" in globals():
    with job_log(snakemake):
        run(
            Path(snakemake.input.frame),
            Path(snakemake.output.frame),
            **snakemake.params.settings,
        )
