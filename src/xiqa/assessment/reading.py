"""Reading the next images while the network works on the present ones."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xiqa.errors import XiqaError
from xiqa.types import FloatArray, Image

if TYPE_CHECKING:
    from xiqa.geometry import Frame

__all__ = ["Prepared", "Source", "read_ahead"]

Source = Image | str | os.PathLike[str]


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """One image ready for the network, or the reason why it is not.

    Attributes:
        file: As given; an array's own source path.
        image: The image; None when it could not be read.
        array: ``(C, h, w)`` input.
        frame: Map between the image and the input.
        problem: Why there is no image; empty otherwise.
    """

    file: str
    image: Image | None = None
    array: FloatArray | None = None
    frame: Frame | None = None
    problem: str = ""


def read_ahead(
    sources: Iterable[Source], prepare: Callable[[Image], tuple[FloatArray, Frame]], ahead: int
) -> Iterator[Prepared]:
    """Images in their order, read and prepared in a second thread, at most ``ahead`` of them waiting."""
    waiting: deque[Future[Prepared]] = deque()
    remaining = iter(sources)
    with ThreadPoolExecutor(1, thread_name_prefix="xiqa-read") as reader:
        try:
            while True:
                while len(waiting) < ahead and (source := next(remaining, None)) is not None:
                    waiting.append(reader.submit(_read, source, prepare))
                if not waiting:
                    return
                yield waiting.popleft().result()
        finally:
            reader.shutdown(wait=True, cancel_futures=True)


def _read(source: Source, prepare: Callable[[Image], tuple[FloatArray, Frame]]) -> Prepared:
    """Read and prepare one image; this is the one place where a bad file becomes a status."""
    from xiqa.imaging import read_image  # noqa: PLC0415 - image formats are loaded when one is read

    file = source.source.path if isinstance(source, Image) else os.fspath(source)
    try:
        image = source if isinstance(source, Image) else read_image(file)
        array, frame = prepare(image)
    except XiqaError as error:
        return Prepared(file, problem=str(error))
    except Exception as error:  # a decoder's own error must not end a run over thousands of files
        return Prepared(file, problem=f"cannot read it: {type(error).__name__}: {error}")
    return Prepared(file, image, array, frame)
