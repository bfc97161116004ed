"""Signing in (OpenID Connect): a small provider, Streamlit's own sign-in, and who gets to the review by it."""

from __future__ import annotations

import base64
import hashlib
import http.cookiejar
import importlib
import json
import random
import signal
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from harness import review
from harness.results.queries import database
from harness.review.plan import Design
from harness.store import Store

pytest.importorskip("authlib", reason="authlib is not installed (pip install 'finetune-harness[signin]')")

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

ROOT = Path(__file__).parents[2]
CLIENT = "the-client"


def coded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Provider:
    """Signs in whoever asks, as the person in `claims`; every identity token is signed with RS256."""

    def __init__(self) -> None:
        self.claims: dict[str, Any] = {}
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._nonces: dict[str, str] = {}
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path, _, query = self.path.partition("?")
                if path == "/authorize":
                    target = provider.authorise(dict(urllib.parse.parse_qsl(query)))
                    self.send_response(302)
                    self.send_header("Location", target)
                    self.end_headers()
                else:
                    self._answer(provider.metadata() if "openid-configuration" in path else provider.keys())

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                self._answer(provider.token(dict(urllib.parse.parse_qsl(body))))

            def _answer(self, data: dict[str, Any]) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(json.dumps(data).encode())

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def metadata(self) -> dict[str, Any]:
        names = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "keys"}
        return {
            "issuer": self.url,
            **{name: f"{self.url}/{path}" for name, path in names.items()},
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }

    def keys(self) -> dict[str, Any]:
        numbers = self._key.public_key().public_numbers()
        n, e = (coded(value.to_bytes((value.bit_length() + 7) // 8, "big")) for value in (numbers.n, numbers.e))
        return {"keys": [{"kty": "RSA", "kid": "1", "use": "sig", "alg": "RS256", "n": n, "e": e}]}

    def authorise(self, asked: dict[str, str]) -> str:
        code = hashlib.sha256(asked["state"].encode()).hexdigest()
        self._nonces[code] = asked.get("nonce", "")
        return f"{asked['redirect_uri']}?{urllib.parse.urlencode({'code': code, 'state': asked['state']})}"

    def token(self, asked: dict[str, str]) -> dict[str, Any]:
        now = int(time.time())
        claims = {"iss": self.url, "aud": CLIENT, "sub": "1", "iat": now, "exp": now + 600, **self.claims}
        claims["nonce"] = self._nonces.pop(asked["code"])
        parts = [coded(json.dumps(part).encode()) for part in ({"alg": "RS256", "typ": "JWT", "kid": "1"}, claims)]
        signature = self._key.sign(".".join(parts).encode(), padding.PKCS1v15(), hashes.SHA256())
        signed = ".".join([*parts, coded(signature)])
        return {"access_token": "a", "token_type": "Bearer", "expires_in": 600, "id_token": signed}


@pytest.fixture(scope="module")
def client() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "bench"))
        yield importlib.import_module("app_session")
    sys.modules.pop("app_session", None)
    sys.modules.pop("made_rounds", None)


@pytest.fixture(scope="module")
def place(client: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Provider, Store]]:
    """A server with a sign-in, and a round to which ann@example.org is invited."""
    folder, provider, port = tmp_path_factory.mktemp("sign-in"), Provider(), client.free_port()
    store = Store(database(folder))
    importlib.import_module("made_rounds").open_made(store, "r1", Design(6, 2, 2), random.Random(1))
    review.invite(store, "r1", "ann@example.org")
    (folder / ".streamlit").mkdir()
    (folder / ".streamlit" / "secrets.toml").write_text(
        f'[auth]\nredirect_uri = "http://127.0.0.1:{port}/oauth2callback"\ncookie_secret = "{"s" * 40}"\n'
        f'client_id = "{CLIENT}"\nclient_secret = "secret"\n'
        f'server_metadata_url = "{provider.url}/.well-known/openid-configuration"\n'
    )
    server = client.AppServer(folder, port)
    try:
        server.wait()
        yield server, provider, store
    finally:
        server.signal(signal.SIGTERM)
        provider.close()


def signed_in(place: tuple[Any, Provider, Store], **claims: Any) -> Any:
    """The first screen of somebody who signed in with these claims."""
    server, provider, _ = place
    provider.claims = claims
    with server.session("") as stranger:
        screen = stranger.run()
        assert screen.says("Please use your link") and "Sign in" in screen.buttons
        link = stranger.run(button=screen.buttons["Sign in"]).redirect
    cookies = http.cookiejar.CookieJar()
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(cookies), urllib.request.ProxyHandler({}))
    here = f"http://127.0.0.1:{server.port}"
    for path in (link, "/_stcore/health"):  # the second gives the token against forged requests
        opener.open(urllib.parse.urljoin(here, path)).close()
    found = {one.name: one.value for one in cookies}
    assert "_streamlit_user" in found
    more = {
        "additional_headers": {"Cookie": "; ".join(f"{name}={value}" for name, value in found.items())},
        "subprotocols": ["streamlit", found["_streamlit_xsrf"]],
        "origin": here,
    }
    with server.session("", **more) as session:
        return session.run()


def test_who_is_invited_by_their_address_gets_to_the_review_alone(place) -> None:
    screen = signed_in(place, email="Ann@example.org", email_verified=True)
    assert list(screen.pages) == ["Review"] and "Begin" in screen.buttons and screen.says("Choose the better answer.")


@pytest.mark.parametrize(
    "claims",
    [
        {"email": "ann@example.org", "email_verified": False},
        {"email": "bob@example.org", "email_verified": True},
        {"name": "ann@example.org"},
    ],
    ids=["address not verified", "not invited", "no address"],
)
def test_nobody_else_gets_in_by_signing_in(place, claims) -> None:
    screen = signed_in(place, **claims)
    assert screen.says("Please use your link") and "Begin" not in screen.buttons


def test_a_revoked_invitation_ends_the_sign_in_too(place) -> None:
    review.revoke(place[2], "r1", "ann@example.org")
    screen = signed_in(place, email="ann@example.org", email_verified=True)
    assert screen.says("Please use your link") and "Begin" not in screen.buttons
