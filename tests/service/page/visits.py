"""Images, accounts and visitors for tests of the page."""

import json
import re

from argon2 import PasswordHasher
from fastapi.testclient import TestClient
from sqlalchemy import insert, select

from tests.service.rows import instance_row
from xiqa.errors import Code
from xiqa.geometry import Box, Point
from xiqa.service.api.app import make_app
from xiqa.service.page.routes import page_routes
from xiqa.service.page.site import Site
from xiqa.service.records.people import People, Role
from xiqa.service.records.schema import URGENCY, instances
from xiqa.types import Assessment, Finding, Source, Verdict

PASSWORD = "correct horse battery"
QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


def accounts(store, **more) -> People:
    """One account a role; its name is the role's."""
    people = People(store, hasher=QUICK, **more)
    for role in Role:
        people.add(role.word, f"{role.word.title()} Person", role, PASSWORD)
    return people


def person(people: People, name: str):
    return people.person_of(people.login(name, PASSWORD))


def assessed_row(number: int, verdict: str = "reacquire", **more) -> dict:
    """The row of an assessed image."""
    told = Assessment(
        "",
        Verdict(verdict),
        f"reason {number}",
        Code.POOR,
        0.9,
        0.5,
        (Finding(Point(12, 7), Box(10, 5, 15, 9), 1.0, label="button"),),
        provenance={"target": "foreign_object", "model": "stub", "model_hash": "b" * 64},
        image_size=(20, 30),
        source=Source(identifiers={"SOPInstanceUID": f"1.2.{number}"}),
    )
    return instance_row(number) | {
        "verdict": verdict,
        "reason": told.reason,
        "probability": 0.9,
        "problem": "foreign_object",
        "urgency": URGENCY[verdict],
        "assessment": json.dumps(told.to_dict()),
        "device": "DX-9",
        "station": f"ROOM{number % 3}",
        "view": "PA",
        "body_part": "CHEST",
        **more,
    }


def add(store, *rows: dict) -> None:
    with store.database.writing() as connection:
        for row in rows:
            connection.execute(insert(instances).values(**row))


def row_of(store, uid: str) -> dict:
    with store.database.reading() as connection:
        return dict(connection.execute(select(instances).where(instances.c.uid == uid)).mappings().one())


class Visitor:
    """A browser without scripts: keeps cookies, and sends a form with the page's own word."""

    def __init__(self, site: Site, name: str = "") -> None:
        self.client = TestClient(
            make_app(site.node, page_routes(site)),
            base_url="http://localhost",
            headers={"Accept": "text/html"},
            follow_redirects=False,
        )
        if name:
            answer = self.login(name)
            assert answer.status_code == 303, answer.text

    def login(self, name: str, password: str = PASSWORD):
        return self.client.post("/login", data={"name": name, "password": password})

    def get(self, path: str):
        return self.client.get(path)

    def word(self) -> str:
        return re.search(r'name="csrf" value="(\w+)"', self.get("/limits").text)[1]

    def post(self, path: str, **form):
        return self.client.post(path, data={"csrf": self.word(), **form})

    def decide(self, uid: str, action: str, version: int = 0, **form):
        return self.post(f"/image/{uid}/decide", action=action, version=version, **form)
