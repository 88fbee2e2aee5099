"""The page with 10,000 images in its list: first paint, decisions, and fifty people who watch the list.

    python -m benchmarks.bench_page

Writes ``benchmarks/results/page.json``, with the load of the machine: other work makes the seconds longer.
 The node runs in a process of its own.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import random
import statistics
import tempfile
import time
from pathlib import Path

import httpx
from tests.service.nodes import settings
from tests.service.page.browsing import Window, chromium
from tests.service.page.visits import PASSWORD, accounts, add, assessed_row

from xiqa.service.api.app import WebServer, make_app
from xiqa.service.node import Node
from xiqa.service.page.routes import page_routes
from xiqa.service.page.site import Site
from xiqa.service.records.people import csrf_of

ENTRIES, PEOPLE, DECISIONS, PAINTS = 10_000, 50, 40, 8
VERDICTS = ("reacquire", "review", "accept", "accept", "accept", "accept", "accept", "not_assessed")
FIRST_PAINT = """() => new Promise((done) => new PerformanceObserver((list) => {
  const entry = list.getEntriesByName("first-contentful-paint")[0];
  if (entry) done(entry.startTime);
}).observe({ type: "paint", buffered: true }))"""
RESULTS = Path(__file__).parent / "results" / "page.json"


def serve(folder: Path, told, stop) -> None:
    """A node with pages, in a process of its own."""
    node = Node(settings(folder))
    node.start()
    site = Site(node)
    server = WebServer(make_app(node, page_routes(site)), node.settings.api)
    server.start(60)
    told.put(server.port)
    stop.wait()
    node.stopping.set()
    server.stop()
    site.close()
    node.stop()


def prepare(folder: Path) -> list[str]:
    """Images, accounts, and a session for each person."""
    node = Node(settings(folder))
    people = accounts(node.store)
    now = time.time()
    rows = (
        assessed_row(number, VERDICTS[number % len(VERDICTS)], received=now - 60 * number)
        for number in range(ENTRIES)
    )
    add(node.store, *rows)
    tokens = [people.login("technologist", PASSWORD) for _ in range(PEOPLE + 1)]
    node.spool.close()
    node.store.database.close()
    return tokens


def paints(address: str) -> list[float]:
    """Seconds to the first paint of the list, as the browser counts them."""
    found = []
    with chromium() as browser:
        window = Window(browser, address)
        window.login("technologist")
        for _ in range(PAINTS):
            window.page.goto("/")
            found.append(window.page.evaluate(FIRST_PAINT) / 1000)
    return found


async def decide(client: httpx.AsyncClient, token: str, first: int) -> list[float]:
    """Seconds from a decision's request to its answer, one after the other."""
    found = []
    for number in range(first, first + DECISIONS):
        uid = f"1.2.{8 * number + 1}"  # those to review
        form = {"csrf": csrf_of(token), "version": "0", "action": "accept", "note": "fine"}
        begun = time.perf_counter()
        answer = await client.post(f"/image/{uid}/decide", data=form, cookies={"xiqa_session": token})
        found.append(time.perf_counter() - begun)
        assert answer.status_code == 303, answer.text
        await asyncio.sleep(0.25)
    return found


async def watch(client: httpx.AsyncClient, token: str, waits: list[float]) -> None:
    """What an open list does: it listens, and asks for its rows within two seconds of a change."""
    cookies, waiting = {"xiqa_session": token}, set()

    async def refresh() -> None:
        await asyncio.sleep(0.2 + 1.8 * random.random())
        waiting.clear()
        begun = time.perf_counter()
        answer = await client.get("/rows", cookies=cookies, timeout=60)
        assert answer.status_code == 200
        waits.append(time.perf_counter() - begun)

    async with client.stream("GET", "/stream", cookies=cookies, timeout=None) as stream:
        async for line in stream.aiter_lines():
            if line == "event: change" and not waiting:
                waiting.add(asyncio.create_task(refresh()))


def cpu_seconds(pid: int) -> float:
    """What a process has used of the processor."""
    entries = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(entries[11]) + int(entries[12])) / os.sysconf("SC_CLK_TCK")


async def crowd(address: str, tokens: list[str], pid: int) -> dict[str, object]:
    """Decisions alone, then while fifty watch; and how long these wait for their rows."""
    limits = httpx.Limits(max_connections=200)
    async with httpx.AsyncClient(base_url=address, limits=limits, timeout=60) as client:
        marks = [cpu_seconds(pid)]
        alone = await decide(client, tokens[0], 0)
        marks.append(cpu_seconds(pid))
        waits: list[float] = []
        tasks = [asyncio.create_task(watch(client, token, waits)) for token in tokens[1:]]
        await asyncio.sleep(2)
        begun, before = time.perf_counter(), cpu_seconds(pid)
        watched = await decide(client, tokens[0], DECISIONS)
        used, lasted = cpu_seconds(pid) - before, time.perf_counter() - begun
        assert not any(task.done() for task in tasks)
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
    return {
        "decision": summary(alone),
        "decision_processor_ms": round(1000 * (marks[1] - marks[0]) / DECISIONS, 1),
        "decision_watched_by_50": summary(watched),
        "rows_for_50": summary(waits),
        "watched_processor_ms_a_request": round(1000 * used / (DECISIONS + len(waits)), 1),
        "watched_requests_a_second": round((DECISIONS + len(waits)) / lasted, 1),
    }


def summary(seconds: list[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    return {
        "median": round(statistics.median(ordered), 4),
        "p95": round(ordered[int(0.95 * (len(ordered) - 1))], 4),
        "worst": round(ordered[-1], 4),
        "count": len(ordered),
    }


def main() -> None:
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        tokens = prepare(Path(folder))
        told, stop = context.Queue(), context.Event()
        process = context.Process(target=serve, args=(Path(folder), told, stop), daemon=True)
        process.start()
        address = f"http://127.0.0.1:{told.get(timeout=120)}"
        painted = paints(address)
        print("first paint", summary(painted), flush=True)
        measured = asyncio.run(crowd(address, tokens, process.pid))
        stop.set()
        process.join(60)
    row = {
        "entries": ENTRIES,
        "load_average": round(os.getloadavg()[0], 1),
        "first_paint": summary(painted),
        **measured,
    }
    RESULTS.write_text(json.dumps(row, indent=1) + "\n")
    print(json.dumps(row, indent=1))


if __name__ == "__main__":
    main()
