"""Power cuts while images arrive, are forwarded, assessed and delivered: nothing is lost or done twice."""

import pytest

from tests.service.databases import postgres_server
from tests.service.faults import power_cuts


@pytest.mark.long
def test_after_power_cuts_the_account_is_balanced(tmp_path):
    account = power_cuts(tmp_path, kills=12, seed=5)
    assert account.is_balanced(), account
    assert account.rows > 10


@pytest.mark.long
def test_after_power_cuts_the_account_is_balanced_with_postgresql(tmp_path):
    with postgres_server() as server:
        account = power_cuts(tmp_path, kills=6, seed=6, url=server.database("node"))
        assert account.is_balanced(), account
        assert account.rows > 5
