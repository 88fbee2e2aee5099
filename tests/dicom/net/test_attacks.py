"""Bad senders are cut in bounded time and memory, and good ones are served meanwhile."""

import os
import socket
import struct
import threading
import time
from contextlib import suppress

import pytest

from tests.dicom.net.objects import encode, radiograph
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

MEGABYTE = 2**20
SHORT = {"opening_seconds": 1.5, "pdu_seconds": 1.5, "idle_seconds": 2, "associations": 10}
SHORT["associations_per_address"] = 8


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running(tmp_path_factory.mktemp("server"), limits={**SHORT, "opening_per_address": 20}) as made:
        good(made.port)  # everything is loaded
        yield made


def ended(client: socket.socket) -> bool:
    """Whether the server ends the connection (after what it had to say)."""
    try:
        while client.recv(65536):
            pass
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    return True


def finish(client: socket.socket) -> None:
    """Say that no more comes; a server that has ended the connection already need not hear it."""
    with suppress(OSError):
        client.shutdown(socket.SHUT_WR)


def took(client: socket.socket, part: bytes, times: int, pause: float = 0) -> bool:
    """Whether the server takes so many parts without ending the connection."""
    try:
        for _ in range(times):
            client.sendall(part)
            time.sleep(pause)
    except OSError:
        return False
    return True


@pytest.mark.long
def test_half_sent_heads_hold_nobody_up(server):
    clients = [connect(server.port) for _ in range(12)]
    for client in clients:
        client.sendall(b"\x01\x00\x00")
    assert good(server.port) < 1.4  # during the attack
    begun = time.monotonic()
    assert all(ended(client) for client in clients)
    assert time.monotonic() - begun < 3


@pytest.mark.long
def test_half_sent_units_in_associations_hold_nobody_up(server):
    clients = [associate(server.port) for _ in range(8)]
    for client in clients:
        client.sendall(b"\x04\x00\x00\x00")
    assert good(server.port) < 1.4
    assert all(ended(client) for client in clients)
    assert [row[1] for row in server.rows("refused")].count("slow") == 8


@pytest.mark.long
def test_a_byte_now_and_then_is_too_slow(server):
    client = connect(server.port)
    stop = threading.Event()

    def drip():
        for byte in request():
            if stop.wait(0.4):
                return
            try:
                client.sendall(bytes([byte]))
            except OSError:
                return

    thread = threading.Thread(target=drip)
    thread.start()
    begun = time.monotonic()
    assert good(server.port) < 1.4
    assert ended(client)
    assert time.monotonic() - begun < 3
    stop.set()
    thread.join()


@pytest.mark.long
def test_sixty_idle_connections_hold_nobody_up(server):
    clients = [connect(server.port) for _ in range(60)]
    assert good(server.port) < 1.4
    assert good(server.port, "127.0.0.1") < 1.4  # from the same address too
    assert all(ended(client) for client in clients)


@pytest.mark.long
def test_idle_associations_fill_only_their_address(tmp_path):
    with running(tmp_path, limits={**SHORT, "associations_per_address": 4}) as server:
        clients = [associate(server.port) for _ in range(4)]
        more = connect(server.port)
        more.sendall(request())
        assert unit(more) == (3, bytes([0, 2, 3, 2]))  # transient, local limit exceeded
        assert good(server.port, "127.0.0.2") < 1.4
        assert all(ended(client) for client in clients)
        # once they are gone the address may come again
        deadline = time.monotonic() + 5
        while send(server.port, [radiograph()]) is None:
            assert time.monotonic() < deadline
        more.close()


@pytest.mark.long
def test_many_connections_in_turn_leave_nothing_behind(server):
    before = server.descriptors()
    for _ in range(200):
        connect(server.port).close()
    for _ in range(20):
        associate(server.port).close()
    time.sleep(1)
    good(server.port)
    time.sleep(1)
    assert server.descriptors() <= before + 5


@pytest.mark.parametrize("length", [2**32 - 1, 2 * MEGABYTE], ids=["4 GB", "2 MB"])
def test_a_giant_request_is_cut_before_it_is_read(server, length):
    before = server.memory()
    client = connect(server.port)
    client.sendall(struct.pack(">BBI", 1, 0, length))
    assert not took(client, bytes(MEGABYTE), 200)
    assert server.memory() - before < 16 * MEGABYTE
    good(server.port)


