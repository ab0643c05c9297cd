"""Compare ways to make colour stacks of dithered Bayer frames.

Run it from the checkout (two minutes)::

    python -m benchmarks.colour_table [--fwhm 3.0 2.2] [--frames 20]

A field of stars of many colours is put through a mosaic, dithered, with noise. Against a stack of
frames that have every colour at every pixel (*mono*) are compared: the mean of the neighbours of a
colour (*bilinear*), the interpolation of `lightstack.colour.demosaicing` (*corrected*), and no
interpolation but the resampling: each place of the pattern is an image of half the size, resampled
to the stack's grid by itself (*own pixels*), or each pixel is dropped onto the grid as a square
(*drizzle*). All but the last are resampled as the workflow does it.

Told are, for red and green (blue is as red): the FWHM over the true one; the error of a star's
colour [%], the scatter of a star's flux over the mono stack's (2 and 1.41 are what the number of
the colour's pixels allows), and the power of the sky at the mosaic's frequencies over that of the
noise nearby.
"""

import argparse

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve
from scipy.optimize import least_squares

from scripts.lightstack.alignment.transform import Transform
from scripts.lightstack.colour.demosaicing import colour_of_mosaic
from scripts.lightstack.resampling.plane import resample
from scripts.lightstack.simulator import Light, star_profile

SHAPE = (400, 400)
PATTERN = "RGGB"
SITES = tuple(
    (row, column, "RGB".index(name))
    for (row, column), name in zip(np.ndindex(2, 2), PATTERN, strict=True)
)
NOISE = 5.0
FLUX = 20_000.0
CUT = 9
Image = NDArray[np.float64]


class Field:
    """Stars of random colours, and frames of them.

    Parameters
    ----------
    fwhm : float
        Of the stars [pixels].
    """

    def __init__(self, fwhm: float) -> None:
        self._rng = np.random.default_rng(3)
        x, y = np.meshgrid(np.arange(40, 370, 30), np.arange(40, 370, 30))
        places = np.column_stack([x.ravel(), y.ravel()]).astype(float)
        self.xy = places + self._rng.uniform(-0.5, 0.5, places.shape)
        self.flux = FLUX * self._rng.uniform(0.3, 1, (len(places), 3))
        self.fwhm = fwhm

    def expose(self, light: Light) -> Image:
        """Give an image (3, ny, nx) of all colours, with noise [ADU]."""
        matrix = light.matrix(SHAPE)
        xy = self.xy @ matrix[:2, :2].T + matrix[:2, 2]
        image = np.asarray(self._rng.normal(0, NOISE, (3, *SHAPE)))
        y, x = np.indices(SHAPE)
        for place, flux in zip(xy, self.flux, strict=True):
            left, top = np.maximum(np.round(place).astype(int) - 12, 0)
            near = np.s_[top : top + 25, left : left + 25]
            profile = star_profile(x[near] - place[0], y[near] - place[1], Light(fwhm=self.fwhm))
            image[(slice(None), *near)] += flux[:, None, None] * profile
        return image

    def light(self, number: int) -> Light:
        """Give the way in which a frame is displaced; the first is not."""
        shift = self._rng.uniform(-8, 8, 2) if number else (0.0, 0.0)
        return Light(shift=(shift[0], shift[1]))


def aligned(plane: NDArray[np.floating], matrix: Image, scale: float = 1.0) -> NDArray[np.float32]:
    """Resample a plane to the stack's grid."""
    out = np.empty(SHAPE, np.float32)
    transform = Transform(matrix, (plane.shape[0], plane.shape[1]), SHAPE)
    pixels = np.ascontiguousarray(plane, np.float32)
    resample(pixels, 0, transform, (0, SHAPE[0]), scale=scale, out=out)
    return out


def bilinear(mosaic: Image, colour: int) -> Image:
    """Give the mean of a colour's pixels among the neighbours of each."""
    own = np.zeros(SHAPE)
    for row, column, name in SITES:
        own[row::2, column::2] = name == colour
    kernel = np.outer([1, 2, 1], [1, 2, 1]).astype(float)
    found = convolve(mosaic * own, kernel) / convolve(own, kernel)
    return np.where(own > 0, mosaic, found)


def drop(mosaic: Image, matrix: Image, colour: int, sums: Image) -> None:
    """Add a colour's pixels as squares, and their weights, to ``sums`` (2, ny, nx)."""
    y, x = np.indices(SHAPE)
    own = np.zeros(SHAPE, bool)
    for row, column, name in SITES:
        own[row::2, column::2] = name == colour
    places = np.column_stack([x[own], y[own]]) @ matrix[:2, :2].T + matrix[:2, 2]
    corner = np.floor(places).astype(int)
    part = places - corner
    for dx, dy in np.ndindex(2, 2):
        weight = np.abs(1 - dx - part[:, 0]) * np.abs(1 - dy - part[:, 1])
        to = corner + np.array([dx, dy])
        inside = ((to >= 0) & (to < SHAPE[::-1])).all(axis=1)
        cells = (to[inside, 1], to[inside, 0])
        np.add.at(sums[0], cells, (weight * mosaic[own])[inside])
        np.add.at(sums[1], cells, weight[inside])


