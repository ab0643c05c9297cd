"""A simulated night with known truth: raw lights and darks for the demonstration and the tests.

``python -m scripts.lightstack.simulator FOLDER`` writes the demonstration's night.
"""

import argparse
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

MOFFAT_BETA = 4.765
"""Wings of a seeing disc under Kolmogorov turbulence (Trujillo et al. 2001, MNRAS 328, 977)."""

EXPTIME_S = 60.0
FLAT_EXPTIME_S = 2.0
FLAT_ADU = 25_000.0
BIAS_ADU = 300.0
READ_NOISE_ADU = 6.0
GAIN_E_PER_ADU = 1.5
TEMPERATURE_C = -10.0
FULL_SCALE_ADU = 65535
SKY_COLOURS = (0.6, 1.0, 0.5)


@dataclass(frozen=True)
class Sky:
    """Stars on the sky.

    Parameters
    ----------
    xy : (n, 2) ndarray of float64
        Positions [pixels] on an untouched frame: no dither, no rotation.
    flux : (n,) ndarray of float64
        [ADU in one exposure through a clear sky]
    colours : (n, 3) ndarray of float64, optional
        What of the flux each star has in red, green and blue; all of it if not given.
    """

    xy: NDArray[np.float64]
    flux: NDArray[np.float64]
    colours: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Camera:
    """A sensor and its flaws.

    Parameters
    ----------
    shape : (int, int)
        ``(ny, nx)`` [pixels].
    dark : (ny, nx) ndarray of float32
        Dark signal of one exposure, hot pixels included, without the bias [ADU].
    response : (ny, nx) ndarray of float32, optional
        Share of the light that each pixel shows, as of `make_response`; all of it if not given.
    pattern : str, optional
        Colours of the first 2 x 2 pixels in rows, such as RGGB; grey if not given.
    """

    shape: tuple[int, int]
    dark: NDArray[np.float32]
    response: NDArray[np.float32] | None = None
    pattern: str | None = None

    def seen(self, light: NDArray[np.float32]) -> NDArray[np.float32]:
        """Weaken light (ny, nx) as the optics and the pixels do [ADU]."""
        return light if self.response is None else light * self.response


@dataclass(frozen=True)
class Light:
    """How one light frame is taken.

    Parameters
    ----------
    shift : (float, float)
        Dither [pixels]: a star at the centre appears that far (x, y) from it.
    rotation_deg : float
        Rotation about the centre of the frame, from x towards y [degrees].
    fwhm : float
        Of the stars along their shorter axis [pixels].
    ellipticity, theta : float
        1 - b/a of the stars, and the angle of the longer axis from x towards y [radians].
    trail_px : float
        Length of the streak that bad guiding makes of each star, along x [pixels].
    transparency : float
        Share of the starlight that comes through.
    colours : (float, float, float)
        Share of red, green and blue starlight that comes through, beside the transparency.
    sky_adu : float
        Level of the sky [ADU]; of colours, in green.
    satellite : bool
        Whether a satellite crosses the frame.
    cosmic_rays : int
        How many there are.
    """

    shift: tuple[float, float] = (0.0, 0.0)
    rotation_deg: float = 0.0
    fwhm: float = 3.0
    ellipticity: float = 0.0
    theta: float = 0.0
    trail_px: float = 0.0
    transparency: float = 1.0
    colours: tuple[float, float, float] = (1.0, 1.0, 1.0)
    sky_adu: float = 800.0
    satellite: bool = False
    cosmic_rays: int = 0

    def matrix(self, shape: tuple[int, int]) -> NDArray[np.float64]:
        """(3, 3) matrix that maps ``(x, y, 1)`` of the sky to this frame [pixels]."""
        centre_x, centre_y = (shape[1] - 1) / 2, (shape[0] - 1) / 2
        angle = np.radians(self.rotation_deg)
        cos, sin = np.cos(angle), np.sin(angle)
        x, y = self.shift
        return np.array(
            [
                [cos, -sin, centre_x + x - cos * centre_x + sin * centre_y],
                [sin, cos, centre_y + y - sin * centre_x - cos * centre_y],
                [0, 0, 1],
            ]
        )


