"""The files of a stack: one per mode, and the thumbnails of all."""

import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

import numpy as np

from scripts.lightstack.files.alignment_file import problem_of
from scripts.lightstack.files.atomic import atomic_write
from scripts.lightstack.files.colour_file import COLOURS, colour_card
from scripts.lightstack.files.frame_file import write_failure
from scripts.lightstack.files.kept_stacks import keep, set_aside
from scripts.lightstack.files.records import read_json
from scripts.lightstack.files.stack_file import (
    Extension,
    SpooledImage,
    StackWriter,
    count_extension,
    image_extension,
    table_extension,
)
from scripts.lightstack.job import JobError
from scripts.lightstack.raw.image import UnusableFrameError
from scripts.lightstack.stacking.bands import Band
from scripts.lightstack.stacking.combining import Combined, count_type
from scripts.lightstack.stacking.dark_limit import limited_by_darks
from scripts.lightstack.stacking.header import table_of_frames
from scripts.lightstack.stacking.modes import (
    AVERAGES,
    CLIP_MODES,
    WITH_ERROR,
    WITH_PSF,
    Measured,
    own_psf,
)
from scripts.lightstack.stacking.rejection import blindness
from scripts.lightstack.stacking.stacked import Stacked
from scripts.lightstack.stacking.thumbnails import COVERAGE, Thumbnail, write_thumbnails

if TYPE_CHECKING:
    from astropy.io import fits

OF_ERRORS = {"BUNIT": "adu", "UTYPE": "StdDevUncertainty"}
"""Cards by which `astropy.nddata.CCDData` knows standard errors."""

log = logging.getLogger(__name__)


def make_stacks(
    measured_of: Callable[[Stacked], Sequence[Measured]],
    bands_of: Callable[[Stacked, Sequence[Measured]], Iterable[Band]],
    alignment: Path,
    cleaned: dict[str, Path],
    stacks: dict[str, Path],
    thumbnails: Path,
    *,
    group: str,
    members: list[str],
    threads: int,
    **how: Any,
) -> None:
    """Write one FITS file per mode.

    Parameters
    ----------
    measured_of : callable
        Gives what `measuring.measure` has found of each plane of what is stacked.
    bands_of : callable
        Gives, with that, the bands of what is stacked, from the first row on; if there are
        several planes, their rows are counted on from one to the next.
    alignment : Path
        What `align_frames` wrote.
    cleaned : dict of str to Path
        What `subtract_background` or, for colours, `clean_colours` wrote, by frame: those of the
        group, and the reference.
    stacks : dict of str to Path
        The file to write for each mode: the stack on the reference's grid [ADU], ``COVERAGE``,
        ``REJECTED`` where values were clipped, ``UNCERT`` where standard errors are wanted and
        known, and the table ``FRAMES``.
    thumbnails : Path
        The file to write for the preview. The last good stacks are kept in its folder. If a group
        cannot be stacked, it says why, and there are no stacks.
    group : str
        Name of the group; empty where frames are not grouped.
    members : list of str
        Frames of the group.
    threads : int
        How many threads to use; they change nothing but the time.
    **how
        As in `Stacked.of`.

    Raises
    ------
    JobError
        If fewer than two frames are aligned, and there is no other group. The stacks of the run
        before are then found in a folder of their own: see `files.kept_stacks`.
    """
    (results,) = {path.parent for path in stacks.values()}
    set_aside(thumbnails.parent, results)
    found = read_json(alignment)
    if problem := problem_of(found, group):
        if not group:
            raise JobError(problem)
        log.warning("No stacks: %s", problem)
        write_failure(thumbnails, UnusableFrameError(problem), {})
        return
    stacked = Stacked.of(found, cleaned, members, threads=threads, **how)
    if "sigma_clip" in stacks and (blind := blindness(stacked.sigma_clip, len(stacked.frames))):
        log.warning("%s", blind)
    measured = measured_of(stacked)
    headers = stacked.headers(stacks, measured)
    for told in {limited_by_darks(headers[mode]) for mode in stacks if mode in AVERAGES} - {""}:
        log.warning("%s", told)
    bands = bands_of(stacked, measured)
    _write(stacked, headers, bands, stacks, thumbnails, threads)
    keep(stacks.values(), thumbnails.parent)


