"""The child's side: decode what comes over a socket, within the limits, until the socket closes.

Run by `xiqa.imaging.decoding.pool` as ``python -m xiqa.imaging.decoding.worker FILE_DESCRIPTOR``.
"""

from __future__ import annotations

import io
import json
import mmap
import os
import resource
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import numpy as np

from xiqa.imaging.decoding.codecs import CODECS, DamagedError

__all__ = ["main"]


def main(descriptor: int) -> None:
    """Answer orders until the parent closes its end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    room = _Room()
    with socket.socket(fileno=descriptor) as parent:
        while True:
            head, files, _, _ = socket.recv_fds(parent, 4, 2)
            if not head:
                return
            order = json.loads(_read(parent, int.from_bytes(head, "big")))
            memory = room.enter(files[0], order["size"], keep=order["keep"])
            answer = _answer(order, memory, files[1] if len(files) > 1 else None)
            parent.sendall(json.dumps(answer).encode())


def _read(parent: socket.socket, count: int) -> bytes:
    parts = b""
    while len(parts) < count:
        part = parent.recv(count - len(parts))
        if not part:
            raise EOFError
        parts += part
    return parts


class _Room:
    """The shared memory that the parent sends again and again, mapped once."""

    def __init__(self) -> None:
        self._file = -1
        self._memory: mmap.mmap | None = None

    def enter(self, descriptor: int, size: int, *, keep: bool) -> mmap.mmap:
        """The memory behind a descriptor, which is closed."""
        file = os.fstat(descriptor).st_ino  # no other file gets the number while this one is mapped
        memory = self._memory if file == self._file else None
        if memory is None:
            memory = mmap.mmap(descriptor, size)
        os.close(descriptor)
        self._file, self._memory = (file, memory) if keep else (-1, None)
        return memory


def _answer(order: dict[str, Any], memory: mmap.mmap, file: int | None) -> dict[str, str]:
    """Decode a stream in the shared memory, or a file, into that memory; empty, or what went wrong."""
    shape, dtype, start = tuple(order["shape"]), np.dtype(order["dtype"]), order["start"]
    _limit_memory(order["memory"])
    signal.setitimer(signal.ITIMER_PROF, order["seconds"])  # its signal ends the process
    try:
        pixels = np.frombuffer(memory, dtype, count=int(np.prod(shape)), offset=start).reshape(shape)
        pixels.fill(0)  # whatever a decoder leaves out, it is nothing of an image before
        source = memory[: order["length"]] if file is None else io.BufferedReader(_Positioned(file))
        CODECS[order["codec"]](source, pixels, **order["options"])
    except MemoryError:
        return {"code": "decoder_memory", "message": f"more than {order['memory'] >> 20} MB are needed"}
    except DamagedError as error:
        return {"code": "damaged", "message": str(error)[:500]}
    except Exception as error:
        return {"code": "bad_codestream", "message": f"{type(error).__name__}: {error}"[:500]}
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        if file is not None:
            os.close(file)
    return {}


class _Positioned(io.RawIOBase):
    """The parent's open file with a position of its own: that of the descriptor is shared with the parent."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor, self._place = descriptor, 0
        self._size = os.fstat(descriptor).st_size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, position: int, whence: int = io.SEEK_SET) -> int:
        self._place = position + {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        return self._place

    def readinto(self, buffer: Any) -> int:
        count = os.preadv(self._descriptor, [buffer], self._place)
        self._place += count
        return count


def _limit_memory(extra: int) -> None:
    """Allow ``extra`` bytes of address space beyond what is mapped now, where the system can tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except OSError:
        return
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (pages * mmap.PAGESIZE + extra, hard))


if __name__ == "__main__":
    main(int(sys.argv[1]))
