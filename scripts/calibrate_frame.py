"""Read one raw frame and take its dark off."""

import hashlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.calibration.subtraction import (
    Rows,
    RowsInMemory,
    subtract_if_it_suits,
)
from scripts.lightstack.files.frame_file import (
    FAILURE,
    Frame,
    PixelFile,
    read_header,
    write_failure,
    write_frame,
)
from scripts.lightstack.files.unread import NOTES, note
from scripts.lightstack.job import JobError, job_log
from scripts.lightstack.raw.bayer import (
    MOSAIC_CARDS,
    WEIGHTS,
    bayer_pattern,
    grey_of_mosaic,
    near_any,
)
from scripts.lightstack.raw.image import (
    RawImage,
    UnreadableFileError,
    UnusableFrameError,
    central_region,
    check_usable,
)
from scripts.lightstack.raw.images import read_image
from scripts.lightstack.raw.no_data import blank_blocks, blank_overscan
from scripts.lightstack.raw.orientation import turn_header
from scripts.lightstack.raw.saturation import pile_up
from scripts.lightstack.text import DOUBT, NO_DARK, printable

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
    turned: bool = False,
    dark_turned: bool = False,
    unstated: str = "",
    saturation_limit: float,
    doubtful_darks: str,
    debug_region: int,
    unread: Path = NOTES,
) -> None:
    """Write a raw frame without its dark, or a file that says why the frame is unusable.

    Parameters
    ----------
    raw : Path
        The raw frame.
    frame : Path
        FITS file to write: pixels [ADU], the saturated ones among them, their level in
        ``SATURATE``, the raw file's step in ``ADUSTEP`` [ADU], and the SHA-256 of the raw pixels
        in ``PIXSHA``: a file that was saved anew has other bytes, and the same pixels. ``NODATA``
        is the share of pixels without data, ``SATFOUND`` the raw value at which pixels pile up.
    sha256 : str
        Digest of the raw frame, for the ledger.
    dark : Path or None
        The dark of the same name.
    master : Path or None
        What `combine_darks` wrote, for a frame without a dark of its own.
    turned : bool
        Whether the frame's rows are to be put into the other order.
    dark_turned : bool
        Whether the dark's rows run the other way than the raw frame's.
    unstated : str
        What the headers of frame and dark leave open, for the ledger.
    saturation_limit : float
        Raw value from which a pixel is saturated [ADU, as `lightstack.raw.scale` has them], unless
        the frame's own pixels pile up below.
    doubtful_darks : str
        "skip" leaves out a dark that makes the frame worse; "use" takes it nonetheless.
    debug_region : int
        Side of the central square to keep [pixels]; 0 keeps all.
    unread : Path, optional
        Folder for notes of files that cannot be read.
    """
    try:
        image = read_image(raw)
        pixels_sha256 = hashlib.sha256(np.ascontiguousarray(image.data).data).hexdigest()
        header = image.header
        level = _saturation(image, saturation_limit)
        blank_overscan(image.data, header)
        blank_blocks(image.data, level)
        region = central_region(image.data.shape, debug_region)
        data = image.data[region]
        check_usable(data)
        saturated = (image.peak[region] >= level) & ~np.isnan(data)
        is_mosaic = bayer_pattern(header) is not None
        name, pixels = _open_dark(dark, master, unread)
        if pixels is None:
            log.warning("There is no dark for %s: it goes on without.", raw)
        elif pixels.shape != image.data.shape:
            raise JobError(f"{raw}: it had another shape when the run began: run again.")
        else:
            done = subtract_if_it_suits(
                data,
                pixels,
                region,
                is_turned=dark_turned,
                period=2 if is_mosaic else 1,
                at_any_price=doubtful_darks == "use",
            )
            level -= done.level
            names = [name, unstated] if done.is_used else [NO_DARK, name]
            name = DOUBT.join(filter(None, [*names, *done.doubts]))
            check_usable(data)
    except UnusableFrameError as error:
        if isinstance(error, UnreadableFileError):
            note(unread, raw, error)
        told = str(error).removeprefix(f"{raw.name}: ")
        named = UnusableFrameError(f"{raw.name}: {told}")
        log.warning("Unusable: %s", named)
        write_failure(frame, named, {"RAWSHA": sha256})
        return
    adu_step = image.step
    if is_mosaic:
        saturated, adu_step = _made_grey(data, header, saturated), adu_step / WEIGHTS
    _shift_wcs(header, region)
    if turned:
        data, saturated = data[::-1], saturated[::-1]
        turn_header(header, len(data))
    no_data_share = np.count_nonzero(np.isnan(data)) / data.size
    # They fill their cards: there is no room for comments.
    header["RAWSHA"] = sha256
    header["PIXSHA"] = pixels_sha256
    header["DARK"] = printable(name)
    header["NODATA"] = (no_data_share, "share of pixels without data")
    header["SATURATE"] = (level, "[ADU] level of saturated pixels")
    header["ADUSTEP"] = (adu_step, "[ADU] smallest difference in the raw file")
    write_frame(frame, Frame(np.ascontiguousarray(data), header, saturated))


def _saturation(image: RawImage, limit: float) -> float:
    """Tell from where on pixels are saturated [ADU]; what was found goes into the header."""
    level = min(limit, image.ceiling, float(np.finfo(np.float32).max))
    top = pile_up(image.peak, image.step)
    if top is None or top >= level:
        return level
    image.header["SATFOUND"] = (top, "[ADU] where raw pixels pile up")
    return top


def _open_dark(dark: Path | None, master: Path | None, unread: Path) -> tuple[str, Rows | None]:
    """Name and pixels of the dark to subtract; "none" and None if there is none to be read."""
    if dark is not None:
        try:
            return dark.name, RowsInMemory(read_image(dark).data)
        except UnusableFrameError as error:
            note(unread, dark, error)
    if master is not None:
        header = read_header(master)
        if FAILURE not in header:
            return header["DARKNAME"], PixelFile(master)
    return NO_DARK, None


def _made_grey(
    data: NDArray[np.float32], header: "fits.Header", saturated: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Make a mosaic grey, in place; give the pixels that are made of saturated ones."""
    grey_of_mosaic(data)
    for key in MOSAIC_CARDS:
        header.remove(key, ignore_missing=True)
    return near_any(saturated)


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
            **snakemake.params.facts,
            **snakemake.params.settings,
        )
