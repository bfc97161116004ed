"""A home, a pinned baseline, a bundle, votes and gate verdicts of version 0.1.0 open, and say what they said then.

`home.zip` was written by that version: toy arms, votes, gate calls, a bundle, and beside them
what its own commands printed as JSON.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from shell_calls import Shell

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


def test_views_say_what_they_said(before: Path, shell: Shell) -> None:
    review = said(before, "review")
    for words, expected in (
        (("leaderboard", "before"), said(before, "leaderboard")),
        (("looks", "before"), said(before, "looks")),
        (("review", "results", review["round"]), review),
    ):
        answer = shell(*words, "--json")
        assert (answer.code, json.loads(answer.out)) == (0, near(expected)), words


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


def test_a_bundle_makes_its_tables_again(before: Path, shell: Shell) -> None:
    answer = shell("bundle", "--check", "before.bundle.zip")
    assert answer.code == 0
    assert len([line for line in answer.out.splitlines() if "the same" in line]) >= 5


def test_the_store_is_made_again_from_its_files(before: Path, shell: Shell) -> None:
    for file in (before / ".harness").glob("harness.duckdb"):
        file.unlink()
    assert shell("store", "rebuild").code == 0
    board, expected = json.loads(shell("leaderboard", "before", "--json").out), said(before, "leaderboard")
    assert board["rows"] == near(expected["rows"]) and board["verdict"] == near(expected["verdict"])
