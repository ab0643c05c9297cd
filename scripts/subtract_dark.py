"""Read one raw frame and subtract its dark."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.darks import closest_master, exposure_of
from scripts.lightstack.fits import Frame, in_native_order, printable, write_failure, write_frame
from scripts.lightstack.images import (
    RawImage,
    UnusableFrameError,
    central_region,
    check_usable,
    read_image,
)
from scripts.lightstack.job import job_log

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
    masters: Path | None,
    saturation_limit: float,
    debug_region: int,
    dark_temperature_tolerance: float,
) -> None:
    """Write a raw frame without its dark, or a file that says why the frame is unusable.

    Parameters
    ----------
    raw : Path
        The raw frame.
    frame : Path
        FITS file to write: pixels [ADU] and the saturated ones among them.
    sha256 : str
        Digest of the raw frame, for the ledger.
    dark : Path or None
        The dark of the same name.
    masters : Path or None
        What `combine_darks` wrote, for a frame without a dark of its own.
    saturation_limit : float
        Raw value from which a pixel is saturated [ADU].
    debug_region : int
        Side of the central square to keep [pixels]; 0 keeps all.
    dark_temperature_tolerance : float
        Largest difference of temperature between a frame and a master [degrees Celsius].
    """
    try:
        image = read_image(raw)
        name, pixels = _choose_dark(image, dark, masters, dark_temperature_tolerance)
        region = central_region(image.data.shape, debug_region)
        data, peak = image.data[region], image.peak[region]
        check_usable(data)
        saturated = peak >= min(saturation_limit, image.ceiling)
        if pixels is not None:
            data -= pixels[region]
            check_usable(data)
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
    write_frame(frame, Frame(np.ascontiguousarray(data), header, saturated))


def _choose_dark(
    image: RawImage, dark: Path | None, masters: Path | None, tolerance: float
) -> tuple[str, NDArray[np.float32] | None]:
    """Name and pixels of the dark to subtract; "none" and None if there is none."""
    if dark is not None:
        try:
            pixels = read_image(dark).data
        except UnusableFrameError as error:
            log.warning("The dark of the same name is not used: %s", error)
        else:
            if pixels.shape == image.data.shape:
                return dark.name, pixels
            log.warning("%s has another shape than its frame and is not used.", dark)
    if masters is not None:
        return _choose_master(image, masters, tolerance)
    return "none", None


def _choose_master(
    image: RawImage, masters: Path, tolerance: float
) -> tuple[str, NDArray[np.float32] | None]:
    from astropy.io import fits

    with fits.open(masters, memmap=False) as hdus:
        exposures = {
            str(number): exposure_of(hdu.header, hdu.shape)
            for number, hdu in enumerate(hdus)
            if hdu.shape
        }
        frame = exposure_of(image.header, image.data.shape)
        chosen = closest_master(frame, exposures, tolerance)
        if chosen is None:
            return "none", None
        hdu = hdus[int(chosen)]
        return hdu.header["DARKNAME"], in_native_order(hdu.data)


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
            masters=Path(snakemake.input.masters) if snakemake.input.masters else None,
            **snakemake.params.settings,
        )
