"""A home, a pinned baseline, a bundle, votes and gate verdicts of version 0.1.0 open, and say what they said then.

`home.zip` was written by that version: toy arms, votes, gate calls, a bundle, and beside them what its own commands
printed as JSON. One thing is otherwise, on purpose: intervals of right-or-wrong metrics. 29 of 30 right answers had a t
interval of 0.895 to 1, and on such intervals the board named an arm to ship.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from shell_calls import Shell

from harness.results.leaderboard.board import leaderboard
from harness.results.render import bundle

CALLS = [("better", "gates", 3), ("weak", "gates", 1), ("weak", "strict", 1)]
"""Candidate, gates file, and the exit code that the gate gave."""


@pytest.fixture
def before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    with zipfile.ZipFile(Path(__file__).with_name("home.zip")) as archive:
        archive.extractall(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(folder: Path, name: str) -> Any:
    return json.loads((folder / f"{name}.json").read_text())


def near(value: Any) -> Any:
    """`value` as something that equals it but for rounding: another processor adds in another order."""
    if isinstance(value, dict):
        return {name: near(item) for name, item in value.items()}
    if isinstance(value, list):
        return [near(item) for item in value]
    return pytest.approx(value, rel=1e-9, abs=1e-12) if isinstance(value, float) else value


def without_intervals(value: Any) -> Any:
    """Estimates by their values alone."""
    if isinstance(value, dict):
        return {name: without_intervals(item) for name, item in value.items() if name not in ("low", "high", "method")}
    return [without_intervals(item) for item in value] if isinstance(value, list) else value


def same_board(board: Any, expected: Any) -> None:
    verdict, then = board["verdict"], expected["verdict"]
    assert without_intervals(board["rows"]) == near(without_intervals(expected["rows"]))
    assert {name: verdict[name] for name in ("rule", "declaration", "estimand", "worse", "level")} == near(
        {name: then[name] for name in ("rule", "declaration", "estimand", "worse", "level")}
    )
    assert (then["outcome"], verdict["outcome"]) == ("ship", "not_enough_data")
    own = {"rows", "verdict", "environments"}  # the last lists arms in the order in which they were stored
    assert {name: value for name, value in board.items() if name not in own} == {
        name: near(value) for name, value in expected.items() if name not in own
    }
    first = board["rows"][0]["metrics"]["exact_match"]["estimate"]
    assert first["value"] == pytest.approx(29 / 30) and 0.8 < first["low"] < 0.83 and first["high"] < 1


def test_views_say_what_they_said(before: Path, shell: Shell) -> None:
    review = said(before, "review")
    for words, expected in (
        (("looks", "before"), said(before, "looks")),
        (("review", "results", review["round"]), review),
    ):
        answer = shell(*words, "--json")
        assert (answer.code, json.loads(answer.out)) == (0, near(expected)), words
    same_board(json.loads(shell("leaderboard", "before", "--json").out), said(before, "leaderboard"))


@pytest.mark.parametrize(("candidate", "gates", "code"), CALLS)
def test_gates_decide_what_they_decided(before: Path, shell: Shell, candidate: str, gates: str, code: int) -> None:
    stored = said(before, f"gate-{candidate}-{gates}")
    answer = shell("gate", f"{gates}.yaml", "--candidate", f"before/{candidate}", "--json")
    verdict = json.loads(answer.out)
    own = {"id", "when", "reason", "answered_by"}  # of the call: this one is answered by the stored one
    assert answer.code == code and verdict["answered_by"] == stored["id"]
    assert {name: value for name, value in verdict.items() if name not in own} == {
        name: near(value) for name, value in stored.items() if name not in own
    }


def test_a_bundle_is_read_and_tables_with_other_intervals_are_told(before: Path, shell: Shell) -> None:
    answer = shell("bundle", "--check", "before.bundle.zip")
    assert answer.code == 2 and "comes out otherwise" in answer.err and answer.err.count("\n") == 1
    results = bundle.read(before / "before.bundle.zip")
    board = leaderboard(results)
    rows = {
        row["arm"]: row["metrics"]["exact_match"]["estimate"]["value"] for row in said(before, "leaderboard")["rows"]
    }
    assert {row.arm: row.cells["exact_match"].estimate.value for row in board.rows} == pytest.approx(rows)


def test_the_store_is_made_again_from_its_files(before: Path, shell: Shell) -> None:
    for file in (before / ".harness").glob("harness.duckdb"):
        file.unlink()
    assert shell("store", "rebuild").code == 0
    same_board(json.loads(shell("leaderboard", "before", "--json").out), said(before, "leaderboard"))
