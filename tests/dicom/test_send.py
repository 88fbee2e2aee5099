"""Sending, and an archive's word on each object."""

import socket
from contextlib import contextmanager

import pytest
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, evt
from pynetdicom.dsutils import encode

from tests.dicom.sources import MADE, assessment, source
from xiqa.dicom import results
from xiqa.dicom.send import Answer, Destination, send
from xiqa.errors import ConfigError, NetworkError


@contextmanager
def archive(answer, *, classes=None, calling=(), encodings=None):
    """An archive on loopback that answers each object with what ``answer`` says of it."""
    entity, kept = AE("PACS"), []
    entity.require_called_aet, entity.require_calling_aet = True, list(calling)
    for name in classes or [ds.SOPClassUID for ds in objects()]:
        entity.add_supported_context(name, encodings or ALL_TRANSFER_SYNTAXES)

    def store(event):
        event.dataset.file_meta = event.file_meta
        kept.append(event.dataset)
        return answer(event)

    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, store)])
    try:
        yield Destination("PACS", "127.0.0.1", server.server_address[1]), kept
    finally:
        server.shutdown()


def objects() -> list[Dataset]:
    return list(results(assessment(), source(), made=MADE).values())


def test_what_arrives_is_what_was_sent():
    sent = objects()
    with archive(lambda event: 0x0000) as (to, kept):
        deliveries = send(sent, to)
    assert [delivery.taken for delivery in deliveries] == [True] * 4
    assert [delivery.uid for delivery in deliveries] == [ds.SOPInstanceUID for ds in sent]
    assert [ds.file_meta.TransferSyntaxUID for ds in kept] == [ExplicitVRLittleEndian] * 4
    assert [encode(ds, False, True) for ds in kept] == [encode(ds, False, True) for ds in sent]


def test_an_archive_that_takes_implicit_encoding_alone():
    sent = objects()
    with archive(lambda event: 0x0000, encodings=[ImplicitVRLittleEndian]) as (to, kept):
        deliveries = send(sent, to)
    assert all(delivery.taken for delivery in deliveries)
    assert [ds.PatientName for ds in kept] == ["Doe^Jane"] * 4


def test_every_status_is_the_archives():
    """Out of resources, cannot understand, a warning: what the archive said is kept, and the rest goes on."""
    statuses = iter((0xA700, 0xC123, 0xB000, 0x0000))

    def answer(event):
        status = Dataset()
        status.Status, status.ErrorComment = next(statuses), "as I say"
        return status

    with archive(answer) as (to, _):
        deliveries = send(objects(), to)
    assert [delivery.status for delivery in deliveries] == [0xA700, 0xC123, 0xB000, 0]
    assert [delivery.taken for delivery in deliveries] == [False, False, True, True]
    assert str(deliveries[0]) == "status A700: as I say"


def test_an_archive_that_takes_no_such_object():
    structured = objects()[1].SOPClassUID
    with archive(lambda event: 0, classes=[structured]) as (to, kept):
        deliveries = send(objects(), to)
    assert [delivery.taken for delivery in deliveries] == [False, True, False, False]
    assert deliveries[0].status is None
    assert deliveries[0].comment.startswith("not sent, the receiver does not take it: ")
    assert len(kept) == 1


def test_an_archive_that_hangs_up_says_nothing_of_what_came_last():
    def answer(event):
        event.assoc.abort()
        return 0

    with archive(answer) as (to, _):
        deliveries = send(objects(), to, timeout=2)
    assert [delivery.status for delivery in deliveries] == [None] * 4
    assert not any(delivery.taken for delivery in deliveries)
    assert deliveries[-1].comment == "not sent: the association is over"


def test_nobody_there():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(NetworkError) as caught:
        send(objects(), Destination("PACS", "127.0.0.1", port), timeout=2)
    assert caught.value.code == "no_connection"


def test_a_sender_that_is_not_known():
    with archive(lambda event: 0, calling=["ELSE"]) as (to, _), pytest.raises(NetworkError) as caught:
        send(objects(), to)
    assert caught.value.code == "refused"


def test_nothing_to_send_needs_no_archive():
    assert send([], Destination("PACS", "127.0.0.1", 1)) == []


def test_packets_are_sent_at_once(monkeypatch):
    options = []
    real = socket.socket.setsockopt

    def noted(self, *args):
        options.append(args)
        return real(self, *args)

    monkeypatch.setattr(socket.socket, "setsockopt", noted, raising=False)
    with archive(lambda event: 0) as (to, _):
        send(objects()[1:2], to)
    assert (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1) in options


@pytest.mark.parametrize(
    "text",
    ["PACS", "PACS@host", "PACS@host:0", "PACS@host:65536", "@h:104", "A" * 17 + "@h:104", "P@h:x", " @h:1"],
)
def test_addresses_that_are_none(text):
    with pytest.raises(ConfigError, match="AE@host:port"):
        Destination.parse(text)


def test_addresses():
    assert Destination.parse("MY PACS@[::1]:104") == Destination("MY PACS", "::1", 104)
    assert str(Destination.parse(" PACS@archive:11112 ")) == "PACS@archive:11112"


@pytest.mark.parametrize(
    ("status", "taken"), [(0, True), (0xB006, True), (0xFE00, False), (0x0122, False), (None, False)]
)
def test_what_counts_as_stored(status, taken):
    assert Answer("1.2", status).taken is taken
