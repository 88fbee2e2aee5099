"""A node with pages."""

import uuid

import pytest

from tests.service.nodes import settings
from tests.service.page.visits import accounts
from xiqa.service.node import Node
from xiqa.service.page.site import Site


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.long)])
def url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/node.db"
    return request.getfixturevalue("postgres").database(f"test_{uuid.uuid4().hex[:12]}")


@pytest.fixture
def site(tmp_path):
    """Its loops do not run: nothing happens but what a test does."""
    node = Node(settings(tmp_path))
    made = Site(node, accounts(node.store))
    yield made
    made.close()
    node.spool.close()
    node.store.database.close()
