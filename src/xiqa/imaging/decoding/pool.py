"""The parent's side: a few decoding processes that live on, and one request to one of them.

The code stream and the pixels travel through one piece of anonymous shared memory that belongs to the
request: the parent writes the stream at its start, the child writes the pixels behind it. Over the socket go
only its file descriptor and a line of JSON, so nothing that a hijacked decoder sends is ever executed.
"""

from __future__ import annotations

import atexit
import json
import mmap
import os
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import asdict, dataclass
from tempfile import TemporaryFile
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from xiqa.errors import ImageReadError
from xiqa.imaging.limits import Limits

__all__ = ["Task", "decode"]

_MEMFD = hasattr(os, "memfd_create")  # Linux


@dataclass(frozen=True, slots=True)
class Task:
    """What to decode and what must come out.

    Attributes:
        codec: A name in `xiqa.imaging.decoding.codecs.CODECS`.
        shape: Of the pixels, ``(H, W)`` or ``(H, W, C)``.
        dtype: NumPy's name of the pixels' type.
        options: Keyword arguments of the codec.
    """

    codec: str
    shape: tuple[int, ...]
    dtype: str
    options: dict[str, Any]


def decode(stream: bytes, task: Task, limits: Limits) -> NDArray[Any]:
    """The pixels of a code stream, decoded in a child process within the limits.

    Raises:
        ImageReadError: ``bad_codestream`` when the decoder refuses, ``decoder_crashed``,
            ``decoder_timeout`` or ``decoder_memory`` when it dies.
    """
    count = int(np.prod(task.shape))
    start = -(-len(stream) // mmap.PAGESIZE) * mmap.PAGESIZE
    size = start + count * np.dtype(task.dtype).itemsize
    with _shared_memory(size) as file:
        memory = mmap.mmap(file.fileno(), size)
        memory[: len(stream)] = stream
        order = asdict(task) | {
            "length": len(stream),
            "start": start,
            "memory": limits.decoder_memory,
            "seconds": limits.decoder_seconds,
        }
        problem = _POOL.ask(order, file.fileno())
    if problem:
        raise ImageReadError(
            "the compressed pixels cannot be decoded",
            code=problem["code"],
            expected=f"{task.codec} of shape {task.shape}",
            got=problem["message"],
        )
    return np.frombuffer(memory, dtype=task.dtype, count=count, offset=start).reshape(task.shape)


def _shared_memory(size: int) -> IO[bytes]:
    """An open file of ``size`` zero bytes that has no name."""
    if _MEMFD:
        file = cast("IO[bytes]", os.fdopen(os.memfd_create("xiqa"), "r+b"))
    else:
        file = cast("IO[bytes]", TemporaryFile())  # noqa: SIM115 - the caller closes it
    file.truncate(size)
    return file


class _Worker:
    """One decoding process."""

    def __init__(self) -> None:
        self.socket, theirs = socket.socketpair()
        environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "xiqa.imaging.decoding.worker", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=environment,
            )

    def ask(self, order: dict[str, Any], descriptor: int) -> dict[str, str]:
        """The child's answer: empty, or what went wrong; raises ``EOFError`` when the child has died."""
        line = json.dumps(order).encode()
        try:
            socket.send_fds(self.socket, [len(line).to_bytes(4, "big")], [descriptor])
            self.socket.sendall(line)
            answer = self.socket.recv(4096)
        except ConnectionError as error:
            raise EOFError from error
        if not answer:
            raise EOFError
        return dict(json.loads(answer))

    def close(self) -> int:
        """End the process; how it ended (negative: by a signal)."""
        self.socket.close()
        try:
            return self.process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


class _Pool:
    """Idle workers; one more is started when a thread finds none."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Start without workers; those of a parent process are not ours."""
        self.lock = threading.Lock()
        self.idle: list[_Worker] = []

    def ask(self, order: dict[str, Any], descriptor: int) -> dict[str, str]:
        """Have one worker do the order; a worker that dies of it is replaced by the next call."""
        with self.lock:
            worker = self.idle.pop() if self.idle else None
        worker = worker or _Worker()
        try:
            answer = worker.ask(order, descriptor)
        except EOFError:
            return _cause_of_death(worker.close(), order)
        except BaseException:  # interrupted between question and answer: the worker is out of step
            worker.close()
            raise
        with self.lock:
            keep = len(self.idle) < (os.cpu_count() or 1)
            if keep:
                self.idle.append(worker)
        if not keep:
            worker.close()
        return answer

    def close(self) -> None:
        """End the idle workers."""
        with self.lock:
            workers, self.idle = self.idle, []
        for worker in workers:
            worker.close()


def _cause_of_death(status: int, order: dict[str, Any]) -> dict[str, str]:
    """What to say of a worker that ended with ``status``."""
    if status == -signal.SIGPROF:
        return {"code": "decoder_timeout", "message": f"no end after {order['seconds']:g} processor seconds"}
    name = signal.Signals(-status).name if status < 0 else f"exit status {status}"
    return {"code": "decoder_crashed", "message": f"the decoder died ({name})"}


_POOL = _Pool()


def _start_afresh() -> None:
    """A forked process has no workers yet."""
    _POOL.forget()


atexit.register(_POOL.close)
os.register_at_fork(after_in_child=_start_afresh)
