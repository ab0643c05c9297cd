"""A small finished run, as the report finds it: made by hand, so that it can hold anything."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from PIL import Image

from scripts import write_report
from scripts.lightstack.detection.sources import SOURCE
from scripts.lightstack.files.frame_file import Frame, write_frame
from scripts.lightstack.files.ledger import COLUMNS
from scripts.lightstack.files.records import write_csv, write_json
from scripts.lightstack.files.table_file import write_table
from scripts.lightstack.planning.settings import complete_settings
from scripts.lightstack.report.sections import GroupFiles

SHAPE = (96, 144)
STAR = (100.0, 80.0)
"""Where every frame has its bright star: x and y [pixels]."""

PREVIEW_SHAPE = (780, 1560)
"""As large as that of six stacks [pixels]."""

PREVIEW_GREY = 140
"""Mean of the preview."""

NAMES = [f"light_{k}" for k in range(1, 13)]

SETTINGS = {"min_star_count": 20}

FEW_STARS = {2: 17, 5: 19}
"""Stars of the third and the sixth frame."""


@dataclass(frozen=True)
class Inputs:
    """Files of a run, and what is known of them."""

    folder: Path
    names: list[str]
    cards: dict[str, Any]
    shape: tuple[int, int]

    def path(self, kind: str, name: str) -> Path:
        """File of a frame."""
        return self.folder / "work" / kind / f"{name}.fits"

    def write_report(self, target: str = "report.html", **facts: Any) -> Path:
        """Write the page as the rule does."""
        report = self.folder / target
        results = {
            name: self.folder / file
            for name, file in (
                ("ledger", "frames.csv"),
                ("inventory", "inventory.csv"),
            )
        }
        frames = {
            name: {kind: self.path(kind, name) for kind in ("sources", "cleaned")}
            for name in self.names
        }
        values: dict[str, Any] = {
            "settings": complete_settings(SETTINGS),
            "threads": 2,
            "facts": {
                "defaults": complete_settings({}),
                "unused": ["darkfield/odd.fits: it has another shape than the frames."],
                **facts,
            },
        }
        write_report.run(
            frames,
            results,
            {
                "": GroupFiles(
                    self.folder / "alignment.json",
                    self.folder / "preview.png",
                    {"sigma_clip": self.folder / "stack_sigma_clip.fits"},
                )
            },
            self.folder / "pictures",
            report,
            needs_stacks=False,
            **values,
        )
        return report


def make_inputs(
    folder: Path,
    names: Sequence[str] = NAMES,
    cards: dict[str, Any] | None = None,
    shape: tuple[int, int] = SHAPE,
) -> Inputs:
    """Write the files of a run.

    Parameters
    ----------
    folder : Path
        Where.
    names : sequence of str
        Frames; those of `FEW_STARS` are rejected, the fourth is not aligned and the fifth failed.
    cards : dict, optional
        Further header cards of frames and stack.
    shape : (int, int), optional
        ``(ny, nx)`` of all images [pixels].
    """
    inputs = Inputs(folder, list(names), cards or {}, shape)
    generator = np.random.default_rng(5)
    rows = [_write_frame(inputs, k, name, generator) for k, name in enumerate(names)]
    write_csv(folder / "frames.csv", COLUMNS, rows)
    write_csv(
        folder / "inventory.csv",
        ("file", "used_as", "why", "sha256"),
        [
            {"file": f"data/{name}.fits", "used_as": "light", "why": "", "sha256": "ab" * 32}
            for name in names
        ],
    )
    write_json(folder / "alignment.json", {"reference": names[0], "frames": {}, "unaligned": {}})
    header = fits.Header([("NCOMBINE", 4), ("TOTEXP", 120.0), *inputs.cards.items()])
    header["HISTORY"] = "lightstack 0.1.0"
    stack = fits.PrimaryHDU(generator.normal(0, 5, shape).astype(np.float32), header)
    counts = [
        fits.ImageHDU(np.full(shape, count, np.int16), name=name)
        for name, count in (("COVERAGE", 4), ("REJECTED", 1))
    ]
    fits.HDUList([stack, *counts]).writeto(folder / "stack_sigma_clip.fits")
    greys = generator.integers(PREVIEW_GREY - 20, PREVIEW_GREY + 20, PREVIEW_SHAPE, np.uint8)
    Image.fromarray(greys).save(folder / "preview.png")
    return inputs


def _write_frame(
    inputs: Inputs, k: int, name: str, generator: np.random.Generator
) -> dict[str, Any]:
    """Write what the steps make of a frame, and return its row of the ledger."""
    n_stars = FEW_STARS.get(k, 40 + k)
    record = {
        "n_stars": n_stars,
        "n_sources": n_stars + 2,
        "fwhm_px": 3 + k / 20,
        "ellipticity": 0.1,
        "saturated_fraction": 0.0,
        "background_adu": 800.0 + k,
        "noise_adu": 10.0,
        "exptime_s": 30.0,
        "date_obs": f"2026-03-01T21:{k % 60:02d}:00",
        "dark": "master of 8: 60 s -10.0 degC gain 1.5 1536 x 1024",
    }
    pixels = generator.normal(0, 10, inputs.shape).astype(np.float32)
    x, y = (round(value) for value in STAR)
    pixels[y - 1 : y + 2, x - 1 : x + 2] += 5000
    header = fits.Header([("NOISEADU", 10.0), *inputs.cards.items()])
    write_frame(inputs.path("cleaned", name), Frame(pixels, header, np.zeros(inputs.shape, bool)))
    sources = np.zeros(6, SOURCE)
    sources["x"], sources["y"] = [STAR[0], *[20] * 5], [STAR[1], *[30] * 5]
    sources["fwhm"] = [3, 3.1, 2.9, 3, 3.2, 9]
    write_table(inputs.path("sources", name), sources, {})
    row = {"frame": name, "status": "stacked", "sha256": "ab" * 32, **record}
    if k in FEW_STARS:
        return row | {"status": "rejected", "reasons": f"{n_stars} stars < min_star_count 20"}
    if k == 3:
        return row | {"status": "unaligned", "reasons": "no arrangement is found"}
    if k == 4:
        return {"frame": name, "status": "failed", "reasons": "it is not a FITS file."}
    placed = {"n_matched": 30, "residual_px": 0.1, "shift_x_px": k, "shift_y_px": -k}
    return row | placed | {"rotation_deg": 0.1 * k, "scale": 1.0, "flux_scale": 1 + k / 100}
