"""Reading the next images while the network works on the present ones."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from xiqa.errors import Code, ImageReadError, XiqaError
from xiqa.files import FileIdentity, bytes_digest, file_digest
from xiqa.imaging.frames import chosen_frames
from xiqa.imaging.given import as_image, is_one_image
from xiqa.imaging.series import Series
from xiqa.types import FloatArray, Image, ImageRef
from xiqa.types import Source as Origin

if TYPE_CHECKING:
    from xiqa.geometry import Frame

__all__ = ["Prepared", "SeriesFrames", "Source", "arrays_of", "read_ahead", "series_name", "several"]

#: An image, a file, a series, or what `xiqa.imaging.given.as_image` takes.
Source = Any
Prepare = Callable[[Image], "tuple[FloatArray, Frame]"]


@dataclass(frozen=True, slots=True)
class SeriesFrames:
    """The images of one series that are assessed: frames of a file, or files.

    Attributes:
        name: Tells it from others.
        total: How many images it has.
        places: Which of them are assessed.
        notes: What a reader should know of the series.
    """

    name: str
    total: int
    places: tuple[int, ...]
    notes: tuple[str, ...] = ()


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
        series: The series that it is an image of, if any.
    """

    file: str
    image: Image | None = None
    array: FloatArray | None = None
    frame: Frame | None = None
    problem: XiqaError | None = None
    source: Origin = field(default_factory=Origin)
    series: SeriesFrames | None = None

    @property
    def last(self) -> bool:
        """Whether no other image of its series follows."""
        return self.series is not None and self.source.place == self.series.places[-1]


def read_ahead(
    sources: Iterable[Source], prepare: Prepare, ahead: int, frames: str = "all"
) -> Iterator[Prepared]:
    """Images in their order, read and prepared in a second thread, at most ``ahead`` of them waiting."""
    chosen_frames(frames, 1)  # a choice that does not exist is no fault of the first file
    images = _images(sources, prepare, frames)  # advanced by the second thread alone
    waiting: deque[Future[Prepared | None]] = deque()
    with ThreadPoolExecutor(1, thread_name_prefix="xiqa-read") as reader:
        try:
            while True:
                while len(waiting) < ahead:
                    waiting.append(reader.submit(next, images, None))
                prepared = waiting.popleft().result()
                if prepared is None:
                    return
                yield prepared
        finally:
            for left in waiting:
                left.cancel()
            reader.submit(images.close)


def _images(sources: Iterable[Source], prepare: Prepare, frames: str) -> Generator[Prepared]:
    """Every image of every source."""
    for source in sources:
        if isinstance(source, Series):
            yield from _slices(source, prepare, frames)
        elif isinstance(source, ImageRef):
            yield from _frames(source.path, prepare, source.frame)
        elif isinstance(source, (str, os.PathLike)):
            yield from _frames(os.fspath(source), prepare, frames)
        else:
            yield _prepared(_file_of(source), partial(_given, source), prepare)


def _slices(files: Series, prepare: Prepare, frames: str) -> Iterator[Prepared]:
    """The files of a series."""
    places = chosen_frames(frames, len(files.paths))
    series = SeriesFrames(series_name(files.paths), len(files.paths), places, files.notes)
    for place in places:
        for prepared in _frames(os.fspath(files.paths[place]), prepare, 0):
            source = replace(prepared.source, series=series.name, place=place)
            yield replace(prepared, source=source, series=series)


def _frames(file: str, prepare: Prepare, frames: str | int) -> Iterator[Prepared]:
    """The chosen frames of a file, or the one with this number."""
    try:
        opened = _OpenFile(file)
    except Exception as error:
        yield Prepared(file, problem=_problem(error), source=Origin(path=file))
        return
    with opened:
        series = None
        if isinstance(frames, str) and opened.frames > 1:
            places = chosen_frames(frames, opened.frames)
            series = SeriesFrames(series_name([file]), opened.frames, places, opened.notes())
        for frame in (frames,) if isinstance(frames, int) else series.places if series else (0,):
            known = Origin(path=file, frame=frame, frames=opened.frames)
            prepared = _prepared(file, partial(opened.read, frame), prepare, known)
            if series is not None:
                source = replace(prepared.source, series=series.name, place=frame)
                prepared = replace(prepared, source=source, series=series)
            yield prepared


def several(images: Source | Iterable[Source]) -> Iterable[Source]:
    """One image, file or series as a list of one."""
    single = isinstance(images, (ImageRef, Series, str, os.PathLike)) or is_one_image(images)
    return [images] if single else images


def series_name(paths: Iterable[str | os.PathLike[str]]) -> str:
    """The name of a series: follows from its files' places and gives none of them away."""
    joined = "\n".join(os.path.abspath(path) for path in paths)  # noqa: PTH100 - keeps any name as it is
    return hashlib.sha256(os.fsencode(joined)).hexdigest()[:16]


def _prepared(
    file: str, read: Callable[[], Image], prepare: Prepare, known: Origin | None = None
) -> Prepared:
    """Read and prepare one image; this is the one place where a bad image becomes a status."""
    try:
        image = read()
        array, frame = prepare(image)
    except Exception as error:  # a decoder's own error must not end a run over thousands of files
        return Prepared(file, problem=_problem(error), source=known or Origin(path=file))
    return Prepared(file, image, array, frame, source=image.source)


def _problem(error: Exception) -> XiqaError:
    """Why there is no image."""
    if isinstance(error, XiqaError):
        return error
    return ImageReadError(f"cannot read it: {type(error).__name__}: {error}", code=Code.FAILED)


def _given(value: Any) -> Image:
    """An image that is in memory, named by the digest of its pixels."""
    return _digested(as_image(value))


def _file_of(value: Any) -> str:
    """Where an image in memory came from, as far as it tells."""
    return value.source.path if isinstance(value, Image) else str(getattr(value, "filename", "") or "")


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


class _OpenFile:
    """A file whose frames carry the digest of its bytes, which stay the same meanwhile.

    Raises:
        ImageReadError: It cannot be opened.
    """

    def __init__(self, file: str) -> None:
        from xiqa.imaging import open_image  # noqa: PLC0415 - image formats are loaded when one is read

        self._file, self._before, self._digest = file, FileIdentity.of(file), ""
        self._context = open_image(file)
        self._image = self._context.__enter__()
        self.frames = self._image.frames

    def __enter__(self) -> None:
        return None

    def __exit__(self, *error: object) -> None:
        self._context.__exit__(None, None, None)

    def notes(self) -> tuple[str, ...]:
        """What a reader should know of the frames as a series; none where they cannot be told."""
        try:
            return self._image.notes
        except ImageReadError as error:
            return (f"the frames' order cannot be told: {error}",)

    def read(self, frame: int) -> Image:
        """One frame.

        Raises:
            ImageReadError: The frame cannot be read, or the file was replaced meanwhile.
        """
        image = self._image.read(frame)
        before = self._before
        self._digest = self._digest or file_digest(self._file)
        if before is None or before != FileIdentity.of(self._file):
            raise ImageReadError(
                f"cannot read {self._file}: it changed while it was read",
                code=Code.CHANGED,
                todo="run the same command again when it is written",
            )
        source = replace(image.source, digest=self._digest, size=before.size, modified=before.modified)
        return replace(image, source=source)
