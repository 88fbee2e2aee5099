"""A node in a process of its own, as `xiqa serve` runs it."""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path


def configuration(folder: Path, *peers: str, more: str = "", assessing: str = "", node: str = "") -> Path:
    """A TOML file with free ports and a stand-in for the model."""
    path = folder / "node.toml"
    path.write_text(
        f"""
[node]
folder = "node"
keep_free_mb = 0
{node}
[intake]
port = 0
[api]
port = 0
[assessing]
results = "tests.service.models:notes"
{assessing}
[models.stub]
call = "tests.service.models:brightness"
[[rules]]
name = "all"
model = "stub"
modality = ["CR"]
{more}
"""
        + "\n".join(peers)
    )
    return path


def peer(port: int, **more: object) -> str:
    """A peer's table."""
    values = {
        "name": "pacs",
        "ae": "ORTHANC",
        "host": "127.0.0.1",
        "port": port,
        "results": ["sc", "sr"],
        **more,
    }
    return "[[peers]]\n" + "\n".join(f"{name} = {_toml(value)}" for name, value in values.items()) + "\n"


def _toml(value: object) -> str:
    return repr(value).replace("'", '"').replace("True", "true").replace("False", "false")


class Serve:
    """`xiqa serve` with a configuration."""

    def __init__(self, config: Path) -> None:
        self.log = config.parent / "serve.log"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "xiqa", "serve", "--config", str(config)],
            stdout=subprocess.PIPE,
            stderr=self.log.open("a"),
            text=True,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.match(r"DICOM \w+@127\.0\.0\.1:(\d+), HTTP 127\.0\.0\.1:(\d+)", line)
        assert found, (line, self.log.read_text()[-3000:])
        self.dicom, self.http = int(found[1]), int(found[2])

    def kill(self) -> None:
        """Power cut."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """An orderly end; its exit status."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(40)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def memory(self, pid: int | None = None) -> int:
        """Bytes in memory, of the node or of one of its children."""
        return int(Path(f"/proc/{pid or self.process.pid}/statm").read_text().split()[1]) * 4096

    def children(self) -> list[int]:
        """The processes that it has started."""
        tasks = Path(f"/proc/{self.process.pid}/task").iterdir()
        return [int(pid) for task in tasks for pid in (task / "children").read_text().split()]

    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def threads(self) -> int:
        return len(list(Path(f"/proc/{self.process.pid}/task").iterdir()))


@contextmanager
def serving(config: Path):
    made = Serve(config)
    try:
        yield made
    finally:
        if made.process.poll() is None:
            made.stop()


def wait_until(condition, seconds: float = 60.0):
    ends = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < ends
        time.sleep(0.05)
    return value
