"""Read one raw frame and subtract its dark."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.files.frame_file import Frame, in_native_order, write_failure, write_frame
from scripts.lightstack.job import JobError, job_log
from scripts.lightstack.raw.image import UnusableFrameError, central_region, check_usable
from scripts.lightstack.raw.images import read_image
from scripts.lightstack.text import printable

if TYPE_CHECKING:
    from astropy.io import fits
    from snakemake.iocontainers import snakemake

log = logging.getLogger(__name__)


def run(
    raw: Path,
    frame: Path,
    *,
    sha256: str,
    dark: Path | None,
    master: Path | None,
    saturation_limit: float,
    debug_region: int,
) -> None:
    """Write a raw frame without its dark, or a file that says why the frame is unusable.

    Parameters
    ----------
    raw : Path
        The raw frame.
    frame : Path
        FITS file to write: pixels [ADU], the saturated ones among them and, in ``SATURATE``,
        their level [ADU].
    sha256 : str
        Digest of the raw frame, for the ledger.
    dark : Path or None
        The dark of the same name.
    master : Path or None
        What `combine_darks` wrote, for a frame without a dark of its own.
    saturation_limit : float
        Raw value from which a pixel is saturated [ADU].
    debug_region : int
        Side of the central square to keep [pixels]; 0 keeps all.
    """
    try:
        image = read_image(raw)
        name, pixels = _read_dark(dark, master)
        if pixels is not None and pixels.shape != image.data.shape:
            raise JobError(f"{raw}: it had another shape when the run began: run again.")
        region = central_region(image.data.shape, debug_region)
        data, peak = image.data[region], image.peak[region]
        check_usable(data)
        level = min(saturation_limit, image.ceiling, float(np.finfo(np.float32).max))
        saturated = peak >= level
        if pixels is not None:
            data -= pixels[region]
            check_usable(data)
            some = pixels[::8, ::8]
            level -= float(np.median(some[np.isfinite(some)])) if np.isfinite(some).any() else 0
    except UnusableFrameError as error:
        told = str(error).removeprefix(f"{raw.name}: ")
        named = UnusableFrameError(f"{raw.name}: {told}")
        log.warning("Unusable: %s", named)
        write_failure(frame, named, {"RAWSHA": sha256})
        return
    if pixels is None:
        log.warning("No dark matches %s: it goes on without.", raw)
    header = image.header
    _shift_wcs(header, region)
    header["RAWSHA"] = (sha256, "SHA-256 of the raw file")
    header["DARK"] = printable(name)
    header["SATURATE"] = (level, "[ADU] level of saturated pixels")
    write_frame(frame, Frame(np.ascontiguousarray(data), header, saturated))


def _read_dark(dark: Path | None, master: Path | None) -> tuple[str, NDArray[np.float32] | None]:
    """Name and pixels of the dark to subtract; "none" and None if there is none."""
    from astropy.io import fits

    if dark is not None:
        try:
            return dark.name, read_image(dark).data
        except UnusableFrameError as error:
            raise JobError(
                f"{error} It was another file when the run began: run again."
            ) from error
    if master is None:
        return "none", None
    with fits.open(master, memmap=False) as hdus:
        return hdus[0].header["DARKNAME"], in_native_order(hdus[0].data)


def _shift_wcs(header: "fits.Header", region: tuple[slice, slice]) -> None:
    """Let the world coordinates follow when rows and columns are cut off."""
    rows, columns = region
    for key, cut in (("CRPIX1", columns.start), ("CRPIX2", rows.start)):
        value: Any = header.get(key)
        if cut and isinstance(value, int | float):
            header[key] = value - cut


if "snakemake" in globals():
    with job_log(snakemake):
        run(
            Path(snakemake.input.raw),
            Path(snakemake.output.frame),
            sha256=snakemake.params.sha256,
            dark=Path(snakemake.input.dark) if snakemake.input.dark else None,
            master=Path(snakemake.input.master) if snakemake.input.master else None,
            **snakemake.params.settings,
        )
