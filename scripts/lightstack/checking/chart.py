"""The picture of a check: completeness and recovered flux against brightness."""

import math
from collections.abc import Sequence
from typing import Any

from PIL import Image, ImageDraw, ImageFont

SIZE, MARGIN, PANEL = (900, 720), 80, 250

COLOURS = (
    (0, 114, 178),
    (230, 159, 0),
    (0, 158, 115),
    (204, 121, 167),
    (86, 180, 233),
    (213, 94, 0),
)
"""Of Okabe & Ito (2008), which the colour-blind tell apart."""

BLACK, GREY, WHITE = (20, 20, 20), (200, 200, 200), (255, 255, 255)

FLUXES = (80.0, 120.0)
"""Recovered flux that is shown [%]; what lies beyond is drawn at the edge."""


def draw_check(rows: Sequence[dict[str, Any]], title: str) -> Image.Image:
    """Draw completeness above, and recovered flux below, for each mode."""
    canvas = Image.new("RGB", SIZE, WHITE)
    draw = ImageDraw.Draw(canvas)
    fonts = {size: ImageFont.load_default(size=size) for size in (14, 18)}
    draw.text((MARGIN, 12), title, BLACK, fonts[18])
    stars = [row for row in rows if row["source"] == "star"]
    magnitudes = [float(row["magnitude"]) for row in rows]
    low, high = math.floor(min(magnitudes)), math.ceil(max(magnitudes))
    panels = (
        ("stars found [%]", (0.0, 100.0), [100 * row["completeness"] for row in stars]),
        ("flux recovered [%]", FLUXES, [row["flux_percent"] for row in stars]),
    )

    def across(magnitude: float) -> float:
        return MARGIN + (SIZE[0] - 2 * MARGIN) * (magnitude - low) / max(high - low, 1)

    modes = list(dict.fromkeys(row["mode"] for row in rows))
    for number, (name, (bottom, top), values) in enumerate(panels):
        floor = 60 + (number + 1) * PANEL + number * 50

        def up(
            value: float, floor: int = floor, bottom: float = bottom, top: float = top
        ) -> float:
            return floor - PANEL * (min(max(value, bottom), top) - bottom) / (top - bottom)

        for tick in range(5):
            value = bottom + (top - bottom) * tick / 4
            draw.line((MARGIN, up(value), SIZE[0] - MARGIN, up(value)), GREY)
            draw.text((MARGIN - 10, up(value)), f"{value:.0f}", BLACK, fonts[14], anchor="rm")
        for whole in range(low, high + 1):
            draw.line((across(whole), floor, across(whole), floor + 5), BLACK)
            draw.text((across(whole), floor + 8), f"{whole}", BLACK, fonts[14], anchor="mt")
        draw.text((MARGIN, floor - PANEL - 20), name, BLACK, fonts[14])
        for mode, colour in zip(modes, COLOURS, strict=False):
            points = [
                (across(row["magnitude"]), up(value))
                for row, value in zip(stars, values, strict=True)
                if row["mode"] == mode
            ]
            draw.line(points, colour, 2)
            for x, y in points:
                draw.ellipse((x - 4, y - 4, x + 4, y + 4), colour)
        if number == 1:
            for mode, colour in zip(modes, COLOURS, strict=False):
                for row in rows:
                    if row["mode"] == mode and row["source"] == "disc":
                        x, y = across(row["magnitude"]), up(row["flux_percent"])
                        draw.rectangle((x - 6, y - 6, x + 6, y + 6), outline=colour, width=3)
    x = MARGIN
    for mode, colour in zip(modes, COLOURS, strict=False):
        draw.rectangle((x, SIZE[1] - 36, x + 12, SIZE[1] - 24), colour)
        draw.text((x + 18, SIZE[1] - 38), mode, BLACK, fonts[14])
        x += 40 + 9 * len(mode)
    told = "magnitude (25 is 1 ADU of the reference); squares: the disc"
    draw.text((SIZE[0] - MARGIN, SIZE[1] - 38), told, BLACK, fonts[14], anchor="ra")
    return canvas
