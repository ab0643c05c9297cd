"""Frames that are not whole are stacked as far as they go, whatever stands for the rest."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from astropy.io import fits
from scipy import ndimage

from scripts.lightstack.raw.no_data import BLURRED_EDGE, GARBAGE_RUN
from tests.conftest import snakemake

LOST = {
    "light_0001": (slice(120, None), slice(None)),
    "light_0003": (slice(None), slice(0, 40)),
    "light_0004": (slice(0, 25), slice(None)),
}

STUCK = ("light_0002", slice(150, 180))

OVERWRITTEN = ("light_0005", slice(60, 64))


def lose(folder: Path, *, as_zeros: bool) -> None:
    """Write parts of frames as zeros, as others and at random, or as floats with NaN there."""
    path, rows = folder / "data" / f"{OVERWRITTEN[0]}.fits", OVERWRITTEN[1]
    data, header = fits.getdata(path, header=True)
    if as_zeros:
        data[rows] = np.random.default_rng(1).integers(0, 65536, data[rows].shape)
    else:
        data = data.astype(np.float32)
        data[rows] = np.nan
        data[rows.start - 1, GARBAGE_RUN:] = data[rows.stop, :GARBAGE_RUN] = np.nan
    fits.writeto(path, data, header, overwrite=True)
    path, rows = folder / "data" / f"{STUCK[0]}.fits", STUCK[1]
    data, header = fits.getdata(path, header=True)
    if not as_zeros:
        data = data.astype(np.float32)
    data[rows] = data[rows.start - 1] if as_zeros else np.nan
    fits.writeto(path, data, header, overwrite=True)
    for name, (rows, columns) in LOST.items():
        path = folder / "data" / f"{name}.fits"
        data, header = fits.getdata(path, header=True)
        lost = np.zeros(data.shape, bool)
        lost[rows, columns] = True
        if as_zeros:
            data[lost] = 0
        else:
            lost = ndimage.maximum_filter(lost, 2 * BLURRED_EDGE + 1)
            data = np.where(lost, np.nan, data).astype(np.float32)
        fits.writeto(path, data, header, overwrite=True)


def test_zeros_and_repeated_and_random_pixels_are_as_good_as_no_data(
    small_night: Callable[..., Path],
) -> None:
    folders = [small_night(name, modes=["mean", "min"]) for name in ("zeros", "nan")]
    for folder in folders:
        lose(folder, as_zeros=folder.name == "zeros")
    zeros, nan = (snakemake(folder) for folder in folders)
    assert zeros.returncode == nan.returncode == 0, zeros.output
    for mode in ("mean", "min"):
        for extension in (0, "COVERAGE"):
            one, other = (
                fits.getdata(folder / "results" / f"stack_{mode}.fits", extension)
                for folder in folders
            )
            np.testing.assert_array_equal(one, other)
    shares = {name: float(row["no_data_fraction"]) for name, row in zeros.ledger.items()}
    assert {name for name, share in shares.items() if share > 0} == {
        *LOST,
        STUCK[0],
        OVERWRITTEN[0],
    }
    assert 0.4 < shares["light_0001"] < 0.42
    assert "Frames with pixels that are no data: 5, up to 41.0% of one" in zeros.output
