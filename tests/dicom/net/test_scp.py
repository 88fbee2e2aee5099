"""What comes in over the network, and what is answered."""

import shutil
import ssl
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import generate_uid
from pynetdicom import AE

from tests.dicom.net.objects import encode, radiograph, write
from tests.dicom.net.servers import (
    associate,
    connect,
    fragment,
    good,
    request,
    running,
    send,
    store_command,
    unit,
)
from xiqa.dicom.net.instance import read_part10


def spooled(folder: Path) -> list[Path]:
    return sorted((folder / "spool").glob("?/*.dcm"))


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running(tmp_path_factory.mktemp("server")) as made:
        yield made


def test_an_echo_is_answered(server):
    done = subprocess.run(["echoscu", "127.0.0.1", str(server.port)], capture_output=True, timeout=20)
    assert done.returncode == 0


def test_what_a_modality_sends_lies_in_the_spool_as_it_was_sent(server):
    sent = [radiograph(seed=n, columns=30 + 2 * n) for n in range(5)]
    encoded = {str(ds.SOPInstanceUID): encode(ds) for ds in sent}
    assert send(server.port, sent) == [0] * 5
    assert {row[1] for row in server.wait_for("stored", 5)} == set(encoded)
    kept = {uid: server.kept(uid) for uid in encoded}
    assert {uid: made.content for uid, made in kept.items()} == encoded
    assert {(made.source, made.called, made.address) for made in kept.values()} == {
        ("MODALITY", "XIQA", "127.0.0.1")
    }


def test_compressed_bytes_stay_as_they_are(server, tmp_path):
    uid = write(tmp_path / "plain.dcm", rows=40, columns=60)
    subprocess.run(["dcmcjpeg", tmp_path / "plain.dcm", tmp_path / "jpeg.dcm"], check=True)
    send_jpeg = ["storescu", "-xs", "127.0.0.1", str(server.port), tmp_path / "jpeg.dcm"]
    subprocess.run(send_jpeg, check=True, timeout=20)
    kept, original = server.kept(uid), read_part10(tmp_path / "jpeg.dcm")
    assert kept.transfer_syntax == original.transfer_syntax == "1.2.840.10008.1.2.4.70"
    assert kept.content == original.content


def test_the_same_object_twice_is_a_success_and_stored_once(server):
    ds = radiograph()
    assert send(server.port, [ds, ds]) == [0, 0]
    assert send(server.port, [ds]) == [0]
    assert [row[2] for row in server.rows("stored") if row[1] == ds.SOPInstanceUID] == [True, False, False]
    assert server.kept(ds.SOPInstanceUID)


def test_other_pixels_under_the_same_uid_are_refused(server):
    uid, before = generate_uid(), len(server.rows("refused"))
    assert send(server.port, [radiograph(uid, seed=1), radiograph(uid, seed=2)]) == [0, 0x0111]
    assert server.rows("refused")[before:] == [["refused", "conflict", "127.0.0.1"]]
    assert server.kept(uid).content.endswith(radiograph(uid, seed=1).PixelData)


def test_below_the_watermark_the_answer_is_out_of_resources(tmp_path):
    with running(tmp_path, keep_free=10**15) as server:
        assert send(server.port, [radiograph()]) == [0xA700]
        assert server.rows("refused") == [["refused", "full", "127.0.0.1"]]
    assert spooled(tmp_path) == []


def store_raw(port: int, uid: str, content: bytes) -> int:
    """Status of a C-STORE whose command and data set are put together by hand."""
    client = associate(port)
    client.sendall(fragment(store_command(uid), command=True, last=True) + fragment(content, last=True))
    kind, body = unit(client)
    client.close()
    if kind != 4:
        return -kind
    answer = pydicom.dcmread(BytesIO(body[6:]), force=True)
    return int(answer[0x00000900].value)


def test_a_command_for_another_object_is_refused(server):
    assert store_raw(server.port, "1.2.3.4", encode(radiograph("1.2.3.5"))) == 0xA900
    assert store_raw(server.port, "1.2.3.5", encode(radiograph("1.2.3.5"))) == 0


@pytest.mark.parametrize(
    "content",
    [b"", b"\0" * 100, b"\xff" * 5000, b"<html>" * 30, encode(radiograph("1.2.9"))[:40]],
    ids=["empty", "zeros", "ones", "html", "truncated"],
)
def test_garbage_is_refused_and_the_server_goes_on(server, content):
    assert store_raw(server.port, "1.2.9", content) not in (0, 0xA700)
    good(server.port)
    assert not server.kept("1.2.9")


