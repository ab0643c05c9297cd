"""Which sources are too sharp for stars."""

SHARPEST_STAR = 1.2
"""FWHM [pixels] below which nothing is a star: light is spread by the optics and by the pixel."""
