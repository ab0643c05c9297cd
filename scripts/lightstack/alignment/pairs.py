"""Frames aligned on one of them, of which a run keeps what it found for the next."""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.lightstack.alignment.light import LightScale
from scripts.lightstack.alignment.registration import Alignment, UnalignedError, align
from scripts.lightstack.alignment.stars import Stars
from scripts.lightstack.alignment.transform import identity
from scripts.lightstack.detection.quality import stars
from scripts.lightstack.files.cache_file import read_cache, write_cache
from scripts.lightstack.files.table_file import read_table
from scripts.lightstack.forks import map_in_forks

Outcome = dict[str, Any]
"""An entry of ``frames`` in ``alignment.json``, or a ``reason`` why there is none."""

BEND = "bend"
"""Key of an `Outcome` that is taken out before it is written: see `optics`."""

log = logging.getLogger(__name__)


class Pairs:
    """Alignments of pairs of frames, each done once.

    Parameters
    ----------
    records : dict of str to dict
        What `grade_frame` wrote, by frame.
    sources : dict of str to Path
        What `detect_sources` wrote, by frame.
    cache : Path
        File with the alignments of the run before: only pairs of star lists that it does not
        know are aligned.
    made_by : sequence
        What else decides on a result: code and packages.
    threads : int
        How many processes share the work; the result is the same.
    """

    def __init__(
        self,
        records: Mapping[str, Mapping[str, Any]],
        sources: Mapping[str, Path],
        *,
        cache: Path,
        made_by: Sequence[Any],
        threads: int,
    ) -> None:
        self._records, self._sources = records, sources
        self._cache, self._threads = cache, threads
        self._kept: dict[str, Outcome] = read_cache(cache)
        self._used: dict[str, Outcome] = {}
        self._lists = {
            name: _digest(made_by, *_facts(record), _content(sources[name]))
            for name, record in records.items()
        }

    def outcomes(self, reference: str, names: Sequence[str]) -> dict[str, Outcome]:
        """Align frames on one, itself among them or not.

        Parameters
        ----------
        reference : str
        names : sequence of str

        Returns
        -------
        dict of str to dict
            The outcome for each name.
        """
        target = self._stars(reference)

        def outcome(name: str) -> Outcome:
            try:
                return entry_of(align(self._stars(name), target))
            except UnalignedError as error:
                return {"reason": error.reason}

        others = [name for name in names if name != reference]
        keys = {name: _digest(self._lists[name], self._lists[reference]) for name in others}
        self._used |= {key: self._kept[key] for key in keys.values() if key in self._kept}
        left = [name for name in others if keys[name] not in self._used]
        log.info("%d of %d alignments are known.", len(others) - len(left), len(others))
        for name, found in zip(left, map_in_forks(outcome, left, self._threads), strict=True):
            self._used[keys[name]] = found
        itself = entry_of(Alignment(identity(target.shape), len(target), 0.0, LightScale(1.0)))
        return {name: itself if name == reference else self._used[keys[name]] for name in names}

    def aligned(self, reference: str, names: Sequence[str]) -> dict[str, Outcome]:
        """Align frames on one: the entries of those that could be."""
        outcomes = self.outcomes(reference, names)
        return {name: found for name, found in outcomes.items() if "reason" not in found}

    def keep(self) -> None:
        """Write the cache: what was asked for, if it has changed."""
        if self._used.keys() != self._kept.keys():
            write_cache(self._cache, self._used)

    def _stars(self, name: str) -> Stars:
        """Positions, fluxes and widths of a frame's stars."""
        import numpy as np

        widths, (ny, nx) = _facts(self._records[name])
        table = stars(read_table(self._sources[name]), widths)
        xy = np.column_stack([table["x"], table["y"]])
        flux, fwhm = (table[name].astype(float) for name in ("flux", "fwhm"))
        return Stars(xy, flux, fwhm, (ny, nx), table["saturated"].astype(bool))


def _facts(record: Mapping[str, Any]) -> tuple[Any, Any]:
    """Tell what of a frame's record has a part in its list of stars."""
    return record["star_fwhm_px"], record["shape"]


def entry_of(found: Alignment) -> Outcome:
    """Give the plain values of an alignment."""
    entry = {
        **found.transform.to_json(),
        "n_matched": found.n_matched,
        "residual_px": found.residual_px,
        "flux_scale": found.light.factor,
    }
    if any(found.light.lean):
        entry["flux_lean"] = found.light.lean
    if found.light.growth:
        entry["flux_growth"] = found.light.growth
    return entry | {BEND: found.bend.to_json()} if found.bend else entry


def _content(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _digest(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
