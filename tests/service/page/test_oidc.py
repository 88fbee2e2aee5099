"""Logins by OpenID Connect: in with a good answer, out with each that is wrong in one way."""

from urllib.parse import urlsplit

import pytest
from joserfc.jwk import RSAKey

from tests.service.page.provider import provider
from tests.service.page.visits import Visitor
from xiqa.service.page.options import Oidc
from xiqa.service.records.people import Role

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def server():
    with provider() as made:
        yield made


@pytest.fixture
def visitor(site, server, tmp_path):
    (tmp_path / "secret").write_text("s3cret")
    server.more, server.signing = {}, server.key
    oidc = Oidc(
        issuer=server.issuer,
        client_id="xiqa",
        secret_file=tmp_path / "secret",
        address="http://localhost",
        roles={"radiographers": "technologist", "heads": "lead"},
    )
    site.options = site.options.model_copy(update={"oidc": oidc})
    return Visitor(site)


def come_back(visitor, server, **more):
    sent = visitor.get("/login/oidc")
    assert sent.status_code == 303
    code = server.authorise(sent.headers["location"])
    query = {"state": server.asked["state"], "code": code, **more}
    return visitor.client.get("/login/oidc/back", params=query)


def test_a_person_of_the_hospital_logs_in_with_a_role_of_ours(site, visitor, server):
    assert "the hospital" in visitor.get("/login").text
    answer = come_back(visitor, server)
    assert answer.status_code == 200, answer.text
    assert "SameSite=strict" in answer.headers["set-cookie"]
    assert "Grace Hopper" in visitor.get("/").text
    assert urlsplit(visitor.get("/login/oidc").headers["location"]).path == "/authorize"
    person = site.people.person_of(visitor.client.cookies["xiqa_session"])
    assert (person.name, person.role) == ("grace", Role.TECHNOLOGIST)
    server.more = {"groups": ["radiographers", "heads"]}
    come_back(visitor, server)
    assert site.people.person_of(visitor.client.cookies["xiqa_session"]).role is Role.LEAD
    assert site.people.login("grace", "") is None


@pytest.mark.parametrize(
    "more",
    [
        {"aud": "another"},
        {"iss": "http://127.0.0.1:1"},
        {"nonce": "replayed"},
        {"exp": 1_700_000_000},  # long over
        {"groups": ["cleaners"]},
        {"groups": []},
        {"preferred_username": "lead"},  # an account of this node, with a password
        {"preferred_username": "<script>"},
        {"preferred_username": ""},
    ],
    ids=str,
)
def test_what_is_wrong_in_one_way_does_not_get_in(visitor, server, more):
    server.more = more
    answer = come_back(visitor, server)
    assert answer.status_code == 403
    assert "xiqa_session" not in visitor.client.cookies
    assert "<script>" not in answer.text


def test_another_key_another_browser_and_a_second_return_do_not_get_in(site, visitor, server):
    server.signing = RSAKey.generate_key(2048, parameters={"kid": "1"})
    assert come_back(visitor, server).status_code == 403
    server.signing = server.key
    assert come_back(visitor, server, state="x").status_code == 403
    assert come_back(visitor, server, code="code-2").status_code == 403
    assert come_back(visitor, server).status_code == 200
    state = server.asked["state"]
    assert visitor.client.get(f"/login/oidc/back?state={state}&code=code-1").status_code == 403
    sent = visitor.get("/login/oidc")
    server.authorise(sent.headers["location"])
    other = Visitor(site)  # has not the state's cookie
    assert other.get(f"/login/oidc/back?state={server.asked['state']}&code=code-1").status_code == 403


def test_without_a_provider_there_is_no_such_way(site):
    assert Visitor(site).get("/login/oidc").status_code == 404
    assert Visitor(site).get("/login/oidc/back?state=a&code=b").status_code == 404
