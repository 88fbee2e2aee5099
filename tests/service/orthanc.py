"""An Orthanc server of the tests' own."""

import json
import os
import subprocess
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

from tests.service.databases import free_port

os.environ["TCP_NODELAY"] = "1"


class Orthanc:
    """A server that can be stopped and started again."""

    def __init__(self, folder: Path, **more) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.dicom, self.http = folder, free_port(), free_port()
        configuration = {
            "StorageDirectory": str(folder / "storage"),
            "IndexDirectory": str(folder / "storage"),
            "Plugins": ["/usr/share/orthanc/plugins/libOrthancDicomWeb.so"],
            "DicomAet": "ORTHANC",
            "DicomPort": self.dicom,
            "HttpPort": self.http,
            "AuthenticationEnabled": False,
            "RemoteAccessAllowed": False,
            "DicomAlwaysAllowFind": True,
            "DicomAlwaysAllowGet": True,
            "DicomCheckCalledAet": False,
            "OverwriteInstances": False,
            **more,
        }
        (folder / "orthanc.json").write_text(json.dumps(configuration))
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            ["Orthanc", str(self.folder / "orthanc.json")],
            stdout=(self.folder / "log").open("a"),
            stderr=subprocess.STDOUT,
        )
        ends = time.monotonic() + 60
        while True:
            try:
                self.get("/system")
                return
            except OSError:
                assert time.monotonic() < ends, (self.folder / "log").read_text()[-2000:]
                time.sleep(0.05)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None

    def get(self, path: str):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}{path}", timeout=30) as answer:
            content = answer.read()
        return json.loads(content) if content else []

    def raw(self, path: str) -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}{path}", timeout=30) as answer:
            return answer.read()

    def post(self, path: str, body: bytes):
        url = f"http://127.0.0.1:{self.http}{path}"
        with urllib.request.urlopen(urllib.request.Request(url, data=body), timeout=30) as answer:
            return json.loads(answer.read())

    def put(self, path: str, body: bytes) -> None:
        url = f"http://127.0.0.1:{self.http}{path}"
        urllib.request.urlopen(urllib.request.Request(url, data=body, method="PUT"), timeout=30).close()

    def find(self, level: str = "Instance", **query) -> list[str]:
        """Orthanc's own numbers of what it has."""
        return self.post("/tools/find", json.dumps({"Level": level, "Query": query}).encode())

    def uids(self) -> set[str]:
        return {row["MainDicomTags"]["SOPInstanceUID"] for row in self.get("/instances?expand")}

    def qido(self, **query) -> list[dict]:
        text = "&".join(f"{name}={value}" for name, value in query.items())
        return self.get(f"/dicom-web/instances?{text}")


@contextmanager
def orthanc(folder: Path, **more):
    server = Orthanc(folder, **more)
    server.start()
    try:
        yield server
    finally:
        server.stop()
