"""Combine the aligned frames into one image per mode."""

import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.alignment.transform import Transform
from scripts.lightstack.files.atomic import atomic_write
from scripts.lightstack.files.frame_file import PixelFile, read_header
from scripts.lightstack.files.records import read_json
from scripts.lightstack.files.stack_file import StackWriter
from scripts.lightstack.job import JobError, job_log
from scripts.lightstack.raw.exposure import exposure_time, first_number
from scripts.lightstack.stacking.combining import (
    CLIP_MODES,
    MODES,
    NEIGHBOURHOOD,
    NOISE_CLIP_SIGMA,
    WINSORIZED_SIGMA,
    Combined,
    combine,
    find_centres,
)
from scripts.lightstack.stacking.psf_matching import (
    N_PIXELS,
    REACH,
    Seeing,
    Starlight,
    measure_seeing,
    starlight,
)
from scripts.lightstack.stacking.rejection import blindness
from scripts.lightstack.stacking.resampling import resample, source_rows

if TYPE_CHECKING:
    from astropy.io import fits
    from snakemake.iocontainers import snakemake

FRAME_CARDS = (
    *("RAWSHA", "DARK", "BKGADU", "NOISEADU", "SATURATE"),
    *("DATE-END", "EXPOSURE", "TIME-OBS"),
)
"""Cards of the reference that say nothing about a stack."""

MIN_GAIN = 1e-30
"""Electrons per ADU; less is a header's mistake, and the noise of light would be infinite."""

BAND_ROWS = 128

SEEING_BANDS, SEEING_ROWS, SEEING_BYTES = 16, 16, 250e6
"""The seeing is measured in so many bands of so many rows; of fewer, if they took more memory."""

LINEAR_SHARE = 0.6
"""Where the mean of the frames has more than this share of a saturated pixel's light, a frame of
better seeing may be saturated."""

VERSIONED = ("lightstack", "numpy", "astropy", "astroalign", "sep", "scipy", "numba")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AlignedFrame:
    """A frame to be stacked.

    Parameters
    ----------
    pixels : PixelFile
        The cleaned frame [ADU].
    header : astropy.io.fits.Header
        Its cards.
    transform : Transform
        From the frame to the reference.
    flux_scale : float
        What brings its fluxes to the reference's.
    """

    pixels: PixelFile
    header: "fits.Header"
    transform: Transform
    flux_scale: float

    @property
    def noise(self) -> float:
        """Standard deviation of the sky, before resampling, in units of the stack [ADU]."""
        return float(self.header["NOISEADU"]) * self._brightening

    @property
    def gain(self) -> float:
        """Electrons per ADU of the stack; infinite, as if without shot noise, where unknown."""
        gain = first_number(self.header, ("EGAIN",))
        if gain is None or gain < MIN_GAIN:
            return np.inf
        return gain / self._brightening

    @property
    def linear_below(self) -> float:
        """Light of which no frame is saturated [ADU of the stack]."""
        return LINEAR_SHARE * float(self.header["SATURATE"]) * self._brightening

    @property
    def _brightening(self) -> float:
        """What resampling multiplies a pixel's value by: the flux scale and the pixels' areas."""
        return self.flux_scale / self.transform.scale**2

    def fill(self, rows: tuple[int, int], out: NDArray[np.float32]) -> None:
        """Resample the frame to rows ``(first, after last)`` of the reference's grid."""
        first, last = source_rows(self.transform, rows)
        source = self.pixels.read_rows(first, last)
        resample(source, first, self.transform, rows, scale=self.flux_scale, out=out)


