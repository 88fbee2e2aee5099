"""Log lines as JSON, with the fields of an allow list and nothing else.

A log is copied to more places than the data it tells of, so no line holds what an image or a request says:
no name, number or date of a person, no text of an exception. Of an error it tells the type and where it
was raised.
"""

from __future__ import annotations

import json
import logging
import sys
import time
import traceback
from typing import TextIO

__all__ = ["ALLOWED", "LineFormatter", "log_to"]

#: Fields that a record may bring along.
ALLOWED = ("loop", "peer", "job", "model", "address", "code", "count", "port", "host", "head", "kind", "uid")
_FOREIGN = ("pynetdicom", "pydicom", "sqlalchemy", "alembic", "uvicorn", "uvicorn.access", "uvicorn.error")


class LineFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record; a message that is not from here is replaced by its logger's name."""
        ours = record.name.startswith("xiqa")
        row: dict[str, object] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.msg if ours and isinstance(record.msg, str) else "a library's message",
        }
        row |= {name: record.__dict__[name] for name in ALLOWED if name in record.__dict__}
        if record.exc_info and record.exc_info[1] is not None:
            row |= _where(record.exc_info[1])
        return json.dumps(row, default=lambda value: type(value).__name__)


def _where(error: BaseException) -> dict[str, str]:
    """The type of an error and the places it came through, without its text."""
    frames = traceback.extract_tb(error.__traceback__)
    places = [f"{frame.filename.rpartition('site-packages/')[2]}:{frame.lineno}" for frame in frames[-6:]]
    return {"error": type(error).__name__, "places": " < ".join(reversed(places))}


def log_to(stream: TextIO = sys.stderr, level: int = logging.INFO) -> None:
    """Send all log lines of this process to a stream."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LineFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _FOREIGN:
        logging.getLogger(name).setLevel(logging.ERROR)
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)  # its errors are senders' faults, counted here