def test_a_truncated_tail_is_kept_for_it_is_what_was_sent(server):
    content = encode(radiograph("1.2.10"))[:-100]
    assert store_raw(server.port, "1.2.10", content) == 0
    assert server.kept("1.2.10").content == content


def test_an_abort_in_the_middle_of_an_object_leaves_nothing(server):
    client = associate(server.port)
    client.sendall(fragment(store_command("1.2.11"), command=True, last=True))
    client.sendall(fragment(encode(radiograph("1.2.11"))[:500]))
    client.sendall(bytes([7, 0, 0, 0, 0, 4, 0, 0, 0, 0]))
    client.close()
    good(server.port)
    assert not server.kept("1.2.11")
    assert list((server.spool / "arriving").iterdir()) == []


def test_only_known_senders_come_in(tmp_path):
    senders = [
        {"ae": "CT1", "addresses": ["127.0.0.2"]},
        {"ae": "CR1", "addresses": ["127.0.0.0/29"]},
    ]
    with running(tmp_path, senders=senders, titles=["XIQA"]) as server:
        ds = [radiograph()]
        assert send(server.port, ds, calling="CR1", source="127.0.0.3") == [0]
        assert send(server.port, ds, calling="CT1", source="127.0.0.2") == [0]
        assert send(server.port, ds, calling="CT1", source="127.0.0.3") is None
        assert send(server.port, ds, calling="MR1", source="127.0.0.2") is None
        assert send(server.port, ds, calling="CR1", source="127.0.0.9") is None
        assert send(server.port, ds, calling="CR1", called="OTHER") is None
        client = connect(server.port, "127.0.0.3")
        client.sendall(request(calling="MR1"))
        assert unit(client) == (3, bytes([0, 1, 1, 3]))  # calling AE title not recognised
        client.close()
        assert {row[1] for row in server.rows("refused")} == {"title", "address"}


def certificates(folder: Path) -> None:
    """An authority, and a server and a client that it vouches for."""

    def run(*words):
        subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True, cwd=folder)

    run(
        *[
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-keyout",
            "ca.key",
            "-out",
            "ca.pem",
            "-days",
            "9",
            "-subj",
            "/CN=ca",
        ]
    )
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1")
    for name in ("server", "client"):
        run(*f"req -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.csr -subj /CN={name}".split())
        run(
            *f"x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial".split(),
            *f"-out {name}.pem -days 9 -extfile names".split(),
        )


TLS_SERVER = """
import ssl, sys
from pathlib import Path
from xiqa.dicom.net.scp import StoreServer
from xiqa.dicom.net.spool import Spool
folder = Path(sys.argv[1])
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(folder / "server.pem", folder / "server.key")
context.load_verify_locations(folder / "ca.pem")
context.verify_mode = ssl.CERT_REQUIRED
server = StoreServer(Spool(folder / "spool"), address=("127.0.0.1", 0), tls=context)
server.start()
print(server.port, flush=True)
sys.stdin.read()
server.stop(1)
"""


def test_with_tls_only_those_with_a_certificate_come_in(tmp_path):
    certificates(tmp_path)
    process = subprocess.Popen(
        [sys.executable, "-c", TLS_SERVER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        port = int(process.stdout.readline())
        write(tmp_path / "a.dcm", rows=900, columns=700)
        tool = shutil.which("storescu")
        with_certificate = [tool, "+tls", "client.key", "client.pem", "+cf", "ca.pem", "127.0.0.1", str(port)]
        subprocess.run([*with_certificate, "a.dcm"], cwd=tmp_path, check=True, timeout=30)
        anonymous = [tool, "+tla", "-ic", "127.0.0.1", str(port), "a.dcm"]
        assert subprocess.run(anonymous, cwd=tmp_path, capture_output=True, timeout=30).returncode != 0
        silent = connect(port)  # a handshake that never comes holds nobody up
        entity = AE("MODALITY")
        entity.add_requested_context("1.2.840.10008.1.1")
        context = ssl.create_default_context(cafile=tmp_path / "ca.pem")
        context.load_cert_chain(tmp_path / "client.pem", tmp_path / "client.key")
        association = entity.associate("127.0.0.1", port, tls_args=(context, "127.0.0.1"))
        assert association.is_established
        assert association.send_c_echo().Status == 0
        association.release()
        silent.close()
    finally:
        process.stdin.close()
        process.wait(20)
    assert len(spooled(tmp_path)) == 1
