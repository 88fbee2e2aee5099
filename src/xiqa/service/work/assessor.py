"""The parent's side of an assessing process: orders, deadlines, and a new process for one that died."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from xiqa.errors import XiqaError
from xiqa.service.rules import Model
from xiqa.service.settings import Assessing

__all__ = ["Assessor", "ChildDiedError"]

_LONGEST = 32 * 2**20  # bytes of an answer


class ChildDiedError(XiqaError):
    """The assessing process was killed, took too long, or crashed."""


class Assessor:
    """One assessing process, which is started when it is needed.

    Args:
        settings: Its limits.
        threads: Of the libraries inside.
    """

    def __init__(self, settings: Assessing, threads: int = 1) -> None:
        self._settings, self._threads = settings, threads
        self._process: subprocess.Popen[bytes] | None = None
        self._loaded: dict[str, tuple[float, int]] = {}

    def load(self, model: Model) -> None:
        """Have the process load a model.

        Raises:
            ChildDiedError: It died of it.
            XiqaError: The model cannot be loaded.
        """
        key, stamp = model.model_dump_json(), _stamp(model)
        if self._loaded.get(key, stamp) != stamp:
            self.close()  # the file was replaced under the process that has read it
        if key not in self._loaded:
            answer = self._ask({"model": model.model_dump()}, self._settings.load_seconds)
            if not answer.get("loaded"):
                raise XiqaError("the model cannot be loaded", got=str(answer.get("problem")))
            self._loaded[key] = stamp

    def do(self, function: str, **arguments: Any) -> dict[str, Any]:
        """What a function gives that runs in the process: its dictionary, or ``problem`` and ``code``.

        Args:
            function: ``package.module:function``.
            arguments: In JSON's types.

        Raises:
            ChildDiedError: The process died of it, or took too long.
        """
        order = {"do": function, "arguments": arguments, "memory": self._settings.memory_mb << 20}
        return self._ask(order, self._settings.seconds)

    def assess(
        self, path: Path, model: Model, kinds: tuple[str, ...], folder: Path, keep_map: str = ""
    ) -> dict[str, Any]:
        """The process's answer about a file: ``assessment`` and ``results``, or ``problem`` and ``code``.

        Args:
            path: The file.
            model: What looks at it.
            kinds: Of result objects to write.
            folder: Where to.
            keep_map: Name of a file for the heat map; empty: it is not kept.

        Raises:
            ChildDiedError: It died, or was killed because it took too long.
            XiqaError: The model cannot be loaded.
        """
        self.load(model)
        order = {
            "model": model.model_dump(),
            "path": str(path),
            "kinds": list(kinds),
            "folder": str(folder),
            "map": keep_map,
            "maker": self._settings.results,
            "memory": self._settings.memory_mb << 20,
        }
        return self._ask(order, self._settings.seconds)

    def _ask(self, order: dict[str, Any], seconds: float) -> dict[str, Any]:
        process = self._running()
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(order).encode() + b"\n")
            process.stdin.flush()
            line = self._line(process, time.monotonic() + seconds)
        except (EOFError, BrokenPipeError) as error:
            raise ChildDiedError(f"the assessing process died ({self._ended()})") from error
        except TimeoutError as error:
            self.close()
            raise ChildDiedError(f"the assessing process gave no answer within {seconds:g} s") from error
        return dict(json.loads(line))

    def _line(self, process: subprocess.Popen[bytes], ends: float) -> bytes:
        """The next line that the process writes, before a moment."""
        assert process.stdout is not None
        descriptor = process.stdout.fileno()
        waiting = select.poll()
        waiting.register(descriptor, select.POLLIN)
        line = b""
        while not line.endswith(b"\n"):
            left = ends - time.monotonic()
            if left <= 0 or not waiting.poll(1000 * left):
                raise TimeoutError
            part = os.read(descriptor, 65536)
            if not part or len(line) > _LONGEST:
                raise EOFError
            line += part
        return line

    def _running(self) -> subprocess.Popen[bytes]:
        """The process, a new one where there is none or it has died."""
        if self._process is None or self._process.poll() is not None:
            self.close()
            threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(self._threads))
            self._process = subprocess.Popen(
                [sys.executable, "-m", "xiqa.service.work.child"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=os.environ | threads,
                start_new_session=True,  # Ctrl-C is the node's business, and its decoders end with it
            )
        return self._process

    def _ended(self) -> str:
        """How the process ended, for a person."""
        process = self._process
        assert process is not None
        try:
            status = process.wait(2)
        except subprocess.TimeoutExpired:
            status = 0
        self.close()
        return signal.Signals(-status).name if status < 0 else f"exit status {status}"

    def close(self) -> None:
        """End the process and all that it started."""
        process, self._process = self._process, None
        self._loaded.clear()
        if process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for end in (process.stdin, process.stdout):
            with suppress(BrokenPipeError):
                if end is not None:
                    end.close()


def _stamp(model: Model) -> tuple[float, int]:
    """What changes when a model's file is replaced."""
    path = Path(model.path)
    path = path / "model.json" if path.is_dir() else path
    try:
        stat = path.stat()
    except OSError:  # a shipped model's name, a function
        return 0.0, 0
    return stat.st_mtime, stat.st_size
