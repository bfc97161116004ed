"""A real Chromium before a real server. Skipped, with the reason printed, where either cannot be had."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).parents[3]
WAIT = 90_000
"""Milliseconds; a shared machine may be slow."""


def _app_process() -> ModuleType:
    """bench/app_process.py; its folder is on the path for a moment alone, because it also has a coverage.py."""
    sys.path.insert(0, str(ROOT / "bench"))
    try:
        import app_process
    finally:
        sys.path.remove(str(ROOT / "bench"))
    return app_process


@pytest.fixture(scope="session")
def app_process() -> ModuleType:
    """Starts servers."""
    return _app_process()


@pytest.fixture(scope="module")
def chromium(app_process: ModuleType) -> Iterator[Any]:
    """A browser that a file's tests share; not longer, because its event loop would run below other files' tests."""
    path = app_process.browser()
    if path is None:
        pytest.skip(f"no browser: none of {', '.join(app_process.BROWSERS)} is installed")
    sync_api = pytest.importorskip("playwright.sync_api", reason="no playwright: pip install -e '.[dev]'")
    with sync_api.sync_playwright() as tools:
        found = tools.chromium.launch(executable_path=path, args=app_process.FLAGS)
        yield found
        found.close()


@dataclass
class Watch:
    """What a page did that it must not."""

    page: Any
    errors: list[str] = field(default_factory=list)
    """Console errors and uncaught exceptions."""
    dialogs: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    """Requests to any other host."""

    def settled(self) -> None:
        """Wait until the app has drawn its page and runs no script."""
        drawn = ":is(h1, [data-testid=stProgress], [data-testid=stAlert])"
        self.page.wait_for_selector(f"[data-testid=stMainBlockContainer] {drawn}", timeout=WAIT)
        self.page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]", timeout=WAIT)

    def begin(self) -> None:
        """Read the instructions and press Enter, again where the page did not listen yet, as people do."""
        self.page.get_by_role("button", name="Begin").wait_for(timeout=WAIT)
        for _ in range(WAIT // 5_000):
            self.page.keyboard.press("Enter")
            with contextlib.suppress(Exception):
                self.page.wait_for_selector("text=this pair does not count", timeout=5_000)
                break
        self.page.wait_for_selector("text=this pair does not count", timeout=5_000)
        self.settled()

    def text(self) -> str:
        """What the page says."""
        return str(self.page.inner_text("[data-testid=stMain]"))


@pytest.fixture
def watched(chromium: Any) -> Iterator[Callable[..., Watch]]:
    """Opens an address in a new page of a new context, or of `beside`'s, and waits until it is drawn."""
    contexts = []

    def opened(url: str, beside: Watch | None = None) -> Watch:
        if beside is None:
            contexts.append(chromium.new_context(viewport={"width": 1280, "height": 900}))
        page = (beside.page.context if beside else contexts[-1]).new_page()
        watch = Watch(page)
        host = urlsplit(url).netloc

        def said(message: Any) -> None:
            where = message.location["url"]
            # Opened at a page's own address, Streamlit looks for its server below that address before it finds it.
            looking = re.fullmatch(rf"http://{re.escape(host)}/\w+/_stcore/(health|host-config)", where)
            if message.type == "error" and not (looking and "404" in message.text):
                watch.errors.append(f"{message.text} {where}")

        page.on("console", said)
        page.on("pageerror", lambda error: watch.errors.append(str(error)))
        page.on("dialog", lambda dialog: (watch.dialogs.append(dialog.message), dialog.dismiss()))

        def asked(request: Any) -> None:
            parts = urlsplit(request.url)
            if parts.scheme not in ("data", "blob", "about") and parts.netloc != host:
                watch.elsewhere.append(request.url)

        page.on("request", asked)
        page.goto(url, timeout=WAIT)
        watch.settled()
        return watch

    yield opened
    for context in contexts:
        context.close()
