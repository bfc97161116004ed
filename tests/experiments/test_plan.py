"""`harness plan`: nothing known, a calibration, stored history, money, and what the test split can show."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from shell_calls import Shell

from harness.results import queries


@pytest.fixture(autouse=True)
def _inside(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    text = (project / "toys.yaml").read_text()
    text = text.replace("skill: 0.9}", "skill: 0.9, seconds: 0.4}").replace("examples: 10", "examples: 40")
    (project / "toys.yaml").write_text(text + "resources: {price_per_device_hour: 3600}\n")


def planned(shell: Shell, *words: str) -> dict[str, Any]:
    answer = shell("plan", "toys.yaml", "--json", *words)
    assert answer.code == 0, answer.err
    return dict(json.loads(answer.out))


def test_without_history_it_says_what_it_cannot_know(shell: Shell, project: Path) -> None:
    answer = shell("plan", "toys.yaml")
    assert answer.code == 0, answer.err
    text = " ".join(answer.out.split())
    assert text.startswith("toys: 2 runs; task echo")
    assert text.count("no stored run of this method on this base; --calibrate measures one") == 2
    assert "Time, memory, disk and money cannot be known" in text
    assert "worst case of a metric in [0, 1] (no stored scores of this task)" in text
    assert not (project / ".harness" / "harness.duckdb").exists(), "a plan stores nothing"
    assert max(len(line) for line in answer.out.splitlines() if "stored run" not in line) <= 110


def test_calibration_measures_without_a_look_at_the_test_split(shell: Shell, project: Path) -> None:
    found = planned(shell, "--calibrate")
    strong = next(arm for arm in found["arms"] if arm["arm"] == "strong")
    assert strong["basis"] == "a calibration on 16 training and 8 validation examples"
    assert strong["train_seconds"] == pytest.approx(0.4 / 16 * 40, rel=0.5)
    assert found["unknown"] == []
    assert not (project / ".harness" / "runs").exists(), "nothing is left of it"
    assert not list((project / ".harness").glob("calibration-*"))
    shell("run", "toys.yaml")
    assert len(queries.open_store(project / ".harness").looks()) == 2, "one for each arm, none for the calibration"


def test_a_calibration_that_fails_is_named(shell: Shell, project: Path) -> None:
    text = (project / "toys.yaml").read_text()
    (project / "toys.yaml").write_text(text.replace("skill: 0.2", "skill: 0.2, fail: oom"))
    found = planned(shell, "--calibrate")
    assert found["unknown"] == ["weak"]
    assert "the calibration of weak ended oom" in found["arms"][0]["basis"]


def test_history_gives_time_disk_and_money(shell: Shell, project: Path) -> None:
    assert shell("run", "toys.yaml").code == 0
    done = planned(shell)
    assert (done["runs"], done["finished"]) == (2, 2)
    assert "Nothing is left to run." in shell("plan", "toys.yaml").out
    took = {arm["arm"]: arm["train_seconds"] for arm in done["arms"]}
    text = (project / "toys.yaml").read_text()
    (project / "toys.yaml").write_text(text.replace("examples: 40", "examples: 400").replace("skill: 0.", "skill: 0.1"))
    found = planned(shell)
    # Toy arms have no base and one method: the likest stored run is the one of the same arm.
    strong = next(arm for arm in found["arms"] if arm["arm"] == "strong")
    assert strong["basis"] == "1 stored run of strong"
    assert strong["train_seconds"] == pytest.approx(10 * took["strong"], rel=1e-6), "ten times the examples"
    assert found["device_seconds"] == pytest.approx(sum(arm["seconds"] for arm in found["arms"]))
    assert found["money"] == pytest.approx(found["device_seconds"]), "3600 an hour is 1 a second"
    assert found["disk_bytes"] == sum(arm["artefact_bytes"] for arm in found["arms"])
    assert "in money at 3600 a device-hour" in " ".join(shell("plan", "toys.yaml").out.split())


def test_what_the_test_split_can_show_comes_from_stored_scores(shell: Shell) -> None:
    worst = planned(shell)["power"]
    shell("run", "toys.yaml")
    found = planned(shell, "--margin", "0.01")["power"]
    assert found["basis"].startswith("spread between arms of the stored experiment toys (20")
    assert 0 < found["least_margin"] < found["smallest"] < worst["smallest"]
    assert found["smallest"] <= found["smallest_in_verdict"]
    assert found["margin_examples"] > found["examples"]
    text = " ".join(shell("plan", "toys.yaml", "--margin", "0.01").out.split())
    assert f"A margin of 0.01 can never pass: 80 % power takes about {found['margin_examples']:,} test" in text
    assert "A margin of 0.99 is found, or passes" in " ".join(
        shell("plan", "toys.yaml", "--margin", "0.99").out.split()
    )


def test_an_unbounded_metric_has_no_worst_case(shell: Shell, project: Path) -> None:
    task = (project / "task" / "task.yaml").read_text()
    task = task.replace("primary: exact_match, also: [rouge_l, bleu, perplexity]", "primary: perplexity, also: [bleu]")
    (project / "task" / "task.yaml").write_text(task)
    found = planned(shell)["power"]
    assert found["smallest"] is None
    assert "perplexity" in found["basis"] and "run one experiment on this task" in found["basis"]
    shell("run", "toys.yaml")
    assert planned(shell)["power"]["smallest"] > 0


def test_a_plan_refuses_what_a_run_would_refuse(shell: Shell, project: Path) -> None:
    text = (project / "toys.yaml").read_text()
    (project / "toys.yaml").write_text(text.replace("budget:", "buget:"))
    answer = shell("plan", "toys.yaml")
    assert answer.code == 2 and "buget" in answer.err
