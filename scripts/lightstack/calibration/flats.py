"""Flats: how much of the light each pixel shows, as a share of what a typical one shows."""

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.calibration.median import median
from scripts.lightstack.calibration.starlight import has_stars
from scripts.lightstack.raw.image import UnusableFrameError
from scripts.lightstack.robust import MAD_TO_SIGMA

CLIPPED_FROM = 3.0
"""Values further from the median than this x the scatter of their flat are left out."""

MOST_SATURATED = 0.01
"""Share of saturated pixels from which a flat is overexposed: hot pixels and columns are fewer."""

LEAST_RESPONSE = 0.1
"""Share of a typical pixel's light below which nothing can be made of a pixel's: the corner beyond
a lens's circle, a post, a broken line."""

DEAD = 0.5
"""Share of its neighbours' light below which a pixel is dead: no dust on a window takes so much
from a single one."""


MOST_FROM_ONE = 0.5
"""How far from one the median of a flat in shares of the light may be: it or the mean is one."""

FEWEST_ABOVE_ONE = 0.1
"""Share of its pixels above one at least: half of them, but for vignetting. Numbers between 0 and
1 that stand for counts have none above."""

MOST_NOISE_OF_OVERSCAN = 0.6
"""Noise of an overscan, as a share of that of a flat, from which on light shines on it. A true one
has the read noise: in a simulated flat of 1,000 electrons, with as many as 20 of read noise, 0.53.
Parts of simulated flats of 3,000 ADU and more, up to corners with 0.3 of the light, have 0.61
and more."""


def is_in_shares(data: NDArray[np.float32]) -> bool:
    """Whether the numbers of a flat's file are shares of the typical pixel's light, and no counts.

    Parameters
    ----------
    data : (ny, nx) ndarray of float32
        Numbers as the file has them; NaN is no data.

    Returns
    -------
    bool
    """
    known = data[np.isfinite(data)]
    if not known.size or abs(float(np.median(known)) - 1) > MOST_FROM_ONE:
        return False
    return bool(np.count_nonzero(known > 1) >= FEWEST_ABOVE_ONE * known.size)


def check_overscan(noise: float) -> None:
    """Refuse a flat whose overscan has the noise of light: its level is not that of the dark.

    Parameters
    ----------
    noise : float
        `raw.image.RawImage.overscan_noise`.

    Raises
    ------
    UnusableFrameError
        If it has.

    Notes
    -----
    Charge that trails into an overscan and light that shines through to it from bright pixels are
    a few percent of the light at most, and add hardly any noise.
    """
    if noise > MOST_NOISE_OF_OVERSCAN:
        raise UnusableFrameError(
            f"its overscan has {noise:.0%} of the noise that its light has: light shines on it, "
            "or hardly any on the flat. Set overscan_section and trim_section to where overscan "
            "and data are, or to none."
        )


def check_light(data: NDArray[np.float32]) -> None:
    """Refuse a flat that is a light: in twilight, too, stars are no match for the sky.

    Parameters
    ----------
    data : (ny, nx) ndarray of float32
        Flat without bias [ADU]; NaN is no data.

    Raises
    ------
    UnusableFrameError
        If it has stars of half of its light and more.
    """
    known = data[np.isfinite(data)]
    if known.size and has_stars(data, float(np.median(known)) / 2):
        raise UnusableFrameError("it has stars, as a light: move it from the flats to the lights.")


def normalize(data: NDArray[np.float32], saturated: NDArray[np.bool_], bayer: str | None) -> None:
    """Scale a flat by its own median, in place: on a mosaic, each colour by its own.

    Parameters
    ----------
    data : (ny, nx) ndarray of float32
        Flat without bias [ADU]; afterwards shares of the typical pixel's light. NaN is no data;
        saturated pixels become so.
    saturated : (ny, nx) ndarray of bool
        Pixels that were saturated in the raw flat.
    bayer : str or None
        Colours of the first 2 x 2 pixels in rows, such as RGGB, for a mosaic.

    Raises
    ------
    UnusableFrameError
        If the flat is overexposed, or there is no light in it.
    """
    share = np.count_nonzero(saturated) / saturated.size
    if share > MOST_SATURATED:
        raise UnusableFrameError(f"{share:.0%} of its pixels are saturated.")
    data[saturated] = np.nan
    for cells in _colours(data, bayer):
        values = np.concatenate([cell[np.isfinite(cell)] for cell in cells])
        typical = np.float32(np.median(values)) if values.size else np.float32(0)
        if not typical > 0:
            raise UnusableFrameError("there is no light in it beyond its dark or bias.")
        for cell in cells:
            np.divide(cell, typical, out=cell)


def _colours(data: NDArray[np.float32], bayer: str | None) -> list[list[NDArray[np.float32]]]:
    """Give views of an image's pixels of each colour."""
    if bayer is None:
        return [[data]]
    cells = {
        colour: [
            data[place // 2 :: 2, place % 2 :: 2] for place in range(4) if bayer[place] == colour
        ]
        for colour in sorted(set(bayer))
    }
    return list(cells.values())


def clipped_mean(cube: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean of each pixel's values without those that stand out, such as a star in a twilight flat.

    Parameters
    ----------
    cube : (n, ny, nx) ndarray of float32, C-contiguous
        Normalized flats; NaN is no data.

    Returns
    -------
    (ny, nx) ndarray of float32
        The median where no value is close to it; NaN where no flat has data.

    Notes
    -----
    The scatter of a flat is that of a whole row of it about the median of all: few flats tell
    nothing reliable of the scatter of a single pixel. A mean of n flats has 0.8 of the noise of
    their median, which each calibrated frame would inherit.
    """
    middle = median(cube)
    image = np.empty_like(middle)
    for y, centre in enumerate(middle):
        rows = cube[:, y].astype(np.float64)
        apart = np.abs(rows - centre)
        scatter = MAD_TO_SIGMA * _median_of_rows(apart)
        kept = apart <= CLIPPED_FROM * scatter
        count = np.count_nonzero(kept, axis=0)
        total = np.where(kept, rows, 0.0).sum(axis=0)
        image[y] = np.where(count > 0, total / np.maximum(count, 1), centre)
    return image


def _median_of_rows(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Median (n, 1) of each row's values (n, nx) that are numbers; 0 if none is."""
    medians = [np.median(some) if (some := row[np.isfinite(row)]).size else 0.0 for row in values]
    return np.array(medians)[:, np.newaxis]


def guard(flat: NDArray[np.float32], bayer: str | None) -> None:
    """Let a master flat have no data, in place, where its pixels do not show the light.

    Parameters
    ----------
    flat : (ny, nx) ndarray of float32
        Shares of the typical pixel's light.
    bayer : str or None
        As for `normalize`.

    Notes
    -----
    Dead is a pixel with less than `DEAD` of the median of the 5 x 5 pixels about it, of its own
    colour; so a shadow of dust is none. What has less than `LEAST_RESPONSE` is no sensor that sees
    the sky: dividing by it would make up light, or its absence.
    """
    from scipy.ndimage import median_filter

    step = 1 if bayer is None else 2
    flat[~(flat >= LEAST_RESPONSE)] = np.nan
    for row in range(step):
        for column in range(step):
            cell = flat[row::step, column::step]
            seen = np.where(np.isnan(cell), np.float32(0), cell)
            around = median_filter(seen, 5, mode="nearest")
            cell[seen < DEAD * around] = np.nan
