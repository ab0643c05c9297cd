"""The sky of each frame, from what frames do not share: light of nebulae is the same in all.

On the grid of the stack frames differ by their skies alone. So each frame's difference to what all
share is modelled by a smooth surface without any mask, and taken off; what is left is one surface,
the mean of all skies, which is modelled once, on the sky beside extended light, with the noise of
all frames together.
"""

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise, repeat
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.files.table_file import read_table, write_table
from scripts.lightstack.linear import least_squares
from scripts.lightstack.robust import MEDIAN_ERROR
from scripts.lightstack.sky.cells import Cells
from scripts.lightstack.sky.masks import grown
from scripts.lightstack.sky.model import fit_sky
from scripts.lightstack.sky.surface import HIGHEST_DEGREE, N_TERMS, SkyOfFrame, terms
from scripts.lightstack.stacking.aligned import AlignedFrame, weights_by_noise
from scripts.lightstack.stacking.odd_levels import (
    FEWEST_FRAMES,
    degree_of,
    odd_levels,
    surfaces,
)
from scripts.lightstack.stacking.sampling import fill_with_nearest

Floats = NDArray[np.float64]

BANDS, CELL_COLUMNS = 20, 64
"""Bands of rows that are looked at, and the width of the cells in them [pixels]; tuned, as what
follows without a reason: ``benchmarks/match_table.py``."""

ENOUGH = 2**19
"""Pixels of a frame that are looked at, in bands of `ROWS`: what twice as many gain shows in
sparse fields alone, and takes half as much time again (same benchmark)."""

OF_FILLED_IN = 2
"""So many times as many pixels, in bands so much higher, where half of each colour's or more are
filled in: those tell nothing of their own (``benchmarks/match_table.py --colours``)."""

ROWS = (6, 16)
"""Fewest and most rows of a band: in lower ones stars beside it would not be told from its sky."""

FEWEST_ROWS, MOST_BYTES = 2, 2**28
"""Bands of all frames that are looked at together take no more memory: of thousands of frames one
has fewer rows, and each frame's level less weight in what they share."""

LIGHT, AROUND = 3.0, 3
"""Pixels of the mean that are so much brighter than their cell are stars [noise of the mean], with
so many pixels around: beside two, wings of stars raise the sky by 0.02 to 0.04 electrons more."""

FILLED_IN = 1.3
"""Noise of a pixel whose colour was filled in, over that of one that measured it: if noise counted
as a star, its neighbours, which share it, would go with it, and the sky would be too low."""

FEWEST = 1 / 4
"""Share of a cell's pixels that must be no stars for the cell to have a level."""

ROUNDS = 200
"""Most rounds of the fit."""

AGAIN = 3
"""Most times that levels are looked at anew, as odd ones bend the surfaces of all."""

MOST_OF_IT = 90
"""Percentage of the cells in which a frame is no more unlike the others than it is said to be."""

log = logging.getLogger(__name__)


def match_skies(
    planes: Sequence[Sequence[AlignedFrame]], threads: int = 1
) -> list[list[SkyOfFrame | None]]:
    """Model the sky that each frame has left.

    Parameters
    ----------
    planes : sequence of sequences of AlignedFrame
        The frames, or red, green and blue of each, which are resampled together.
    threads : int
        How many threads to use; they change nothing but the time.

    Returns
    -------
    list of lists of SkyOfFrame or None
        Of each plane, those of its frames, over the grid of the stack [ADU of the stack]; None
        where there is nothing to fit it to.
    """
    return [
        _skies(plane, levels, cells)
        for plane, (levels, cells) in zip(planes, _levels(planes, threads), strict=True)
    ]


def _skies(
    frames: Sequence[AlignedFrame], levels: Floats, cells: Cells
) -> list[SkyOfFrame | None]:
    """Model what is left of the skies of a plane, from their levels (n, k) in cells."""
    shape = frames[0].transform.reference_shape
    noise = np.array([frame.noise for frame in frames])
    columns = terms(cells.x, cells.y, shape, HIGHEST_DEGREE)
    own, shared, odd = _differences_of_sky(levels, columns, noise)
    model = fit_sky(Cells(cells.grid, cells.x, cells.y, shared, cells.error), shape)
    if model is None:
        log.warning("The frames' skies cannot be matched: no part of the stack has sky.")
        return [None] * len(frames)
    mean = np.zeros(columns.shape[1])
    mean[: len(model.surface.coefficients)] = model.surface.coefficients
    size = np.sqrt((own**2).sum(axis=1)).max()
    log.info("Skies differ by %.3g ADU; their mean has degree %d.", size, model.surface.degree)
    return [
        SkyOfFrame(shape, coefficients + mean, rest)
        for coefficients, rest in zip(own, _unlike(levels, columns, own, odd), strict=True)
    ]


