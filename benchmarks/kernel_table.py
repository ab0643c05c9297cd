"""Measure kernels for resampling: sharpness, rings, fluxes and noise.

Run it from the checkout (a minute)::

    python -m benchmarks.kernel_table

It prints the tables of `docs/methods.md`. Stars are Gaussians averaged over each pixel's area, of
peak 1 and without noise, at random places; all shifts are by parts of a pixel in x and y.

peak kept
    Highest pixel of the result over that of a star sampled there: a star in the middle of a pixel,
    shifted by half a pixel; mean of random places and shifts; a star between four pixels, shifted
    by half a pixel.
dip
    Lowest value of the result [% of the star's peak], for a star of FWHM 2 pixels and for one that
    saturation cuts at 1/30 of its peak.
flux error
    Root mean square and greatest error of the total flux of a star of FWHM 2 pixels [%].
variance
    That of white noise of one after a shift by half a pixel, and over all shifts.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.star_kernel import star
from scripts.lightstack.alignment.transform import Transform
from scripts.lightstack.resampling.kernel import WEIGHTS
from scripts.lightstack.resampling.plane import resample

Floats = NDArray[np.float64]
Kernel = Callable[[Floats], Floats]
"""(m, SIZE) weights of the pixels of a line for m positions on it."""
Warp = Callable[[Floats, Transform], Floats]

SIZE = 64
GRID = np.arange(SIZE, dtype=float)
TRIALS = 400


def by_distance(profile: Kernel, radius: int, *, slope: bool = False) -> Kernel:
    """Kernel whose weights depend on the distance alone, scaled to a sum of one.

    With `slope`, the inner four are shifted such that their centre of mass is the position.
    """

    def kernel(position: Floats) -> Floats:
        distance = GRID - position[:, np.newaxis]
        weights = np.where(np.abs(distance) < radius, profile(distance), 0)
        total = weights.sum(axis=1, keepdims=True)
        weights /= np.where(total, total, 1)  # it is 0 beyond the line
        if slope:
            offset = (weights * distance).sum(axis=1, keepdims=True)
            inner = np.abs(distance + 1e-9) < 2
            weights -= inner * np.sign(distance - 1e-9) * offset / 4
        return weights

    return kernel


def lanczos(radius: int, *, slope: bool = False) -> Kernel:
    """Windowed sinc (Duchon 1979, J. Appl. Meteor. 18, 1016)."""
    return by_distance(lambda d: np.sinc(d) * np.sinc(d / radius), radius, slope=slope)


def cubic(distance: Floats) -> Floats:
    """Convolution with a = -0.5 (Keys 1981, IEEE Trans. ASSP 29, 1153)."""
    d = np.abs(distance)
    near, far = 1 - 2.5 * d**2 + 1.5 * d**3, 2 - 4 * d + 2.5 * d**2 - 0.5 * d**3
    return np.asarray(np.where(d < 1, near, far), np.float64)


def spline(position: Floats) -> Floats:
    """Cubic spline through all pixels of the line."""
    lines = [ndimage.map_coordinates(line, [position], order=3) for line in np.eye(SIZE)]
    return np.stack(lines, axis=1)


def fitted(position: Floats) -> Floats:
    """Weights of the kernel in use."""
    steps = np.rint(position * len(WEIGHTS)).astype(int)
    weights = np.zeros((len(position), SIZE + 8))
    for row, (pixel, phase) in enumerate(zip(*np.divmod(steps, len(WEIGHTS)), strict=True)):
        if -2 <= pixel <= SIZE:
            weights[row, pixel + 2 : pixel + 8] = WEIGHTS[phase]
    return weights[:, 4 : SIZE + 4]


def plain(kernel: Kernel) -> Warp:
    """Resample by a kernel alone, along both axes in turn; no rotation."""

    def warp(image: Floats, transform: Transform) -> Floats:
        x, y = (transform.backward(np.stack([GRID, GRID], axis=1))[:, axis] for axis in range(2))
        result: Floats = kernel(y) @ image @ kernel(x).T / transform.scale**2
        return result

    return warp


def in_use(image: Floats, transform: Transform) -> Floats:
    """Resample as the stack does, clamp included."""
    result = resample(image.astype(np.float32), 0, transform, (0, SIZE))
    return np.where(np.isnan(result), 0, result).astype(float)


WARPS: dict[str, Warp] = {
    "bilinear": plain(by_distance(lambda d: 1 - np.abs(d), 1)),
    "cubic, 4 x 4 (a = -0.5)": plain(by_distance(cubic, 2)),
    "cubic spline, prefiltered": plain(spline),
    "Lanczos-3": plain(lanczos(3)),
    "Lanczos-3 with slope": plain(lanczos(3, slope=True)),
    "Lanczos-4 with slope": plain(lanczos(4, slope=True)),
    "Lanczos-5 with slope": plain(lanczos(5, slope=True)),
    "fitted to stars": plain(fitted),
    "**the same, clamped (used)**": in_use,
}


def similarity(x: float, y: float, scale: float = 1.0, degrees: float = 0.0) -> Transform:
    """Shift, and a change of scale or turn about the image's middle."""
    turn = np.radians(degrees)
    matrix = np.eye(3)
    matrix[:2, :2] = (
        np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) / scale
    )
    matrix[:2, 2] = 30 - matrix[:2, :2] @ (30 + np.array([x, y]))
    return Transform(matrix, (SIZE, SIZE), (SIZE, SIZE))


