"""The picture of a tuning: a region with what is found in it, and what other settings find."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from scripts.lightstack.detection.tuning import Trial
from scripts.lightstack.report.stretching import stretch
from scripts.lightstack.telling import counted
from scripts.lightstack.text import on_one_line

KEPT, DROPPED = (86, 180, 233), (230, 159, 0)
"""Two colours of Okabe & Ito (2008), which the colour-blind tell apart; the marks differ, too."""

WHITE, GREY, BLACK = (255, 255, 255), (150, 150, 150), (16, 18, 22)
REACHED, NOT_REACHED, NOISE = (14, 60, 90), (42, 46, 54), (84, 56, 10)

SMALLEST_RADIUS_PX = 6
SIGMAS = 3
CELL = (108, 84)
MARGIN = 16


def draw_tuning(
    region: NDArray[np.float32],
    sources: NDArray[Any],
    kept: NDArray[np.bool_],
    trials: list[Trial],
    *,
    title: str,
    drawn: Trial,
    set_now: Trial,
    chosen: Trial | None,
    lines: list[str],
    n_wished: float,
    first_row_on_top: bool,
) -> Image.Image:
    """Draw a region with its detections beside a table of the settings.

    Parameters
    ----------
    region : (ny, nx) ndarray of float32
        Pixels [ADU], NaN where there is no data.
    sources : (n,) structured ndarray
        Of dtype `SOURCE`: what is found with the settings of `drawn`.
    kept : (n,) ndarray of bool
        Which of them are stars.
    trials : list of Trial
        All of them: each threshold with each area.
    title : str
        What is shown.
    drawn, set_now, chosen : Trial
        Whose detections are drawn; that of the settings as they are; the one that is suggested,
        if there is any.
    lines : list of str
        What is to be said below the table.
    n_wished : float
        Stars that are wished for in a whole frame.
    first_row_on_top : bool
        Whether the first row is at the top, or at the bottom as in FITS by default.

    Returns
    -------
    PIL.Image.Image
    """
    ny, nx = region.shape
    thresholds = sorted({trial.threshold_sigma for trial in trials})
    areas = sorted({trial.minarea for trial in trials})
    left = nx + 3 * MARGIN + 70
    width = left + len(thresholds) * CELL[0] + MARGIN
    top = 3 * MARGIN + 30
    rows_of_table = 54 + len(areas) * CELL[1] + 4 * MARGIN + 30 * (len(lines) + 1)
    height = top + max(ny + 4 * MARGIN + 30, rows_of_table)
    canvas = Image.new("RGB", (width, height), BLACK)
    draw = ImageDraw.Draw(canvas)
    fonts = {size: ImageFont.load_default(size=size) for size in (14, 18, 22)}
    draw.text((MARGIN, MARGIN), on_one_line(title), WHITE, fonts[22])
    _draw_region(canvas, (MARGIN, top), region, sources, kept, first_row_on_top=first_row_on_top)
    _draw_legend(draw, (MARGIN, top + ny + MARGIN), kept, drawn, fonts[18])
    draw.text((left, top - 4), "threshold_sigma", WHITE, fonts[18])
    draw.text((left - 76, top + 24), "minarea", WHITE, fonts[18])
    for column, threshold in enumerate(thresholds):
        x = left + column * CELL[0]
        draw.text((x + CELL[0] / 2, top + 34), f"{threshold:g}", WHITE, fonts[18], anchor="mm")
    for row, area in enumerate(areas):
        y = top + 54 + row * CELL[1]
        draw.text((left - 14, y + CELL[1] / 2), f"{area}", WHITE, fonts[18], anchor="rm")
    for trial in trials:
        x = left + thresholds.index(trial.threshold_sigma) * CELL[0]
        y = top + 54 + areas.index(trial.minarea) * CELL[1]
        _draw_cell(draw, (x, y), trial, fonts, n_wished=n_wished)
        if trial in {set_now, chosen}:
            box = (x + 2, y + 2, x + CELL[0] - 3, y + CELL[1] - 3)
            draw.rectangle(box, outline=WHITE, width=3 if trial == chosen else 1)
    y = top + 54 + len(areas) * CELL[1] + MARGIN
    _draw_key(draw, (left, y), fonts[14])
    for number, line in enumerate(lines):
        draw.text((left, y + 56 + 30 * number), on_one_line(line), WHITE, fonts[18])
    return canvas


def _draw_region(
    canvas: Image.Image,
    place: tuple[int, int],
    region: NDArray[np.float32],
    sources: NDArray[Any],
    kept: NDArray[np.bool_],
    *,
    first_row_on_top: bool,
) -> None:
    greys = stretch(region)
    canvas.paste(Image.fromarray(greys if first_row_on_top else greys[::-1]), place)
    draw = ImageDraw.Draw(canvas)
    sign, zero = (1, 0) if first_row_on_top else (-1, len(region) - 1)
    for source, is_kept in zip(sources, kept, strict=True):
        x, y = place[0] + source["x"], place[1] + zero + sign * source["y"]
        if is_kept:
            draw.line(_ellipse(x, y, source, sign), KEPT, 2)
        else:
            _cross(draw, x, y)


def _ellipse(x: float, y: float, source: np.void, sign: int) -> list[tuple[float, float]]:
    """Outline of a source, at three standard deviations of its light."""
    larger = max(1.0, SMALLEST_RADIUS_PX / (SIGMAS * float(source["b"])))
    a, b = (larger * SIGMAS * float(source[axis]) for axis in "ab")
    theta = sign * float(source["theta"])
    angles = np.linspace(0, 2 * math.pi, 25)
    u, v = a * np.cos(angles), b * np.sin(angles)
    across = x + u * math.cos(theta) - v * math.sin(theta)
    down = y + u * math.sin(theta) + v * math.cos(theta)
    return list(zip(across.tolist(), down.tolist(), strict=True))


def _cross(draw: ImageDraw.ImageDraw, x: float, y: float) -> None:
    reach = SMALLEST_RADIUS_PX
    for sign in (-1, 1):
        draw.line([(x - reach, y - sign * reach), (x + reach, y + sign * reach)], DROPPED, 2)


def _draw_legend(
    draw: ImageDraw.ImageDraw,
    place: tuple[int, int],
    kept: NDArray[np.bool_],
    drawn: Trial,
    font: Any,
) -> None:
    x, y = place
    draw.ellipse((x, y + 2, x + 16, y + 18), outline=KEPT, width=2)
    settings = f"threshold_sigma={drawn.threshold_sigma:g} minarea={drawn.minarea}"
    text = counted(int(kept.sum()), "star")
    draw.text((x + 24, y), text, WHITE, font)
    x += 44 + int(draw.textlength(text, font))
    _cross(draw, x + 6, y + 10)
    text = f"{int((~kept).sum())} dropped for their width"
    draw.text((x + 20, y), text, WHITE, font)
    draw.text((place[0], y + 26), f"with {settings}", GREY, font)


def _draw_cell(
    draw: ImageDraw.ImageDraw,
    place: tuple[int, int],
    trial: Trial,
    fonts: dict[int, Any],
    *,
    n_wished: float,
) -> None:
    x, y = place
    reached = REACHED if trial.n_stars >= n_wished else NOT_REACHED
    box = (x + 2, y + 2, x + CELL[0] - 3, y + CELL[1] - 3)
    draw.rectangle(box, fill=reached if trial.is_clean else NOISE)
    draw.text((x + CELL[0] / 2, y + 18), f"{trial.n_stars:.0f}", WHITE, fonts[18], anchor="mm")
    measured = [
        f"{trial.fwhm_px:.2f} px   e {trial.ellipticity:.2f}" if trial.n_stars else "",
        f"{trial.n_false:.0f} false" if trial.n_false else "",
    ]
    for number, text in enumerate(measured):
        draw.text((x + CELL[0] / 2, y + 42 + 20 * number), text, WHITE, fonts[14], anchor="mm")


def _draw_key(draw: ImageDraw.ImageDraw, place: tuple[int, int], font: Any) -> None:
    x, y = place
    for colour, text in (
        (REACHED, "as many as wished"),
        (NOT_REACHED, "fewer"),
        (NOISE, "noise is counted"),
    ):
        draw.rectangle((x, y, x + 16, y + 16), fill=colour, outline=GREY)
        draw.text((x + 24, y), text, WHITE, font)
        x += 50 + int(draw.textlength(text, font))
    draw.text(
        (place[0], y + 22),
        "Stars in a whole frame, FWHM, ellipticity. Frames: thin as set, thick suggested",
        GREY,
        font,
    )
