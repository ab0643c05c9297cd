"""How the files of a run were taken, looked up in each once and remembered between runs."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Self

from scripts.lightstack.digest import VERSIONS, code_digest
from scripts.lightstack.files.records import read_json, write_json
from scripts.lightstack.planning.progress import Progress
from scripts.lightstack.raw.exposure import EXPOSURE_CARDS, Exposure, exposure_of
from scripts.lightstack.raw.image import FIRST, UnreadableFileError, UnusableFrameError
from scripts.lightstack.raw.images import AS_STATED, is_fits_name, read_cards
from scripts.lightstack.raw.sections import Asked
from scripts.lightstack.raw.values import written


class Looks:
    """How files were taken, each looked at only once as long as its content stays.

    What the system cannot read now is looked at again the next time.

    Parameters
    ----------
    contents : mapping of str to str
        Fingerprint of each file by its path.
    cache_path : Path
        JSON file that remembers between runs. It may be damaged or deleted: that costs time,
        nothing else.
    cards : sequence of str, optional
        More cards to look for.
    extension : str or int, optional
        Which image of a FITS file is meant: see `fits_reader.read_fits`.
    sections : Asked, optional
        What the settings say of the part that was exposed.
    say : function of str, optional
        Is told how far the looking has come, if it takes a while: a camera's raw file takes a
        tenth of a second, and one that calibrates is read to its end.
    """

    def __init__(
        self,
        contents: Mapping[str, str],
        cache_path: Path,
        cards: Sequence[str] = (),
        extension: str | int = FIRST,
        sections: Asked = AS_STATED,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._contents, self._cache_path, self._cards = contents, cache_path, tuple(cards)
        self._reading: dict[str, Any] = {"extension": extension, "sections": sections}
        code = code_digest("scripts/lightstack/planning/looks.py")
        self._code = [code, str(self._reading), *VERSIONS]
        self._known = self._recall()
        self._entries: dict[str, dict[str, Any]] = {}
        self._n_new = sum(not self._is_known(path) for path in contents)
        self._n_looks, self._n_reads, self._progress = 0, 0, Progress(say)

    def __enter__(self) -> Self:
        """Begin to look."""
        return self

    def __exit__(self, *_: object) -> None:
        """Keep what was seen, even if the looking was interrupted."""
        self.keep()

    def exposure(self, path: str) -> Exposure | str:
        """How a file was taken, or the sentence that says why it cannot be read."""
        entry = self._entry(path)
        if "problem" in entry:
            return str(entry["problem"])
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in entry["exposure"].items()
        }
        return Exposure(**values)

    def cards(self, path: str) -> dict[str, str]:
        """Return what the header of a file states for each of the cards that it has."""
        return {key: text for key, text in self._entry(path)["cards"].items() if text is not None}

    def damage(self, path: str) -> str:
        """Why the pixels of a file cannot be read, or nothing if they can."""
        entry = self._entry(path)
        if "damage" not in entry:
            try:
                read_cards(Path(path), (), with_pixels=True, **self._reading)
                entry["damage"] = ""
            except UnusableFrameError as error:
                entry["damage"] = str(error)
                entry["passing"] = isinstance(error, UnreadableFileError)
            self._n_reads += 1
            self._tell(f"Reading new darks, bias frames and flats: {self._n_reads:,}.")
        return str(entry["damage"])

    def keep(self) -> None:
        """Remember what was seen; of files that are gone nothing is kept."""
        seen = self._known | self._entries
        lasting = {
            path: entry
            for path, entry in seen.items()
            if path in self._contents and not entry["passing"]
        }
        if lasting != self._known:
            cached = {"code": self._code, "sha256": _digest(lasting), "files": lasting}
            write_json(self._cache_path, cached)

    def _entry(self, path: str) -> dict[str, Any]:
        if path not in self._entries:
            if self._is_known(path):
                self._entries[path] = dict(self._known[path])
            else:
                seen = _look(Path(path), self._cards, **self._reading)
                self._entries[path] = {"sha256": self._contents[path], **seen}
                self._n_looks += 1
                self._tell(f"Looking at new files: {self._n_looks:,} of {self._n_new:,}.")
        return self._entries[path]

    def _is_known(self, path: str) -> bool:
        known = self._known.get(path)
        return (
            known is not None
            and known["sha256"] == self._contents[path]
            and known["cards"].keys() >= set(self._cards)
        )

    def _tell(self, line: str) -> None:
        """Tell how far the looking has come, and keep what was seen, if it is time to."""
        if self._progress.step(line):
            self.keep()

    def _recall(self) -> dict[str, dict[str, Any]]:
        """Read the cache; what is not as it was written is forgotten."""
        try:
            cached = read_json(self._cache_path)
            files: dict[str, dict[str, Any]] = cached["files"]
            is_whole = cached["code"] == self._code and cached["sha256"] == _digest(files)
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return {}
        return files if is_whole else {}


def _digest(files: object) -> str:
    return hashlib.sha256(json.dumps(files).encode()).hexdigest()


def _look(path: Path, more: tuple[str, ...] = (), **reading: Any) -> dict[str, Any]:
    """Look at the header of a file."""
    try:
        shape, cards, pixel_type = read_cards(path, (*EXPOSURE_CARDS, *more), **reading)
    except UnusableFrameError as error:
        is_passing = isinstance(error, UnreadableFileError)
        return {"problem": str(error), "passing": is_passing, "cards": dict.fromkeys(more)}
    picture = not is_fits_name(path)
    exposure = exposure_of(cards, shape, picture=picture, pixel_type=pixel_type)
    values = ((field.name, getattr(exposure, field.name)) for field in fields(exposure))
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in values}
    stated = {key: written(cards, key) for key in more}
    return {"exposure": plain, "passing": False, "cards": stated}
