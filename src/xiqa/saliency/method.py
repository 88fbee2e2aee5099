"""A method with its parameters as a value that can be written down, read again and used as a key."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from xiqa.errors import SaliencyError

__all__ = ["Method"]

_WORDS: dict[str, Any] = {"true": True, "false": False, "none": None}
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_PARAM = re.compile(r"([A-Za-z_]\w*)=((?:'[^']*'|[^,'])+)(?:,|$)")
_PART = re.compile(r"(?:'[^']*'|[^+'])+")


@dataclass(frozen=True, init=False)
class Method:
    """One saliency method and the parameters that differ from its defaults.

    As text: ``name``, then for a wrapper the wrapped method in parentheses, then ``:key=value,...``. Values
    are numbers, ``true``, ``false``, ``none``, words, or several joined by ``+``; single quotes keep a word
    a word.

    Args:
        name: Registry name.
        of: The wrapped method, for wrappers.
        **params: Parameters by name; lists become tuples.

    >>> str(Method("normgrad_conv1x1", layers="multi", combine="geometric"))
    'normgrad_conv1x1:combine=geometric,layers=multi'
    >>> Method.parse("evet(gradcam:layers=layer3+layer4):seed=3").of.params["layers"]
    ('layer3', 'layer4')
    """

    name: str
    of: Method | None
    items: tuple[tuple[str, Any], ...]

    def __init__(self, name: str, of: Method | str | None = None, /, **params: Any) -> None:
        inner = Method.parse(of) if isinstance(of, str) else of
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "of", inner)
        object.__setattr__(self, "items", tuple((key, _frozen(params[key])) for key in sorted(params)))

    @property
    def params(self) -> Mapping[str, Any]:
        """The parameters by name."""
        return dict(self.items)

    def __str__(self) -> str:
        inner = f"({self.of})" if self.of else ""
        params = ",".join(f"{key}={_write(value)}" for key, value in self.items)
        return f"{self.name}{inner}" + (f":{params}" if params else "")

    @classmethod
    def parse(cls, text: str | Method) -> Method:
        """Read a method from its text; a `Method` passes through.

        Raises:
            SaliencyError: The text is not of the form above.
        """
        if isinstance(text, Method):
            return text
        text = text.strip()
        start = _NAME.match(text)
        if start is None:
            raise _unreadable(text)
        name, rest = start.group(), text[start.end() :]
        of = None
        if rest.startswith("("):
            end = _closing(rest, text)
            of, rest = cls.parse(rest[1:end]), rest[end + 1 :]
        return cls(name, of, **_read_params(rest, text))


def _closing(rest: str, text: str) -> int:
    """Where the parenthesis that opens ``rest`` closes."""
    depth, quoted = 0, False
    for place, sign in enumerate(rest):
        quoted ^= sign == "'"
        depth += 0 if quoted else {"(": 1, ")": -1}.get(sign, 0)
        if depth == 0:
            return place
    raise _unreadable(text)


def _read_params(rest: str, text: str) -> dict[str, Any]:
    if not rest:
        return {}
    matches = list(_PARAM.finditer(rest, 1))
    covered = "".join(match.group() for match in matches)
    if not rest.startswith(":") or not covered or rest[1:] != covered or rest.endswith(","):
        raise _unreadable(text)
    return {match.group(1): _read(match.group(2)) for match in matches}


def _read(text: str) -> Any:
    text = text.strip()
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    if "+" in re.sub(r"'[^']*'", "", text):
        return tuple(_read(part) for part in _PART.findall(text))
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == "'" else text


def _write(value: Any) -> str:
    if isinstance(value, tuple):
        return "+".join(_write(part) for part in value) + ("+" if len(value) == 1 else "")
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    if isinstance(value, str):
        plain = re.fullmatch(r"[\w./-]+", value) and _read(value) == value
        return value if plain else f"'{value}'"
    return repr(value).replace("e+", "e")  # a plus joins values


def _frozen(value: Any) -> Any:
    return tuple(_frozen(part) for part in value) if isinstance(value, (list, tuple)) else value


def _unreadable(text: str) -> SaliencyError:
    return SaliencyError(
        "cannot read a method",
        expected="NAME, NAME:key=value,key=value or WRAPPER(METHOD):key=value",
        got=repr(text),
        todo="see `xiqa methods` for names and parameters",
    )
