"""SQLite in a file or PostgreSQL behind a URL, with the same guarantees."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from xiqa.errors import ConfigError, MissingDependencyError

__all__ = ["Database"]

_LOCK = 7_216_904_113  # of an advisory lock in PostgreSQL: the node's own number
_BUSY = 30.0  # seconds to wait for another writer


class Database:
    """Connections, transactions and the schema's version.

    Args:
        url: ``sqlite:////folder/file.db`` or ``postgresql://user@host/name``.

    Raises:
        ConfigError: The URL is of another kind.
        MissingDependencyError: PostgreSQL is wanted and its driver is not installed.
    """

    def __init__(self, url: str) -> None:
        self.engine = _engine(url)
        self.is_sqlite = self.engine.dialect.name == "sqlite"

    def upgrade(self) -> None:
        """Bring the schema to this version; nodes that start at the same time wait for one another."""
        from alembic import command  # noqa: PLC0415 - only at the start
        from alembic.config import Config  # noqa: PLC0415

        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        with self.writing() as connection:
            self.serialise(connection)
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that may write; on SQLite it is the only one."""
        with self.engine.connect().execution_options(writing=True) as connection, connection.begin():
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state and changes nothing."""
        with self.engine.connect() as connection, connection.begin():
            yield connection

    def serialise(self, connection: Connection) -> None:
        """Let one transaction after the other go on from here, in the order in which they commit.

        On SQLite writers come one after the other anyway.
        """
        if not self.is_sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _LOCK})

    def insert(self, table: Any) -> Any:
        """An insert statement that can skip rows which are there already."""
        if self.is_sqlite:
            from sqlalchemy.dialects.sqlite import insert  # noqa: PLC0415
        else:
            from sqlalchemy.dialects.postgresql import insert  # type: ignore[assignment]  # noqa: PLC0415
        return insert(table)

    def answers(self) -> str:
        """Empty when the database answers, else what is wrong."""
        try:
            with self.reading() as connection:
                connection.execute(text("SELECT 1"))
        except SQLAlchemyError as error:
            return type(error).__name__
        return ""

    def close(self) -> None:
        """Let go of all connections."""
        self.engine.dispose()


def _engine(url: str) -> Engine:
    try:
        kind = make_url(url).get_backend_name()
        if kind == "sqlite":
            return _sqlite(url)
        if kind == "postgresql":
            wanted = make_url(url).set(drivername="postgresql+psycopg")
            return create_engine(
                wanted, pool_pre_ping=True, pool_size=10, max_overflow=20, hide_parameters=True
            )
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            "PostgreSQL's driver is not installed", todo='pip install "xiqa[postgres]"'
        ) from error
    except (ArgumentError, NoSuchModuleError):
        kind = "another"
    raise ConfigError(
        "no such database",
        expected="a URL that begins with sqlite: or postgresql:",
        got=f"{kind} kind of URL",
    )


def _sqlite(url: str) -> Engine:
    engine = create_engine(url, connect_args={"timeout": _BUSY}, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def _set_up(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions are begun below, not by the driver's guess
        # each thread has a connection: the stock cache of 2 MB each would fill up slowly as the tables grow
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "cache_size=-512"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writing = connection.get_execution_options().get("writing")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

    return engine