def _unlike(levels: Floats, columns: Floats, own: Floats, odd: NDArray[np.bool_]) -> list[float]:
    """Tell how far each frame's levels lie from those of most, all without their surfaces."""
    rest = levels - surfaces(columns, own)
    # Of two frames neither is the odd one.
    judged = np.isfinite(rest).sum(axis=0) >= min(FEWEST_FRAMES, len(rest))
    away = np.zeros_like(rest)
    away[:, judged] = np.abs(rest[:, judged] - np.nanmedian(rest[:, judged], axis=0))
    return [
        max(
            float(np.percentile(of_frame[used], MOST_OF_IT)) if used.any() else 0.0,
            float(of_frame[is_odd].max(initial=0)),
        )
        for of_frame, used, is_odd in zip(away, judged & np.isfinite(rest), odd, strict=True)
    ]


def write_skies(path: Path, planes: Sequence[Sequence[SkyOfFrame | None]]) -> None:
    """Write what `match_skies` found for the frames of each plane, as a FITS table."""
    skies = [sky for plane in planes for sky in plane]
    columns = [("SKY", ">f8", (N_TERMS[HIGHEST_DEGREE],)), ("UNLIKE", ">f8")]
    table = np.full(len(skies), np.nan, columns)
    for row, sky in zip(table, skies, strict=True):
        if sky is not None:
            row["SKY"], row["UNLIKE"] = sky.coefficients, sky.unlike
    write_table(path, table, {})


def read_skies(path: Path, shape: tuple[int, int], n_planes: int) -> list[list[SkyOfFrame | None]]:
    """Read what `write_skies` wrote of so many planes, over the grid of the stack."""
    return [
        [
            None
            if np.isnan(row["UNLIKE"])
            else SkyOfFrame(shape, row["SKY"], float(row["UNLIKE"]))
            for row in plane
        ]
        for plane in np.split(read_table(path), n_planes)
    ]


