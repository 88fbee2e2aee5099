"""What all pages share: who visits, what may be done, templates, and the headers of an answer."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from jinja2 import Environment, PackageLoader
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from xiqa import __version__
from xiqa.dicom.codes import REJECT_REASONS
from xiqa.service.node import Node
from xiqa.service.page.latest import Latest
from xiqa.service.page.rendering import Renderer
from xiqa.service.page.shared import Shared
from xiqa.service.records.decisions import Decisions
from xiqa.service.records.people import People, Person, Role, csrf_of
from xiqa.service.records.worklist import Worklist

__all__ = ["SECURITY", "PageError", "Site", "Visit", "sentence"]

#: Nothing from elsewhere, nothing inline; pictures that a script made (``blob:``) are drawn on the canvas.
SECURITY = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "Referrer-Policy": "same-origin",  # without one a browser hides where a form comes from
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), usb=()",
}
WORDS = {
    "reacquire": "Re-acquire",
    "review": "Review",
    "not_assessed": "Not assessed",
    "waiting": "Waiting",
    "": "Waiting",
    "accept": "Accept",
    "decided": "Decided",
    "undo": "Undone",
}


class PageError(Exception):
    """An answer that is no page: a status and a sentence."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text


def sentence(error: Exception) -> str:
    """What went wrong, as the page says it."""
    text = str(error)
    return text[:1].upper() + text[1:]


@dataclass(frozen=True, slots=True)
class Visit:
    """One request of one person.

    Attributes:
        request: What was asked.
        token: Of the session; empty without one.
        person: Who asks; None where nobody is logged in.
        form: What a form brought.
    """

    request: Request
    token: str = ""
    person: Person | None = None
    form: Mapping[str, str] = field(default_factory=dict)

    @property
    def who(self) -> Person:
        """The person, on paths that need one."""
        assert self.person is not None
        return self.person

    @property
    def address(self) -> str:
        """Where the request comes from."""
        return self.request.client.host if self.request.client is not None else ""

    def may(self, role: str) -> bool:
        """Whether the person's role reaches as far."""
        return self.person is not None and self.person.role >= Role.named(role)


class Site:
    """All that the pages work with.

    Args:
        node: Running.
        people: Accounts; those of the node's settings unless told.
    """

    def __init__(self, node: Node, people: People | None = None) -> None:
        options = node.settings.page
        self.node, self.store, self.options = node, node.store, options
        self.people = people or People(
            node.store,
            tries=options.tries,
            lock_minutes=options.lock_minutes,
            idle_minutes=options.idle_minutes,
            longest_hours=options.longest_hours,
        )
        self.decisions = Decisions(
            node.store, options.reasons, node.settings.rejections(), options.undo_minutes
        )
        self.worklist = Worklist(node.store)
        self.renderer = Renderer(node.settings)
        self.secure = node.settings.api.tls is not None or options.proxied
        self.logins = Rate(20, 60.0)
        self.latest = Latest(node.store)
        self.shared = Shared()

    @cached_property
    def templates(self) -> Environment:
        """The templates; every text in them is escaped."""
        made = Environment(
            autoescape=True, trim_blocks=True, lstrip_blocks=True, loader=PackageLoader("xiqa.service.page")
        )
        made.globals |= {"words": WORDS, "reasons": REJECT_REASONS, "built": __version__}
        made.filters["clock"] = lambda at: time.strftime("%Y-%m-%d %H:%M", time.localtime(at))
        return made

    def page(self, name: str, visit: Visit, status: int = 200, **values: Any) -> Response:
        """A page made of a template."""
        text = self.part(
            name,
            visit=visit,
            person=visit.person,
            csrf=csrf_of(visit.token) if visit.token else "",
            assessing=visit.person is not None and self.store.switched("assessing"),
            **values,
        )
        return HTMLResponse(text, status)

    def part(self, name: str, **values: Any) -> str:
        """A template's text."""
        return self.templates.get_template(f"{name}.html.jinja").render(**values)

    def instance(self, visit: Visit) -> dict[str, Any]:
        """The instance that a path names.

        Raises:
            PageError: There is none.
        """
        row = self.store.find(visit.request.path_params["uid"])
        if row is None:
            raise PageError(404, "There is no such image.")
        return row

    def close(self) -> None:
        """End what the pages have started."""
        self.renderer.close()


class Rate:
    """So many in a span of time, for each key; what is forgotten first is the oldest key.

    Args:
        most: How many.
        seconds: In what time.

    >>> rate = Rate(2, 60)
    >>> [rate.allows("a"), rate.allows("a"), rate.allows("a"), rate.allows("b")]
    [True, True, False, True]
    """

    def __init__(self, most: int, seconds: float) -> None:
        self._most, self._seconds = most, seconds
        self._times: dict[str, deque[float]] = {}

    def allows(self, key: str) -> bool:
        """Whether another one is within the rate; it then counts."""
        now = time.monotonic()
        times = self._times.pop(key, deque())
        while times and times[0] < now - self._seconds:
            times.popleft()
        allowed = len(times) < self._most
        if allowed:
            times.append(now)
        self._times[key] = times
        while len(self._times) > 10_000:
            self._times.pop(next(iter(self._times)))
        return allowed