def stacks(field: Field, n_frames: int) -> dict[str, Image]:
    """Make the mean of the frames (3, ny, nx) in each way."""
    parts: dict[str, list[list[NDArray[np.float32]]]] = {
        way: [[], [], []] for way in ("mono", "bilinear", "corrected", "own pixels")
    }
    dropped = np.zeros((3, 2, *SHAPE))
    for number in range(n_frames):
        light = field.light(number)
        matrix = np.asarray(np.linalg.inv(light.matrix(SHAPE)), np.float64)
        image = field.expose(light)
        mosaic = np.empty(SHAPE)
        for row, column, colour in SITES:
            mosaic[row::2, column::2] = image[colour, row::2, column::2]
            site = np.array([[2, 0, column], [0, 2, row], [0, 0, 1.0]])
            plane = aligned(mosaic[row::2, column::2], matrix @ site, scale=4)
            parts["own pixels"][colour].append(plane)
        pixels = mosaic.astype(np.float32)
        for colour in range(3):
            made = colour_of_mosaic(pixels, (0, SHAPE[0]), SHAPE, PATTERN, colour)
            parts["mono"][colour].append(aligned(image[colour], matrix))
            parts["bilinear"][colour].append(aligned(bilinear(mosaic, colour), matrix))
            parts["corrected"][colour].append(aligned(made, matrix))
            drop(mosaic, matrix, colour, dropped[colour])
    means = {
        way: np.stack([np.mean(np.stack(planes), axis=0) for planes in colours])
        for way, colours in parts.items()
    }
    with np.errstate(invalid="ignore"):
        return {**means, "drizzle": dropped[:, 0] / dropped[:, 1]}


def measured(plane: Image, xy: Image, fwhm: float) -> tuple[float, float]:
    """Fit the FWHM [pixels] of a star, and sum its flux [ADU]."""
    left, top = np.round(xy).astype(int) - CUT
    cut = plane[top : top + 2 * CUT + 1, left : left + 2 * CUT + 1]
    y, x = np.indices(cut.shape)

    def misfit(found: Image) -> Image:
        profile = star_profile(x - found[1], y - found[2], Light(fwhm=abs(found[3])))
        return np.asarray((found[0] * profile - cut).ravel())

    start = [cut.sum(), xy[0] - left, xy[1] - top, fwhm]
    return abs(least_squares(misfit, start).x[3]), float(cut.sum())


def pattern_power(plane: Image) -> float:
    """Power at the mosaic's frequencies over that around them, in the strips between the stars."""
    strips = [plane[y : y + 12, 30:370] for y in range(49, 350, 30)]
    power = np.mean([np.abs(np.fft.fft2(strip - strip.mean())) ** 2 for strip in strips], axis=0)
    ny, nx = power.shape[0] // 2, power.shape[1] // 2
    found = [
        power[y, x] / np.median(power[y, x - 8 : x + 9] if x else power[y, 2:20])
        for y, x in ((ny, nx), (0, nx), (ny, 0))
    ]
    return float(max(found))


def main() -> None:
    """Print a table for each width of the stars."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fwhm", type=float, nargs="+", default=[3.0, 2.2])
    parser.add_argument("--frames", type=int, default=20)
    options = parser.parse_args()
    for fwhm in options.fwhm:
        field = Field(fwhm)
        print(f"\nFWHM {fwhm} px, {options.frames} frames")
        print("| way | FWHM R | G | colour [%] | scatter R | G | pattern R | G |")
        print("|---|---|---|---|---|---|---|---|")
        scatter = None
        for way, stack in stacks(field, options.frames).items():
            found = np.array([[measured(plane, xy, fwhm) for plane in stack] for xy in field.xy])
            width, flux = np.median(found[..., 0], axis=0) / fwhm, found[..., 1] / field.flux
            colour = 100 * np.std(flux[:, 0] / flux[:, 1])
            own = np.std(found[..., 1] - field.flux, axis=0)
            scatter = own if scatter is None else scatter
            ratio = own / scatter
            power = [pattern_power(plane) for plane in stack]
            print(
                f"| {way} | {width[0]:.3f} | {width[1]:.3f} | {colour:.2f} "
                f"| {ratio[0]:.2f} | {ratio[1]:.2f} | {power[0]:.2f} | {power[1]:.2f} |"
            )


if __name__ == "__main__":
    main()
