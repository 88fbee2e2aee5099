"""Standard output and error that do not end a command: their reader may leave, their disk may be full.

What a command was asked for is in its files. A line that cannot be shown must not cost them.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

__all__ = ["Enduring", "enduring_streams"]


class Enduring:
    """A text stream that drops what cannot be written, and remembers why.

    Args:
        stream: The stream; of what it cannot encode, the code is written.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream, self.problem = stream, cast("OSError | None", None)
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")

    def write(self, text: str) -> int:
        """Write, or drop."""
        self._attempt(self._stream.write, text)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write, or drop, every line."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Show what waits to be shown, or drop it."""
        self._attempt(self._stream.flush)

    def __getattr__(self, name: str) -> Any:
        """Everything else is the stream's own."""
        return getattr(self._stream, name)

    def _attempt(self, action: Callable[..., Any], *arguments: str) -> None:
        if self.problem is not None:
            return
        try:
            action(*arguments)
        except OSError as error:
            self.problem = error
            self._let_go()

    def _let_go(self) -> None:
        """Lead what still waits in the buffer nowhere, or it would fail again when Python ends."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)


@contextmanager
def enduring_streams() -> Iterator[None]:
    """Let a whole program's output endure; in the end a full disk is told, and makes success status 1.

    A reader that has left, as ``head`` does, is no failure.
    """
    before = sys.stdout, sys.stderr
    out, error = (Enduring(stream or _nowhere()) for stream in before)
    sys.stdout, sys.stderr = cast("TextIO", out), cast("TextIO", error)
    status: str | int | None = None
    ended = False
    try:
        yield
    except SystemExit as end:
        status, ended = end.code, True
    finally:
        out.flush()
        if out.problem is not None and out.problem.errno != errno.EPIPE:
            error.write(f"xiqa: cannot show everything: {out.problem.strerror}\n")
            status = status or 1
        error.flush()
        sys.stdout, sys.stderr = before
    if status or ended:
        sys.exit(status)


def _nowhere() -> TextIO:
    """In place of a stream that was closed before the program began."""
    return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123 - until the program ends
