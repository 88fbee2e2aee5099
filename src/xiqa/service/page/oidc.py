"""Logging in with the hospital's own accounts: OpenID Connect, authorization code flow with PKCE.

Browser and node share a *state* that both must bring back; the identity token must be signed by the provider,
for this client, for this very login (*nonce*). Roles come from a claim by the site's own table: who has none
of the listed values does not get in.
"""

from __future__ import annotations

import hmac
import secrets
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import httpx
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.httpx_client import OAuth2Client
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from starlette.responses import RedirectResponse, Response

from xiqa.service.page.login import COOKIE
from xiqa.service.page.options import Oidc
from xiqa.service.page.site import PageError, Site, Visit
from xiqa.service.records.people import AccountError, Role

__all__ = ["back", "begin"]

_STATE = "xiqa_login"
_SECONDS, _MOST = 600.0, 1000  # how long a login may take, and how many are under way
_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA"]


@dataclass(frozen=True, slots=True)
class _Begun:
    """A login that is under way."""

    nonce: str
    verifier: str
    at: float


class _Logins:
    """Those that are under way, each good for one return."""

    def __init__(self) -> None:
        self._begun: OrderedDict[str, _Begun] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, state: str, begun: _Begun) -> None:
        with self._lock:
            self._begun[state] = begun
            while len(self._begun) > _MOST:
                self._begun.popitem(last=False)

    def take(self, state: str) -> _Begun | None:
        with self._lock:
            begun = self._begun.pop(state, None)
        return begun if begun is not None and time.monotonic() - begun.at < _SECONDS else None


_LOGINS = _Logins()


def begin(site: Site, visit: Visit) -> Response:
    """To the provider.

    Raises:
        PageError: None is configured, or it does not answer.
    """
    options = _options(site)
    if not site.logins.allows(visit.address):
        raise PageError(429, "Too many tries from this address. Wait a minute.")
    begun = _Begun(secrets.token_urlsafe(24), secrets.token_urlsafe(48), time.monotonic())
    state = secrets.token_urlsafe(24)
    with _client(options) as client:
        url, _ = client.create_authorization_url(
            _discovered(client, options)["authorization_endpoint"],
            state=state,
            nonce=begun.nonce,
            code_verifier=begun.verifier,
        )
    _LOGINS.add(state, begun)
    response = RedirectResponse(url, 303)
    # lax: the way back begins on the provider's page
    response.set_cookie(_STATE, state, 600, path="/login", httponly=True, samesite="lax", secure=site.secure)
    return response


def back(site: Site, visit: Visit) -> Response:
    """From the provider: who it is, and in.

    Raises:
        PageError: The return does not belong to a login from here, or the person has no role here.
    """
    options, query = _options(site), visit.request.query_params
    state = query.get("state", "")
    same = hmac.compare_digest(state.encode(), visit.request.cookies.get(_STATE, "").encode())
    begun = _LOGINS.take(state) if state and same else None
    if begun is None or "code" not in query:
        raise PageError(403, "This return from the provider does not belong to a login from here.")
    claims = _claims(options, query["code"], begun)
    name = str(claims.get(options.name_claim, "")).lower()
    try:
        site.people.ensure(name, str(claims.get(options.full_name_claim) or name), _role(options, claims))
        token = site.people.open_session(name, visit.address)
    except AccountError as error:
        raise PageError(403, f"The provider's account cannot be used here: {error}") from error
    # a page and no redirect: a strict cookie does not follow one that another site has begun
    response = site.page("entered", visit)
    response.set_cookie(
        COOKIE[site.secure], token, path="/", httponly=True, samesite="strict", secure=site.secure
    )
    response.delete_cookie(_STATE, path="/login")
    return response


def _options(site: Site) -> Oidc:
    if site.options.oidc is None:
        raise PageError(404, "No provider is configured.")
    return site.options.oidc


def _client(options: Oidc) -> Any:
    return OAuth2Client(
        options.client_id,
        options.secret(),
        scope="openid profile",
        redirect_uri=f"{options.address.rstrip('/')}/login/oidc/back",
        code_challenge_method="S256",
        timeout=10,
    )


def _discovered(client: Any, options: Oidc) -> dict[str, Any]:
    """What the provider says of itself."""
    url = f"{options.issuer.rstrip('/')}/.well-known/openid-configuration"
    try:
        found = dict(client.request("GET", url, withhold_token=True).raise_for_status().json())
        if found["issuer"] != options.issuer or "authorization_endpoint" not in found:
            raise ValueError("another issuer")
    except (httpx.HTTPError, ValueError, KeyError) as error:
        raise PageError(503, "The provider does not answer as it should.") from error
    return found


def _claims(options: Oidc, code: str, begun: _Begun) -> dict[str, Any]:
    """What the identity token says, once its signature, issuer, audience, time and nonce are right."""
    wanted: dict[str, Any] = {
        "iss": {"essential": True, "value": options.issuer},
        "aud": {"essential": True, "value": options.client_id},
        "nonce": {"essential": True, "value": begun.nonce},
        "exp": {"essential": True},
        "sub": {"essential": True},
    }
    with _client(options) as client:
        found = _discovered(client, options)
        try:
            token = client.fetch_token(found["token_endpoint"], code=code, code_verifier=begun.verifier)
            keys = client.request("GET", found["jwks_uri"], withhold_token=True).raise_for_status().json()
            decoded = jwt.decode(token["id_token"], KeySet.import_key_set(keys), algorithms=_ALGORITHMS)
            jwt.JWTClaimsRegistry(leeway=60, **wanted).validate(decoded.claims)
        except (httpx.HTTPError, OAuthError, JoseError, ValueError, KeyError) as error:
            raise PageError(403, "The provider's answer cannot be trusted.") from error
    return dict(decoded.claims)


def _role(options: Oidc, claims: dict[str, Any]) -> Role:
    """The highest role that the person's groups have here."""
    told = claims.get(options.role_claim, [])
    groups = [told] if isinstance(told, str) else list(told)
    roles = [Role.named(options.roles[group]) for group in groups if group in options.roles]
    if not roles:
        raise PageError(403, "None of your groups has a role here.")
    return max(roles)