@dataclass(frozen=True)
class Night:
    """All that a simulated night is made of: the truth that results are compared with."""

    sky: Sky
    camera: Camera
    lights: dict[str, Light]
    n_darks: int = 5
    n_bias: int = 0
    n_flats: int = 0
    dark_exptime_s: float = EXPTIME_S
    seed: int = 1
    bad: dict[str, str] = field(default_factory=dict)

    def transform(self, frame: str, reference: str) -> NDArray[np.float64]:
        """Return the true (3, 3) matrix from a frame to another [pixels]."""
        shape = self.camera.shape
        to_sky = np.linalg.inv(self.lights[frame].matrix(shape))
        matrix: NDArray[np.float64] = self.lights[reference].matrix(shape) @ to_sky
        return matrix


def make_sky(rng: Generator, shape: tuple[int, int], n_stars: int, margin: int = 100) -> Sky:
    """Scatter stars over a frame and a margin around it; faint ones are more frequent.

    Parameters
    ----------
    rng : numpy.random.Generator
    shape : (int, int)
        ``(ny, nx)`` of a frame [pixels].
    n_stars : int
        Stars on the area of one frame.
    margin : int
        [pixels]

    Returns
    -------
    Sky
    """
    ny, nx = shape
    count = round(n_stars * (ny + 2 * margin) * (nx + 2 * margin) / (ny * nx))
    xy = rng.uniform((-margin, -margin), (nx + margin, ny + margin), (count, 2))
    flux = np.minimum(3000 * (1 - rng.random(count)) ** (-1 / 0.9), 1.5e6)
    return Sky(xy, flux)


def make_camera(rng: Generator, shape: tuple[int, int], hot_share: float = 5e-4) -> Camera:
    """Make a sensor with dark current and hot pixels.

    Parameters
    ----------
    rng : numpy.random.Generator
    shape : (int, int)
        ``(ny, nx)`` [pixels].
    hot_share : float
        Share of the pixels that are hot.

    Returns
    -------
    Camera
    """
    dark = np.full(shape, 20, np.float32)
    hot = rng.random(shape) < hot_share
    dark[hot] += rng.exponential(3000, np.count_nonzero(hot)).astype(np.float32)
    return Camera(shape, dark)


def make_response(
    rng: Generator,
    shape: tuple[int, int],
    *,
    corner: float = 0.5,
    n_dust: int = 5,
    n_dead: int = 10,
    bad_columns: tuple[int, ...] = (),
) -> NDArray[np.float32]:
    """Make what optics and sensor leave of the light: vignetting, dust, unequal and dead pixels.

    Parameters
    ----------
    rng : numpy.random.Generator
    shape : (int, int)
        ``(ny, nx)`` [pixels].
    corner : float
        Share of the light in the corners.
    n_dust, n_dead : int
        Rings of dust that take up to a tenth of the light, and pixels that show a twentieth.
    bad_columns : tuple of int
        Columns that show a third.

    Returns
    -------
    (ny, nx) ndarray of float32
    """
    ny, nx = shape
    y, x = np.mgrid[:ny, :nx].astype(np.float32)
    radius = np.hypot(x - (nx - 1) / 2, y - (ny - 1) / 2) / np.hypot(nx / 2, ny / 2)
    response = 1 - np.float32(1 - corner) * radius**2
    for _ in range(n_dust):
        size = min(shape) / 15
        away = np.hypot(x - rng.uniform(0, nx), y - rng.uniform(0, ny)) / size
        response *= 1 - np.float32(rng.uniform(0.04, 0.1)) * np.exp(-(((away - 1) / 0.3) ** 2))
    response *= rng.normal(1, 0.01, shape).astype(np.float32)
    response[rng.integers(0, ny, n_dead), rng.integers(0, nx, n_dead)] *= np.float32(0.05)
    response[:, list(bad_columns)] *= np.float32(0.3)
    made: NDArray[np.float32] = response.astype(np.float32)
    return made


