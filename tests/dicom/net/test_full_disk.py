"""A disk that is really full: what was acknowledged is whole, the rest is answered with out of resources."""

import json
import subprocess
import sys

import pytest

#: Six images of 0.4 MB for a disk with room for four, and the last once more when one has gone.
MODALITY = """
import hashlib, json, resource, subprocess, sys
from pathlib import Path
from tests.dicom.net.objects import encode, radiograph
from tests.dicom.net.servers import send
from xiqa.dicom.net.instance import read_part10
from xiqa.dicom.net.scp import StoreServer
from xiqa.dicom.net.spool import Spool

root, kind, looks = Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "looks"
if kind == "disk":
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1900k", "tmpfs", root], check=True)
if not looks:  # as if another process filled the disk between the look and the write
    Spool.has_room = lambda self, size=0: True
spool = Spool(root / "spool")
server = StoreServer(spool, address=("127.0.0.1", 0))
server.start()
images = [radiograph(f"1.2.{n}", rows=400, columns=500, seed=n) for n in range(6)]
sent = {str(ds.SOPInstanceUID): hashlib.sha256(encode(ds)).hexdigest() for ds in images}
statuses = send(server.port, images[:4])
if kind == "limit":
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
statuses += send(server.port, images[4:])
unfinished = len(list((root / "spool" / "arriving").iterdir()))
if kind == "limit":
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
held = {path.stem: read_part10(path).sha256 for path in spool.files()}
spool.remove("1.2.0")
again = send(server.port, images[5:])
held |= {path.stem: read_part10(path).sha256 for path in spool.files()}
server.stop(1)
print(json.dumps([statuses, unfinished, again, held, sent]))
"""


def may_mount() -> bool:
    """Whether a small file system can be had, in a mount namespace of its own."""
    command = ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


@pytest.mark.long
@pytest.mark.parametrize("looks", ["looks", "too late"])
def test_a_full_disk_answers_out_of_resources_and_loses_nothing(tmp_path, looks):
    """A full file system where one may be mounted, else a limit that breaks the write in its middle."""
    mounted = may_mount()
    words = [sys.executable, "-c", MODALITY, str(tmp_path), "disk" if mounted else "limit", looks]
    if mounted:
        words = ["unshare", "-rm", *words]
    done = subprocess.run(words, check=True, capture_output=True, text=True, timeout=100)
    statuses, unfinished, again, held, sent = json.loads(done.stdout)
    assert statuses == [0, 0, 0, 0, 0xA700, 0xA700]
    assert unfinished == 0
    assert again == [0]
    assert held == {uid: digest for uid, digest in sent.items() if uid != "1.2.4"}
