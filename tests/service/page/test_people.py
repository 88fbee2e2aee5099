"""Accounts, passwords, sessions, and those who try many."""

import pytest
from sqlalchemy import select, update

from tests.service.page.visits import PASSWORD, QUICK, accounts, person
from xiqa.service.records.people import AccountError, BusyError, People, Role, csrf_of
from xiqa.service.records.schema import audit, people, sessions


def rows(store, table) -> list[dict]:
    with store.database.reading() as connection:
        return [dict(row) for row in connection.execute(select(table)).mappings()]


def set_back(store, table, **columns) -> None:
    with store.database.writing() as connection:
        connection.execute(update(table).values(**columns))


@pytest.mark.long  # seconds of memory and time, which is what it is for
def test_a_password_is_kept_as_argon2id_and_a_token_as_its_hash(store):
    made = People(store)  # with the library's own cost
    made.add("ada", "Ada Lovelace", Role.LEAD, PASSWORD)
    token = made.login("ADA ", PASSWORD, "10.0.0.1")
    assert made.person_of(token).full_name == "Ada Lovelace"
    secret = rows(store, people)[0]["secret"]
    assert secret.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    kept = str(rows(store, sessions)) + str(rows(store, audit)) + str(rows(store, people))
    assert token not in kept
    assert PASSWORD not in kept


def test_each_login_is_another_session_and_logout_ends_one(store):
    made = accounts(store)
    first, second = made.login("viewer", PASSWORD), made.login("viewer", PASSWORD)
    assert first != second
    assert csrf_of(first) != csrf_of(second)
    made.logout(first)
    assert made.person_of(first) is None
    assert made.person_of(second).name == "viewer"


def test_an_account_is_locked_after_wrong_passwords_and_the_right_one_does_not_open_it(store):
    made = accounts(store, tries=3)
    for _ in range(3):
        assert made.login("lead", "wrong password", "10.0.0.9") is None
    assert made.login("lead", PASSWORD) is None
    assert made.login("viewer", PASSWORD) is not None
    set_back(store, people, locked_until=0.0)  # the time is over
    assert made.login("lead", PASSWORD) is not None
    failed = [row for row in rows(store, audit) if row["outcome"] == "failure"]
    assert [row["detail"] for row in failed] == [
        *["wrong password, or not active"] * 2,
        "account locked",
        "wrong password, or not active",
    ]
    assert (failed[0]["code"], failed[0]["actor"], failed[0]["subject"]) == ("110122", "lead", "10.0.0.9")


def test_an_unknown_name_is_hashed_too_and_not_written_down(store, monkeypatch):
    made = accounts(store)
    asked = []
    verify = QUICK.verify
    monkeypatch.setattr(type(QUICK), "verify", lambda self, *a: asked.append(a[0]) or verify(*a))
    assert made.login("mypassword1!", "x") is None
    assert len(asked) == 1
    assert rows(store, audit)[-1]["actor"] == "no name"


def test_sessions_end(store):
    made = accounts(store, idle_minutes=30, longest_hours=12)
    token, now = made.login("viewer", PASSWORD), store.clock.now()
    set_back(store, sessions, seen=now - 1900)
    assert made.person_of(token) is None
    set_back(store, sessions, seen=now - 600)
    assert made.person_of(token, touch=False) is not None
    assert rows(store, sessions)[0]["seen"] == now - 600
    assert made.person_of(token) is not None
    assert rows(store, sessions)[0]["seen"] >= now
    set_back(store, sessions, created=now - 12.1 * 3600)
    assert made.person_of(token) is None


@pytest.mark.parametrize(
    "change", [{"active": False}, {"role": "viewer"}, {"password": "another password"}], ids=str
)
def test_who_is_changed_is_logged_out(store, change):
    made = accounts(store)
    token = made.login("admin", PASSWORD)
    made.change("admin", **change)
    assert made.person_of(token) is None
    assert (made.login("admin", PASSWORD) is None) == ("role" not in change)


def test_what_is_no_account(store):
    made = accounts(store)
    for name, full, password, problem in (
        ("Ada", "A", PASSWORD, "no such name"),
        ("a b", "A", PASSWORD, "no such name"),
        ("ada", "A\nB", PASSWORD, "no such full name"),
        ("ada", "A", "short", "no such password"),
        ("ada", "A", "ada ada ada ada", "no such password"),
        ("lead", "A", PASSWORD, "taken"),
    ):
        with pytest.raises(AccountError, match=problem):
            made.add(name, full, Role.VIEWER, password)
    with pytest.raises(AccountError, match="no such role"):
        Role.named("king")
    with pytest.raises(AccountError, match="no such account"):
        made.change("nobody", active=False)
    assert "secret" not in made.listed()[0]


def test_many_at_once_wait_for_a_turn(store, monkeypatch):
    made = accounts(store, at_once=1)
    monkeypatch.setattr(made._hashing, "acquire", lambda timeout: False)
    with pytest.raises(BusyError):
        made.login("viewer", PASSWORD)


def test_an_account_without_a_password_logs_in_elsewhere(store):
    made = accounts(store)
    made.add("oidc", "From Elsewhere", Role.VIEWER, "")
    assert made.login("oidc", "") is None
    assert made.person_of(made.open_session("oidc")).full_name == "From Elsewhere"
    made.change("oidc", active=False)
    with pytest.raises(AccountError):
        made.open_session("oidc")
    assert person(made, "lead").role is Role.LEAD
