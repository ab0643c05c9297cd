"""Model the sky of one frame and subtract it."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from scripts.lightstack.files.frame_file import (
    pass_on_failure,
    read_frame,
    write_failure,
    write_frame,
)
from scripts.lightstack.job import job_log
from scripts.lightstack.raw.image import UnusableFrameError
from scripts.lightstack.sky.dithering import step_of
from scripts.lightstack.sky.mesh import light_in_mesh, mesh_of
from scripts.lightstack.sky.model import model_sky
from scripts.lightstack.sky.noise import noise_in_cells
from scripts.lightstack.sky.noise_map import NOISE_MAP, noise_surface, note_noise_map

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

DIGITIZATION_NOISE = 12**-0.5
"""Standard deviation of the rounding to a step: what is left where a sky is clipped to zero."""


@dataclass(frozen=True)
class Subtracted:
    """What is known of the sky that was subtracted.

    Parameters
    ----------
    level, noise : float
        The sky's typical value, and the standard deviation of pixels without stars [ADU].
    step : float
        Of the values of the sky's pixels [ADU]; 0 for none.
    light : float
        Most light of what is larger than stars that went with the sky [ADU].
    noise_map : (6,) ndarray of float64, optional
        Coefficients of a `Surface` that says how the noise varies, over `noise`.
    """

    level: float
    noise: float
    step: float
    light: float
    noise_map: NDArray[np.float64] | None = None


def subtract_background(
    data: NDArray[np.float32],
    box: int,
    raw_step: float = 1.0,
    background: str = "mesh",
    *,
    tells_light: bool = True,
) -> Subtracted:
    """Subtract a smooth model of the sky, in place.

    Parameters
    ----------
    data : (ny, nx) ndarray of float32
        Pixels [ADU], NaN where there is no data.
    box : int
        Side of the mesh's cells [pixels].
    raw_step : float, optional
        Smallest difference that the raw file can hold [ADU].
    background : str, optional
        "mesh" subtracts what `mesh_of` finds; "plane", and "match" for a beginning, what
        `model_sky` does, which leaves extended light.
    tells_light : bool, optional
        Whether to look for extended light in the mesh, which takes time.

    Returns
    -------
    Subtracted

    Raises
    ------
    UnusableFrameError
        If the sky has no finite level and noise.
    """
    step, (places, sigma) = step_of(data), noise_in_cells(data)
    noise = float(np.median(sigma)) if sigma.size else math.nan
    surface = noise_surface(places, sigma, data.shape)
    model = model_sky(data) if background != "mesh" or tells_light else None
    if background == "mesh" or model is None:
        mesh = mesh_of(data, box, step)
        level, light = float(mesh.globalback), 0.0
        sky = mesh.back(dtype=np.float32)
        if math.isnan(noise):
            noise = math.sqrt(max(float(mesh.globalrms) ** 2 - step**2 / 12, 0.0))
        if model is not None:
            light = light_in_mesh(sky, model, noise)
        data -= sky
    else:
        level, light = model.surface.level, 0.0
        model.surface.subtract_from(data)
    if not (math.isfinite(level) and math.isfinite(noise)):
        share = np.count_nonzero(np.isnan(data)) / data.size
        why = (
            f"{share:.0%} of the pixels are no data" if share else "the pixels have absurd values"
        )
        raise UnusableFrameError(f"the sky cannot be measured: {why}.")
    noise = max(noise, DIGITIZATION_NOISE * max(raw_step, step))
    noise_map = surface / noise if surface is not None and noise > 0 else None
    return Subtracted(level, noise, step, light, noise_map)


def run(frame: Path, cleaned: Path, *, background: str = "mesh", background_box: int) -> None:
    """Write a frame without its sky.

    Parameters
    ----------
    frame : Path
        What `calibrate_frame` wrote.
    cleaned : Path
        FITS file to write, with the sky's level and noise [ADU] in ``BKGADU`` and ``NOISEADU``,
        how the noise varies in ``NOISEMAP``, if it does, the level of saturated pixels [ADU] in
        ``SATURATE``, the model of the sky in ``SKYMODEL``, the step of the sky's values [ADU] in
        ``SKYSTEP``, and in ``SKYLIGHT`` the most light of what is larger than stars that went
        with the sky [ADU].
    background : str
        As in `subtract_background`.
    background_box : int
        Side of the mesh's cells [pixels].
    """
    if pass_on_failure(frame, cleaned):
        return
    calibrated = read_frame(frame)
    header = calibrated.header
    raw_step = header.pop("ADUSTEP")
    try:
        sky = subtract_background(calibrated.data, background_box, raw_step, background)
    except UnusableFrameError as error:
        write_failure(cleaned, error, {"RAWSHA": header["RAWSHA"]})
        return
    header["BKGADU"] = (sky.level, "[ADU] level of the sky that was subtracted")
    header["SATURATE"] -= sky.level
    header["NOISEADU"] = (sky.noise, "[ADU] standard deviation of the sky")
    note_noise_map(header, NOISE_MAP, sky.noise_map)
    header["SKYMODEL"] = (background, "model of the sky that was subtracted")
    header["SKYSTEP"] = (sky.step, "[ADU] between neighbouring values of the sky")
    header["SKYLIGHT"] = (sky.light, "[ADU] extended light that went with the sky")
    write_frame(cleaned, calibrated)


if "snakemake" in globals():
    with job_log(snakemake):
        run(
            Path(snakemake.input.frame),
            Path(snakemake.output.frame),
            **snakemake.params.settings,
        )
