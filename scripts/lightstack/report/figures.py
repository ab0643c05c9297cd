"""The figures of a night: series of values with their limits, and the drift."""

from scripts.lightstack.report.charts import Axis, Chart, chart, linear_axis
from scripts.lightstack.report.criteria import Criterion
from scripts.lightstack.report.rows import Row

SERIES = (
    ("fwhm_px", "FWHM", "px"),
    ("n_stars", "Stars", ""),
    ("ellipticity", "Ellipticity", ""),
    ("background_adu", "Sky", "ADU"),
    ("transparency", "Transparency", "of a clear frame"),
    ("rotation_deg", "Rotation", "°"),
)
"""Columns of the ledger that are drawn as a series, with title and unit."""

FROM_ZERO = ("n_stars", "ellipticity")


def charts(rows: list[Row], limits: list[Criterion]) -> list[Chart]:
    """Draw the series, each with its limit."""
    lines = {
        limit.column: (limit.limit, limit.is_least, f"{limit.setting} {limit.shown(limit.limit)}")
        for limit in limits
    }
    drawn = [
        chart(
            column,
            title,
            unit,
            [row.values[column] for row in rows],
            [row.is_stacked for row in rows],
            lines.get(column),
            from_zero=column in FROM_ZERO,
        )
        for column, title, unit in SERIES
    ]
    return [found for found in drawn if found is not None]


Drift = tuple[Axis, Axis, list[tuple[int, float, float]]]
"""Axes of x and y, and number, x and y of each frame."""


def drift(rows: list[tuple[int, Row]]) -> Drift | None:
    """Place the shifts of numbered frames on two axes of one scale."""
    shifts = [
        (number, x, y)
        for number, row in rows
        if (x := row.values["shift_x_px"]) is not None
        and (y := row.values["shift_y_px"]) is not None
    ]
    if len(shifts) < 2:
        return None
    ends = [(min(values), max(values)) for values in list(zip(*shifts, strict=True))[1:]]
    half = max(high - low for low, high in ends) / 2 or 1.0
    x_axis, y_axis = (
        linear_axis((low + high) / 2 - half, (low + high) / 2 + half) for low, high in ends
    )
    return x_axis, y_axis, [(k, x_axis.place(x), y_axis.place(y)) for k, x, y in shifts]
