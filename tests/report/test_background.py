"""Jobs beside the work: as many wait as may, and what fails is told."""

import threading

import pytest

from xiqa.report.background import Background


@pytest.mark.parametrize("waiting", [1, 3])
def test_as_many_wait_as_may(waiting):
    gate, ended = threading.Event(), []
    with Background(waiting) as background:
        background.submit(lambda: ended.append(gate.wait(20)))
        for number in range(waiting - 1):
            background.submit(ended.append, number)
        assert ended == []  # nobody has waited for the first
        gate.set()
        background.submit(ended.append, "last")
        assert ended[0] is True  # one too many: the oldest was waited for
    assert ended == [True, *range(waiting - 1), "last"]


def test_a_failure_is_told_at_the_end():
    def fail():
        raise OSError("full")

    with pytest.raises(OSError, match="full"), Background(5) as background:
        background.submit(fail)
