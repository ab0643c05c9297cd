"""Combine the aligned frames into one image per mode."""

import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.combining import CLIP_MODES, Combined, combine, smallest_stack
from scripts.lightstack.darks import EXPOSURE_KEYS, first_number
from scripts.lightstack.fits import PixelFile, StackWriter, atomic_write
from scripts.lightstack.job import JobError, job_log
from scripts.lightstack.records import read_json
from scripts.lightstack.resampling import resample, source_rows
from scripts.lightstack.transform import Transform

if TYPE_CHECKING:
    from astropy.io import fits
    from snakemake.iocontainers import snakemake

FRAME_CARDS = ("RAWSHA", "DARK", "BKGADU", "NOISEADU", "DATE-END", "EXPOSURE")
"""Cards of the reference that say nothing about a stack."""

VERSIONED = ("lightstack", "numpy", "astropy", "astroalign", "sep", "scipy", "numba")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AlignedFrame:
    """A frame to be stacked.

    Parameters
    ----------
    pixels : PixelFile
        The cleaned frame [ADU].
    transform : Transform
        From the frame to the reference.
    flux_scale : float
        What brings its fluxes to the reference's.
    """

    pixels: PixelFile
    transform: Transform
    flux_scale: float

    def rows_on_reference(self, rows: tuple[int, int], out: NDArray[np.float32]) -> None:
        """Fill `out` with rows ``(first, after last)`` of the reference's grid."""
        first, last = source_rows(self.transform, rows)
        source = self.pixels.read_rows(first, last)
        resample(source, first, self.transform, rows, scale=self.flux_scale, out=out)


def run(
    alignment: Path,
    cleaned: dict[str, Path],
    stacks: dict[str, Path],
    *,
    sigma_clip: float,
    stack_memory_mb: int,
    threads: int,
) -> None:
    """Write one FITS file per mode.

    Parameters
    ----------
    alignment : Path
        What `align_frames` wrote.
    cleaned : dict of str to Path
        What `subtract_background` wrote, by frame.
    stacks : dict of str to Path
        The file to write for each mode: the stack on the reference's grid [ADU], ``COVERAGE``
        and, where values were clipped, ``REJECTED``.
    sigma_clip : float
        Limit of the mode of that name [standard deviations].
    stack_memory_mb : int
        Memory to use for pixels [MB]; it sets how many rows are stacked at a time, and nothing
        else.
    threads : int
        How many threads to use; they change nothing but the time.

    Raises
    ------
    JobError
        If fewer than two frames are aligned.
    """
    found = read_json(alignment)
    if "problem" in found:
        raise JobError(found["problem"])
    names = list(found["frames"])
    frames = _aligned_frames(found, cleaned)
    if "sigma_clip" in stacks and len(frames) < smallest_stack(sigma_clip):
        log.warning(
            "sigma_clip is blind: no value among %d is further than %g standard deviations from "
            "their mean. It takes %d frames.",
            len(frames),
            sigma_clip,
            smallest_stack(sigma_clip),
        )
    ny, nx = frames[0].transform.reference_shape
    header = _common_header(found["reference"], names, cleaned)
    height = _band_height(len(frames), nx, len(stacks), stack_memory_mb, threads)
    with ExitStack() as files:
        writers = {}
        for mode, path in stacks.items():
            file = files.enter_context(atomic_write(path))
            writers[mode] = _writer(file, mode, header, (ny, nx), sigma_clip)
        cube = np.empty((len(frames), min(height, ny), nx), np.float32)
        for start in range(0, ny, height):
            rows = (start, min(start + height, ny))
            band = _combine_band(frames, rows, cube, list(stacks), sigma_clip, threads)
            for mode, writer in writers.items():
                writer.write_rows(band.images[mode], band.coverage, band.rejected.get(mode))
            log.info("Rows %d to %d of %d are stacked.", rows[0], rows[1], ny)
        for writer in writers.values():
            writer.finish()


def _aligned_frames(found: dict[str, Any], cleaned: dict[str, Path]) -> list[AlignedFrame]:
    """Frames in the order of the alignment, which is the natural order of their names."""
    reference_shape = PixelFile(cleaned[found["reference"]]).shape
    frames = []
    for name, entry in found["frames"].items():
        pixels = PixelFile(cleaned[name])
        transform = Transform.from_json(entry, pixels.shape, reference_shape)
        frames.append(AlignedFrame(pixels, transform, entry["flux_scale"]))
    return frames