def render_light(rng: Generator, sky: Sky, camera: Camera, light: Light) -> NDArray[np.uint16]:
    """Expose one light frame.

    Parameters
    ----------
    rng : numpy.random.Generator
        For the noise and the cosmic rays.
    sky, camera, light
        What is seen, by what, and how.

    Returns
    -------
    (ny, nx) ndarray of uint16
        [ADU]
    """
    signal = _starlight(sky.flux, light.sky_adu, sky, camera, light)
    for k, colour in enumerate(camera.pattern or ""):
        number = "RGB".index(colour)
        flux = sky.flux if sky.colours is None else sky.flux * sky.colours[:, number]
        level = light.sky_adu * SKY_COLOURS[number]
        plane = _starlight(flux * light.colours[number], level, sky, camera, light)
        signal[k // 2 :: 2, k % 2 :: 2] = plane[k // 2 :: 2, k % 2 :: 2]
    if light.satellite:
        add_satellite(rng, signal)
    image = _read_out(rng, camera.seen(signal) + camera.dark)
    for _ in range(light.cosmic_rays):
        add_cosmic_ray(rng, image)
    return digitize(image)


def _starlight(
    flux: NDArray[np.float64], level: float, sky: Sky, camera: Camera, light: Light
) -> NDArray[np.float32]:
    """Light (ny, nx) of the stars, with these fluxes, and of the sky [ADU]."""
    signal = np.full(camera.shape, level, np.float32)
    matrix = light.matrix(camera.shape)
    for (x, y), each in zip(sky.xy @ matrix[:2, :2].T + matrix[:2, 2], flux, strict=True):
        add_star(signal, x, y, each * light.transparency, light)
    return signal


def render_dark(
    rng: Generator, camera: Camera, exptime_s: float = EXPTIME_S
) -> NDArray[np.uint16]:
    """Expose one dark frame for so long [s]: (ny, nx) [ADU]."""
    return digitize(_read_out(rng, camera.dark * np.float32(exptime_s / EXPTIME_S)))


def render_bias(rng: Generator, camera: Camera) -> NDArray[np.uint16]:
    """Read the sensor out: (ny, nx) [ADU]."""
    return digitize(_read_out(rng, np.zeros(camera.shape, np.float32)))


def render_flat(rng: Generator, camera: Camera, level: float) -> NDArray[np.uint16]:
    """Expose one flat to an even light of this level [ADU]: (ny, nx) [ADU]."""
    light = camera.seen(np.full(camera.shape, level, np.float32))
    return digitize(_read_out(rng, light + camera.dark * np.float32(FLAT_EXPTIME_S / EXPTIME_S)))


def star_profile(
    dx: NDArray[np.floating], dy: NDArray[np.floating], light: Light
) -> NDArray[np.floating]:
    """Light of a star of flux 1 in the pixels at these offsets.

    Parameters
    ----------
    dx, dy : ndarray of float
        Offsets of pixel centres from the star [pixels].
    light : Light
        Gives FWHM, ellipticity, angle and trail.

    Returns
    -------
    ndarray of float
        A Moffat profile that includes what the pixel does to it, so that it is sampled at pixel
        centres (the effective point-spread function of Anderson & King 2000, PASP 112, 1360).
    """
    minor = light.fwhm / (2 * np.sqrt(2 ** (1 / MOFFAT_BETA) - 1))
    major = minor / (1 - light.ellipticity)
    cos, sin = np.cos(light.theta), np.sin(light.theta)
    along, across = (dx * cos + dy * sin) / major, (dy * cos - dx * sin) / minor
    peak = (MOFFAT_BETA - 1) / (np.pi * major * minor)
    profile: NDArray[np.floating] = peak * (1 + along**2 + across**2) ** -MOFFAT_BETA
    return profile


def add_star(signal: NDArray[np.float32], x: float, y: float, flux: float, light: Light) -> None:
    """Draw a star at (x, y) of a (ny, nx) frame [ADU], with this flux [ADU]."""
    ny, nx = signal.shape
    # Bright stars have visible wings further out.
    reach = light.fwhm * (4 + min(8.0, flux / 50_000)) + light.trail_px / 2
    rows = np.arange(max(0, int(y - reach)), min(ny, int(y + reach) + 2))
    columns = np.arange(max(0, int(x - reach)), min(nx, int(x + reach) + 2))
    if not (rows.size and columns.size):
        return
    dx, dy = (columns - x).astype(np.float32), (rows - y).astype(np.float32)[:, np.newaxis]
    stamp = signal[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    steps = np.linspace(-0.5, 0.5, 1 + 2 * int(light.trail_px)) * light.trail_px
    for step in steps:
        stamp += flux / len(steps) * star_profile(dx - np.float32(step), dy, light)


def add_satellite(rng: Generator, signal: NDArray[np.float32]) -> None:
    """Draw a straight trail across a (ny, nx) frame [ADU], as wide as a star."""
    ny, nx = signal.shape
    y_left, y_right = rng.uniform(0.1, 0.4) * ny, rng.uniform(0.6, 0.9) * ny
    y, x = np.mgrid[:ny, :nx].astype(np.float32)
    slope = (y_right - y_left) / nx
    distance = (y - y_left - slope * x) / np.hypot(1, slope)
    signal += 400 * np.exp(-0.5 * (distance / 1.3) ** 2)


def add_cosmic_ray(rng: Generator, image: NDArray[np.float32]) -> None:
    """Let a charged particle cross a few pixels of a (ny, nx) frame [ADU]."""
    ny, nx = image.shape
    y, x, angle = rng.uniform(0, ny), rng.uniform(0, nx), rng.uniform(0, np.pi)
    energy = rng.uniform(500, 8000)
    for step in range(rng.integers(1, 7)):
        row, column = int(y + step * np.sin(angle)), int(x + step * np.cos(angle))
        if 0 <= row < ny and 0 <= column < nx:
            image[row, column] += energy


def digitize(image: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Round a (ny, nx) frame [ADU] as a 16-bit camera does."""
    return np.clip(np.rint(image), 0, FULL_SCALE_ADU).astype(np.uint16)


def make_night(
    folder: Path,
    *,
    shape: tuple[int, int] = (1024, 1536),
    n_lights: int = 15,
    n_stars: int = 900,
    seed: int = 1,
) -> Night:
    """Write the raw files of a night: lights, three bad ones among them, and darks.

    Parameters
    ----------
    folder : Path
        Gets ``data/light_0001.fits`` … and ``darkfield/dark_01.fits`` ….
    shape : (int, int)
        ``(ny, nx)`` of a frame [pixels].
    n_lights : int
        How many lights, from 5 on.
    n_stars : int
        Stars on the area of one frame.
    seed : int
        The same seed gives the same bytes.

    Returns
    -------
    Night
        The truth.
    """
    rng = np.random.default_rng(seed)
    sky = make_sky(rng, shape, n_stars)
    camera = make_camera(rng, shape)
    lights = {}
    for number in range(1, n_lights + 1):
        lights[f"light_{number:04d}"] = Light(
            shift=(float(rng.uniform(-25, 25)), float(rng.uniform(-25, 25))),
            rotation_deg=float(rng.uniform(-1.5, 1.5)),
            fwhm=float(rng.uniform(2.7, 3.5)),
            ellipticity=float(rng.uniform(0, 0.12)),
            theta=float(rng.uniform(0, np.pi)),
            transparency=float(rng.uniform(0.85, 1)),
            sky_adu=float(rng.uniform(700, 1000)),
            cosmic_rays=8,
        )
    names = list(lights)
    satellite, clouded, trailed, starless = (
        names[round(share * (n_lights - 1))] for share in (0.2, 0.4, 0.6, 0.85)
    )
    lights[satellite] = replace(lights[satellite], satellite=True)
    lights[clouded] = replace(lights[clouded], transparency=0.01, sky_adu=2500.0)
    lights[trailed] = replace(lights[trailed], trail_px=16.0)
    lights[starless] = replace(lights[starless], transparency=0.0)
    bad = {clouded: "clouded", trailed: "trailed", starless: "star-less"}
    night = Night(sky, camera, lights, seed=seed, bad=bad)
    write_night(folder, night)
    return night


def write_night(folder: Path, night: Night) -> None:
    """Expose and write all frames of a night as 16-bit FITS files."""
    start = datetime(2026, 3, 1, 21)  # noqa: DTZ001 - FITS dates are UTC without saying so
    for number, (name, light) in enumerate(night.lights.items()):
        rng = np.random.default_rng([night.seed, 1, number])
        pixels = render_light(rng, night.sky, night.camera, light)
        begin = start + timedelta(seconds=number * (EXPTIME_S + 5))
        path, pattern = folder / "data" / f"{name}.fits", night.camera.pattern
        _write_raw(path, pixels, "Light Frame", begin, pattern=pattern)
    for number in range(night.n_darks):
        rng = np.random.default_rng([night.seed, 2, number])
        exptime_s = night.dark_exptime_s
        begin = start - timedelta(seconds=(night.n_darks - number) * exptime_s)
        path = folder / "darkfield" / f"dark_{number + 1:02d}.fits"
        pixels = render_dark(rng, night.camera, exptime_s)
        _write_raw(path, pixels, "Dark Frame", begin, exptime_s)
    for number in range(night.n_bias):
        rng = np.random.default_rng([night.seed, 3, number])
        path = folder / "bias" / f"bias_{number + 1:02d}.fits"
        _write_raw(path, render_bias(rng, night.camera), "Bias Frame", start, 0.0)
    for number in range(night.n_flats):
        rng = np.random.default_rng([night.seed, 4, number])
        path = folder / "flats" / f"flat_{number + 1:02d}.fits"
        pixels = render_flat(rng, night.camera, FLAT_ADU * rng.uniform(0.8, 1.2))
        _write_raw(path, pixels, "Flat Field", start, FLAT_EXPTIME_S)


def _read_out(rng: Generator, signal: NDArray[np.float32]) -> NDArray[np.float32]:
    """Add shot noise, read noise and bias."""
    image = np.sqrt(np.maximum(signal, 0) / np.float32(GAIN_E_PER_ADU) + READ_NOISE_ADU**2)
    image *= rng.standard_normal(signal.shape, np.float32)
    image += signal + np.float32(BIAS_ADU)
    return image


def _write_raw(
    path: Path,
    pixels: NDArray[np.uint16],
    kind: str,
    begin: datetime,
    exptime_s: float = EXPTIME_S,
    pattern: str | None = None,
) -> None:
    from astropy.io import fits

    cards: list[tuple[str, Any, str]] = [
        ("IMAGETYP", kind, ""),
        ("EXPTIME", exptime_s, "[s]"),
        ("CCD-TEMP", TEMPERATURE_C, "[degC]"),
        ("EGAIN", GAIN_E_PER_ADU, "[e-/ADU]"),
        ("XBINNING", 1, ""),
        ("YBINNING", 1, ""),
        ("DATE-OBS", begin.isoformat(), "begin of the exposure, UTC"),
    ]
    if pattern is not None:
        cards.append(("BAYERPAT", pattern, "colours of the first pixels"))
    path.parent.mkdir(parents=True, exist_ok=True)
    fits.PrimaryHDU(pixels, fits.Header(cards)).writeto(path, overwrite=True)


DEMO_SETTINGS = """\
# A field with fewer stars than the default expects.
min_star_count: 200
threshold_sigma: 5
minarea: 5
"""


def main(folder: Path) -> None:
    """Write the demonstration's night and its settings into a folder."""
    make_night(folder)
    settings = folder / "config" / "config.yaml"
    settings.parent.mkdir(exist_ok=True)
    settings.write_text(DEMO_SETTINGS)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Simulate a night of raw frames.")
    parser.add_argument("folder", type=Path, help="gets data/, darkfield/ and config/")
    main(parser.parse_args().folder)
