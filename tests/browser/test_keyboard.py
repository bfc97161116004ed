"""A reviewer at a keyboard: twenty votes through reloads, a killed server, double clicks, two tabs and Back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browser_homes import all_rows, counted, invite, open_toys, run_toys

CHANGED = """([texts, progress]) => {
    const bar = document.querySelector('[data-testid=stProgress]');
    const now = [...document.querySelectorAll('.plain')].slice(0, 3).map(one => one.textContent);
    const app = document.querySelector('[data-testid=stApp]');
    return app.getAttribute('data-test-script-state') === 'notRunning' && bar && now.length === 3
        && (JSON.stringify(now) !== JSON.stringify(texts) || bar.innerText !== progress);
}"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, chromium: Any) -> Path:
    return run_toys(tmp_path_factory.mktemp("keyboard"))


@pytest.fixture(scope="module")
def servers(home: Path, app_process: Any) -> Iterator[list[Any]]:
    """The running server is the last."""
    found = [app_process.start(home)]
    yield found
    found[-1].kill()


def shown(watch: Any) -> list[str]:
    """Prompt, left and right answer."""
    return [one.text_content() for one in watch.page.query_selector_all(".plain")[:3]]


def progress(watch: Any) -> str:
    return str(watch.page.inner_text("[data-testid=stProgress]"))


def done(watch: Any) -> int:
    return int(progress(watch).split()[0])


def then(watch: Any, act: Callable[[], Any]) -> None:
    """Do something and wait until another pair is there."""
    before = [shown(watch), progress(watch)]
    act()
    watch.page.wait_for_function(CHANGED, arg=before, timeout=90_000)


def press(watch: Any, *keys: str) -> None:
    for key in keys:
        then(watch, lambda key=key: watch.page.keyboard.press(key))


def begin(watch: Any) -> None:
    """Read the instructions, and do the practice item."""
    watch.page.wait_for_selector("text=Thank you for reviewing", timeout=90_000)
    watch.page.keyboard.press("Enter")
    watch.page.wait_for_selector("text=this pair does not count", timeout=90_000)
    watch.settled()
    press(watch, "1")
    assert "Most people would choose: left" in watch.text()
    assert progress(watch).startswith("0 of 26")


def test_twenty_votes_with_everything_that_can_happen(home: Path, servers: list[Any], watched: Any, app_process: Any) -> None:
    token = invite(home, open_toys(home, 22), "Ann")
    watch = watched(servers[-1].url(token))
    begin(watch)
    press(watch, "1", "2", "3", "4", "0")
    assert done(watch) == 5 and len(counted(home, "Ann")) == 5
    before = shown(watch)
    press(watch, "u")
    assert done(watch) == 4 and len(counted(home, "Ann")) == 4
    press(watch, "1")
    assert shown(watch) == before, "after the second choice comes the pair that was there before"

    watch.page.reload()
    watch.settled()
    assert shown(watch) == before and done(watch) == 5
    press(watch, "1", "2")

    before = shown(watch)
    servers[-1].kill()
    servers.append(app_process.start(home, servers[-1].port))
    watch.page.reload()
    watch.settled()
    assert shown(watch) == before and done(watch) == 7
    press(watch, "1")

    then(watch, lambda: watch.page.evaluate("""() => {
        const left = [...document.querySelectorAll('button')].find(one => one.innerText.includes('Left is better'));
        left.click(); left.click();
    }"""))
    watch.settled()
    watch.page.wait_for_timeout(1500)
    assert done(watch) == 9 and len(counted(home, "Ann")) == 9, "two clicks in one tick are one vote"

    second = watched(servers[-1].url(token), beside=watch)
    assert shown(second) == shown(watch)
    press(watch, "1")
    press(second, "2")
    assert done(second) == 10 and shown(second) == shown(watch)
    assert [one.winner for one in counted(home, "Ann")][-1] == "left", "the first of two tabs counts"
    second.page.close()

    before = shown(watch)
    watch.page.go_back()
    watch.page.go_forward()
    watch.settled()
    assert shown(watch) == before and done(watch) == 10 and len(counted(home, "Ann")) == 10

    press(watch, *"1234123412")
    votes = counted(home, "Ann")
    assert done(watch) == 20 and len(votes) == 20
    rows = all_rows(home, "Ann")
    assert len({one.id for one in rows}) == len(rows) == 20 + 1 + 2, "and practice, and one undone with its undoing"
    assert watch.errors == [] or all("WebSocket" in one or "ERR_CONNECTION_REFUSED" in one for one in watch.errors)
