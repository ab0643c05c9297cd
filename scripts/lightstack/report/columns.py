"""The columns of the report's table of frames."""

import math
from dataclasses import dataclass

from scripts.lightstack.report.rows import Row

NOTHING = "–"  # noqa: RUF001 - a dash is what a person reads there
"""Stands where a frame has no value."""


@dataclass(frozen=True)
class Column:
    """A column of the table.

    Parameters
    ----------
    key : str
        Of the ledger, or a name of its own.
    title, unit : str
        What stands above it.
    decimals : int or None
        Of its numbers; None for as many as four digits need.
    """

    key: str
    title: str
    unit: str = ""
    decimals: int | None = 0

    @property
    def is_text(self) -> bool:
        """Whether its values are words, such as what a frame is calibrated with."""
        return self.key in TEXTS

    def text(self, row: Row) -> str:
        """Write a frame's value."""
        if self.is_text:
            return str(getattr(row, self.key))
        value = row.values[self.key]
        return "" if value is None else self.written(value)

    def written(self, value: float) -> str:
        """Write a value of the column."""
        if self.unit == "%":
            value *= 100
        return significant(value, 4) if self.decimals is None else f"{value:.{self.decimals}f}"


TEXTS = ("dark", "bias", "flat", "mosaic", "date_obs", "group")

COLUMNS = (
    Column("name", "frame"),
    Column("status", "verdict"),
    Column("reasons", "reasons"),
    Column("margin", "margin"),
    Column("n_stars", "stars"),
    Column("fwhm_px", "FWHM", "px", 2),
    Column("ellipticity", "ellipticity", "", 3),
    Column("saturated_fraction", "saturated", "%", 1),
    Column("background_adu", "sky", "ADU", None),
    Column("noise_adu", "noise", "ADU", None),
    Column("transparency", "transparency", "", 3),
    Column("n_matched", "matched"),
    Column("residual_px", "residual", "px", 3),
    Column("shift_x_px", "shift x", "px", 1),
    Column("shift_y_px", "shift y", "px", 1),
    Column("rotation_deg", "rotation", "°", 3),
    Column("exptime_s", "exposure", "s", None),
    Column("date_obs", "date"),
    Column("dark", "dark"),
)
"""In the order of the page; the first four are written by its template."""

OF_CALIBRATION = (
    Column("bias", "bias"),
    Column("flat", "flat"),
    Column("mosaic", "mosaic"),
    Column("dark_factor", "factor of the dark", "", 3),
    Column("overscan_adu", "overscan", "ADU", None),
    Column("bad_pixels", "bad pixels"),
    Column("cosmic_ray_pixels", "pixels of cosmic rays"),
    Column("no_data_fraction", "without data", "%", 2),
    Column("saturation_found_adu", "saturation found", "ADU", None),
)
"""More, each where a frame has something in it."""

GROUP = Column("group", "group")
"""One more, where frames are grouped."""


def significant(value: float, digits: int) -> str:
    """Write a number with at least so many digits, and no zeros at the end of its fraction."""
    if not math.isfinite(value):
        return NOTHING
    exponent = math.floor(math.log10(abs(value))) if value else 0
    text = f"{value:.{max(0, digits - 1 - exponent)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
