"""A provider of OpenID Connect for tests."""

import base64
import hashlib
import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey


class Provider:
    """Says what it is told to say of whoever comes with a code."""

    def __init__(self) -> None:
        self.key = RSAKey.generate_key(2048, parameters={"kid": "1"})
        self.signing, self.issuer, self.more, self.asked = self.key, "", {}, {}

    def authorise(self, url: str) -> str:
        """What its own login page would send back: a code for what was asked."""
        self.asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        return "code-1"

    def answer(self, path: str, form: dict) -> tuple[int, dict]:
        if path.endswith("openid-configuration"):
            names = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "jwks"}
            return 200, {"issuer": self.issuer} | {k: f"{self.issuer}/{v}" for k, v in names.items()}
        if path == "/jwks":
            return 200, {"keys": [self.key.as_dict(private=False)]}
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if form["code"] != "code-1" or challenge != self.asked["code_challenge"]:
            return 400, {"error": "invalid_grant"}
        claims = {
            "iss": self.issuer,
            "aud": "xiqa",
            "sub": "42",
            "exp": int(time.time()) + 300,
            "nonce": self.asked["nonce"],
            "preferred_username": "Grace",
            "name": "Grace Hopper",
            "groups": ["staff", "radiographers"],
            **self.more,
        }
        token = jwt.encode({"alg": "RS256", "kid": "1"}, claims, self.signing)
        return 200, {"access_token": "a", "token_type": "Bearer", "id_token": token}


@contextmanager
def provider():
    made = Provider()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            length = int(self.headers.get("Content-Length") or 0)
            form = {k: v[0] for k, v in parse_qs(self.rfile.read(length).decode()).items()}
            status, content = made.answer(urlsplit(self.path).path, form)
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        made.issuer = f"http://127.0.0.1:{server.server_port}"
        yield made
        server.shutdown()
