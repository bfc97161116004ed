"""A dependency is upgraded between two arms: the leaderboard keeps them apart until a frozen run was scored again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from shell_calls import Shell

from harness import environment
from harness.arms import toy
from harness.models import Generation
from harness.results import queries

Upgrade = Callable[..., None]


@pytest.fixture(autouse=True)
def _inside(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two metrics are enough here, and resampling is what a board costs."""
    monkeypatch.chdir(project)
    task = project / "task" / "task.yaml"
    task.write_text(task.read_text().replace("[rouge_l, bleu, perplexity]", "[perplexity]"))


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Upgrade:
    """Pretend that other versions are installed."""
    real = environment.packages()

    def upgrade(**versions: str) -> None:
        monkeypatch.setattr(environment, "packages", lambda: {**real, **versions})

    return upgrade


@pytest.fixture
def mixed(shell: Shell, project: Path, installed: Upgrade) -> None:
    """Two arms scored under transformers 5.1, a third, added later, under 5.2."""
    installed(transformers="5.1")
    assert shell("run", "toys.yaml").code == 0
    installed(transformers="5.2")
    file = project / "toys.yaml"
    file.write_text(file.read_text().replace("seeds:", "  - {method: toy, name: added, skill: 0.95}\nseeds:"))
    assert shell("run", "toys.yaml").code == 0


def board(shell: Shell) -> tuple[dict[str, Any], dict[str, Any]]:
    answer = shell("leaderboard", "--json")
    assert answer.code == 0, answer.err
    found = json.loads(answer.out)
    return found, {row["arm"]: row for row in found["rows"]}


@pytest.mark.usefixtures("mixed")
def test_board_refuses_to_mix_names_the_package_and_accepts_after_the_sentinel(shell: Shell, project: Path) -> None:
    found, rows = board(shell)
    assert list(rows) == ["strong", "weak", "added"]
    assert rows["added"]["apart"] == "scored in another environment (transformers 5.1 → 5.2)"
    added = rows["added"]["metrics"]["exact_match"]
    assert added["estimate"]["value"] > rows["strong"]["metrics"]["exact_match"]["estimate"]["value"]
    assert added["difference"] is None and added["p_holm"] is None and rows["added"]["difference_to_best"] is None
    assert "harness sentinel toys.yaml" in " ".join(found["notes"])
    assert "strong" in found["verdict"]["words"] and "added" not in json.dumps(found["verdict"])
    assert rows["added"]["ranks"] is None and rows["strong"]["ranks"] is not None
    assert any("transformers 5.1 → 5.2" in note for note in found["notes"])
    refused = shell("compare", "added", "weak")
    assert refused.code == 2 and "transformers 5.1 → 5.2" in refused.err and "harness sentinel" in refused.err

    looks = found["looks"]["experiment"]
    checked = shell("sentinel", "toys.yaml")
    assert checked.code == 0, checked.err
    assert "sentinel weak" in checked.out and "0 of 18 answers differ" in checked.out

    found, rows = board(shell)
    assert list(rows) == ["added", "strong", "weak"]
    assert all(row["apart"] is None for row in rows.values())
    assert rows["added"]["metrics"]["exact_match"]["difference"]["value"] > 0.5
    assert [one["accepted"] for one in found["environments"]] == [True, True]
    assert any("results of both stand in one ranking" in note for note in found["notes"])
    assert found["looks"]["experiment"] == looks + 1
    assert shell("compare", "added", "weak").code == 0
    assert "nothing to check" in shell("sentinel", "toys.yaml").out
    (project / ".harness" / "harness.duckdb").unlink()
    assert "1 sentinels" in shell("store", "rebuild").out
    again = shell("run", "toys.yaml")
    assert "nothing to train" in again.err and "tell added from strong" in again.out.splitlines()[0]


@pytest.mark.usefixtures("mixed")
def test_a_sentinel_that_moved_keeps_them_apart_and_names_the_way_on(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    def always_right(self: toy.ToyModel, prompt: Any, limit: int, stop: Any) -> Generation:
        words = self.tokenizer.decode(prompt).split()[-self.knowledge.words :]
        return Generation(tuple(self.encode(" ".join(words))), " ".join(words), "stop")

    monkeypatch.setattr(toy.ToyModel, "_generate", always_right)
    checked = shell("sentinel", "toys.yaml", "--json")
    assert checked.code == 1
    [check] = json.loads(checked.out)["checks"]
    moved = {move["metric"]: move["within"] for move in check["moves"]}
    assert moved["exact_match"] is False and moved["perplexity"] is True
    refused = " ".join(shell("leaderboard").out.split())
    assert "not ranked: scored in another environment" in refused and "run toys.yaml --rescore" in refused

    assert shell("run", "toys.yaml", "--rescore").code == 0
    found, rows = board(shell)
    assert [one["environment"]["transformers"] for one in found["environments"]] == ["5.2"]
    assert rows["weak"]["metrics"]["exact_match"]["estimate"]["value"] == 1.0
    assert not any(row["apart"] for row in rows.values())
    assert "nothing to train" in shell("run", "toys.yaml").err


def test_an_upgrade_alone_repeats_nothing_and_keeps_the_ranking(
    shell: Shell, project: Path, installed: Upgrade
) -> None:
    installed(transformers="5.1")
    shell("run", "toys.yaml")
    before = board(shell)
    installed(transformers="5.2", torch="9.9")
    assert "nothing to train" in shell("run", "toys.yaml").err
    assert board(shell) == before
    assert len(queries.open_store(project / ".harness").looks()) == 2


def test_other_hardware_is_marked_and_ranked(shell: Shell, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shell("run", "toys.yaml")
    other = {**environment.hardware(), "processor": "Another Processor"}
    monkeypatch.setattr(environment, "hardware", lambda: other)
    file = project / "toys.yaml"
    file.write_text(file.read_text().replace("seeds:", "  - {method: toy, name: added, skill: 0.95}\nseeds:"))
    assert shell("run", "toys.yaml").code == 0
    found, rows = board(shell)
    assert next(iter(rows)) == "added" and rows["added"]["apart"] is None
    assert any("added on Another Processor" in note and "times do not compare" in note for note in found["notes"])


def test_sentinel_without_results_says_what_to_run(shell: Shell, installed: Upgrade) -> None:
    assert "harness run" in shell("sentinel", "toys.yaml").err
    installed(transformers="5.1")
    shell("run", "toys.yaml")
    unknown = shell("sentinel", "toys.yaml", "--arm", "nobody")
    assert unknown.code == 2 and "no arm with a result is called 'nobody'" in unknown.err
