"""Every page by clicking, empty store and full: no error on the console, and nobody sees what is not theirs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser_homes import invite, open_toys, run_toys

SENTENCE = "This address opens with the link that you were sent."


@pytest.fixture(scope="module", params=["empty", "full"])
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, chromium: Any, app_process: Any
) -> Iterator[tuple[Any, str | None]]:
    folder: Path = tmp_path_factory.mktemp(request.param)
    full = request.param == "full"
    home = run_toys(folder, 40) if full else folder
    token = invite(home, open_toys(home, 6), "Ann") if full else None
    app = app_process.start(home)
    yield app, token
    app.kill()


def fine(watch: Any) -> None:
    watch.page.wait_for_timeout(150)
    assert watch.errors == [] and watch.dialogs == [] and watch.elsewhere == []


def titles(watch: Any) -> list[str]:
    return [one.inner_text() for one in watch.page.query_selector_all("[data-testid=stSidebarNavLink]")]


def test_the_owner_walks_through_every_page(served: tuple[Any, str | None], watched: Any) -> None:
    app, token = served
    watch = watched(app.link)
    pages = titles(watch)
    assert pages[:6] == ["Leaderboard", "Compare", "Training", "Trade-offs", "Data", "Gates"]
    for number, title in [*enumerate(pages), (0, pages[0])]:
        watch.page.locator("[data-testid=stSidebarNavLink]").nth(number).click()
        watch.page.wait_for_selector(f"h1:has-text('{title}')", timeout=90_000)
        watch.settled()
        if token is None:
            assert "harness run baselines/visit_notes.yaml" in watch.text()
        fine(watch)
        if title == "Compare":
            address = watch.page.url
            watch.page.reload()
            watch.settled()
            assert watch.page.url == address and title in watch.text()
            fine(watch)
    assert token is None or "canary-strong" in watch.text()


def test_a_reviewer_has_one_page(served: tuple[Any, str | None], watched: Any) -> None:
    app, token = served
    if token is None:
        watch = watched(app.url("a" * 43))
        assert SENTENCE in watch.text()
        fine(watch)
        return
    for path in ("", "compare", "gates", "review_results"):
        watch = watched(f"{app.address}/{path}?token={token}")
        assert "Thank you for reviewing" in watch.text() and titles(watch) == []
        assert "canary" not in watch.page.content()
        watch.page.close()
    watch = watched(app.url(token))
    watch.begin()
    assert "canary" not in watch.page.content() and titles(watch) == []
    fine(watch)


def test_without_a_token_there_is_one_sentence(served: tuple[Any, str | None], watched: Any) -> None:
    app, _ = served
    for address in ("/compare", "/?token=", "/?token=%00%ff" + "x" * 43):
        watch = watched(app.address + address)
        assert SENTENCE in watch.text() and titles(watch) == []
        assert "canary" not in watch.page.content() and "Leaderboard" not in watch.page.content()
        watch.page.close()
