"""Start the app's server with its security settings, and print the owner's link."""

from __future__ import annotations

import ipaddress
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import webbrowser
from pathlib import Path
from urllib.parse import urlsplit

from harness.app import access
from harness.errors import UsageError
from harness.experiments.loading import load

LOCAL = ("localhost",)
WAIT_SECONDS = 60.0


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server at `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in LOCAL


def options(host: str, port: int, public_url: str | None) -> list[str]:
    """Streamlit's flags: no error text, no developer's menu and no statistics leave the server; XSRF protection is on.

    Raises UsageError for a public address that is none.
    """
    flags = {
        "server.address": host,
        "server.port": str(port),
        "server.headless": "true",
        "server.enableXsrfProtection": "true",
        "server.enableCORS": "true",
        "server.fileWatcherType": "none",
        "server.maxUploadSize": "1",
        "server.enableStaticServing": "false",
        "server.enableAgentApi": "false",
        "runner.magicEnabled": "false",
        "browser.gatherUsageStats": "false",
        "logger.hideWelcomeMessage": "true",
        "client.showErrorDetails": "none",
        "client.toolbarMode": "minimal",
        "client.showSidebarNavigation": "true",
        # Of each theme: a colour for both would be a theme of its own, which is light whatever the browser asks for.
        "theme.light.primaryColor": "#0072B2",
        "theme.dark.primaryColor": "#2B86C5",
    }
    if public_url is not None:
        parts = urlsplit(public_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(
                f"{public_url!r} is no address", hint="For example --public-url https://review.example.org"
            )
        # Streamlit takes WebSockets from pages of its own address alone; behind a proxy that is the proxy's.
        flags["browser.serverAddress"] = parts.hostname
        flags["browser.serverPort"] = str(parts.port or (443 if parts.scheme == "https" else 80))
        if parts.path.strip("/"):
            flags["server.baseUrlPath"] = parts.path.strip("/")
    return [f"--{name}={value}" for name, value in flags.items()]


def address(host: str, port: int, public_url: str | None) -> str:
    """Where a browser finds the app."""
    return (public_url or f"http://{'127.0.0.1' if is_loopback(host) else host}:{port}").rstrip("/")


def serve_bundle(folder: Path, host: str, port: int, public_url: str | None) -> int:
    """Serve the round in a review bundle until stopped; its votes are kept in `FOLDER/votes`. No model is loaded.

    Raises ReviewError for a folder that holds no bundle, or one that was changed.
    """
    from harness import review
    from harness.results import queries
    from harness.store import Store

    home = folder / review.VOTES
    round_ = review.load_bundle(lambda: Store(queries.database(home)), folder)
    print(f"round {round_.id}: {round_.items} items; the votes go back with `harness review import {folder}`")
    return serve(home, host, port, public_url, browser=False, review_only=True)


def serve(
    home: Path, host: str, port: int, public_url: str | None, *, browser: bool, review_only: bool = False
) -> int:  # fmt: skip
    """Run the app until it is stopped; its exit code. Prints the owner's link once it answers.

    With `review_only` there is no page but the review, and for the owner how far it is.
    """
    flags = options(host, port, public_url)
    link = f"{address(host, port, public_url)}/?token={access.owner_token(home)}"
    if not is_loopback(host) and not (public_url or "").startswith("https://"):
        print(
            f"harness: {host} is reached by others, and without TLS they can read every link on the way; see the "
            "docs/review.md for a proxy, and give its address with --public-url https://…",
            file=sys.stderr,
        )
    environment = {**os.environ, "HARNESS_HOME": str(home.absolute()), "HARNESS_HOST": host}
    environment["HARNESS_REVIEW_ONLY"] = "1" if review_only else "0"
    small = ["--review-only"] if review_only else []
    command = [sys.executable, "-m", "harness.app.server", *small, str(load.stock_folder() / "app.py"), *flags]
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: the server must not outlive this process
    process = subprocess.Popen(command, env=environment, stdout=sys.stderr.fileno())  # a page that fails says so there
    try:
        if _answers(host, port, process):
            print(
                f"The app is at\n\n    {link}\n\n"
                + ("The link shows how far it is" if review_only else "The link opens everything: keep it")
                + ". Ctrl-C stops the server.",
                flush=True,
            )
            if browser:
                webbrowser.open(link)
        return process.wait()
    finally:
        process.terminate()
        process.wait()


def _answers(host: str, port: int, process: subprocess.Popen[bytes]) -> bool:
    """Wait until the server answers; False when it has ended or does not."""
    where = "127.0.0.1" if host == "0.0.0.0" else host
    end = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://{where}:{port}/_stcore/health", timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    return False
