"""The page Gates over a real store: empty, full, filtered, hostile names; the same verdict as the JSON.

That a reviewer does not reach it is tested with the other pages of the owner (test_app.py).
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from gate_calls import made_call

from harness.app.access import owner_token
from harness.records import Estimate, GateCall, GateVerdict, RuleVerdict, WaiverUse
from harness.release.gate import reports
from harness.results.queries import database
from harness.store import Store

APP = Path(__file__).parents[2] / "app.py"
HOSTILE = "<b>x</b> [a](http://evil.example) ![i](http://evil.example/i.png) $x$ :red[y]"


def call(number: int, **changes: object) -> GateCall:
    """A failed verdict with a waived rule, a passed one and an informational one without a number."""
    found = Estimate(-0.031, -0.052, -0.011, 198, 175, 1, "t", 0.9)
    rules = (
        RuleVerdict(
            "recall margin", "critical", "FAIL", "-0.031, wanted at least -0.02", found, -0.02, 0, "by Ann: so"
        ),
        RuleVerdict("good enough", "critical", "PASS", "0.9, wanted at least 0.8", replace(found, value=0.9), 0.8, 0),
        RuleVerdict("other", "informational", "INVALID", "was not scored", None, 0.5),
    )
    verdict = GateVerdict("PASS", 0, rules, (f"recall margin: its FAIL is waived {HOSTILE}",))
    plain: dict[str, object] = {
        "id": f"g{number}",
        "when": f"2026-11-{number:02d}T10:00:00+00:00",
        "candidate": f"notes/arm-{number}",
        "data": {"recall margin": "d", "other": ""},
        "looks": 2,
        "waivers": (WaiverUse("recall margin", "Ann", HOSTILE, "2026-12-01", "used"),),
    }
    return made_call(**{"verdict": verdict, **plain, **changes})  # type: ignore[arg-type]


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Opens the page over the home folder `tmp_path`."""
    from streamlit.testing.v1 import AppTest

    monkeypatch.setenv("HARNESS_HOME", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["app.py"])

    def opened(token: str | None = None):
        app = AppTest.from_file(str(APP), default_timeout=60)
        app.query_params["token"] = token or owner_token(tmp_path)
        app.run()
        return app.switch_page("harness/app/pages/gates.py").run()

    return opened


def fill(home: Path) -> list[GateCall]:
    """Three verdicts on two baselines, the last one invalid."""
    bad = GateVerdict("INVALID", 4, (RuleVerdict("r", "critical", "INVALID", HOSTILE, None, 1.0),), ())
    rows = [
        call(1),
        call(2, baseline="b-2", reason="the stored verdict of then", answered_by="g1"),
        call(3, outcome="INVALID", exit_code=4, verdict=bad, look=None, waivers=(), reason="refused: so"),
    ]
    Store(database(home)).ingest(rows)
    return rows


def test_without_a_verdict_the_page_says_what_to_run(page, tmp_path: Path) -> None:
    app = page()
    assert not app.exception and "harness run baselines/visit_notes.yaml" in app.info[0].value
    Store(database(tmp_path)).counts()
    app = page()
    assert not app.exception and "harness gate GATES.yaml --candidate RUN" in app.info[0].value


def test_the_newest_verdict_comes_first_and_in_full(page, tmp_path: Path) -> None:
    fill(tmp_path)
    app = page()
    assert not app.exception
    table = app.dataframe[0].value
    assert list(table["candidate"]) == ["notes/arm-3", "notes/arm-2", "notes/arm-1"]
    assert list(table["outcome"]) == ["! INVALID", "✓ PASS", "✓ PASS"] and list(table["look"]) == [
        "-",
        "1 of 2",
        "1 of 2",
    ]
    assert app.error[0].value.startswith("INVALID") and "exit code 4" in app.error[0].value


def test_a_verdict_is_shown_as_its_json_says(page, tmp_path: Path) -> None:
    first = fill(tmp_path)[0]
    app = page()
    app.selectbox(key="verdict").set_value("g1").run()
    assert not app.exception
    told = json.loads(json.dumps(reports.as_json(first.verdict, {})))
    rows = {row["rule"]: row for row in app.dataframe[1].value.to_dict("records")}
    assert set(rows) == {rule["rule"] for rule in told["rules"]}
    for rule in told["rules"]:
        row = rows[rule["rule"]]
        assert row["outcome"].endswith(rule["outcome"]) and row["waived"] == rule["waived"]
        if rule["estimate"] is not None:
            assert (row["value"], row["low"], row["high"]) == tuple(
                rule["estimate"][k] for k in ("value", "low", "high")
            )
            assert row["examples"] == rule["estimate"]["n"] and row["limit"] == rule["limit"]
    assert app.success[0].value.startswith(told["outcome"])
    assert list(app.dataframe[2].value["owner"]) == ["Ann"]


def test_history_is_filtered_by_baseline_and_outcome(page, tmp_path: Path) -> None:
    fill(tmp_path)
    app = page()
    app.selectbox(key="baseline").set_value("b-2").run()
    assert list(app.dataframe[0].value["candidate"]) == ["notes/arm-2"]
    app.selectbox(key="outcome").set_value("FAIL").run()
    assert not app.exception and not app.dataframe
    assert "No verdict of this baseline has this outcome" in app.info[0].value
    app.selectbox(key="baseline").set_value("all").run()
    app.selectbox(key="outcome").set_value("INVALID").run()
    assert list(app.dataframe[0].value["candidate"]) == ["notes/arm-3"]


def test_hostile_words_are_text(page, tmp_path: Path) -> None:
    fill(tmp_path)
    app = page()
    app.selectbox(key="verdict").set_value("g1").run()
    shown = app.warning[0].value
    assert "[a](http" not in shown and "\\[a\\](" in shown and "<b>" not in shown
