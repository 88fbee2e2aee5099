"""Display values of images for the page, made in a child process: files come from anywhere."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from xiqa.errors import XiqaError
from xiqa.report.encoding import webp
from xiqa.report.overlay import heat_picture
from xiqa.service.settings import Settings
from xiqa.service.work.assessing import unfinished_of
from xiqa.service.work.assessor import Assessor
from xiqa.service.work.maps import map_path, read_map

__all__ = ["Pixels", "Renderer", "UnreadableError"]

_KEPT = 4  # images whose display values stay in memory
_LONG_SIDE = 1024  # of a heat map's picture


class UnreadableError(XiqaError):
    """An image that cannot be shown."""


@dataclass(frozen=True, slots=True)
class Pixels:
    """An image as the page draws it.

    Attributes:
        rows: Height.
        columns: Width.
        channels: 1, or 3 for RGB.
        values: Display values of 16 bits, little endian, row by row.
    """

    rows: int
    columns: int
    channels: int
    values: bytes


class Renderer:
    """Reads images for the page, one at a time.

    Args:
        settings: The node's.
    """

    def __init__(self, settings: Settings) -> None:
        self._folder = settings.node.folder
        self._out = unfinished_of(settings.node) / "page.values"
        self._child = Assessor(settings.assessing)
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, Pixels] = OrderedDict()

    def pixels(self, row: Mapping[str, Any], frame: int = 0) -> Pixels:
        """The display values of an instance.

        Raises:
            UnreadableError: Its file is gone, or cannot be read.
        """
        key = f"{row['sha256']} {frame}"
        with self._lock:
            if key not in self._kept:
                told = self._do("display_values", row, out=str(self._out), frame=frame)
                self._kept[key] = Pixels(**told, values=self._out.read_bytes())
                self._out.unlink()
            self._kept.move_to_end(key)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
            return self._kept[key]

    def header(self, row: Mapping[str, Any]) -> dict[str, str]:
        """Patient and study of an instance; empty where its file is gone or says nothing."""
        try:
            with self._lock:
                return {name: str(value) for name, value in self._do("header", row).items()}
        except UnreadableError:
            return {}

    def heat(self, uid: str, size: tuple[int, int]) -> bytes | None:
        """The kept heat map as a transparent picture with the image's shape; None where none was kept."""
        saliency = read_map(map_path(self._folder, uid))
        return None if saliency is None else webp(heat_picture(saliency, size, _LONG_SIDE))

    def has_map(self, uid: str) -> bool:
        """Whether a heat map was kept."""
        return map_path(self._folder, uid).exists()

    def close(self) -> None:
        """End the process."""
        self._child.close()

    def _do(self, name: str, row: Mapping[str, Any], **arguments: Any) -> dict[str, Any]:
        if not row["spooled"]:
            raise UnreadableError("the image's file has left this node", todo="look at it in the archive")
        path = self._folder / "spool" / row["path"]
        self._out.parent.mkdir(parents=True, exist_ok=True)
        try:
            answer = self._child.do(f"xiqa.service.work.showing:{name}", path=str(path), **arguments)
        except XiqaError as error:
            raise UnreadableError("the image cannot be read", got=str(error)) from error
        if "problem" in answer:
            problem = str(answer["problem"]).replace(str(path), "the image")
            problem = problem.replace(str(self._folder), "...")  # where it lies is nobody's business
            raise UnreadableError("the image cannot be read", got=problem)
        return answer
