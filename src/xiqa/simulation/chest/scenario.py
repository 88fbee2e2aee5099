"""What lies on the image: how many objects, how large, where; and the grid of all such cases."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal, get_args

from xiqa.errors import ConfigError

__all__ = ["Scenario", "scenario_grid"]

Count = Literal["random", "none", "one", "same", "different"]
Size = Literal["any", "small", "large"]
Place = Literal["any", "lung", "heart", "edge", "marker", "outside"]


@dataclass(frozen=True, slots=True)
class Scenario:
    """What to put on an image.

    Attributes:
        count: No object, one, several of the same kind, several of different kinds; ``random`` is what
            a ward sends: about half the images with objects over the chest, some beside it, devices.
        size: Small or large ones of their kind.
        place: Over a lung, the heart, the chest's edge, the part of the chest next to the burned-in
            marker, or beside the chest.
        kinds: Names of object kinds to choose from; empty for all.
        implant: An implanted device, which is no reason to repeat the image; None by chance.
        devices: Names of implanted things to choose from; empty for lines, ports and the like.

    Raises:
        ConfigError: If a choice is unknown.
    """

    count: Count = "random"
    size: Size = "any"
    place: Place = "any"
    kinds: tuple[str, ...] = ()
    implant: bool | None = None
    devices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, choices in (("count", Count), ("size", Size), ("place", Place)):
            if getattr(self, name) not in get_args(choices):
                raise ConfigError(
                    f"unknown {name} of objects",
                    expected=f"one of {', '.join(get_args(choices))}",
                    got=str(getattr(self, name)),
                )

    @property
    def name(self) -> str:
        """A short name that tells the choices apart.

        >>> Scenario(count="one", size="small", place="lung").name
        'one-small-lung'
        """
        chosen = [str(getattr(self, f.name)) for f in fields(self) if f.name in ("count", "size", "place")]
        parts = [part for part in chosen if part != "any"] + list(self.kinds)
        return "-".join([*parts, "implant"] if self.implant else parts)


def scenario_grid() -> list[Scenario]:
    """Every case worth a row of its own in a table of results.

    >>> len(scenario_grid()), len({s.name for s in scenario_grid()})
    (34, 34)
    """
    counts: tuple[Count, ...] = ("one", "same", "different")
    sizes: tuple[Size, ...] = ("small", "large")
    places: tuple[Place, ...] = ("lung", "heart", "edge", "marker")
    grid = [
        Scenario(count=count, size=size, place=place, implant=False)
        for count in counts
        for size in sizes
        for place in places
    ]
    grid += [
        Scenario(count=count, size=size, place="lung", implant=True) for count in counts for size in sizes
    ]
    grid += [Scenario(count="none", implant=implant) for implant in (False, True)]
    return grid + [Scenario(count="one", size=size, place="outside", implant=False) for size in sizes]
