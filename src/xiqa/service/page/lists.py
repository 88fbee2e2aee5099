"""The worklist."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from starlette.responses import HTMLResponse, Response

from xiqa.service.page.site import Site, Visit
from xiqa.service.records.worklist import STATES, Filter

__all__ = ["acquired_at", "rows", "show"]

_PAGE = 100


def show(site: Site, visit: Visit) -> Response:
    """The whole page."""
    return site.page("worklist", visit, choices=site.worklist.choices(), **_content(site, *_asked(visit)))


def rows(site: Site, visit: Visit) -> Response:
    """What changes when something happens: parts and rows, made once for all who ask."""
    chosen, page = _asked(visit)
    version = site.store.last_event()
    text = site.shared.get((chosen, page), version, lambda: site.part("rows", **_content(site, chosen, page)))
    return HTMLResponse(text)


def _asked(visit: Visit) -> tuple[Filter, int]:
    """Which part of the list a request is about."""
    query = visit.request.query_params
    number = query.get("page", "0")
    return Filter.of(query), int(number) if number.isascii() and number.isdigit() and len(number) < 5 else 0


def _content(site: Site, chosen: Filter, page: int) -> dict[str, Any]:
    found = site.worklist.rows(chosen, _PAGE + 1, page) if page == 0 else _page(site, chosen, page)
    present, now = site.options.present_minutes * 60, time.time()
    for row in found:
        row["since"] = acquired_at(row["acquired"], row["received"])
        row["present"] = row["verdict"] == "reacquire" and now - row["since"] < present
    parts = [
        {"name": name, "count": count, "query": urlencode({**chosen.query(), "state": name})}
        for name, count in site.worklist.counts(chosen).items()
    ]
    base = chosen.query()
    return {
        "chosen": chosen,
        "parts": parts,
        "total": sum(part["count"] for part in parts if part["name"] != "decided"),
        "rows": found[:_PAGE],
        "page": page,
        "all_query": urlencode({name: value for name, value in base.items() if name != "state"}),
        "list_query": urlencode(base),
        "earlier": urlencode({**base, "page": page - 1}) if page else "",
        "later": urlencode({**base, "page": page + 1}) if len(found) > _PAGE else "",
        "states": STATES,
    }


def _page(site: Site, chosen: Filter, page: int) -> list[dict[str, Any]]:
    """A later page, and whether there is one more."""
    found = site.worklist.rows(chosen, _PAGE, page)
    return found + site.worklist.rows(chosen, _PAGE, page + 1)[:1]


def acquired_at(text: str, received: float) -> float:
    """When an image was taken, in seconds since 1970; its arrival where it does not say, or says the future.

    >>> acquired_at("", 5.0), acquired_at("nonsense", 6.0)
    (5.0, 6.0)
    """
    try:
        taken = datetime.strptime(text[:14].ljust(14, "0"), "%Y%m%d%H%M%S").timestamp()
    except ValueError:
        return received
    return taken if taken <= received else received
