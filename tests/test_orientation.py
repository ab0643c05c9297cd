"""An image that is turned over shows the same sky at the same places."""

import warnings

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from scripts.lightstack.raw.exposure import exposure_of
from scripts.lightstack.raw.orientation import turn_header

PLACE = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 83.0, "CRVAL2": -5.0}
PLACE |= {"CRPIX1": 21.0, "CRPIX2": 11.5}
SIP = {"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "A_ORDER": 2, "B_ORDER": 2}
SIP |= {"A_0_2": 1e-3, "A_1_1": -2e-3, "A_2_0": 3e-3, "B_0_2": 2e-3, "B_1_1": 1e-3, "B_2_0": -1e-3}
MATRIX = {"CD1_1": -4e-4, "CD1_2": 1e-4, "CD2_1": 1e-4, "CD2_2": 4e-4}


@pytest.mark.parametrize(
    "cards",
    [
        MATRIX,
        MATRIX | SIP,
        {"CDELT1": -4e-4, "CDELT2": 4e-4},
        {"CDELT1": -4e-4, "CDELT2": 4e-4, "CROTA2": 30.0},
        {"CDELT1": -4e-4, "CDELT2": 4e-4, "PC1_1": 0.8, "PC1_2": -0.6, "PC2_1": 0.6, "PC2_2": 0.8},
    ],
    ids=["matrix", "distorted", "steps", "rotation", "steps and matrix"],
)
def test_a_pixel_keeps_its_place_in_the_sky(cards: dict[str, float]) -> None:
    header = fits.Header(list({"NAXIS": 2, "NAXIS1": 40, "NAXIS2": 30, **PLACE, **cards}.items()))
    turned = header.copy()
    turn_header(turned, 30)
    x, y = np.array([0.0, 5, 39]), np.array([0.0, 7, 29])
    with warnings.catch_warnings(action="ignore"):
        before = WCS(header).all_pix2world(x, y, 0)
        after = WCS(turned).all_pix2world(x, 29 - y, 0)
    np.testing.assert_allclose(after, before, rtol=0, atol=1e-9)
    turn_header(turned, 30)
    assert turned == header


@pytest.mark.parametrize("rows", [30, 31])
@pytest.mark.parametrize(
    "offsets", [{}, {"XBAYROFF": 0, "YBAYROFF": 0}, {"XBAYROFF": 1, "YBAYROFF": 1}]
)
def test_the_mosaic_and_the_row_order_follow(rows: int, offsets: dict[str, int]) -> None:
    header = fits.Header([("BAYERPAT", "RGGB"), ("ROWORDER", "top-down"), *offsets.items()])
    first = exposure_of(header, (rows, 40))
    turn_header(header, rows)
    turned = exposure_of(header, (rows, 40))
    assert (first.orientation, turned.orientation) == ("TOP-DOWN", "BOTTOM-UP")
    assert first.bayer is not None
    top, below = first.bayer[:2], first.bayer[2:]
    # With an even number of rows the last one shows the colours of the second.
    assert turned.bayer == (below + top if rows % 2 == 0 else top + below)
