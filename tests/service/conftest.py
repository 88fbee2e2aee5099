"""The same tests on both databases."""

import uuid

import pytest

from tests.service.databases import postgres_server
from xiqa.service.records.database import Database
from xiqa.service.records.store import Store


@pytest.fixture(scope="session")
def postgres():
    with postgres_server() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/node.db"
    return request.getfixturevalue("postgres").database(f"test_{uuid.uuid4().hex[:12]}")


@pytest.fixture
def database(url):
    made = Database(url)
    made.upgrade()
    yield made
    made.close()


@pytest.fixture
def store(database):
    return Store(database)
