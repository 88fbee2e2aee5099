"""What a person does: decide, undo, stop the model."""

from __future__ import annotations

from starlette.responses import RedirectResponse, Response

from xiqa.service.page.site import PageError, Site, Visit
from xiqa.service.records.decisions import Choice
from xiqa.service.records.worklist import Filter

__all__ = ["decide", "switch", "undo"]


def decide(site: Site, visit: Visit) -> Response:
    """Keep a decision and go to the next image."""
    uid, form = visit.request.path_params["uid"], visit.form
    action = form.get("action", "")
    reason = form.get("reason", "") if action == "reacquire" else ""
    site.decisions.decide(Choice(uid, _version(visit), action, reason, form.get("note", "")), visit.who)
    following = site.worklist.after(Filter(), uid)
    where = f"/image/{following}" if following and form.get("next") == "on" else "/"
    return RedirectResponse(f"{where}?after={uid}", 303)


def undo(site: Site, visit: Visit) -> Response:
    """Take a decision back."""
    uid = visit.request.path_params["uid"]
    site.decisions.undo(uid, _version(visit), visit.who)
    return RedirectResponse(f"/image/{uid}", 303)


def switch(site: Site, visit: Visit) -> Response:
    """Stop or resume assessing; images are forwarded in any case.

    Raises:
        PageError: Neither on nor off.
    """
    value = visit.form.get("value", "")
    if value not in ("on", "off"):
        raise PageError(422, "Assessing is on or off.")
    site.store.switch("assessing", value, actor=visit.who.name)
    site.node.wake()
    return RedirectResponse("/", 303)


def _version(visit: Visit) -> int:
    text = visit.form.get("version", "")
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise PageError(422, "The form does not say which version of the image it is about.")
    return int(text)
