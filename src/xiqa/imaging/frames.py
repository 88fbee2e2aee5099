"""Which frames of a file or images of a series are looked at."""

from __future__ import annotations

from xiqa.errors import ConfigError

__all__ = ["chosen_frames"]


def chosen_frames(choice: str, count: int) -> tuple[int, ...]:
    """The frames that a choice means, of ``count``.

    Args:
        choice: ``all``, ``first``, ``middle`` or ``every:k`` (the first and each k-th after it).
        count: How many there are.

    Raises:
        ConfigError: There is no such choice.

    >>> chosen_frames("every:8", 18), chosen_frames("middle", 18)
    ((0, 8, 16), (9,))
    """
    word, colon, step = choice.partition(":")
    if word == "every" and step.isascii() and step.isdecimal() and int(step) > 0:
        return tuple(range(0, count, int(step)))
    frames = {"all": tuple(range(count)), "first": (0,), "middle": (count // 2,)}
    if colon or word not in frames:
        raise ConfigError("no such choice of frames", expected="all, first, middle or every:k", got=choice)
    return frames[word]
