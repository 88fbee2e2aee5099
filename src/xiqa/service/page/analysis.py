"""What the department learns: rejects and repeats, reasons, control charts, and a report of a month."""

from __future__ import annotations

import calendar
import math
from datetime import UTC, date, datetime, timedelta
from importlib.resources import files
from typing import Any

from markupsafe import Markup
from starlette.responses import Response

from xiqa.scoring.control import Chart
from xiqa.service.page.site import PageError, Site, Visit
from xiqa.service.records.rejects import PERIODS, analyse, seen, table

__all__ = ["listed", "report", "show"]

_DAYS = 90
_TICKS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
_WIDE, _HIGH, _LEFT, _FOOT = 900.0, 240.0, 46.0, 24.0


def show(site: Site, visit: Visit) -> Response:
    """The page."""
    return site.page("analysis", visit, **_content(site, visit))


def listed(site: Site, visit: Visit) -> Response:
    """The counts as a table for a spreadsheet."""
    first, last = _span(visit)
    site.store.note("export", "reject analysis", actor=visit.who.name, detail=f"{first} to {last}")
    name = f"rejects-{first}-{last}.csv"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(
        table(seen(site.store, first, last)), media_type="text/csv; charset=utf-8", headers=headers
    )


def report(site: Site, visit: Visit) -> Response:
    """One month as a page of its own, with nothing but itself.

    Raises:
        PageError: No such month.
    """
    text = visit.request.query_params.get("month", "")
    try:
        first = datetime.strptime(text, "%Y-%m").date()
    except ValueError as error:
        raise PageError(422, "A month looks like 2026-03.") from error
    last = first.replace(day=calendar.monthrange(first.year, first.month)[1])
    style = files("xiqa.service.page").joinpath("static", "page.css").read_text("utf-8")
    values = _numbers(site, first, last, "day") | {"style": Markup(style), "month": text}
    site.store.note("export", "report", actor=visit.who.name, detail=text)
    response = site.page("report", visit, **values)
    response.headers["Content-Disposition"] = f'attachment; filename="quality-{text}.html"'
    return response


def _content(site: Site, visit: Visit) -> dict[str, Any]:
    first, last = _span(visit)
    period = visit.request.query_params.get("by", "week")
    return _numbers(site, first, last, period if period in PERIODS else "week") | {"periods": PERIODS}


def _numbers(site: Site, first: date, last: date, period: str) -> dict[str, Any]:
    found = analyse(seen(site.store, first, last), period)
    charts = [
        ("Rejected by people", found.chart, _drawn(found.chart)),
        ("Re-acquire by the model", found.model, _drawn(found.model)),
    ]
    return {"first": first, "last": last, "period": period, "found": found, "charts": charts}


def _span(visit: Visit) -> tuple[date, date]:
    """From a day to another; the last three months unless told."""
    query, today = visit.request.query_params, datetime.now(UTC).date()
    last = _day(query.get("to", "")) or today
    first = _day(query.get("from", "")) or last - timedelta(days=_DAYS - 1)
    return max(min(first, last), last - timedelta(days=3660)), last


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def _drawn(chart: Chart | None) -> dict[str, Any] | None:
    """A chart as lines and points of a picture."""
    if chart is None:
        return None
    ends = [point.high / point.total for point in chart.points if point.total]
    most = max([*ends, *(point.rate for point in chart.points), 0.01])
    tick = next(size for size in _TICKS if 5 * size >= most)
    top = tick * math.ceil(most / tick)
    step = (_WIDE - _LEFT - 10) / max(1, len(chart.points) - 1)

    def x(place: float) -> float:
        return round(_LEFT + place * step, 1)

    def y(rate: float) -> float:
        return round(_HIGH - _FOOT - min(rate, top) / top * (_HIGH - _FOOT - 10), 1)

    known = [(place, point) for place, point in enumerate(chart.points) if point.total]
    return {
        "wide": _WIDE,
        "high": _HIGH,
        "foot": _HIGH - _FOOT,
        "line": " ".join(f"{x(place)},{y(point.rate)}" for place, point in known),
        "upper": " ".join(f"{x(place)},{y(point.high / point.total)}" for place, point in known),
        "lower": " ".join(f"{x(place)},{y(point.low / point.total)}" for place, point in known),
        "centre": y(chart.centre),
        "baseline": x(chart.baseline - 0.5),
        "left": _LEFT,
        "points": [(x(place), y(point.rate), point) for place, point in known],
        "ticks": [(y(part * tick), part * tick) for part in range(round(top / tick) + 1)],
        "names": [(x(place), chart.points[place].name) for place in _few(len(chart.points))],
    }


def _few(number: int) -> list[int]:
    """Places of at most six names."""
    step = max(1, -(-number // 6))
    return list(range(0, number, step))
