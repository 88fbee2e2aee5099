"""People who use the page: their accounts and roles, their passwords, and their sessions."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import Connection, delete, insert, select, update

from xiqa.errors import XiqaError
from xiqa.service.records.schema import people, sessions
from xiqa.service.records.store import Store

__all__ = ["AccountError", "BusyError", "People", "Person", "Role", "csrf_of"]

MINUTE = 60.0
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}")
_SHORTEST, _LONGEST = 12, 256  # characters of a password


class AccountError(XiqaError):
    """An account that cannot be made, changed or used so."""


class BusyError(XiqaError):
    """Too many people log in at once: each hash costs memory on purpose."""


class Role(IntEnum):
    """What a person may do; each role may do what those before it may."""

    VIEWER = 1  # look
    TECHNOLOGIST = 2  # decide, stop assessing
    LEAD = 3  # undo others' decisions, export
    ADMIN = 4  # manage people

    @property
    def word(self) -> str:
        """Its name in configurations and on pages."""
        return self.name.lower()

    @classmethod
    def named(cls, word: str) -> Role:
        """The role of a name.

        Raises:
            AccountError: There is none.
        """
        try:
            return cls[word.upper()]
        except KeyError as error:
            known = ", ".join(role.word for role in cls)
            raise AccountError("no such role", expected=known, got=word) from error


@dataclass(frozen=True, slots=True)
class Person:
    """Who is logged in.

    Attributes:
        id: Number of the row.
        name: To log in with.
        full_name: As decisions and key objects show it.
        role: What the person may do.
    """

    id: int
    name: str
    full_name: str
    role: Role


class People:
    """All accounts and sessions.

    Args:
        store: Where they are.
        hasher: Of passwords; Argon2id with the library's memory and time unless told.
        tries: Wrong passwords after which an account is locked.
        lock_minutes: For how long.
        idle_minutes: After which a session ends without a request.
        longest_hours: After which it ends in any case.
        at_once: How many passwords are hashed at the same time.
    """

    def __init__(
        self,
        store: Store,
        *,
        hasher: PasswordHasher | None = None,
        tries: int = 5,
        lock_minutes: float = 15,
        idle_minutes: float = 30,
        longest_hours: float = 12,
        at_once: int = 2,
    ) -> None:
        self._store, self._hasher = store, hasher or PasswordHasher()
        self._tries, self._lock = tries, lock_minutes * MINUTE
        self._idle, self._longest = idle_minutes * MINUTE, longest_hours * 60 * MINUTE
        self._hashing = threading.BoundedSemaphore(at_once)
        self._nobody = self._hasher.hash(secrets.token_hex(16))  # what an unknown name is compared with

    # accounts

    def add(self, name: str, full_name: str, role: Role, password: str, actor: str = "command line") -> None:
        """Make an account.

        Args:
            name: Small letters, digits, dots, dashes and underscores.
            full_name: As decisions show it.
            role: What the person may do.
            password: Empty where another system logs the person in.
            actor: Who makes it.

        Raises:
            AccountError: The name is taken or no name, or the password is too short.
        """
        if not _NAME.fullmatch(name):
            raise AccountError("no such name", expected="small letters, digits and . _ -", got=name)
        if not full_name.strip() or len(full_name) > 64 or not full_name.isprintable():
            raise AccountError("no such full name", expected="1 to 64 printable characters", got=full_name)
        row = {
            "name": name,
            "full_name": full_name.strip(),
            "role": role.word,
            "secret": self._secret(password, name) if password else "",
            "created": self._store.clock.now(),
        }
        with self._store.database.writing() as connection:
            if connection.execute(select(people.c.id).where(people.c.name == name)).first() is not None:
                raise AccountError("the name is taken", got=name)
            connection.execute(insert(people).values(**row))
            self._note(connection, name, actor, f"made with the role {role.word}")

    def ensure(self, name: str, full_name: str, role: Role) -> None:
        """Make or update the account of someone whom another system has logged in.

        Raises:
            AccountError: The name is none, or belongs to an account with a password of ours.
        """
        with self._store.database.reading() as connection:
            row = connection.execute(select(people).where(people.c.name == name)).mappings().first()
        if row is None:
            self.add(name, full_name, role, "", actor="provider")
        elif row["secret"]:
            raise AccountError("the name belongs to an account of this node", got=name)
        elif row["role"] != role.word:
            self.change(name, actor="provider", role=role.word)

    def change(self, name: str, actor: str = "command line", **values: Any) -> None:
        """Set ``role``, ``password``, ``active`` or ``full_name`` of an account, unlock it, end its sessions.

        Raises:
            AccountError: There is no such account, or the password is too short.
        """
        told = ", ".join(f"{key} {value}" for key, value in values.items() if key != "password") or "password"
        if "password" in values:
            values["secret"] = self._secret(values.pop("password"), name)
        with self._store.database.writing() as connection:
            changed = (
                update(people)
                .where(people.c.name == name)
                .values(failures=0, locked_until=0.0, **values)
                .returning(people.c.id)
            )
            number = connection.execute(changed).scalar()
            if number is None:
                raise AccountError("no such account", got=name)
            connection.execute(delete(sessions).where(sessions.c.person_id == number))
            self._note(connection, name, actor, told)

    def listed(self) -> list[dict[str, Any]]:
        """All accounts without their secrets, by name."""
        columns = [column for column in people.c if column.name != "secret"]
        with self._store.database.reading() as connection:
            rows = connection.execute(select(*columns).order_by(people.c.name)).mappings()
            return [dict(row) for row in rows]

    def _secret(self, password: str, name: str) -> str:
        if not _SHORTEST <= len(password) <= _LONGEST or name in password.lower():
            raise AccountError(
                "no such password",
                expected=f"{_SHORTEST} to {_LONGEST} characters without the account's name",
            )
        return self._hasher.hash(password)

    def _note(self, connection: Connection, name: str, actor: str, detail: str) -> None:
        self._store.trail.note(connection, "roles", name, actor=actor, detail=detail)

    # logging in and out

    def login(self, name: str, password: str, address: str = "") -> str | None:
        """A new session's token; None where name and password do not fit, or the account is locked.

        An unknown name costs as much time as a wrong password, and neither answer tells which it was.

        Raises:
            BusyError: Too many log in at once.
        """
        name = name.strip().lower()[:32]
        with self._store.database.reading() as connection:
            row = connection.execute(select(people).where(people.c.name == name)).mappings().first()
        fits = self._fits(row["secret"] if row and row["secret"] else self._nobody, password)
        if row is None or not row["secret"]:
            self._refused(name, address, "unknown name")
            return None
        return self._tried(dict(row), fits, address)

    def _tried(self, row: dict[str, Any], fits: bool, address: str) -> str | None:
        """Count a try and open a session where it is a good one; one transaction, so that tries add up."""
        now = self._store.clock.now()
        with self._store.database.writing() as connection:
            state = (
                connection.execute(select(people).where(people.c.id == row["id"]).with_for_update())
                .mappings()
                .one()
            )
            if fits and state["active"] and state["locked_until"] <= now:
                return self._open(connection, row, address)
            failures = state["failures"] + 1
            locked = failures >= self._tries and state["locked_until"] <= now
            values = {"failures": 0 if locked else failures}
            if locked:
                values["locked_until"] = now + self._lock
            connection.execute(update(people).where(people.c.id == row["id"]).values(**values))
            detail = "account locked" if locked else "wrong password, or not active"
            self._alert(connection, row["name"], address, detail)
        return None

    def open_session(self, name: str, address: str = "") -> str:
        """A session of someone whom another system has logged in.

        Raises:
            AccountError: There is no such account, or it is not active.
        """
        with self._store.database.writing() as connection:
            row = connection.execute(select(people).where(people.c.name == name)).mappings().first()
            if row is None or not row["active"]:
                raise AccountError("no such account", got=name)
            return self._open(connection, dict(row), address)

    def _open(self, connection: Connection, row: dict[str, Any], address: str) -> str:
        """A session with a token that nobody had before: what a browser brought along is worth nothing."""
        token, now = secrets.token_urlsafe(32), self._store.clock.now()
        values = {"token_hash": _digest(token), "person_id": row["id"], "created": now, "seen": now}
        connection.execute(delete(sessions).where(sessions.c.created < now - self._longest))
        connection.execute(insert(sessions).values(**values))
        connection.execute(
            update(people).where(people.c.id == row["id"]).values(failures=0, locked_until=0.0)
        )
        self._store.trail.note(connection, "login", address, actor=row["name"])
        return token

    def logout(self, token: str) -> None:
        """End a session."""
        person = self.person_of(token)
        with self._store.database.writing() as connection:
            connection.execute(delete(sessions).where(sessions.c.token_hash == _digest(token)))
            if person is not None:
                self._store.trail.note(connection, "logout", "", actor=person.name)

    def person_of(self, token: str, *, touch: bool = True) -> Person | None:
        """Whose session a token is; None where it is nobody's, or not any more.

        Args:
            token: From the cookie.
            touch: Whether this is a sign that the person is there.
        """
        now = self._store.clock.now()
        statement = (
            select(people.c.id, people.c.name, people.c.full_name, people.c.role, sessions.c.seen)
            .join(sessions)
            .where(
                sessions.c.token_hash == _digest(token),
                sessions.c.seen > now - self._idle,
                sessions.c.created > now - self._longest,
                people.c.active,
            )
        )
        with self._store.database.reading() as connection:
            row = connection.execute(statement).first()
        if row is None:
            return None
        if touch and row.seen < now - MINUTE:  # a write for a minute's requests, not for each
            self._seen(token, now)
        return Person(row.id, row.name, row.full_name, Role.named(row.role))

    def _seen(self, token: str, now: float) -> None:
        with self._store.database.writing() as connection:
            mine = sessions.c.token_hash == _digest(token)
            connection.execute(update(sessions).where(mine).values(seen=now))

    def _fits(self, secret: str, password: str) -> bool:
        with self._turn():
            try:
                return self._hasher.verify(secret, password[: _LONGEST + 1])
            except (VerificationError, InvalidHashError):
                return False

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._hashing.acquire(timeout=5):
            raise BusyError("too many people log in at once", todo="try again in a moment")
        try:
            yield
        finally:
            self._hashing.release()

    def _refused(self, name: str, address: str, detail: str) -> None:
        with self._store.database.writing() as connection:
            self._alert(connection, name, address, detail)

    def _alert(self, connection: Connection, name: str, address: str, detail: str) -> None:
        shown = name if _NAME.fullmatch(name) else "no name"
        self._store.trail.note(connection, "login", address, actor=shown, outcome="failure", detail=detail)


def _digest(token: str) -> str:
    """What the database knows of a token: who reads it cannot use it."""
    return hashlib.sha256(token.encode()).hexdigest()


def csrf_of(token: str) -> str:
    """What a form brings to show that it is ours; follows from the session and does not lead back to it."""
    return hmac.new(token.encode(), b"form", hashlib.sha256).hexdigest()
