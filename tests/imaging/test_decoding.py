"""Decoders die alone."""

import mmap
import os
import signal
import threading

import imagecodecs
import numpy as np
import pytest

from tests.imaging.dicom_files import radiograph
from xiqa.errors import ImageReadError
from xiqa.imaging.decoding import Task, decode, pool
from xiqa.imaging.limits import DEFAULT_LIMITS, Limits

PIXELS = radiograph(600, 500)
CODED = imagecodecs.jpegls_encode(PIXELS)
TASK = Task("jpegls", PIXELS.shape, "uint16", {})


@pytest.fixture(autouse=True)
def fresh_pool(monkeypatch):
    """A pool of this test's own."""
    mine = pool._Pool()
    monkeypatch.setattr(pool, "_POOL", mine)
    yield mine
    mine.close()


def test_a_worker_lives_on(fresh_pool):
    np.testing.assert_array_equal(decode(CODED, TASK, DEFAULT_LIMITS), PIXELS)
    (worker,) = fresh_pool.idle
    first = decode(CODED, TASK, DEFAULT_LIMITS)
    second = decode(imagecodecs.jpegls_encode(PIXELS[::-1].copy()), TASK, DEFAULT_LIMITS)
    assert fresh_pool.idle == [worker]
    np.testing.assert_array_equal(first, PIXELS)  # the next request has not touched it
    np.testing.assert_array_equal(second, PIXELS[::-1])


def test_memory_is_taken_again_when_no_array_looks_at_it(fresh_pool):
    first = decode(CODED, TASK, DEFAULT_LIMITS)
    memory = fresh_pool.idle[0].memory
    row = first[3]
    del first
    second = decode(CODED, TASK, DEFAULT_LIMITS)  # a view of the first still lives
    assert fresh_pool.idle[0].memory is not memory
    np.testing.assert_array_equal(row, PIXELS[3])
    memory = fresh_pool.idle[0].memory
    del second
    smaller = decode(CODED, TASK, DEFAULT_LIMITS)
    assert fresh_pool.idle[0].memory is memory
    np.testing.assert_array_equal(smaller, PIXELS)


def test_large_memory_is_not_kept(fresh_pool, monkeypatch):
    monkeypatch.setattr(pool, "_KEPT", 1000)
    np.testing.assert_array_equal(decode(CODED, TASK, DEFAULT_LIMITS), PIXELS)
    assert fresh_pool.idle[0].memory is None
    np.testing.assert_array_equal(decode(CODED, TASK, DEFAULT_LIMITS), PIXELS)


def test_nothing_of_an_earlier_image_is_left_in_the_memory(fresh_pool):
    """What a decoder leaves out is zero, not the image before."""
    decode(CODED, TASK, DEFAULT_LIMITS)
    with pytest.raises(ImageReadError):
        decode(b"garbage" * 100, TASK, DEFAULT_LIMITS)
    memory = fresh_pool.idle[0].memory
    found = np.frombuffer(memory.map, "u2", count=PIXELS.size, offset=mmap.PAGESIZE)
    assert not found.any()


def test_a_refusal_leaves_the_worker_alive(fresh_pool):
    for _ in range(3):
        with pytest.raises(ImageReadError) as caught:
            decode(b"garbage" * 100, TASK, DEFAULT_LIMITS)
        assert caught.value.code == "bad_codestream"
    assert len(fresh_pool.idle) == 1
    assert fresh_pool.idle[0].process.poll() is None


@pytest.mark.parametrize("how", [signal.SIGSEGV, signal.SIGKILL, signal.SIGSTOP])
def test_a_worker_that_was_killed_or_stopped_while_idle_is_replaced(fresh_pool, how):
    decode(CODED, TASK, DEFAULT_LIMITS)
    process = fresh_pool.idle[0].process
    os.kill(process.pid, how)
    if how != signal.SIGSTOP:
        process.wait()
    np.testing.assert_array_equal(decode(CODED, TASK, DEFAULT_LIMITS), PIXELS)
    assert fresh_pool.idle[0].process.pid != process.pid
    assert process.poll() is not None


@pytest.mark.parametrize(
    ("how", "code"), [(signal.SIGSEGV, "decoder_crashed"), (signal.SIGSTOP, "decoder_timeout")]
)
def test_a_worker_that_dies_or_stops_at_work_is_one_typed_error(fresh_pool, monkeypatch, how, code):
    """Also where its successor fares no better."""
    ask, asked = pool._Worker.ask, []

    def interrupted(worker, *arguments):
        asked.append(worker.process.pid)
        os.kill(worker.process.pid, how)
        return ask(worker, *arguments)

    decode(CODED, TASK, DEFAULT_LIMITS)
    with monkeypatch.context() as patched:
        patched.setattr(pool._Worker, "ask", interrupted)
        with pytest.raises(ImageReadError) as caught:
            decode(CODED, TASK, DEFAULT_LIMITS)
    assert caught.value.code == code
    assert len(set(asked)) == 2
    np.testing.assert_array_equal(decode(CODED, TASK, DEFAULT_LIMITS), PIXELS)


def test_time_is_bounded():
    large = radiograph(2500, 2000)  # takes many ticks of the clock that bounds it
    task = Task("jpegls", large.shape, "uint16", {})
    with pytest.raises(ImageReadError) as caught:
        decode(imagecodecs.jpegls_encode(large), task, Limits(decoder_seconds=0.001))
    assert caught.value.code == "decoder_timeout"
    np.testing.assert_array_equal(decode(CODED, TASK, DEFAULT_LIMITS), PIXELS)


def test_memory_is_bounded():
    large = np.zeros((4000, 4000), dtype=np.uint16)
    coded = imagecodecs.jpeg2k_encode(large, level=0, codecformat="j2k", reversible=True)
    task = Task("jpeg2k", large.shape, "uint16", {})
    with pytest.raises(ImageReadError) as caught:
        decode(coded, task, Limits(decoder_memory=20 << 20))
    assert caught.value.code in ("decoder_memory", "bad_codestream", "decoder_crashed")
    np.testing.assert_array_equal(decode(coded, task, DEFAULT_LIMITS), large)


def test_threads_have_a_worker_each(fresh_pool):
    results = {}

    def work(seed):
        pixels = radiograph(300, 200, seed=seed)
        task = Task("jpegls", pixels.shape, "uint16", {})
        coded = imagecodecs.jpegls_encode(pixels)
        results[seed] = all((decode(coded, task, DEFAULT_LIMITS) == pixels).all() for _ in range(5))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == dict.fromkeys(range(4), True)
    assert 1 <= len(fresh_pool.idle) <= (os.cpu_count() or 1)


def test_a_forked_process_has_workers_of_its_own():
    decode(CODED, TASK, DEFAULT_LIMITS)
    child = os.fork()
    if child == 0:
        same = (decode(CODED, TASK, DEFAULT_LIMITS) == PIXELS).all()
        os._exit(0 if same else 1)
    np.testing.assert_array_equal(decode(CODED, TASK, DEFAULT_LIMITS), PIXELS)
    assert os.waitpid(child, 0)[1] == 0


def test_a_stream_of_another_shape_is_refused():
    for shape, dtype in (((500, 600), "uint16"), ((600, 500, 3), "uint16"), ((600, 500), "uint8")):
        with pytest.raises(ImageReadError) as caught:
            decode(CODED, Task("jpegls", shape, dtype, {}), DEFAULT_LIMITS)
        assert caught.value.code == "bad_codestream"
