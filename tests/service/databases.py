"""A PostgreSQL server of the tests' own, in a temporary folder."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import create_engine, text


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Postgres:
    """A server that can be stopped and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.bin = max(Path("/usr/lib/postgresql").glob("*/bin"))
        # PostgreSQL refuses to run as root
        self.user = pwd.getpwnam("postgres").pw_uid if os.getuid() == 0 else None
        if self.user is not None:
            os.chown(folder, self.user, -1)
        self._run("initdb", "-D", folder / "data", "-A", "trust", "-U", "postgres", "--no-sync")

    def _run(self, tool: str, *words: object) -> None:
        command = [str(self.bin / tool), *map(str, words)]
        subprocess.run(command, check=True, user=self.user, cwd=self.folder, stdout=subprocess.DEVNULL)

    def start(self) -> None:
        options = f"-p {self.port} -h 127.0.0.1 -k {self.folder}"
        self._run(
            "pg_ctl", "-D", self.folder / "data", "-o", options, "-l", self.folder / "log", "-w", "start"
        )

    def stop(self) -> None:
        self._run("pg_ctl", "-D", self.folder / "data", "-m", "immediate", "-w", "stop")

    def url(self, name: str = "postgres") -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{name}"

    def database(self, name: str) -> str:
        """A new, empty database's URL."""
        url = self.url().replace("postgresql:", "postgresql+psycopg:")
        engine = create_engine(url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f'CREATE DATABASE "{name}"'))
        engine.dispose()
        return self.url(name)


@contextmanager
def postgres_server():
    folder = Path(tempfile.mkdtemp(prefix="xiqa-pg-"))  # its socket's path must be short
    server = Postgres(folder)
    server.start()
    try:
        yield server
    finally:
        if (folder / "data" / "postmaster.pid").exists():
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)
