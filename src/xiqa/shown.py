"""How values show themselves: in a notebook, as a picture over their image, on axes of matplotlib.

Drawing is the business of `xiqa.report.notebook`, which is looked up by its name when something is shown:
values travel without it, and this room knows none below it. An image is a `xiqa.types.Image`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from PIL.Image import Image as Pillow

__all__ = ["Overlaid", "Pictured", "Plotted", "Told"]

_NOTEBOOK = "xiqa.report.notebook"


class Plotted:
    """What matplotlib can show; see `xiqa.report.notebook`."""

    __slots__ = ()

    def plot(self, ax: Axes | None = None, image: Any = None) -> Axes:
        """Draw it on axes of matplotlib, the current ones unless told, and give them back.

        Args:
            ax: Where to draw.
            image: The image under a map or a result; a result needs it.
        """
        axes: Axes = import_module(_NOTEBOOK).plot(self, ax, image)
        return axes


class Pictured(Plotted):
    """What a notebook shows as a picture."""

    __slots__ = ()

    def _repr_png_(self) -> bytes:
        return bytes(import_module(_NOTEBOOK).png(self))


class Told:
    """What a notebook shows as a table."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        return str(import_module(_NOTEBOOK).html(self))


class Overlaid(Plotted):
    """What is laid over its image."""

    __slots__ = ()

    def overlay(self, image: Any) -> Pillow:
        """The image with the map, or the result's map and places, drawn on it, as a Pillow picture.

        Args:
            image: What `xiqa.read_image` gave for the file that was assessed.

        Raises:
            ReportError: The image has another size than the one that was assessed.
        """
        picture: Pillow = import_module(_NOTEBOOK).overlay(self, image)
        return picture