def _levels(planes: Sequence[Sequence[AlignedFrame]], threads: int) -> list[tuple[Floats, Cells]]:
    """Levels of all frames (n, k) in cells across the grid, NaN where a frame does not reach."""
    n, (ny, nx) = len(planes[0]), planes[0][0].transform.reference_shape
    noise = np.array([[frame.noise for frame in plane] for plane in planes])
    affordable = MOST_BYTES // (len(planes) * n * nx * np.dtype(np.float32).itemsize)
    more = OF_FILLED_IN if planes[0][0].is_filled_in else 1
    enough = min(max(more * ENOUGH // (BANDS * nx), ROWS[0]), more * ROWS[1])
    height = min(max(FEWEST_ROWS, affordable), enough, ny)
    starts = np.unique(np.linspace(0, ny - height, min(BANDS, ny // height)).astype(int)).tolist()
    n_columns = max(1, round(nx / CELL_COLUMNS))
    edges = np.linspace(0, nx, n_columns + 1).astype(int).tolist()
    limits = LIGHT * np.median(noise, axis=1) / np.sqrt(n)
    limits *= [FILLED_IN if plane[0].is_filled_in else 1.0 for plane in planes]
    at_a_time = max(1, affordable // height)
    of_bands: list[tuple[Floats, Floats]] = []
    for k in range(0, len(starts), at_a_time):
        some = [(start, start + height) for start in starts[k : k + at_a_time]]
        cubes = [np.empty((n, height * len(some), nx), np.float32) for _ in planes]
        fill_with_nearest(planes, some, cubes, threads)

        def levels_of(
            place_and_plane: tuple[int, int], cubes: Sequence[NDArray[np.float32]]
        ) -> tuple[Floats, Floats]:
            place, plane = place_and_plane
            rows = slice(place * height, (place + 1) * height)
            return _levels_of_band(cubes[plane][:, rows], edges, limits[plane])

        places = list(np.ndindex(len(some), len(planes)))
        with ThreadPoolExecutor(threads) as pool:
            of_bands += pool.map(levels_of, places, repeat(cubes))
    y, x = np.meshgrid(
        np.array(starts) + (height - 1) / 2,
        (np.array(edges[1:]) + np.array(edges[:-1]) - 1) / 2,
        indexing="ij",
    )
    found = []
    for k in range(len(planes)):
        levels, counts = zip(*of_bands[k :: len(planes)], strict=True)
        flat = np.concatenate(levels, axis=1)
        of_mean = np.sqrt(np.nansum(np.isfinite(flat) * noise[k][:, np.newaxis] ** 2, axis=0))
        error = MEDIAN_ERROR * of_mean / np.maximum(np.isfinite(flat).sum(axis=0), 1)
        error /= np.sqrt(np.concatenate(counts))
        nothing = np.full(x.size, np.nan)
        cells = Cells((len(starts), n_columns), x.ravel(), y.ravel(), nothing, error)
        found.append((flat, cells))
    return found


def _levels_of_band(
    cube: NDArray[np.float32], edges: Sequence[int], limit: float
) -> tuple[Floats, Floats]:
    """Levels (n, k) of frames in the cells of a band, and of how many pixels (k) they are."""
    levels = np.full((len(cube), len(edges) - 1), np.nan)
    counts = np.ones(len(edges) - 1)
    reached = np.isfinite(cube)
    number = reached.sum(axis=0)
    mean = np.where(reached, cube, np.float32(0)).sum(axis=0) / np.maximum(number, 1)
    for j, (left, right) in enumerate(pairwise(edges)):
        there = number[:, left:right] > 0
        if not there.any():
            continue
        light = mean[:, left:right]
        stars = there & (light > np.median(light[there]) + limit)
        for _ in range(AROUND):
            stars = grown(stars)
        dark = there & ~stars
        if dark.sum() < FEWEST * dark.size:
            continue
        # A mask would not leave the values of a frame side by side, which takes long to sort.
        of_cell = cube[:, :, left:right].reshape(len(cube), -1)
        values = np.compress(dark.ravel(), of_cell, axis=1)
        whole = np.isfinite(values).all(axis=1)
        levels[whole, j] = _medians(values[whole])
        counts[j] = dark.sum()
    return levels, counts


def _medians(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Medians (n,) of (n, m) values, which are reordered.

    `numpy.median` takes ten times as long, as it sorts for more than one place.
    """
    half = values.shape[1] // 2
    values.partition(half, axis=1)
    upper = values[:, half]
    if values.shape[1] % 2:
        return upper
    lower = values[:, :half].max(axis=1)
    return np.asarray((lower + upper) / np.float32(2))


def _differences_of_sky(
    levels: Floats, columns: Floats, noise: Floats
) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Part levels as `_differences` does, by those that are of the sky; tell which are not."""
    weights, odd = weights_by_noise(noise), np.zeros(levels.shape, bool)
    own, shared = _differences(levels, columns, weights)
    for _ in range(AGAIN):
        before, odd = odd, odd_levels(levels, columns, own, noise)
        if (odd == before).all():
            break
        log.info("%d levels are not of their frames' skies.", odd.sum())
        own, shared = _differences(np.where(odd, np.nan, levels), columns, weights)
    return own, shared, odd


def _differences(levels: Floats, columns: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Part levels into a surface of each frame, whose mean is zero, and what all share.

    By turns: what is shared is the mean of the frames without their surfaces, and the surface of a
    frame is fitted to what it has beside.
    """
    known = np.isfinite(levels)
    filled = np.where(known, levels, 0)
    weight = known * weights[:, np.newaxis]
    total = weight.sum(axis=0)
    own = np.zeros((len(levels), columns.shape[1]))
    degrees = [degree_of(int(of_frame.sum())) for of_frame in known]
    for _ in range(ROUNDS):
        without = filled - surfaces(columns, own)
        shared = (weight * without).sum(axis=0) / np.where(total > 0, total, 1)
        before = own.copy()
        for k, of_frame in enumerate(known):
            used = N_TERMS[degrees[k]]
            rest = (filled[k] - shared)[:, np.newaxis]
            own[k, :used] = least_squares(columns[:, :used], rest, of_frame.astype(float))[:, 0]
        own -= (weights[:, np.newaxis] * own).sum(axis=0) / weights.sum()
        if np.abs(own - before).max() < 1e-4 * max(1.0, float(np.abs(own).max())):
            break
    shared[total == 0] = np.nan
    return own, shared