def _combine_band(
    frames: list[AlignedFrame],
    rows: tuple[int, int],
    cube: NDArray[np.float32],
    modes: list[str],
    sigma_clip: float,
    threads: int,
) -> Combined:
    """Resample all frames to some rows of the reference and combine them."""
    height = rows[1] - rows[0]
    if height < cube.shape[1]:
        cube = np.empty((len(frames), height, cube.shape[2]), np.float32)
    with ThreadPoolExecutor(threads) as pool:
        fill = [
            pool.submit(frame.rows_on_reference, rows, out)
            for frame, out in zip(frames, cube, strict=True)
        ]
        for done in fill:
            done.result()
    return combine(cube, modes, sigma_clip=sigma_clip, threads=threads)


def _band_height(n_frames: int, nx: int, n_modes: int, memory_mb: int, threads: int) -> int:
    """Rows that can be stacked at a time: the frames, what is read of them, and the results."""
    bytes_per_row = 4 * nx * (n_frames + 3 * threads + 2 * n_modes + 2)
    return max(1, memory_mb * 1_000_000 // bytes_per_row)


def _common_header(reference: str, names: list[str], cleaned: dict[str, Path]) -> "fits.Header":
    """Cards that all stacks share: the reference's, and those that count the frames."""
    from scripts.lightstack.fits import read_header

    headers = {name: read_header(cleaned[name]) for name in names}
    header = headers[reference].copy(strip=True)
    for card in FRAME_CARDS:
        header.remove(card, ignore_missing=True)
    header["BUNIT"] = "adu"
    header["NCOMBINE"] = (len(names), "frames combined")
    exposures = [first_number(headers[name], EXPOSURE_KEYS) for name in names]
    own = first_number(headers[reference], EXPOSURE_KEYS)
    if own is not None:
        header["EXPTIME"] = (own, "[s] exposure of one frame")
    if None not in exposures:
        header["TOTEXP"] = (sum(filter(None, exposures)), "[s] exposure of all frames")
    begins = sorted(filter(None, (_begin(headers[name]) for name in names)))
    ends = sorted(filter(None, (_end(headers[name]) for name in names)))
    if begins:
        header["DATE-OBS"] = (begins[0], "begin of the first frame")
    if ends:
        header["DATE-END"] = (ends[-1], "end of the last frame")
    for package in VERSIONED:
        header["HISTORY"] = f"{package} {_version(package)}"
    return header


def _version(package: str) -> str:
    if package == "lightstack":
        from scripts.lightstack import VERSION

        return VERSION
    return version(package)


def _begin(header: "fits.Header") -> str | None:
    date = _date(header.get("DATE-OBS"))
    return None if date is None else _iso(date)


def _end(header: "fits.Header") -> str | None:
    """When a frame's exposure ended: as its header says, or its begin plus the exposure time."""
    date, end = _date(header.get("DATE-OBS")), _date(header.get("DATE-END"))
    exptime = first_number(header, EXPOSURE_KEYS)
    if end is None and date is not None and exptime is not None and exptime < 1e6:
        end = date + timedelta(seconds=exptime)
    end = end or date
    return None if end is None else _iso(end)


def _date(value: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(value)).replace(tzinfo=None)
    except ValueError:
        return None


def _iso(date: datetime) -> str:
    return date.isoformat(timespec="milliseconds")


def _writer(
    file: IO[bytes], mode: str, header: "fits.Header", shape: tuple[int, int], sigma_clip: float
) -> StackWriter:
    header = header.copy()
    header["STACKMOD"] = (mode, "how pixels were combined")
    if mode == "sigma_clip":
        header["CLIPSIG"] = (sigma_clip, "values further from the mean are dropped [std]")
    return StackWriter(file, header, shape, with_rejected=mode in CLIP_MODES)


if "snakemake" in globals():
    with job_log(snakemake):
        run(
            Path(snakemake.input.alignment),
            dict(zip(snakemake.params.frames, map(Path, snakemake.input.cleaned), strict=True)),
            dict(zip(snakemake.params.modes, map(Path, snakemake.output.stacks), strict=True)),
            threads=snakemake.threads,
            **snakemake.params.settings,
        )