def run(
    alignment: Path,
    cleaned: dict[str, Path],
    stacks: dict[str, Path],
    *,
    sigma_clip: float,
    weights: str,
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
    weights : str
        "noise" weights frames by their inverse variance where values are averaged; "none" takes
        them all alike.
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
    _remove_outdated(stacks, everything="problem" in found)
    if "problem" in found:
        raise JobError(found["problem"])
    frames = _aligned_frames(found, cleaned)
    if "sigma_clip" in stacks and blindness(len(frames), sigma_clip):
        log.warning("%s", blindness(len(frames), sigma_clip))
    shape = frames[0].transform.reference_shape
    margin = NEIGHBOURHOOD if "noise_clip" in stacks else 0
    height = _band_height(frames, margin, list(stacks), stack_memory_mb, threads)
    reference = list(found["frames"]).index(found["reference"])
    header = _common_header(frames, frames[reference].header)
    header["NORMALIZ"] = (found["normalize"], "how frames were scaled to the reference")
    header["WEIGHTS"] = (weights, "weights of the frames in averages")
    noise = np.array([frame.noise for frame in frames])
    options: dict[str, Any] = {
        "sigma_clip": sigma_clip,
        "weights": noise**-2 if weights == "noise" else None,
        "noise": noise,
        "threads": threads,
    }
    if "noise_clip" in stacks:
        options["seeing"], options["gain"] = _measure_seeing(frames, noise, threads)
    coverage = np.empty(shape, np.int16)
    rejected = {mode: np.empty(shape, np.int16) for mode in stacks if mode in CLIP_MODES}
    with ExitStack() as files:
        writers = {}
        for mode, path in stacks.items():
            file = files.enter_context(atomic_write(path))
            writers[mode] = StackWriter(file, _mode_header(header, mode, sigma_clip), shape)
        rows_held = min(height + 2 * margin, shape[0])
        pixels = np.empty(len(frames) * rows_held * shape[1], np.float32)
        for start in range(0, shape[0], height):
            rows = (start, min(start + height, shape[0]))
            band = _combine_band(frames, rows, margin, pixels, list(stacks), options)
            for mode, writer in writers.items():
                writer.write_rows(band.images[mode])
            coverage[slice(*rows)] = band.coverage
            for mode, count in band.rejected.items():
                rejected[mode][slice(*rows)] = count
            log.info("Rows %d to %d of %d are stacked.", *rows, shape[0])
        for mode, writer in writers.items():
            counts = {"REJECTED": rejected[mode]} if mode in rejected else {}
            writer.finish({"COVERAGE": coverage, **counts})


def _remove_outdated(stacks: dict[str, Path], *, everything: bool) -> None:
    """Remove results of earlier runs that this one does not replace."""
    (folder,) = {path.parent for path in stacks.values()}
    for mode in MODES:
        if everything or mode not in stacks:
            (folder / f"stack_{mode}.fits").unlink(missing_ok=True)
    if everything:
        (folder / "preview.png").unlink(missing_ok=True)


def _aligned_frames(found: dict[str, Any], cleaned: dict[str, Path]) -> list[AlignedFrame]:
    """Frames in the order of the alignment, which is the natural order of their names."""
    reference_shape = PixelFile(cleaned[found["reference"]]).shape
    frames = []
    for name, entry in found["frames"].items():
        pixels = PixelFile(cleaned[name])
        transform = Transform.from_json(entry, pixels.shape, reference_shape)
        header = read_header(cleaned[name])
        frames.append(AlignedFrame(pixels, header, transform, entry["flux_scale"]))
    return frames


def _measure_seeing(
    frames: list[AlignedFrame], noise: NDArray[np.float64], threads: int
) -> tuple[Seeing | None, NDArray[np.float64]]:
    """Measure the frames' seeing, and gains that are unknown, in bands across the image."""
    ny, nx = frames[0].transform.reference_shape
    gain = np.array([frame.gain for frame in frames])
    linear_below = min(frame.linear_below for frame in frames)
    affordable = int(SEEING_BYTES / (4 * nx * len(frames))) - 2 * REACH
    height = min(max(1, min(SEEING_ROWS, affordable)) + 2 * REACH, ny)
    n_bands = max(1, min(SEEING_BANDS, ny // height))
    cube = np.empty((len(frames), height, nx), np.float32)
    bands = []
    for start in np.linspace(0, ny - height, n_bands).astype(int).tolist():
        _fill(frames, (start, start + height), cube, threads)
        light = find_centres(cube)
        bands.append(starlight(cube, *light, noise, linear_below, N_PIXELS // n_bands))
    pixels = Starlight(*(np.concatenate(part, axis=-1) for part in zip(*bands, strict=True)))
    seeing, gain = measure_seeing(pixels, noise, gain, linear_below)
    if seeing is None:
        log.info("Too few bright stars to measure the seeing: noise_clip is careful beside stars.")
    return seeing, gain


def _fill(
    frames: list[AlignedFrame], rows: tuple[int, int], cube: NDArray[np.float32], threads: int
) -> None:
    """Resample all frames to some rows of the reference."""
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(AlignedFrame.fill, frames, repeat(rows), cube))


def _combine_band(
    frames: list[AlignedFrame],
    rows: tuple[int, int],
    margin: int,
    pixels: NDArray[np.float32],
    modes: list[str],
    options: dict[str, Any],
) -> Combined:
    """Resample all frames to some rows of the reference and combine them.

    All bands use the same memory, `pixels`; `margin` more rows on either side serve the mode that
    looks at a pixel's neighbours.
    """
    first = max(rows[0] - margin, 0)
    ny, nx = frames[0].transform.reference_shape
    last = min(rows[1] + margin, ny)
    cube = pixels[: len(frames) * (last - first) * nx].reshape(len(frames), last - first, nx)
    _fill(frames, (first, last), cube, options["threads"])
    return combine(cube, modes, rows=(rows[0] - first, rows[1] - first), **options)


def _band_height(
    frames: list[AlignedFrame], margin: int, modes: list[str], memory_mb: int, threads: int
) -> int:
    """Rows to stack at a time.

    Few, so that their memory is used again and again; but no fewer than a single row takes from
    a turned frame, or most of what is read would be read twice; and what the memory allows.
    """
    ny, nx = frames[0].transform.reference_shape
    middle = (ny // 2, ny // 2 + 1)
    tallest = max(
        last - first for first, last in (source_rows(f.transform, middle) for f in frames)
    )
    counts = 1 + len(set(modes) & set(CLIP_MODES))
    free = memory_mb * 1_000_000 - 2 * counts * ny * nx
    affordable = free // (4 * nx * (len(frames) + 2 * threads + 2 * len(modes) + 3)) - 2 * margin
    return max(1, min(max(tallest, BAND_ROWS - 2 * margin), affordable))


def _common_header(frames: list[AlignedFrame], reference: "fits.Header") -> "fits.Header":
    """Cards that all stacks share: the reference's, and those that count the frames."""
    header = reference.copy(strip=True)
    for card in FRAME_CARDS:
        header.remove(card, ignore_missing=True)
    header["BUNIT"] = "adu"
    header["NCOMBINE"] = (len(frames), "frames combined")
    exposures = [exposure_time(frame.header) for frame in frames]
    own = exposure_time(reference)
    if own is not None:
        header["EXPTIME"] = (own, "[s] exposure of one frame")
    if None not in exposures:
        header["TOTEXP"] = (sum(filter(None, exposures)), "[s] exposure of all frames")
    begins = sorted(filter(None, (_begin(frame.header) for frame in frames)))
    ends = sorted(filter(None, (_end(frame.header) for frame in frames)))
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
    date = _date_of_begin(header)
    return None if date is None else _iso(date)


def _end(header: "fits.Header") -> str | None:
    """When a frame's exposure ended: as its header says, or its begin plus the exposure time."""
    date, end = _date_of_begin(header), _date(header.get("DATE-END"))
    exptime = exposure_time(header)
    if end is None and date is not None and exptime is not None:
        with suppress(OverflowError):
            end = date + timedelta(seconds=exptime)
    end = end or date
    return None if end is None else _iso(end)


def _date_of_begin(header: "fits.Header") -> datetime | None:
    date, time = str(header.get("DATE-OBS")), header.get("TIME-OBS")
    return _date(f"{date}T{time}" if "T" not in date and isinstance(time, str) else date)


def _date(value: object) -> datetime | None:
    try:
        date = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return date.astimezone(UTC).replace(tzinfo=None) if date.tzinfo else date


def _iso(date: datetime) -> str:
    return date.isoformat(timespec="milliseconds")


def _mode_header(header: "fits.Header", mode: str, sigma_clip: float) -> "fits.Header":
    """Add the cards of one mode."""
    header = header.copy()
    header["STACKMOD"] = (mode, "how pixels were combined")
    limits = {
        "sigma_clip": (sigma_clip, "[std] values further from the mean are dropped"),
        "winsorized": (WINSORIZED_SIGMA, "[winsorized std] limit from the median"),
        "noise_clip": (NOISE_CLIP_SIGMA, "[noise] limit from what is expected"),
    }
    if mode in limits:
        header["CLIPSIG"] = limits[mode]
    return header


if "snakemake" in globals():
    with job_log(snakemake):
        settings = snakemake.params.settings
        run(
            Path(snakemake.input.alignment),
            dict(zip(snakemake.params.frames, map(Path, snakemake.input.cleaned), strict=True)),
            dict(zip(settings["modes"], map(Path, snakemake.output.stacks), strict=True)),
            sigma_clip=settings["sigma_clip"],
            weights=settings["weights"],
            stack_memory_mb=snakemake.resources.stack_memory_mb,
            threads=snakemake.threads,
        )
