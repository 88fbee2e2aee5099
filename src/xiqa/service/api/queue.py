"""Jobs over HTTP: what waits, what is dead, and what becomes of it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from xiqa.service.node import Node

__all__ = ["routes"]

_Number = Annotated[int, Field(ge=1, le=2**62)]


class Chosen(BaseModel):
    """Numbers of jobs."""

    model_config = ConfigDict(extra="forbid")

    ids: list[_Number] = Field(min_length=1, max_length=1000)


def routes(node: Node) -> APIRouter:
    """The queue."""
    router = APIRouter(prefix="/api/jobs", tags=["queue"])

    @router.get("")
    def listed(
        state: Literal["waiting", "leased", "done", "dead", "dropped"] = "dead",
        most: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> list[dict[str, Any]]:
        """Jobs in a state, the longest unchanged first."""
        return [dict(row) for row in node.store.queue.listed([state], most)]

    @router.get("/counts")
    def counts() -> list[dict[str, Any]]:
        """How many jobs there are of each kind and state."""
        return [
            {"kind": kind, "state": state, "count": number}
            for (kind, state), number in node.store.queue.counts().items()
        ]

    @router.post("/retry")
    def retry(chosen: Chosen) -> dict[str, int]:
        """Try jobs again now."""
        number = node.store.queue.revive(chosen.ids)
        node.store.note("activity", "queue", actor="api", detail=f"retry of {number} jobs")
        node.wake()
        return {"changed": number}

    @router.post("/drop")
    def drop(chosen: Chosen) -> dict[str, int]:
        """Never do jobs that wait or are dead."""
        number = node.store.queue.drop(chosen.ids)
        node.store.note("activity", "queue", actor="api", detail=f"drop of {number} jobs")
        return {"changed": number}

    return router