def test_a_giant_unit_in_an_association_is_cut(server):
    before = server.memory()
    client = associate(server.port)
    client.sendall(struct.pack(">BBI", 4, 0, 2**31))
    assert not took(client, bytes(MEGABYTE), 200)
    assert server.memory() - before < 16 * MEGABYTE
    assert ["refused", "pdu_too_long", "127.0.0.1"] in server.rows("refused")
    good(server.port)


def endless(port: int, source: str, stop: threading.Event) -> int:
    """Send fragments none of which is the last; how many megabytes went out."""
    client = associate(port, source)
    client.sendall(fragment(store_command("1.2.3"), command=True, last=True))
    sent, part = 0, fragment(bytes(100_000))
    try:
        while not stop.is_set():
            client.sendall(part)
            sent += len(part)
    except OSError:
        pass
    client.close()
    return sent // MEGABYTE


def test_endless_data_is_cut_at_the_cap(tmp_path):
    with running(tmp_path, limits={**SHORT, "message_bytes": 32 * MEGABYTE}) as server:
        good(server.port)
        before = server.memory()
        stop = threading.Event()
        assert 30 <= endless(server.port, "127.0.0.1", stop) < 60
        assert server.memory() - before < 120 * MEGABYTE
        assert ["refused", "message_too_long", "127.0.0.1"] in server.rows("refused")
        good(server.port)


@pytest.mark.long
def test_many_endless_senders_together_stay_within_the_memory(tmp_path):
    limits = {**SHORT, "message_bytes": 400 * MEGABYTE, "memory_bytes": 64 * MEGABYTE}
    with running(tmp_path, limits=limits) as server:
        good(server.port)
        before, most, stop = server.memory(), 0, threading.Event()
        threads = [
            threading.Thread(target=endless, args=(server.port, f"127.0.0.{n}", stop)) for n in range(3, 9)
        ]
        for thread in threads:
            thread.start()
        times = []
        for _ in range(5):
            times.append(good(server.port))
            most = max(most, server.memory() - before)
        stop.set()
        for thread in threads:
            thread.join()
        assert most < 300 * MEGABYTE, most
        assert max(times) < 10, times
        assert any(row[1] == "memory" for row in server.rows("refused"))


@pytest.mark.long
def test_fragments_that_trickle_end_with_the_message_s_time(tmp_path):
    with running(tmp_path, limits={**SHORT, "message_seconds": 1}) as server:
        client = associate(server.port)
        client.sendall(fragment(store_command("1.2.3"), command=True, last=True))
        assert not took(client, fragment(b"x"), 30, pause=0.2)
        assert ["refused", "message_too_slow", "127.0.0.1"] in server.rows("refused")


@pytest.mark.long
def test_a_sender_that_does_not_wait_for_answers_is_read_no_further(tmp_path):
    """A thousand objects of 1 MB sent without reading an answer do not pile up in memory."""
    with running(tmp_path, limits=SHORT) as server:
        good(server.port)
        before = server.memory()
        client = associate(server.port)
        client.settimeout(2)
        content = encode(radiograph("1.2.3", rows=700, columns=700))
        message = fragment(store_command("1.2.3"), command=True, last=True)
        for start in range(0, len(content), 100_000):
            part = content[start : start + 100_000]
            message += fragment(part, last=start + 100_000 >= len(content))
        most = 0
        for _ in range(150):
            try:
                client.sendall(message)
            except OSError:
                break
            most = max(most, server.memory() - before)
        assert most < 60 * MEGABYTE, most
        good(server.port)
        client.close()


def test_random_bytes_are_no_reason_to_stop(server):
    for size in (1, 5, 6, 7, 100, 5000):
        client = connect(server.port)
        client.sendall(os.urandom(size))
        finish(client)
        assert ended(client)
    for size in (1, 6, 100, 5000):
        client = associate(server.port)
        client.sendall(os.urandom(size))
        finish(client)
        assert ended(client)
    good(server.port)


def test_a_request_full_of_nonsense_is_no_reason_to_stop(server):
    for seed in range(30):
        body = bytearray(request()[6:])
        for place in range(68 + seed, len(body), 7):
            body[place] ^= 0xFF
        client = connect(server.port)
        client.sendall(struct.pack(">BBI", 1, 0, len(body)) + body)
        finish(client)
        assert ended(client)
    assert good(server.port) < 2