def _write(
    stacked: Stacked,
    headers: "dict[str, fits.Header]",
    bands: Iterable[Band],
    stacks: dict[str, Path],
    thumbnails: Path,
    threads: int,
) -> None:
    """Write the stacks, a file in a thread, while their bands are made; shrink them."""
    with ExitStack() as files:
        writers, errors = {}, {}
        for mode, path in stacks.items():
            file = files.enter_context(atomic_write(path))
            writers[mode] = StackWriter(file, headers[mode], stacked.shape)
            if stacked.uncertainty and mode in WITH_ERROR:
                spool = files.enter_context(TemporaryFile(dir=path.parent))
                errors[mode] = SpooledImage(spool, "UNCERT", stacked.shape, OF_ERRORS)
        products = _Products(stacked, headers, writers, errors)
        pool = files.enter_context(ThreadPoolExecutor(threads))
        written: list[Future[None]] = []
        for rows, band in bands:  # while one is made, the one before is written
            for done in written:
                done.result()
            written = [pool.submit(products.write, mode, band, rows[0]) for mode in band.images]
            written.append(pool.submit(products.count, band, rows))
        for done in written:
            done.result()
        counts, tables = products.coverage_extension(), products.tables()
        list(pool.map(lambda mode: products.finish(mode, counts, tables), stacks))
    write_thumbnails(thumbnails, products.small, headers[""])


class _Products:
    """The files of a stack while they are written; modes are written side by side.

    Parameters
    ----------
    stacked : Stacked
        What is stacked.
    headers : dict of str to astropy.io.fits.Header
        Cards of each mode.
    writers : dict of str to StackWriter
        Of the file of each mode.
    errors : dict of str to SpooledImage
        Where the standard errors of a mode are kept until its image is written.
    """

    def __init__(
        self,
        stacked: Stacked,
        headers: "dict[str, fits.Header]",
        writers: dict[str, StackWriter],
        errors: dict[str, SpooledImage],
    ) -> None:
        shape, counts_as = stacked.shape, count_type(len(stacked.frames))
        self._stacked, self._headers = stacked, headers
        self._writers, self._errors = writers, errors
        self._coverage = np.empty((stacked.n_rows, shape[-1]), counts_as)
        self._rejected = {
            mode: np.empty_like(self._coverage) for mode in CLIP_MODES if mode in writers
        }
        self._middles = {mode: own_psf().Middle(shape) for mode in writers if mode in WITH_PSF}
        self.small = {mode: Thumbnail(shape) for mode in (*writers, COVERAGE)}

    def write(self, mode: str, band: Combined, first: int) -> None:
        """Write the rows of a mode, from the first one on."""
        image = band.images[mode]
        self._writers[mode].write_rows(image, first)
        self.small[mode].add(image, first)
        if mode in self._middles:
            self._middles[mode].add(image, first)
        if mode in self._errors:
            self._errors[mode].write_rows(band.errors[mode], first)

    def count(self, band: Combined, rows: tuple[int, int]) -> None:
        """Keep how many frames have data in these rows, and how many were left out."""
        self._coverage[slice(*rows)] = band.coverage
        self.small[COVERAGE].add(band.coverage.astype(np.float32), rows[0])
        for mode, number in band.rejected.items():
            self._rejected[mode][slice(*rows)] = number

    def coverage_extension(self) -> Extension:
        """Make the image HDU of counts, which all files have."""
        return count_extension("COVERAGE", self._coverage.reshape(self._stacked.shape))

    def tables(self) -> dict[str, Extension]:
        """Make the table HDU of the frames, by what weights them."""
        modes = {self._weighted_by(mode): mode for mode in self._writers}
        return {
            by: table_extension(
                "FRAMES", table_of_frames(self._stacked.of_planes(mode), weighted=by != "")
            )
            for by, mode in modes.items()
        }

    def _weighted_by(self, mode: str) -> str:
        return self._stacked.weighted_by(mode) if mode in AVERAGES else ""

    def finish(self, mode: str, counts: Extension, tables: dict[str, Extension]) -> None:
        """Write what follows a mode's image."""
        extensions = [counts]
        if mode in self._rejected:
            rejected = self._rejected[mode].reshape(self._stacked.shape)
            extensions.append(count_extension("REJECTED", rejected))
        if mode in self._errors:
            extensions.append(self._errors[mode].extension())
        if mode in self._middles:
            extensions += _of_stars(self._headers[mode], self._middles[mode])
        self._writers[mode].finish([*extensions, tables[self._weighted_by(mode)]])


def _of_stars(header: "fits.Header", middle: Any) -> list[Extension]:
    """Make an image HDU of what the stars of a stack look like, if there are enough."""
    colours = COLOURS if len(middle.planes) > 1 else [""]
    measured = [
        own_psf().measure_psf(
            image,
            header[colour_card("NOISEADU", colour)],
            header[colour_card("SATURATE", colour)],
        )
        for image, colour in zip(middle.planes, colours, strict=True)
    ]
    n_stars = min(psf.n_stars for psf in measured)
    if n_stars == 0:
        log.warning(
            "Too few stars stand alone in the stack %r to tell its point-spread function: it has "
            "no extension PSF.",
            header["STACKMOD"],
        )
        return []
    images = np.array([psf.image for psf in measured])
    image = images if len(images) > 1 else images[0]
    return [image_extension("PSF", image, [("NSTARS", n_stars, "stars that were averaged")])]
