"""Nodes for tests, in this process, with stand-ins for the model and the results."""

import time
from contextlib import contextmanager
from pathlib import Path

from tests.dicom.net.objects import radiograph
from xiqa.service.node import Node
from xiqa.service.settings import Settings

MODEL = {"models": {"stub": {"call": "tests.service.models:brightness"}}}
RULE = {"name": "all", "model": "stub", "modality": ["CR"]}


def settings(folder: Path, **more) -> Settings:
    """A configuration with free ports and one rule."""
    entries = {
        "node": {"folder": str(folder / "node"), "keep_free_mb": 0, **more.pop("node", {})},
        "intake": {"port": 0, **more.pop("intake", {})},
        "api": {"port": 0, **more.pop("api", {})},
        "assessing": {
            "results": "tests.service.models:notes",
            "seconds": 5,
            "memory_mb": 1024,
            **more.pop("assessing", {}),
        },
        "rules": [RULE],
        **MODEL,
        **more,
    }
    return Settings.model_validate(entries)


def bright(level: int, **more):
    """A radiograph whose first pixel, and so its verdict, is chosen."""
    ds = radiograph(**more)
    ds.PixelData = level.to_bytes(2, "little") + ds.PixelData[2:]
    return ds


@contextmanager
def running(chosen: Settings):
    node = Node(chosen)
    node.start()
    try:
        yield node
    finally:
        node.stop()


def until(condition, seconds: float = 30.0, what=lambda: ""):
    """Wait for a condition; its value."""
    ends = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < ends, what()
        time.sleep(0.02)
    return value


def all_done(node, uids) -> bool:
    """Whether no job of some instances is left."""
    rows = [node.store.find(str(uid)) for uid in uids]
    return all(
        row and {job["state"] for job in row["jobs"]}.isdisjoint(("waiting", "leased")) for row in rows
    )
