"""One image: its page, its display values, its heat map."""

from __future__ import annotations

import json
import time
from typing import Any

from starlette.responses import Response

from xiqa.report.rows import worth_a_look
from xiqa.service.page.lists import acquired_at
from xiqa.service.page.rendering import UnreadableError
from xiqa.service.page.site import PageError, Site, Visit, sentence
from xiqa.service.records.worklist import Filter
from xiqa.types import Assessment, Verdict

__all__ = ["heat", "limits", "pixels", "show"]

_ACTIONS = {
    Verdict.REACQUIRE: "Take the image again",
    Verdict.REVIEW: "Look closely, then decide",
    Verdict.ACCEPT: "Nothing to do",
    Verdict.NOT_ASSESSED: "Judge it without the model",
}


def show(site: Site, visit: Visit) -> Response:
    """The page of an image; looking at it goes into the audit trail."""
    row = site.instance(visit)
    site.store.note("access", row["uid"], actor=visit.who.name)
    told = None if row["assessment"] is None else Assessment.from_dict(json.loads(row["assessment"]))
    history = site.decisions.of(row["id"])
    beside = visit.request.query_params.get("beside", "")
    earlier = site.worklist.earlier(row)
    for item in earlier:
        item["since"] = acquired_at(item["acquired"], item["received"])
    findings = worth_a_look(told) if told else ()
    return site.page(
        "image",
        visit,
        row=row,
        header=site.renderer.header(row),
        since=acquired_at(row["acquired"], row["received"]),
        told=told,
        problems=_problems(told),
        findings=findings,
        boxes=json.dumps([_box(finding) for finding in findings]),
        has_map=site.renderer.has_map(row["uid"]),
        history=history,
        undo=_may_undo(site, visit, row, history),
        choices=site.decisions.reasons,
        earlier=earlier,
        beside=next((item for item in earlier if item["uid"] == beside), None),
        after=visit.request.query_params.get("after", ""),
        following=site.worklist.after(Filter(), row["uid"]),
        action=_ACTIONS[told.verdict] if told else _ACTIONS[Verdict.NOT_ASSESSED],
    )


def _problems(told: Assessment | None) -> list[tuple[str, float]]:
    """Every problem that the model tells apart, the likeliest first; the one it knows where it knows one."""
    if told is None or told.probability is None:
        return []
    several = told.provenance.get("problems") or {}
    if several:
        return sorted(((str(k), float(v)) for k, v in several.items()), key=lambda item: -item[1])
    return [(str(told.provenance.get("target", "poor quality")), told.probability)]


def _box(finding: Any) -> dict[str, Any]:
    return {"box": list(finding.box), "peak": list(finding.peak), "label": finding.label}


def _may_undo(site: Site, visit: Visit, row: dict[str, Any], history: list[dict[str, Any]]) -> bool:
    """Whether to offer it; the rules are looked at again when it is asked for."""
    if not row["decision"] or not history or not visit.may("technologist"):
        return False
    latest = history[-1]
    own = latest["person_id"] == visit.who.id or visit.may("lead")
    return bool(own and time.time() - latest["at"] < site.decisions.undo_seconds)


def pixels(site: Site, visit: Visit) -> Response:
    """Display values of 16 bits; how many rows, columns and channels is in the headers."""
    row = site.instance(visit)
    try:
        found = site.renderer.pixels(row, _frame(row))
    except UnreadableError as error:
        raise PageError(422, sentence(error)) from error
    shape = {"X-Rows": found.rows, "X-Columns": found.columns, "X-Channels": found.channels}
    headers = {name: str(value) for name, value in shape.items()}
    return Response(found.values, media_type="application/octet-stream", headers=headers)


def heat(site: Site, visit: Visit) -> Response:
    """The heat map as a transparent picture."""
    row = site.instance(visit)
    told = json.loads(row["assessment"] or "{}")
    size = tuple(told.get("image_size", (0, 0)))
    picture = site.renderer.heat(row["uid"], (size[0], size[1])) if min(size) > 0 else None
    if picture is None:
        raise PageError(404, "No heat map was kept of this image.")
    return Response(picture, media_type="image/webp")


def _frame(row: dict[str, Any]) -> int:
    """Which frame was assessed."""
    told = json.loads(row["assessment"] or "{}")
    return int(told.get("source", {}).get("frame", 0))


def limits(site: Site, visit: Visit) -> Response:
    """What the models cannot do."""
    settings = site.node.settings
    return site.page("limits", visit, models=settings.models, rules=settings.rules)
