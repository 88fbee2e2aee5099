"""The parent's side: a few decoding processes that live on, and one request to one of them.

The code stream and the pixels travel through one piece of anonymous shared memory: the parent writes the
stream at its start, the child writes the pixels behind it. Over the socket go only its file descriptor and a
line of JSON, so nothing that a hijacked decoder sends is ever executed. The pixels are not copied: the array
borrows the memory, and the next request takes it again only when no array looks at it any more.
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
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from xiqa.errors import ImageReadError
from xiqa.imaging.limits import MEGABYTE, Limits

__all__ = ["Task", "decode"]

_MEMFD = hasattr(os, "memfd_create")  # Linux
_KEPT = 64 * MEGABYTE  # an idle worker holds no more memory than this
_GLANCE = 1.0  # seconds between two looks at a child that has not answered
_PATIENCE, _START = (
    10,
    30,
)  # seconds by the clock for one of the processor's, and for a start on a busy machine


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


def decode(source: bytes | IO[bytes], task: Task, limits: Limits) -> NDArray[Any]:
    """The pixels of a code stream or of an open file, decoded in a child process within the limits.

    Args:
        source: The stream; for the codec ``tiff`` the file, of which the child reads what it needs.
        task: What must come out.
        limits: What it may cost.

    Raises:
        ImageReadError: ``bad_codestream`` when the decoder refuses, ``damaged`` when pixels are missing,
            ``decoder_crashed``, ``decoder_timeout`` or ``decoder_memory`` when it dies.
    """
    stream, file = (source, None) if isinstance(source, bytes) else (b"", source.fileno())
    start = -(-len(stream) // mmap.PAGESIZE) * mmap.PAGESIZE
    size = start + int(np.prod(task.shape)) * np.dtype(task.dtype).itemsize
    order = asdict(task) | {
        "length": len(stream),
        "start": start,
        "memory": limits.decoder_memory,
        "seconds": limits.decoder_seconds,
    }
    problem, memory = _POOL.ask(order, stream, size, file)
    if problem:
        raise ImageReadError(
            "the compressed pixels are damaged"
            if problem["code"] == "damaged"
            else "the compressed pixels cannot be decoded",
            code=problem["code"],
            expected=f"{task.codec} of shape {task.shape}",
            got=problem["message"],
        )
    return memory.lend(start, task.shape, np.dtype(task.dtype))


class _Memory:
    """Shared memory of a worker, as long as one request and perhaps longer."""

    def __init__(self, size: int) -> None:
        self.file = _shared_memory(size)
        self.map = mmap.mmap(self.file.fileno(), size)
        self.size = size
        self.lent = False

    def fits(self, size: int) -> bool:
        """Whether a request of ``size`` bytes may take it."""
        return not self.lent and size <= self.size

    def lend(self, start: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """What lies behind ``start`` as an array; it and its views keep the memory from other requests."""
        pixels = np.frombuffer(self.map, dtype, count=int(np.prod(shape)), offset=start)
        return np.asarray(_Loan(self, pixels.reshape(shape)))

    def __del__(self) -> None:
        self.file.close()


class _Loan:
    """What a borrowed array holds on to; it goes when the last of its views goes."""

    def __init__(self, memory: _Memory, pixels: NDArray[Any]) -> None:
        self.__array_interface__ = pixels.__array_interface__
        self._memory = memory
        memory.lent = True

    def __del__(self) -> None:
        self._memory.lent = False


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
        self.memory: _Memory | None = None
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

    def room(self, size: int) -> _Memory:
        """Memory for a request: that of the last one where it is free and large enough."""
        if self.memory is not None and self.memory.fits(size):
            return self.memory
        memory = _Memory(size)
        self.memory = memory if size <= _KEPT else None
        return memory

    @property
    def usable(self) -> bool:
        """Whether it lives and runs: somebody may have killed or stopped it while it was idle."""
        return self.process.poll() is None and not _is_stopped(self.process.pid)

    def ask(self, order: dict[str, Any], memory: _Memory, file: int | None) -> dict[str, str]:
        """The child's answer: empty, or what went wrong; raises ``EOFError`` when the child has died."""
        line = json.dumps(order | {"size": memory.size, "keep": memory is self.memory}).encode()
        files = [memory.file.fileno(), *([] if file is None else [file])]
        try:
            socket.send_fds(self.socket, [len(line).to_bytes(4, "big")], files)
            self.socket.sendall(line)
            answer = self._answer(_PATIENCE * order["seconds"] + _START)
        except ConnectionError as error:
            raise EOFError from error
        if not answer:
            raise EOFError
        return dict(json.loads(answer))

    def _answer(self, seconds: float) -> bytes:
        """What comes over the socket; nothing when the child is stopped or takes no end."""
        end = time.monotonic() + seconds
        self.socket.settimeout(_GLANCE)
        while True:
            try:
                return self.socket.recv(4096)
            except TimeoutError:
                if time.monotonic() > end or _is_stopped(self.process.pid):
                    self.process.kill()
                    raise

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

    def ask(
        self, order: dict[str, Any], stream: bytes, size: int, file: int | None
    ) -> tuple[dict[str, str], _Memory]:
        """Have one worker do the order; a worker that dies of it is replaced by the next call.

        Returns:
            What went wrong, if anything, and the memory of ``size`` bytes or more that holds the pixels.
        """
        idle = self._idle()
        worker = idle or _Worker()
        memory = worker.room(size)
        memory.map[: len(stream)] = stream
        try:
            answer = worker.ask(order, memory, file)
        except (EOFError, TimeoutError) as error:
            status = worker.close()
            if idle is not None and status != -signal.SIGPROF:  # it may have been ill before
                return self.ask(order, stream, size, file)
            return _cause_of_death(status, order, stopped=isinstance(error, TimeoutError)), memory
        except BaseException:  # interrupted between question and answer: the worker is out of step
            worker.close()
            raise
        with self.lock:
            keep = len(self.idle) < (os.cpu_count() or 1)
            if keep:
                self.idle.append(worker)
        if not keep:
            worker.close()
        return answer, memory

    def _idle(self) -> _Worker | None:
        """An idle worker that can work; others are ended on the way."""
        while True:
            with self.lock:
                worker = self.idle.pop() if self.idle else None
            if worker is None or worker.usable:
                return worker
            worker.process.kill()
            worker.close()

    def close(self) -> None:
        """End the idle workers."""
        with self.lock:
            workers, self.idle = self.idle, []
        for worker in workers:
            worker.close()


def _is_stopped(process: int) -> bool:
    """Whether a signal has stopped a process, where the system can tell."""
    try:
        status = Path(f"/proc/{process}/stat").read_bytes()
    except OSError:
        return False
    return status.rpartition(b")")[2].split()[0] in (b"T", b"t")


def _cause_of_death(status: int, order: dict[str, Any], *, stopped: bool) -> dict[str, str]:
    """What to say of a worker that ended with ``status``, or that had to be ended."""
    if stopped or status == -signal.SIGPROF:
        return {"code": "decoder_timeout", "message": f"no end after {order['seconds']:g} processor seconds"}
    name = signal.Signals(-status).name if status < 0 else f"exit status {status}"
    return {"code": "decoder_crashed", "message": f"the decoder died ({name})"}


_POOL = _Pool()


def _start_afresh() -> None:
    """A forked process has no workers yet."""
    _POOL.forget()


atexit.register(_POOL.close)
os.register_at_fork(after_in_child=_start_afresh)
