"""Events as they happen, one block of lines each (server-sent events)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from xiqa.service.node import Node

__all__ = ["block", "routes"]

_EVERY = 0.25  # seconds between two looks
_ALIVE = 15.0  # seconds between two signs of life
_LARGEST = 2**62


def routes(node: Node) -> APIRouter:
    """The stream."""
    router = APIRouter(tags=["events"])

    @router.get("/api/events", response_class=StreamingResponse)
    async def events(
        request: Request,
        after: Annotated[int | None, Query(ge=0, le=_LARGEST)] = None,
        follow: bool = True,
        last_event_id: Annotated[str | None, Header(pattern=r"^[0-9]{1,18}$")] = None,
    ) -> StreamingResponse:
        """Events behind a number, then new ones; without a number only new ones.

        A reader that comes back names the last number it saw (`Last-Event-ID`) and misses nothing.
        """
        start = int(last_event_id) if last_event_id is not None else after
        if start is None:
            start = await run_in_threadpool(node.store.last_event)
        stream = _follow(node, request, start) if follow else _present(node, start)
        return StreamingResponse(stream, media_type="text/event-stream")

    return router


async def _present(node: Node, number: int) -> AsyncIterator[str]:
    """What there is."""
    while rows := await run_in_threadpool(node.store.events_after, number):
        for row in rows:
            yield block(row)
        number = int(rows[-1]["id"])


async def _follow(node: Node, request: Request, number: int) -> AsyncIterator[str]:
    """What there is and what comes, until the reader or the node goes."""
    silent = 0.0
    while not await request.is_disconnected() and not node.stopping.is_set():
        rows = await run_in_threadpool(node.store.events_after, number)
        for row in rows:
            yield block(row)
            number = int(row["id"])
        silent = 0.0 if rows else silent + _EVERY
        if silent >= _ALIVE:
            silent = 0.0
            yield ": alive\n\n"
        if not rows:
            await asyncio.sleep(_EVERY)


def block(row: dict[str, Any]) -> str:
    """One event; its data is one line of JSON."""
    data = {"uid": row["uid"], "at": row["at"], **json.loads(row["content"])}
    return f"id: {row['id']}\nevent: {row['kind']}\ndata: {json.dumps(data)}\n\n"
