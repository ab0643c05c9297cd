"""Images of half the size lie where the whole ones did."""

from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from scripts.lightstack.alignment.transform import POWERS, Transform
from scripts.lightstack.raw.halving import halve_header

CELESTIAL = {
    "NAXIS": 2,
    "NAXIS1": 400,
    "NAXIS2": 300,
    "CTYPE1": "RA---TAN",
    "CTYPE2": "DEC--TAN",
    "CRVAL1": 83.0,
    "CRVAL2": 22.0,
    "CRPIX1": 180.2,
    "CRPIX2": 160.9,
}
MATRICES: dict[str, dict[str, Any]] = {
    "CD": {"CD1_1": -2e-4, "CD1_2": 1e-5, "CD2_1": 1e-5, "CD2_2": 2e-4},
    "CDELT": {"CDELT1": -2e-4, "CDELT2": 2e-4, "PC1_2": 0.1, "PC2_1": -0.1},
    "PC": {"PC1_1": -2e-4, "PC1_2": 1e-5, "PC2_1": 1e-5, "PC2_2": 2e-4},
    "SIP": {
        "CTYPE1": "RA---TAN-SIP",
        "CTYPE2": "DEC--TAN-SIP",
        "CD1_1": -2e-4,
        "CD1_2": 0.0,
        "CD2_1": 0.0,
        "CD2_2": 2e-4,
        "A_ORDER": 3,
        "B_ORDER": 2,
        "A_2_0": 3e-5,
        "A_1_2": 2e-7,
        "B_1_1": -4e-5,
    },
}


@pytest.mark.parametrize("kind", MATRICES)
def test_the_sky_stays_where_it_was(kind: str) -> None:
    header = fits.Header({**CELESTIAL, **MATRICES[kind]})
    half = header.copy()
    halve_header(half)
    x, y = np.random.default_rng(1).uniform(0, 290, (2, 50))
    whole = WCS(header).all_pix2world(x, y, 0)
    np.testing.assert_allclose(
        WCS(half).all_pix2world((x - 0.5) / 2, (y - 0.5) / 2, 0), whole, rtol=0, atol=1e-9
    )


@pytest.mark.parametrize("offset", [(0.0, 0.0), (1.0, 0.0), (0.5, 0.5)])
@pytest.mark.parametrize("model", ["affine", "polynomial"])
def test_a_halved_transform_maps_the_same_places(offset: tuple[float, float], model: str) -> None:
    rng = np.random.default_rng(2)
    matrix = np.array([[0.8, -0.6, 30.0], [0.61, 0.79, -20.0], [0, 0, 1]])
    cubic = rng.normal(0, 0.5, (2, len(POWERS))) if model == "polynomial" else None
    whole = Transform(matrix, (300, 400), (200, 260), model, cubic, cubic)  # type: ignore[arg-type]
    half = whole.halved(offset)
    assert (half.frame_shape, half.reference_shape) == ((150, 200), (100, 130))
    xy = rng.uniform(0, 190, (50, 2))
    np.testing.assert_allclose(
        half.backward((xy - 0.5) / 2) * 2 + np.array(offset), whole.backward(xy), atol=1e-9
    )
