"""The report's page: one file that opens anywhere, without a network.

What the page shows comes from file names and headers, which may hold anything: the template
escapes all of it, and the page's own policy lets a browser run no other code than the page's and
load nothing.
"""

import base64
import hashlib
import math
import os
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemBytecodeCache, FileSystemLoader, StrictUndefined

from scripts.lightstack.caches import places
from scripts.lightstack.report.calibration import columns_of
from scripts.lightstack.report.charts import Chart
from scripts.lightstack.report.columns import COLUMNS, GROUP, NOTHING, significant

HERE = Path(__file__).parent


def render(parts: dict[str, Any]) -> bytes:
    """Write the page.

    Parameters
    ----------
    parts : dict
        What ``page.html`` shows, by name.

    Returns
    -------
    bytes
        HTML, its style and code inside.
    """
    environment = Environment(
        loader=FileSystemLoader(HERE),
        bytecode_cache=_cache(),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "fixed": fixed,
        "significant": significant,
        "place": place,
        "percent": percent,
        "setting": setting,
        "duration": duration,
    }
    code = (HERE / "page.js").read_text(encoding="utf-8")
    # As the template writes it between the tags, to the letter.
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    text = environment.get_template("page.html").render(
        parts,
        style=(HERE / "page.css").read_text(encoding="utf-8"),
        code=code,
        code_digest=digest,
        columns=[
            *(COLUMNS + ((GROUP,) if parts["is_grouped"] else ())),
            *columns_of(parts["rows"]),
        ],
        data=_data(parts),
        chart_path=lambda chart, status: _path(chart, status, parts),
    )
    # A file name may hold bytes that are no text.
    return text.strip().encode(errors="backslashreplace") + b"\n"


def _cache() -> FileSystemBytecodeCache | None:
    """Keep the compiled template, which takes as long as to fill it in."""
    for place in places():
        if os.access(place, os.W_OK):
            return FileSystemBytecodeCache(str(place))
    return None


def fixed(value: float, decimals: int) -> str:
    """Write a number with so many decimals."""
    return f"{value:.{decimals}f}" if math.isfinite(value) else NOTHING


def percent(fraction: float | None) -> str:
    """Write a fraction in percent, with its sign."""
    return "" if fraction is None else f"{100 * fraction:+.0f} %"


def duration(seconds: float) -> str:
    """Write a time as hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    if minutes:
        return f"{minutes} min {rest:02d} s"
    return f"{seconds:g} s" if seconds else NOTHING


def place(fraction: float) -> str:
    """Write a place on a chart, in thousandths of its side."""
    return str(_thousandths(fraction))


def setting(value: object) -> str:
    """Write a setting as it stands in a configuration."""
    if isinstance(value, list):
        return f"[{', '.join(map(str, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    return "null" if value is None else str(value)


def _thousandths(fraction: float) -> int:
    return round(1000 * fraction)


def _path(chart: Chart, status: str, parts: dict[str, Any]) -> str:
    """Draw a dot for each frame of a status, as lines without a length."""
    return "".join(
        f"M{place(x)} {place(1 - y)}h0"
        for row, x, y in zip(parts["rows"], parts["places"], chart.places, strict=True)
        if row.status == status and y is not None
    )


def _data(parts: dict[str, Any]) -> dict[str, Any]:
    """Gather what the page's code computes with; all else it reads from the page."""
    columns = [limit.column for limit in parts["limits"]]
    return {
        "x": [_thousandths(x) for x in parts["places"]],
        "series": {
            chart.column: [None if y is None else _thousandths(1 - y) for y in chart.places]
            for chart in parts["charts"]
        },
        "drift": [
            [
                [number, _thousandths(x), _thousandths(1 - y)]
                for number, x, y in (section.drift or (None, None, []))[2]
            ]
            for section in parts["sections"]
        ],
        "graded": [
            [row.values[column] for column in columns]
            for row in parts["rows"]
            if row.margin is not None
        ],
    }
