"""Lines of text, and below them one that is written anew, where there is a terminal."""

import shutil
from typing import Protocol

from snakemake_logger_plugin_brief.words import printable

ERASE = "\r\033[K"


class Stream(Protocol):
    """What is written to."""

    def write(self, text: str, /) -> object:
        """Write text."""

    def flush(self) -> object:
        """Let it be seen."""


class Terminal:
    """Writes lines to a stream.

    Parameters
    ----------
    stream
        The stream.
    is_tty
        Whether a line can be written anew. Elsewhere there are whole lines only.
    """

    def __init__(self, stream: Stream, *, is_tty: bool) -> None:
        self._stream, self.is_tty = stream, is_tty
        self._live = ""
        self._closed = False

    def line(self, text: str, colour: str = "") -> None:
        """Write lines that stay, above the one that is written anew."""
        text = printable(text)
        if colour and self.is_tty:
            text = f"{colour}{text}\033[0m"
        live, self._live = self._live, ""
        self._write(f"{ERASE if live else ''}{text}\n")
        self.live(live)

    def live(self, text: str) -> None:
        """Write the lowest line anew, cut to the terminal's width; none if there is no text."""
        if not self.is_tty or text == self._live:
            return
        width = shutil.get_terminal_size().columns - 1
        self._live = printable(text)[:width]
        self._write(ERASE + self._live)

    def _write(self, text: str) -> None:
        """Write, unless nobody reads any more: jobs go on without a reader."""
        if self._closed:
            return
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        try:
            self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
            self._stream.flush()
        except (BrokenPipeError, ValueError):
            self._closed = True
