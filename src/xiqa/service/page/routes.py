"""Every path of the page with the least role that it serves: what is not in the table does not exist.

Each request passes the same gate: a session, a role, and for what changes something a form's own word. Only
then is its handler called.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.resources import files

from fastapi import APIRouter
from fastapi.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from xiqa.errors import XiqaError
from xiqa.service.page import analysis, deciding, images, lists, login, oidc, stream
from xiqa.service.page.login import COOKIE
from xiqa.service.page.site import SECURITY, PageError, Site, Visit, sentence
from xiqa.service.records.decisions import NotAllowedError, StaleError
from xiqa.service.records.people import BusyError, Role, csrf_of

__all__ = ["PLACES", "Place", "page_routes"]

Handler = Callable[[Site, Visit], Response]
_FORM = 64 * 1024  # bytes of a form
_BY_THEMSELVES = ("/rows", "/stream")  # asked by an open page: nobody need sit before it
_STATIC = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class Place:
    """A path.

    Attributes:
        method: ``GET`` or ``POST``; a POST needs a form's own word.
        path: With its parameters.
        role: The least role that it serves; None: anyone.
        handler: What answers.
    """

    method: str
    path: str
    role: Role | None
    handler: Handler


def _static(site: Site, visit: Visit) -> Response:
    """A style sheet or a script of the package; the name is looked up in a list, not in the file system."""
    name = visit.request.path_params["name"]
    folder = files("xiqa.service.page").joinpath("static")
    if name not in {entry.name for entry in folder.iterdir()}:
        raise PageError(404, "There is no such file.")
    kind = _STATIC[name.rpartition(".")[2]]
    headers = {"Cache-Control": "public, max-age=600"}
    return Response(folder.joinpath(name).read_bytes(), media_type=kind, headers=headers)


PLACES = (
    Place("GET", "/static/{name}", None, _static),
    Place("GET", "/login", None, login.show),
    Place("POST", "/login", None, login.enter),
    Place("GET", "/login/oidc", None, oidc.begin),
    Place("GET", "/login/oidc/back", None, oidc.back),
    Place("POST", "/logout", Role.VIEWER, login.leave),
    Place("GET", "/", Role.VIEWER, lists.show),
    Place("GET", "/rows", Role.VIEWER, lists.rows),
    Place("GET", "/limits", Role.VIEWER, images.limits),
    Place("GET", "/analysis", Role.VIEWER, analysis.show),
    Place("GET", "/analysis.csv", Role.LEAD, analysis.listed),
    Place("GET", "/report", Role.LEAD, analysis.report),
    Place("GET", "/image/{uid}", Role.VIEWER, images.show),
    Place("GET", "/image/{uid}/pixels", Role.VIEWER, images.pixels),
    Place("GET", "/image/{uid}/heat", Role.VIEWER, images.heat),
    Place("POST", "/image/{uid}/decide", Role.TECHNOLOGIST, deciding.decide),
    Place("POST", "/image/{uid}/undo", Role.TECHNOLOGIST, deciding.undo),
    Place("POST", "/assessing", Role.TECHNOLOGIST, deciding.switch),
)


def page_routes(site: Site) -> APIRouter:
    """All pages."""
    router = APIRouter(include_in_schema=False)
    for place in PLACES:
        router.add_api_route(place.path, partial(_answer, site, place), methods=[place.method])
    router.add_api_route("/stream", partial(_stream, site), methods=["GET"])
    return router


async def _stream(site: Site, request: Request) -> Response:
    """Events for who is logged in."""
    visit = await run_in_threadpool(_visit, site, request)
    if visit.person is None:
        raise HTTPException(401)
    return stream.follow(site, visit)


async def _answer(site: Site, place: Place, request: Request) -> Response:
    """Pass the gate, call the handler, and tell what went wrong: the one place where that is done."""
    visit = Visit(request)
    try:
        visit = await run_in_threadpool(_visit, site, request)
        refused = _gate(place, visit)
        if refused is not None:
            return refused
        if place.method == "POST":
            visit = await _with_form(visit)
        response = await run_in_threadpool(place.handler, site, visit)
    except (PageError, NotAllowedError, StaleError, BusyError) as error:
        status, text = _told(error)
        response = await run_in_threadpool(partial(site.page, "problem", visit, status, text=text))
    for name, value in SECURITY.items():
        response.headers.setdefault(name, value)
    if site.secure:
        response.headers["Strict-Transport-Security"] = "max-age=31536000"
    return response


def _visit(site: Site, request: Request) -> Visit:
    token = request.cookies.get(COOKIE[site.secure], "")
    by_itself = request.url.path in _BY_THEMSELVES
    person = site.people.person_of(token, touch=not by_itself) if token else None
    return Visit(request, token if person else "", person)


def _gate(place: Place, visit: Visit) -> Response | None:
    """An answer for who may not pass.

    Raises:
        PageError: The role does not reach as far.
    """
    if place.role is None:
        return None
    if visit.person is None:
        if place.method == "GET" and "text/html" in visit.request.headers.get("accept", ""):
            return RedirectResponse("/login", 303)
        raise PageError(401, "You are not logged in, or not any more.")
    if visit.person.role < place.role:
        raise PageError(403, f"The role {visit.person.role.word} may look and not do this.")
    return None


async def _with_form(visit: Visit) -> Visit:
    """The visit with its form.

    Raises:
        PageError: It is too long, no form, or comes from elsewhere.
    """
    if int(visit.request.headers.get("content-length", "0")) > _FORM:
        raise PageError(413, "The form is too long.")
    try:
        sent = await visit.request.form(max_files=0, max_fields=50)
    except HTTPException as error:
        raise PageError(400, "This is not a form.") from error
    form = {name: value for name, value in sent.items() if isinstance(value, str)}
    if visit.token and not hmac.compare_digest(form.get("csrf", "").encode(), csrf_of(visit.token).encode()):
        raise PageError(403, "The form is not one of this session: open the page again.")
    return Visit(visit.request, visit.token, visit.person, form)


def _told(error: Exception) -> tuple[int, str]:
    """Status and sentence of what a person cannot do."""
    if isinstance(error, PageError):
        return error.status, error.text
    assert isinstance(error, XiqaError)
    status = {StaleError: 409, NotAllowedError: 422, BusyError: 503}[type(error)]
    return status, sentence(error)
