"""A store server in a process of its own, and what senders of all kinds say to it."""

import json
import os
import socket
import struct
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from pynetdicom import AE

from tests.dicom.net.objects import radiograph, with_meta
from xiqa.dicom.net.instance import Instance, read_part10

# No Nagle in dcmtk's tools: they would wait 40 ms for each answer.
os.environ["TCP_NODELAY"] = "1"

SERVER = """
import json, sys, threading
from pathlib import Path
from xiqa.dicom.net.door import Sender
from xiqa.dicom.net.limits import NetLimits
from xiqa.dicom.net.scp import Arrivals, StoreServer
from xiqa.dicom.net.spool import Spool

choices = json.loads(sys.argv[2])
lock = threading.Lock()

def tell(*row):
    with lock:
        print(json.dumps(row), flush=True)

server = StoreServer(
    Spool(Path(sys.argv[1]), keep_free=choices.pop("keep_free", 0)),
    address=("0.0.0.0", 0),
    limits=NetLimits(**choices.pop("limits", {})),
    senders=[Sender(**row) for row in choices.pop("senders", [])],
    arrivals=Arrivals(
        stored=lambda instance, stored: tell("stored", instance.uid, stored.fresh),
        refused=lambda code, address: tell("refused", code, address),
    ),
    **choices,
)
server.start()
tell("port", server.port)
sys.stdin.read()
server.stop(1)
"""


class Server:
    """A running server and what it has told so far."""

    def __init__(self, process: subprocess.Popen, log: Path) -> None:
        self.process, self.log, self.spool = process, log, log.parent / "spool"
        self.port = self.wait_for("port", 1)[0][1]

    def rows(self, kind: str) -> list[list]:
        lines = self.log.read_text().splitlines()
        return [row for line in lines if line.startswith("[") and (row := json.loads(line))[0] == kind]

    def wait_for(self, kind: str, count: int, seconds: float = 20) -> list[list]:
        ends = time.monotonic() + seconds
        while len(rows := self.rows(kind)) < count:
            assert time.monotonic() < ends, (kind, count, self.log.read_text()[-3000:])
            time.sleep(0.01)
        return rows

    def kept(self, uid: str) -> Instance | None:
        """What lies in the spool under a UID."""
        found = list(self.spool.glob(f"?/{uid}.dcm"))
        return read_part10(found[0]) if found else None

    def memory(self) -> int:
        """Bytes resident now."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * 4096

    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))


@contextmanager
def running(folder: Path, **choices):
    """A server that fills ``folder/spool``."""
    log = folder / "server.log"
    with log.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(folder / "spool"), json.dumps(choices)],
            stdin=subprocess.PIPE,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        yield Server(process, log)
    finally:
        process.stdin.close()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


def send(port: int, datasets, *, calling="MODALITY", called="XIQA", source="127.0.0.1", timeout=20.0):
    """Statuses of C-STOREs in one association from a loopback address; None where there is no answer."""
    entity = AE(calling)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = timeout
    for name in {str(ds.SOPClassUID) for ds in datasets}:
        entity.add_requested_context(name, "1.2.840.10008.1.2.1")
    association = entity.associate("127.0.0.1", port, ae_title=called, bind_address=(source, 0))
    if not association.is_established:
        return None
    statuses = [getattr(association.send_c_store(with_meta(ds)), "Status", None) for ds in datasets]
    association.release()
    return statuses


def good(port: int, source: str = "127.0.0.2", number: int = 1) -> float:
    """Seconds a good sender needs for an association with so many images."""
    begun = time.monotonic()
    assert send(port, [radiograph(seed=n) for n in range(number)], source=source) == [0] * number
    return time.monotonic() - begun


def connect(port: int, source: str = "127.0.0.1") -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port), 10, source_address=(source, 0))
    client.settimeout(20)
    return client


def request(classes=("1.2.840.10008.5.1.4.1.1.1",), calling="MODALITY", called="XIQA") -> bytes:
    """An A-ASSOCIATE-RQ."""

    def item(kind: int, content: bytes) -> bytes:
        return struct.pack(">BBH", kind, 0, len(content)) + content

    body = struct.pack(">HH16s16s32x", 1, 0, called.ljust(16).encode(), calling.ljust(16).encode())
    body += item(0x10, b"1.2.840.10008.3.1.1.1")
    for number, name in enumerate(classes):
        syntaxes = item(0x30, name.encode()) + item(0x40, b"1.2.840.10008.1.2.1")
        body += item(0x20, bytes([2 * number + 1, 0, 0, 0]) + syntaxes)
    body += item(0x50, item(0x51, struct.pack(">I", 16384)) + item(0x52, b"1.2.3.4"))
    return struct.pack(">BBI", 1, 0, len(body)) + body


def associate(port: int, source: str = "127.0.0.1", **titles) -> socket.socket:
    """A connection whose association has been accepted."""
    client = connect(port, source)
    client.sendall(request(**titles))
    assert unit(client)[0] == 2
    return client


def unit(client: socket.socket) -> tuple[int, bytes]:
    """The next unit that the server sends; kind 0 when it ends the connection."""
    try:
        head = client.recv(6, socket.MSG_WAITALL)
        if len(head) < 6:
            return 0, b""
        return head[0], client.recv(int.from_bytes(head[2:], "big"), socket.MSG_WAITALL)
    except ConnectionError:
        return 0, b""


def fragment(content: bytes, *, command: bool = False, last: bool = False) -> bytes:
    """A P-DATA-TF with one fragment."""
    value = bytes([1, command | last << 1]) + content
    body = struct.pack(">I", len(value)) + value
    return struct.pack(">BBI", 4, 0, len(body)) + body


def store_command(uid: str) -> bytes:
    """The command of a C-STORE request."""

    def element(number: int, value: bytes) -> bytes:
        value += b"\0" * (len(value) % 2)
        return struct.pack("<HHI", 0, number, len(value)) + value

    parts = element(0x0002, b"1.2.840.10008.5.1.4.1.1.1") + element(0x0100, struct.pack("<H", 1))
    parts += element(0x0110, struct.pack("<H", 1)) + element(0x0700, b"\0\0")
    parts += element(0x0800, b"\x01\0") + element(0x1000, uid.encode())
    return element(0x0000, struct.pack("<I", len(parts))) + parts
