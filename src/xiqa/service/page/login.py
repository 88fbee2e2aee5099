"""Logging in and out."""

from __future__ import annotations

from starlette.responses import RedirectResponse, Response

from xiqa.service.page.site import PageError, Site, Visit

__all__ = ["COOKIE", "enter", "leave", "opened", "show"]

#: Name of the cookie by whether it travels over TLS alone; the prefix keeps pages of other names from it.
COOKIE = {False: "xiqa_session", True: "__Host-xiqa_session"}


def show(site: Site, visit: Visit) -> Response:
    """The form."""
    if visit.person is not None:
        return RedirectResponse("/", 303)
    provider = "" if site.options.oidc is None else site.options.oidc.label
    return site.page("login", visit, empty=not site.people.listed() and not provider, provider=provider)


def enter(site: Site, visit: Visit) -> Response:
    """Log in; what a browser brought along as a session is not used.

    Raises:
        PageError: Too many tries from one address.
    """
    if not site.logins.allows(visit.address):
        raise PageError(429, "Too many tries from this address. Wait a minute.")
    name, password = visit.form.get("name", ""), visit.form.get("password", "")
    token = site.people.login(name, password, visit.address)
    if token is None:
        text = "Name and password do not fit, or the account is locked."
        return site.page("login", visit, 403, text=text, login=name[:32])
    return opened(site, token)


def opened(site: Site, token: str) -> Response:
    """The first page of a new session."""
    response = RedirectResponse("/", 303)
    response.set_cookie(
        COOKIE[site.secure], token, path="/", httponly=True, samesite="strict", secure=site.secure
    )
    return response


def leave(site: Site, visit: Visit) -> Response:
    """Log out."""
    site.people.logout(visit.token)
    response = RedirectResponse("/login", 303)
    response.delete_cookie(COOKIE[site.secure], path="/", secure=site.secure, httponly=True)
    return response
