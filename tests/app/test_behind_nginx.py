"""The manual's nginx example before the real app: TLS, WebSockets, a vote, and a log without tokens."""

from __future__ import annotations

import contextlib
import importlib
import random
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness import review
from harness.app.access import owner_token
from harness.results.queries import database
from harness.review.plan import Design
from harness.store import Store

ROOT = Path(__file__).parents[2]
NAME = "review.example.org"
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
CHROMIUM = shutil.which("chromium")
FRAME = """
pid {tmp}/nginx.pid;
error_log {tmp}/start.log;
events {{}}
http {{
    client_body_temp_path {tmp}/body; proxy_temp_path {tmp}/proxy; fastcgi_temp_path {tmp}/fastcgi;
    uwsgi_temp_path {tmp}/uwsgi; scgi_temp_path {tmp}/scgi;
{example}
}}
"""

needs_nginx = pytest.mark.skipif(NGINX is None, reason="nginx is not installed (Debian: apt-get install nginx-light)")


@dataclass
class Place:
    """A proxy before a running app."""

    folder: Path
    port: int
    links: list[str]
    client: Any
    tls: ssl.SSLContext

    def session(self, token: str, origin: str = "") -> Any:
        """A session through the proxy, as a page of `origin` opens it."""
        address = f"{NAME}:{self.port}"
        sock = socket.create_connection(("127.0.0.1", self.port))
        return self.client.AppSession(
            f"wss://{address}/_stcore/stream", token, sock=sock, ssl=self.tls, origin=origin or f"https://{address}"
        )


def example(folder: Path, port: int, app: int) -> str:
    """nginx.conf around the manual's example, whose names are changed to those of this machine."""
    found = re.search(r"```nginx\n(.*?)```", (ROOT / "docs" / "review.md").read_text(), re.DOTALL)
    assert found
    text = found[1]
    for old, new in {
        "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
        f"/etc/letsencrypt/live/{NAME}/fullchain.pem": f"{folder}/cert.pem",
        f"/etc/letsencrypt/live/{NAME}/privkey.pem": f"{folder}/key.pem",
        "/var/log/nginx": str(folder),
        "http://127.0.0.1:8501": f"http://127.0.0.1:{app}",
    }.items():
        assert text.count(old) == 1 or old == "/var/log/nginx", old
        text = text.replace(old, new)
    return FRAME.format(tmp=folder, example=text)


def certificate(folder: Path) -> ssl.SSLContext:
    """A certificate of its own for the example's name; the context of a client that trusts it alone."""
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={NAME}"]
    command += ["-addext", f"subjectAltName=DNS:{NAME}", "-keyout", str(folder / "key.pem")]
    subprocess.run([*command, "-out", str(folder / "cert.pem")], check=True, capture_output=True)
    return ssl.create_default_context(cafile=str(folder / "cert.pem"))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("proxy")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "bench"))
        client, rounds = importlib.import_module("app_session"), importlib.import_module("made_rounds")
    store = Store(database(folder))
    rounds.open_made(store, "r1", Design(8, 2, 2), random.Random(1))
    links = rounds.reviewers(store, "r1", 2)
    tls, port, app = certificate(folder), client.free_port(), client.free_port()
    (folder / "nginx.conf").write_text(example(folder, port, app))
    words = ("app", "--home", str(folder), "--no-browser", "--public-url", f"https://{NAME}:{port}")
    server = client.AppServer(folder, app, *words)
    proxy = subprocess.Popen([str(NGINX), "-p", str(folder), "-c", str(folder / "nginx.conf"), "-g", "daemon off;"])
    try:
        server.wait()
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield Place(folder, port, links, client, tls)
    finally:
        proxy.terminate()
        proxy.wait()
        server.signal(signal.SIGTERM)
        for name in ("app_session", "made_rounds"):
            sys.modules.pop(name, None)


@needs_nginx
def test_a_vote_goes_through_the_documented_proxy(place: Place) -> None:
    with place.session(place.links[0]) as session:
        screen = session.run()
        screen = session.run(button=screen.buttons["Begin"])
        time.sleep(0.6)  # a choice sooner than half a second after its pair is none
        screen = session.run(button=screen.buttons["Left is better"])
        assert "Left is better" in screen.buttons and "Take back" in screen.buttons
    assert review.status(Store(database(place.folder)), "r1").votes == 1
    with place.session("") as session:
        assert session.run().says("Please use your link")
    assert (
        f"https://{NAME}:{place.port}/?token={owner_token(place.folder)}" in (place.folder / "server.log").read_text()
    )


@needs_nginx
def test_pages_of_other_addresses_get_no_session(place: Place) -> None:
    from websockets.exceptions import InvalidStatus

    for origin in ("https://evil.example", f"https://evil.example:{place.port}"):
        with pytest.raises(InvalidStatus, match="403"):
            place.session(place.links[0], origin)


@needs_nginx
def test_the_log_holds_no_token_and_pages_tell_no_other_site(place: Place) -> None:
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=unchecked()))
    with opener.open(f"https://127.0.0.1:{place.port}/?token={place.links[0]}") as answer:
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert "max-age" in answer.headers["Strict-Transport-Security"]
    with pytest.raises(urllib.error.HTTPError, match="400"):
        urllib.request.urlopen(f"http://127.0.0.1:{place.port}/")
    for _ in range(100):
        log = (place.folder / "review.log").read_text()
        if '"GET /" 200' in log:
            break
        time.sleep(0.05)
    assert '"GET /" 200' in log
    assert not any(token in log for token in place.links)


def unchecked() -> ssl.SSLContext:
    """TLS without a look at the certificate: for the address in place of its name."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


@needs_nginx
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (Debian: apt-get install chromium)")
def test_a_browser_votes_with_keys_through_the_documented_proxy(place: Place) -> None:
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed (pip install playwright)"
    )
    flags = [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        f"--host-resolver-rules=MAP {NAME} 127.0.0.1",
    ]
    before = review.status(Store(database(place.folder)), "r1").votes
    with playwright.sync_playwright() as starter:
        browser = starter.chromium.launch(executable_path=CHROMIUM, args=flags)
        page = browser.new_context(ignore_https_errors=True).new_page()
        page.goto(f"https://{NAME}:{place.port}/?token={place.links[1]}", timeout=60_000)
        page.get_by_role("button", name="Begin").wait_for(timeout=60_000)
        for _ in range(6):  # again where the page did not listen yet, as people do
            page.keyboard.press("Enter")
            with contextlib.suppress(playwright.TimeoutError):
                page.get_by_text("0 of 8").wait_for(timeout=5_000)
                break
        assert page.get_by_text("0 of 8").is_visible()
        page.wait_for_timeout(800)  # a choice sooner than half a second after its pair is none
        page.keyboard.press("1")
        page.get_by_text("1 of 8").wait_for(timeout=30_000)
        page.wait_for_timeout(800)
        page.keyboard.press("3")
        page.get_by_text("2 of 8").wait_for(timeout=30_000)
        browser.close()
    assert review.status(Store(database(place.folder)), "r1").votes == before + 2
