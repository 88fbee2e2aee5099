"""What every request passes before a byte of its body is read, and headers on the way out."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

__all__ = ["HEADERS", "Guard"]

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
#: Where programs ask, with a token; pages for people guard themselves.
_PROGRAMS = ("/api/", "/dicom-web/", "/metrics", "/openapi.json")


@dataclass(frozen=True, slots=True)
class Guard:
    """A middleware that turns away requests under another name, from another site's page, or without a token.

    A page elsewhere can make a browser send requests here; it cannot hide where they come from.

    Attributes:
        hosts: Names under which the node is called.
        token: What programs must send; empty where nothing.
        most: Bytes of a request's body.
    """

    hosts: frozenset[str]
    token: str
    most: int

    async def __call__(self, request: Request, go_on: Callable[[Request], Awaitable[Response]]) -> Response:
        """Answer a request, or let it pass."""
        refused = self._refused(request)
        response = await go_on(request) if refused is None else refused
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    def _refused(self, request: Request) -> JSONResponse | None:
        """Why a request does not pass."""
        headers = request.headers
        host = urlsplit(f"//{headers.get('host', '')}").hostname or ""
        if host.lower() not in self.hosts:
            return _answer(421, "this node is not called so")
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != headers.get("host"):
            return _answer(403, "requests from other sites are not taken")
        if not self._knows(request):
            return _answer(401, "a token is needed", {"WWW-Authenticate": "Bearer"})
        length = headers.get("content-length", "0")
        if "transfer-encoding" in headers or not (length.isascii() and length.isdigit()):
            return _answer(411, "the request must say how long it is")
        if int(length) > self.most:
            return _answer(413, "the request is too long")
        return None

    def _knows(self, request: Request) -> bool:
        if not self.token or not request.url.path.startswith(_PROGRAMS):
            return True
        given = request.headers.get("authorization", "")
        return hmac.compare_digest(given.encode(), f"Bearer {self.token}".encode())


def _answer(status: int, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"detail": detail}, status, headers=headers)
