"""A reviewer at a keyboard: twenty votes through reloads, a killed server, double clicks, two tabs and Back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browser_homes import all_rows, counted, invite, open_toys, run_toys

pytestmark = pytest.mark.real

LOOK = 550
"""Milliseconds that a pair must have been there before a choice is taken, and some."""
CLICK_TWICE = """gap => new Promise(done => {
    const click = () => [...document.querySelectorAll('button')]
        .find(one => one.innerText.includes('Left is better')).click();
    click();
    if (gap) { setTimeout(() => { click(); done(); }, gap); } else { click(); done(); }
})"""
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
    watch.page.wait_for_timeout(LOOK)
    act()
    watch.page.wait_for_function(CHANGED, arg=before, timeout=90_000)


def press(watch: Any, *keys: str) -> None:
    for key in keys:
        then(watch, lambda key=key: watch.page.keyboard.press(key))


def begin(watch: Any) -> None:
    """Read the instructions, and do the practice item."""
    watch.page.wait_for_selector("text=Thank you for reviewing", timeout=90_000)
    watch.begin()
    press(watch, "1")
    assert "Most people would choose: left" in watch.text()
    assert progress(watch).startswith("0 of 26")


def test_twenty_votes_with_everything_that_can_happen(
    home: Path, servers: list[Any], watched: Any, app_process: Any
) -> None:
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
    press(watch, "1")

    before = shown(watch)
    servers[-1].kill()
    assert watch.errors == []
    servers.append(app_process.start(home, servers[-1].port))
    watch.page.wait_for_selector("[data-testid=stApp][data-test-connection-state=CONNECTED]", timeout=90_000)
    watch.settled()
    assert shown(watch) == before and done(watch) == 6, "nobody had to reload"
    press(watch, "2")
    watch.errors.clear()  # of looking for the server while it was away

    second = watched(servers[-1].url(token), beside=watch)
    assert shown(second) == shown(watch)
    press(watch, "1")
    press(second, "2")
    assert done(second) == 8 and shown(second) == shown(watch)
    assert [one.winner for one in counted(home, "Ann")].count("right") == 2, "the first of two tabs counts"
    second.page.close()

    before = shown(watch)
    watch.page.go_back()
    watch.page.go_forward()
    watch.settled()
    assert shown(watch) == before and done(watch) == 8 and len(counted(home, "Ann")) == 8

    press(watch, *"123412341234")
    votes = counted(home, "Ann")
    assert done(watch) == 20 and len(votes) == 20
    rows = all_rows(home, "Ann")
    assert len({one.id for one in rows}) == len(rows) == 20 + 1 + 2, "and practice, one taken back, and its taking back"
    assert watch.errors == [] and watch.dialogs == [] and watch.elsewhere == []


def test_a_double_click_is_one_vote(home: Path, servers: list[Any], watched: Any) -> None:
    watch = watched(servers[-1].url(invite(home, open_toys(home, 22), "Cleo")))
    begin(watch)
    for number, gap in enumerate((0, 60, 150, 250), 1):
        then(watch, lambda gap=gap: watch.page.evaluate(CLICK_TWICE, gap))
        watch.page.wait_for_timeout(700)
        assert progress(watch).startswith(f"{number} of") and len(counted(home, "Cleo")) == number


def test_a_key_that_is_held_and_digits_in_the_comment(home: Path, servers: list[Any], watched: Any) -> None:
    watch = watched(servers[-1].url(invite(home, open_toys(home, 22), "Bea")))
    begin(watch)
    before = shown(watch)
    watch.page.focus("input[type=text]")
    watch.page.keyboard.type("1 and 2, not 340u")
    watch.page.wait_for_timeout(LOOK)
    assert shown(watch) == before and counted(home, "Bea") == []
    watch.page.locator("[data-testid=stCheckbox] input").nth(1).focus()  # the first asks for the reference
    watch.settled()
    watch.page.keyboard.press("Space")
    watch.page.wait_for_timeout(LOOK)
    watch.settled()
    watch.page.keyboard.down("1")
    for _ in range(12):
        watch.page.wait_for_timeout(33)
        watch.page.keyboard.down("1")  # as a keyboard repeats it
    watch.page.keyboard.up("1")
    watch.page.wait_for_timeout(1000)
    (vote,) = counted(home, "Bea")
    assert (vote.winner, vote.flags, vote.comment) == ("left", ("left:fabrication",), "1 and 2, not 340u")
    press(watch, "2")
    press(watch, "u")
    watch.page.keyboard.press("u")
    watch.page.wait_for_timeout(1000)
    assert [vote.winner for vote in counted(home, "Bea")] == ["left"], "U twice in a hurry takes one back"
