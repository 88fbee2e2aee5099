"""Whether the node lives, what it knows, and its metrics."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Query, Response
from prometheus_client import CONTENT_TYPE_LATEST

from xiqa.service.node import Node

__all__ = ["open_routes", "routes"]

_UID = Annotated[str, Path(pattern=r"^[0-9.]{1,64}$", description="SOP Instance UID")]
_LARGEST = 2**62


def open_routes(node: Node) -> APIRouter:
    """What anyone may ask: no word of any image."""
    router = APIRouter(tags=["state"])

    @router.get("/health")
    def health() -> dict[str, str]:
        """The process lives."""
        return {"status": "alive"}

    @router.get("/ready", responses={503: {"description": "Something keeps it from its work"}})
    def ready(response: Response) -> dict[str, Any]:
        """Whether the node can take in and work; what keeps it from that."""
        problems = node.problems()
        if problems:
            response.status_code = 503
        return {"ready": not problems, "problems": problems}

    return router


def routes(node: Node) -> APIRouter:
    """What is known of images."""
    router = APIRouter(tags=["state"])

    @router.get("/metrics", response_class=Response)
    def metrics() -> Response:
        """Prometheus's text format."""
        return Response(node.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    @router.get("/api/instances")
    def instances(
        most: Annotated[int, Query(ge=1, le=500)] = 100,
        before: Annotated[int | None, Query(ge=1, le=_LARGEST)] = None,
    ) -> list[dict[str, Any]]:
        """The latest instances, newest first; ``before`` an ``id`` for the next page."""
        return [_public(row) for row in node.store.recent(most, before)]

    @router.get("/api/instances/{uid}", responses={404: {"description": "No such instance"}})
    def instance(uid: _UID) -> dict[str, Any]:
        """One instance with its results, jobs and deliveries, and what each receiver said."""
        row = node.store.find(uid)
        if row is None:
            raise HTTPException(404, "no such instance")
        return _public(row)

    @router.get("/api/switches/assessing")
    def assessing() -> dict[str, str]:
        """Whether images are assessed; they are forwarded in any case."""
        return {"assessing": node.store.switched("assessing")}

    @router.put("/api/switches/assessing/{value}")
    def switch(value: Annotated[str, Path(pattern="^(on|off)$")]) -> dict[str, str]:
        """Stop or resume assessing."""
        node.store.switch("assessing", value, actor="api")
        node.wake()
        return {"assessing": value}

    return router


def _public(row: dict[str, Any]) -> dict[str, Any]:
    """A row without where things lie on this machine."""
    assessment, results = row["assessment"], row.get("results", [])
    return _without_path(row) | {
        "assessment": None if assessment is None else json.loads(assessment),
        "results": [_without_path(result) for result in results],
    }


def _without_path(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in ("path", "patient")}
