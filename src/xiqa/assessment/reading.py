"""Reading the next images while the network works on the present ones."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from xiqa.errors import Code, ImageReadError, XiqaError
from xiqa.files import FileIdentity, bytes_digest, file_digest
from xiqa.types import FloatArray, Image
from xiqa.types import Source as Origin

if TYPE_CHECKING:
    from xiqa.geometry import Frame

__all__ = ["Prepared", "Source", "arrays_of", "read_ahead"]

Source = Image | str | os.PathLike[str]


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """One image ready for the network, or the reason why it is not.

    Attributes:
        file: As given; an array's own source path.
        image: The image; None when it could not be read.
        array: ``(C, h, w)`` input.
        frame: Map between the image and the input.
        problem: Why there is no image; None otherwise.
        source: Where the image comes from, with the digest of its content.
    """

    file: str
    image: Image | None = None
    array: FloatArray | None = None
    frame: Frame | None = None
    problem: XiqaError | None = None
    source: Origin = field(default_factory=Origin)


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
    file = source.source.path if isinstance(source, Image) else os.fspath(source)
    try:
        image = _digested(source) if isinstance(source, Image) else _read_file(file)
        array, frame = prepare(image)
    except XiqaError as error:
        return Prepared(file, problem=error, source=Origin(path=file))
    except Exception as error:  # a decoder's own error must not end a run over thousands of files
        problem = ImageReadError(f"cannot read it: {type(error).__name__}: {error}", code=Code.FAILED)
        return Prepared(file, problem=problem, source=Origin(path=file))
    return Prepared(file, image, array, frame, source=image.source)


def arrays_of(batch: Iterable[Prepared]) -> list[FloatArray]:
    """The inputs of images that must all be there.

    Raises:
        XiqaError: Why one could not be read.
    """
    arrays = []
    for prepared in batch:
        if prepared.problem is not None:
            raise prepared.problem
        assert prepared.array is not None
        arrays.append(prepared.array)
    return arrays


def _digested(image: Image) -> Image:
    """An image that was given, with the digest of its pixels where it has none."""
    if image.source.digest:
        return image
    parts = (image.pixels, image.mask) if image.mask is not None else (image.pixels,)
    return replace(image, source=replace(image.source, digest=bytes_digest(*parts)))


def _read_file(file: str) -> Image:
    """The image of a file with the digest of the file's bytes, which stayed the same meanwhile.

    Raises:
        ImageReadError: The file cannot be read, or was replaced while it was read.
    """
    from xiqa.imaging import read_image  # noqa: PLC0415 - image formats are loaded when one is read

    before = FileIdentity.of(file)
    image = read_image(file)
    digest = file_digest(file)
    if before is None or before != FileIdentity.of(file):
        raise ImageReadError(
            f"cannot read {file}: it changed while it was read",
            code=Code.CHANGED,
            todo="run the same command again when it is written",
        )
    source = replace(image.source, digest=digest, size=before.size, modified=before.modified)
    return replace(image, source=source)
