"""The picture of a check: completeness and recovered flux against brightness."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]

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
    draw.text((MARGIN, 12), title, BLACK, _font(18))
    magnitudes = [float(row["magnitude"]) for row in rows]
    low, high = math.floor(min(magnitudes)), math.ceil(max(magnitudes))
    stars, discs = ([row for row in rows if row["source"] == of] for of in ("star", "disc"))
    colours = dict(zip(dict.fromkeys(row["mode"] for row in rows), COLOURS, strict=False))
    found = _Panel(draw, 60 + PANEL, (low, high), (0.0, 100.0))
    found.draw_axes("stars found [%]")
    flux = _Panel(draw, 110 + 2 * PANEL, (low, high), FLUXES)
    flux.draw_axes("flux recovered [%]")
    for mode, colour in colours.items():
        of_mode = [row for row in stars if row["mode"] == mode]
        found.draw_line([(row["magnitude"], 100 * row["completeness"]) for row in of_mode], colour)
        flux.draw_line([(row["magnitude"], row["flux_percent"]) for row in of_mode], colour)
    for row in discs:
        if row["mode"] in colours:
            flux.draw_square(row["magnitude"], row["flux_percent"], colours[row["mode"]])
    _draw_legend(draw, colours)
    return canvas


@dataclass(frozen=True)
class _Panel:
    """A chart of something against magnitude, in a picture."""

    draw: ImageDraw.ImageDraw
    floor: int
    magnitudes: tuple[int, int]
    values: tuple[float, float]

    def at(self, magnitude: float, value: float) -> tuple[float, float]:
        """Find the place of a value, at the edge if it lies beyond [pixels]."""
        (low, high), (bottom, top) = self.magnitudes, self.values
        x = MARGIN + (SIZE[0] - 2 * MARGIN) * (magnitude - low) / max(high - low, 1)
        y = self.floor - PANEL * (min(max(value, bottom), top) - bottom) / (top - bottom)
        return x, y

    def draw_axes(self, name: str) -> None:
        """Draw lines of equal value, and ticks of whole magnitudes."""
        (low, high), (bottom, top) = self.magnitudes, self.values
        for tick in range(5):
            value = bottom + (top - bottom) * tick / 4
            _, y = self.at(low, value)
            self.draw.line((MARGIN, y, SIZE[0] - MARGIN, y), GREY)
            self.draw.text((MARGIN - 10, y), f"{value:.0f}", BLACK, _font(14), anchor="rm")
        for whole in range(low, high + 1):
            x, _ = self.at(whole, bottom)
            self.draw.line((x, self.floor, x, self.floor + 5), BLACK)
            self.draw.text((x, self.floor + 8), f"{whole}", BLACK, _font(14), anchor="mt")
        self.draw.text((MARGIN, self.floor - PANEL - 20), name, BLACK, _font(14))

    def draw_line(self, values: Sequence[tuple[float, float]], colour: Colour) -> None:
        """Draw values against magnitudes, with a dot for each."""
        points = [self.at(*each) for each in values]
        self.draw.line(points, colour, 2)
        for x, y in points:
            self.draw.ellipse((x - 4, y - 4, x + 4, y + 4), colour)

    def draw_square(self, magnitude: float, value: float, colour: Colour) -> None:
        """Mark a value."""
        x, y = self.at(magnitude, value)
        self.draw.rectangle((x - 6, y - 6, x + 6, y + 6), outline=colour, width=3)


def _draw_legend(draw: ImageDraw.ImageDraw, colours: Mapping[str, Colour]) -> None:
    """Name the modes beside their colours, and what the axis and the squares are."""
    x = MARGIN
    for mode, colour in colours.items():
        draw.rectangle((x, SIZE[1] - 36, x + 12, SIZE[1] - 24), colour)
        draw.text((x + 18, SIZE[1] - 38), mode, BLACK, _font(14))
        x += 40 + 9 * len(mode)
    told = "magnitude (25 is 1 ADU of the reference); squares: the disc"
    draw.text((SIZE[0] - MARGIN, SIZE[1] - 38), told, BLACK, _font(14), anchor="ra")


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=size)
