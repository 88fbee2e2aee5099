"""Rows in Parquet: whole or absent, the latest counts, and who goes on reads no image."""

import os
from dataclasses import replace

import pytest

from xiqa.engines.sources import Item
from xiqa.engines.store import Store
from xiqa.errors import Code, OutputError
from xiqa.types import Assessment, Source, Verdict

SETTINGS = {"model_hash": "0123", "method": "gradcam", "xiqa": "0.1.0"}
ITEMS = [Item(f"s3://bucket/{number}.dcm", 100 + number, f"etag-{number}") for number in range(4)]


def row(item, probability=0.25, **changes):
    verdict = Verdict.NOT_ASSESSED if probability is None else Verdict.ACCEPT
    source = Source(path=item.uri, digest=f"digest of {item.stamp}")
    made = Assessment(item.uri, verdict, "why", Code.GOOD, probability, provenance=SETTINGS, source=source)
    return item, replace(made, **changes)


def test_what_is_written_comes_back(tmp_path):
    store, made = Store(tmp_path, SETTINGS), [row(item) for item in ITEMS]
    store.write(ITEMS, made)
    assert list(store.rows()) == [(item.uri, result) for item, result in made]
    assert list(store.fresh([*ITEMS, Item("s3://bucket/new.dcm", 1, "")])) == [("s3://bucket/new.dcm", 1, "")]


def test_the_same_block_again_replaces_itself(tmp_path):
    store = Store(tmp_path, SETTINGS)
    first = store.write(ITEMS, map(row, ITEMS))
    assert store.write(ITEMS, map(row, ITEMS)) == first
    assert len(list(store.rows())) == 4
    assert list((tmp_path / "rows").iterdir()) == [first]  # no temporary file is left


@pytest.mark.parametrize("changed", [{"uri": "s3://other"}, {"size": 5}, {"stamp": "etag-9"}])
def test_a_file_that_changed_is_assessed_again_and_its_latest_row_counts(tmp_path, changed):
    store, now = Store(tmp_path, SETTINGS), ITEMS[0]._replace(**changed)
    store.write(ITEMS, map(row, ITEMS))
    assert list(store.fresh([now])) == [now]
    path = store.write([now], [row(now, 0.75)])
    os.utime(path, ns=(2**62, 2**62))
    found = {uri: result.probability for uri, result in store.rows()}
    assert found[now.uri] == 0.75
    assert len(found) == (5 if "uri" in changed else 4)


@pytest.mark.parametrize("changed", [{"method": "fem"}, {"model_hash": "4567"}, {"xiqa": "0.2.0"}])
def test_other_settings_are_another_result(tmp_path, changed):
    Store(tmp_path, SETTINGS).write(ITEMS, map(row, ITEMS))
    assert list(Store(tmp_path, SETTINGS | changed).fresh(ITEMS)) == ITEMS


def test_what_could_not_be_read_is_tried_again(tmp_path):
    store = Store(tmp_path, SETTINGS)
    frames = [row(ITEMS[1]), row(ITEMS[1], None)]  # one frame of two
    store.write(ITEMS[:2], [row(ITEMS[0], None), *frames])
    assert list(store.fresh(ITEMS[:2])) == ITEMS[:2]


def test_a_block_that_is_not_whole_is_not_there(tmp_path):
    store = Store(tmp_path, SETTINGS)
    path = store.write(ITEMS, map(row, ITEMS))
    path.rename(path.with_name(f".{path.stem}.77.tmp"))  # killed before the renaming
    assert list(store.rows()) == []
    assert list(store.fresh(ITEMS)) == ITEMS


def test_a_damaged_file_is_told(tmp_path):
    store = Store(tmp_path, SETTINGS)
    store.write(ITEMS, map(row, ITEMS)).write_bytes(b"PAR1")
    with pytest.raises(OutputError, match="damaged"):
        store.done()


def test_names_outside_unicode(tmp_path):
    store, item = Store(tmp_path, SETTINGS), Item("/images/\udcff.png", 1, "1")
    store.write([item], [row(item)])
    ((uri, result),) = store.rows()
    assert (uri, result.file) == ("/images/\\xff.png", item.uri)
    assert list(store.fresh([item])) == []
