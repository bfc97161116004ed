"""The owner's page of review rounds through AppTest: empty, open, closed and unblinded with its confirmation."""

from __future__ import annotations

from pathlib import Path

import pytest
from review_samples import open_sample, person, work
from test_app import fill

from harness import review
from harness.app.access import owner_token
from harness.results.queries import database
from harness.review.plan import Design
from harness.store import Store

APP = Path(__file__).parents[2] / "app.py"
CANARY = "canary"


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(database(tmp_path))


@pytest.fixture
def page(tmp_path, monkeypatch):
    """Runs the page over the home folder `tmp_path`, as its owner."""
    from streamlit.testing.v1 import AppTest

    monkeypatch.setenv("HARNESS_HOME", str(tmp_path))
    monkeypatch.setenv("USER", "boss")
    monkeypatch.setattr("sys.argv", ["app.py"])

    def opened() -> AppTest:
        app = AppTest.from_file(str(APP), default_timeout=60)
        app.query_params["token"] = owner_token(tmp_path)
        app.run()
        return app.switch_page("harness/app/pages/review_results.py").run()

    return opened


def careful(item) -> str:
    if item.left == item.right:
        return "tie"
    return "left" if item.left == "good" or "answer A" in item.left else "right"


def sent(app) -> str:
    """Everything that the page says, tables and charts included."""
    elements = [
        *app.markdown,
        *app.info,
        *app.success,
        *app.warning,
        *app.error,
        *app.subheader,
        *app.text,
        *app.caption,
    ]
    tables = [frame.value.to_csv(sep="|") for frame in app.dataframe]
    boxes = [str(option) for box in app.selectbox for option in box.options]
    return "\n".join([*(str(one.value) for one in elements), *tables, *boxes])


def test_without_rounds_it_says_what_to_run(page, store):
    assert store.counts()["rounds"] == 0
    app = page()
    assert not app.exception
    assert "No review round is stored" in app.info[0].value
    assert "harness review open EXPERIMENT --arms a,b" in app.info[0].value


def test_an_open_round_shows_progress_and_a_nameless_interval(page, store):
    open_sample(store, Design(8, 1, 3, gold=1))
    person(store, "Bo")
    work(store, person(store), careful)
    review.revoke(store, "r1", "Bo")
    app = page()
    assert not app.exception
    text = sent(app)
    assert CANARY not in text and "eval-" not in text
    assert [metric.value for metric in app.metric] == ["3 of 8", "8", "0", "2"]
    assert "one of the two is preferred in 50.0 to" in text and "not settled yet" in text
    assert "Ann|4|4.0|1.0|0|" in text and "Bo|0||0.0|0|-|revoked" in text
    assert app.button(key="unblind").disabled, "unblinding needs a reason"


def test_closing_and_unblinding_from_the_page(page, store):
    open_sample(store, Design(8, 2, 2, gold=2))
    for name in ("Ann", "Bo"):
        work(store, person(store, name), careful)
    app = page()
    app.button(key="close").click().run()
    assert not app.exception and review.status(store, "r1").state == "closed"
    assert not [button for button in app.button if button.key == "close"]
    app.text_input(key="reason").set_value("all votes are in").run()
    app.button(key="unblind").click().run()
    assert review.status(store, "r1").state == "closed", "it asks first"
    assert CANARY not in sent(app)
    app.button(key="no").click().run()
    assert not app.warning
    app.button(key="unblind").click().run()
    app.button(key="yes").click().run()
    assert not app.exception
    there = review.find_round(store, "r1")
    assert there.unblinded is not None
    assert (there.unblinded.who, there.unblinded.why) == ("boss", "all votes are in")
    text = sent(app)
    assert "canary-full against canary-lora" in text
    assert "canary-full|1.000 [" in text, "it won every vote"
    assert len(app.get("plotly_chart")) == 3
    assert [one.value for one in app.subheader if one.value != "Results"][:3] == [
        "Arms",
        "Pairs",
        "Bias and agreement",
    ]


def test_results_without_the_raters_that_the_rule_leaves_out(page, store):
    open_sample(store, Design(4, 2, 2, gold=3))
    work(store, person(store), careful)
    work(store, person(store, "Bo"), lambda item: "left" if item.left == "bad" or "answer B" in item.left else "right")
    review.unblind(store, "r1", "boss", "done")
    app = page()
    assert not app.exception
    assert "canary-full|0.500" in sent(app) and "Left out by the declared rule: Bo" in sent(app)
    app.get("button_group")[0].set_value("without those left out").run()
    assert not app.exception
    assert "canary-full|1.000" in sent(app)


def test_the_leaderboard_has_the_human_metric_once_unblinded(page, store, tmp_path):
    fill(tmp_path)
    open_sample(store, Design(6, 2, 2), experiment="x2")
    for name in ("Ann", "Bo"):
        work(store, person(store, name), careful)
    app = page().switch_page("harness/app/pages/leaderboard.py").run()
    assert not app.exception and "Human review" not in sent(app) and CANARY not in sent(app)
    review.unblind(store, "r1", "boss", "done")
    app = app.run()
    assert not app.exception
    text = sent(app)
    assert "Human review" in text and "| canary-full | 1.000 [" in text
    assert "Round r1, blind, validation prompts" in text and "by 2 raters" in text
    assert "not on the test split of the other metrics" in text
