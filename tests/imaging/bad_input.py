"""One bad input, and the list in which builders put theirs."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

READ = "read"


@dataclass(frozen=True)
class BadInput:
    """One bad input.

    Attributes:
        key: Short unique name.
        what: What is wrong, for a reader.
        code: The error's code, or ``read`` where the file must be read all the same.
        build: Makes the file (or folder) at a path and returns what is to be read.
    """

    key: str
    what: str
    code: str
    build: Callable[[Path], Path]


BAD_INPUTS: list[BadInput] = []


def bad(key: str, what: str, code: str):
    """Register a builder."""

    def register(build: Callable[[Path], Path]) -> Callable[[Path], Path]:
        BAD_INPUTS.append(BadInput(key, what, code, build))
        return build

    return register


def contents_at(path: Path, contents: bytes) -> Path:
    path.write_bytes(contents)
    return path


def zeros(megabytes: int, window: int) -> bytes:
    """Deflated zeros; after a full flush every megabyte packs to the same bytes."""
    packer = zlib.compressobj(9, zlib.DEFLATED, window)
    first, again = (packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    return first + again * (megabytes - 1) + packer.flush()
