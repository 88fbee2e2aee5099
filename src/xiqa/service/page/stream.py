"""Tells open pages that something has happened, so that they ask what; one look at the database for all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from functools import partial

from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from xiqa.service.page.latest import EVERY
from xiqa.service.page.site import SECURITY, Site, Visit

__all__ = ["follow"]

_CHECK = 20.0  # seconds after which a session is looked at again


def follow(site: Site, visit: Visit) -> StreamingResponse:
    """The stream of one page."""
    return StreamingResponse(_blocks(site, visit), media_type="text/event-stream", headers=dict(SECURITY))


async def _blocks(site: Site, visit: Visit) -> AsyncIterator[str]:
    """A block when something happens, and a sign of life; ends with the session, the reader or the node."""
    latest = site.latest
    seen, checked = await latest.number(), time.monotonic()
    yield f"retry: 3000\nevent: open\ndata: {seen}\n\n"
    while not await visit.request.is_disconnected() and not site.node.stopping.is_set():
        number = await latest.number()
        if number != seen:
            seen = number
            yield f"event: change\ndata: {number}\n\n"
        if time.monotonic() - checked > _CHECK:
            checked = time.monotonic()
            if await run_in_threadpool(partial(site.people.person_of, visit.token, touch=False)) is None:
                return
            yield ": alive\n\n"
        await asyncio.sleep(EVERY)