def image(x: float, y: float, fwhm: float) -> Floats:
    """Draw a star."""
    return np.outer(star(GRID - y, fwhm), star(GRID - x, fwhm))


def peak_kept(warp: Warp, fwhm: float) -> str:
    """Write the three ratios of peaks."""
    rng = np.random.default_rng(1)
    places = [np.array([30, 30, 0.5, 0.5]), np.array([30.5, 30.5, 0.5, 0.5])]
    places += list(np.hstack([30 + rng.random((TRIALS, 2)), rng.random((TRIALS, 2))]))
    kept = [
        warp(image(x, y, fwhm), similarity(dx, dy)).max() / image(x - dx, y - dy, fwhm).max()
        for x, y, dx, dy in places
    ]
    return f"{kept[0]:.3f} / {np.mean(kept[2:]):.3f} / {kept[1]:.3f}"


def dip(warp: Warp, cut: float) -> str:
    """Write the depth of the deepest ring [%]."""
    rng = np.random.default_rng(2)
    lowest = 0.0
    for x, y, dx, dy in rng.random((TRIALS, 4)):
        star_image = np.minimum(cut * image(30 + x, 30 + y, 2), 1)
        inside = warp(star_image, similarity(dx, dy))[8:-8, 8:-8]
        lowest = min(lowest, inside.min() / star_image.max())
    return f"{abs(100 * lowest):.2f}"


def flux_error(warp: Warp, scale: float, degrees: float = 0.0) -> str:
    """Write the root mean square and the greatest error of the flux [%]."""
    rng = np.random.default_rng(3)
    errors = []
    for x, y, dx, dy in rng.random((TRIALS, 4)):
        star_image = image(30 + x, 30 + y, 2)
        result = warp(star_image, similarity(dx, dy, scale, degrees))
        errors.append(100 * (result.sum() / star_image.sum() - 1))
    return f"{np.sqrt(np.mean(np.square(errors))):.3f} / {np.abs(errors).max():.2f}"


def variances(warp: Warp) -> str:
    """Write the variances of resampled noise, as two cells."""
    rng = np.random.default_rng(4)
    shifts = [(0.5, 0.5)] * 50 + list(rng.random((300, 2)))
    found = [
        warp(rng.normal(size=(SIZE, SIZE)), similarity(*at))[8:-8, 8:-8].var() for at in shifts
    ]
    return f"{np.mean(found[:50]):.2f} | {np.mean(found[50:]):.2f}"


def main() -> None:
    """Print the tables."""
    for name, warp in WARPS.items():
        cells = [peak_kept(warp, 2), peak_kept(warp, 3), dip(warp, 1), dip(warp, 30)]
        cells += [flux_error(warp, scale) for scale in (1, 1.01, 1.05)]
        print(f"| {name} | " + " | ".join(cells) + f" | {variances(warp)} |", flush=True)
    print("Flux error for turns by 1, 10 and 45 degrees, as used:")
    print(", ".join(flux_error(in_use, 1, degrees) for degrees in (1, 10, 45)))


if __name__ == "__main__":
    main()
